{{/* The name that everything begins with; short enough for what follows it. */}}
{{- define "onekeel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of one component; never changes, since selectors cannot. */}}
{{- define "onekeel.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "onekeel.labels" -}}
{{ include "onekeel.selector" . }}
app.kubernetes.io/part-of: onekeel
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "onekeel.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Settings of a service: the defaults, and what it says otherwise. */}}
{{- define "onekeel.settings" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (index .root.Values.services .component) | toYaml -}}
{{- end -}}

{{/* Pods of a service at most: what an autoscaler may make of it. */}}
{{- define "onekeel.most" -}}
{{- $settings := include "onekeel.settings" . | fromYaml -}}
{{- ternary $settings.autoscaling.maxReplicas $settings.replicas $settings.autoscaling.enabled | int -}}
{{- end -}}

{{/* Pods at most of the largest service: all take calls of tenants, and share the fallback of request allowances. */}}
{{- define "onekeel.replicas" -}}
{{- $largest := 1 -}}
{{- range $name, $_ := .Values.services -}}
{{- $largest = max $largest (include "onekeel.most" (dict "root" $ "component" $name)) -}}
{{- end -}}
{{- $largest -}}
{{- end -}}

{{/* Address of a service, as often as connections to it are wanted. */}}
{{- define "onekeel.address" -}}
{{- $scheme := ternary "https" "http" (ne .root.Values.tls.secretName "") -}}
{{- $address := printf "%s://%s-%s:50051" $scheme (include "onekeel.fullname" .root) .component -}}
{{- $addresses := list -}}
{{- range until (ternary 1 (int .root.Values.peerConnections) (eq $scheme "https")) -}}
{{- $addresses = append $addresses $address -}}
{{- end -}}
{{- join "," $addresses -}}
{{- end -}}

{{/* Stops with a sentence where a server would refuse to start. */}}
{{- define "onekeel.check" -}}
{{- if not .Values.jwt.issuer -}}
{{- fail "jwt.issuer: name the issuer of users' tokens, for example https://id.example.com" -}}
{{- end -}}
{{- $jwks := .Values.jwt.jwks -}}
{{- if not (or .Values.jwt.secretName .Values.jwt.publicKeys.configMapName $jwks.configMapName $jwks.url) -}}
{{- fail "jwt: name a Secret in jwt.secretName, a ConfigMap in jwt.publicKeys.configMapName or jwt.jwks.configMapName, or an address in jwt.jwks.url" -}}
{{- end -}}
{{- if and .Values.jwt.publicKeys.configMapName (not .Values.jwt.publicKeys.keys) -}}
{{- fail "jwt.publicKeys.keys: name the keys of the ConfigMap that hold public keys in PEM" -}}
{{- end -}}
{{- if and (or .Values.metrics.serviceMonitor.enabled .Values.metrics.annotations) (not .Values.metrics.enabled) -}}
{{- fail "metrics.enabled: must be true for metrics.annotations and metrics.serviceMonitor" -}}
{{- end -}}
{{- end -}}
