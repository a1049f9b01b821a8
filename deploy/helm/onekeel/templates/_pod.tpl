{{/* What every pod of the chart has in common. */}}
{{- define "onekeel.pod" -}}
serviceAccountName: {{ include "onekeel.fullname" .root }}-{{ .component }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.pod.userId | int64 }}
  runAsGroup: {{ .root.Values.pod.userId | int64 }}
  fsGroup: {{ .root.Values.pod.userId | int64 }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "onekeel.container" -}}
image: {{ include "onekeel.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
{{- end -}}

{{/* Each pod mounts only the keys that it uses. */}}
{{- define "onekeel.key" -}}
- secret:
    name: {{ .secret }}
    items:
      - key: {{ .key }}
        path: {{ .path }}
{{- end -}}

{{- define "onekeel.volumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- include "onekeel.key" (dict "secret" .root.Values.secrets.database "key" (printf "%s-url" .component) "path" "database-url") | nindent 6 }}
      {{- include "onekeel.key" (dict "secret" .root.Values.secrets.redis "key" "redis-url" "path" "redis-url") | nindent 6 }}
      {{- include "onekeel.key" (dict "secret" .root.Values.secrets.serviceKeys "key" (printf "%s.key" .component) "path" "service-key") | nindent 6 }}
      {{- include "onekeel.key" (dict "secret" .root.Values.secrets.pageToken "key" "page-token" "path" "page-token") | nindent 6 }}
      {{- with .root.Values.jwt.secretName }}
      {{- include "onekeel.key" (dict "secret" . "key" "jwt" "path" "jwt") | nindent 6 }}
      {{- end }}
- name: peers
  configMap:
    name: {{ .root.Values.servicePeersConfigMap }}
    defaultMode: 0444
    items:
      {{- range $name, $_ := .root.Values.services }}
      - key: {{ $name }}.pub
        path: {{ $name }}.pub
      {{- end }}
{{- with .root.Values.jwt.publicKeys }}
{{- if .configMapName }}
- name: jwt-public-keys
  configMap:
    name: {{ .configMapName }}
    defaultMode: 0444
    items:
      {{- range .keys }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}
{{- end }}
{{- with .root.Values.jwt.jwks }}
{{- if .configMapName }}
- name: jwt-key-set
  configMap:
    name: {{ .configMapName }}
    defaultMode: 0444
    items:
      - key: {{ .key }}
        path: {{ .key }}
{{- end }}
{{- end }}
{{- with .root.Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- with .root.Values.tls.clientSecretName }}
- name: tls-client
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: {{ $.component }}.crt
        path: tls.crt
      - key: {{ $.component }}.key
        path: tls.key
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- with .root.Values.pod.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "onekeel.mounts" -}}
- name: secrets
  mountPath: /etc/onekeel/secrets
  readOnly: true
- name: peers
  mountPath: /etc/onekeel/peers
  readOnly: true
{{- if .Values.jwt.publicKeys.configMapName }}
- name: jwt-public-keys
  mountPath: /etc/onekeel/jwt-public-keys
  readOnly: true
{{- end }}
{{- if .Values.jwt.jwks.configMapName }}
- name: jwt-key-set
  mountPath: /etc/onekeel/jwt-key-set
  readOnly: true
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: /etc/onekeel/tls
  readOnly: true
{{- end }}
{{- if .Values.tls.clientSecretName }}
- name: tls-client
  mountPath: /etc/onekeel/tls-client
  readOnly: true
{{- end }}
{{- with .Values.pod.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The kubelet asks in plain text only: where the servers speak TLS, it can but see whether they accept. */}}
{{- define "onekeel.probe" -}}
{{- if .root.Values.tls.secretName -}}
tcpSocket:
  port: 50051
{{- else -}}
grpc:
  port: 50051
  service: {{ .service | quote }}
{{- end -}}
{{- end -}}
