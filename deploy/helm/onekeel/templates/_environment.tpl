{{/* Settings of a server; each stands in its --help. Secrets are files. */}}
{{- define "onekeel.environment" -}}
- name: LISTEN
  value: "0.0.0.0:50051"
- name: DATABASE_URL_FILE
  value: /etc/onekeel/secrets/database-url
- name: REDIS_URL_FILE
  value: /etc/onekeel/secrets/redis-url
- name: SERVICE_KEY_FILE
  value: /etc/onekeel/secrets/service-key
- name: SERVICE_PEERS_DIR
  value: /etc/onekeel/peers
- name: PAGE_TOKEN_SECRET_FILE
  value: /etc/onekeel/secrets/page-token
- name: JWT_ISSUER
  value: {{ .root.Values.jwt.issuer | quote }}
- name: JWT_AUDIENCE
  value: {{ .root.Values.jwt.audience | quote }}
{{- if .root.Values.jwt.secretName }}
- name: JWT_SECRET_FILE
  value: /etc/onekeel/secrets/jwt
{{- end }}
{{- if .root.Values.jwt.publicKeys.configMapName }}
{{- $files := list }}
{{- range .root.Values.jwt.publicKeys.keys }}
{{- $files = append $files (printf "/etc/onekeel/jwt-public-keys/%s" .) }}
{{- end }}
- name: JWT_PUBLIC_KEY_FILE
  value: {{ join "," $files | quote }}
{{- end }}
{{- with .root.Values.jwt.jwks }}
{{- if .configMapName }}
- name: JWT_JWKS_FILE
  value: {{ printf "/etc/onekeel/jwt-key-set/%s" .key | quote }}
{{- end }}
{{- if .url }}
- name: JWT_JWKS_URL
  value: {{ .url | quote }}
- name: JWT_JWKS_REFRESH_SECONDS
  value: {{ .refreshSeconds | int | quote }}
- name: JWT_JWKS_KEEP_SECONDS
  value: {{ .keepSeconds | int | quote }}
{{- end }}
{{- end }}
- name: JWT_PLATFORM_SOURCES
  value: {{ join "," .root.Values.jwt.platformSources | quote }}
{{- range $of, $claim := .root.Values.jwt.claims }}
- name: JWT_{{ upper $of }}_CLAIM
  value: {{ $claim | quote }}
{{- end }}
- name: JWT_LONGEST_LIFE_SECONDS
  value: {{ .root.Values.jwt.longestLifeSeconds | int | quote }}
- name: QUOTA_ADDR
  value: {{ include "onekeel.address" (dict "root" .root "component" "quota") | quote }}
- name: TENANT_ADDR
  value: {{ include "onekeel.address" (dict "root" .root "component" "tenant") | quote }}
{{- with .root.Values.baseDomain }}
- name: BASE_DOMAIN
  value: {{ . | quote }}
{{- end }}
{{- with .root.Values.serviceHosts }}
- name: SERVICE_HOSTS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .root.Values.trustedProxies }}
- name: TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
- name: REPLICAS
  value: {{ include "onekeel.replicas" .root | quote }}
- name: MAX_CONNECTIONS
  value: {{ .settings.maxConnections | int | quote }}
- name: MAX_CALLS
  value: {{ .settings.maxCalls | int | quote }}
- name: DRAIN_SECONDS
  value: {{ .root.Values.drainSeconds | int | quote }}
- name: LOG_FORMAT
  value: {{ .root.Values.log.format | quote }}
- name: RUST_LOG
  value: {{ .root.Values.log.filter | quote }}
{{- with .root.Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
- name: TRACE_SAMPLE_RATIO
  value: {{ .root.Values.tracing.sampleRatio | toString | quote }}
{{- if .root.Values.metrics.enabled }}
- name: METRICS_LISTEN
  value: "0.0.0.0:{{ .root.Values.metrics.port | int }}"
{{- end }}
{{- if .root.Values.tls.secretName }}
- name: TLS_CERT_FILE
  value: /etc/onekeel/tls/tls.crt
- name: TLS_KEY_FILE
  value: /etc/onekeel/tls/tls.key
- name: TLS_CA_FILE
  value: /etc/onekeel/tls/ca.crt
{{- end }}
{{- if .root.Values.tls.clientSecretName }}
{{- if not .root.Values.tls.secretName }}
{{- fail "tls.clientSecretName needs tls.secretName: certificates are shown to servers that speak TLS" }}
{{- end }}
- name: TLS_CLIENT_CA_FILE
  value: /etc/onekeel/tls-client/ca.crt
- name: TLS_CLIENT_CERT_FILE
  value: /etc/onekeel/tls-client/tls.crt
- name: TLS_CLIENT_KEY_FILE
  value: /etc/onekeel/tls-client/tls.key
{{- end }}
{{- with .settings.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
