{{/* What the operator's pods and the one that uninstalls have in common. */}}
{{- define "operator.podSpec" -}}
serviceAccountName: {{ include "operator.fullname" . }}
automountServiceAccountToken: true
# Variables of Services must not be taken for those of flags.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
{{ toYaml . }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "operator.caConfigMap" . }}
volumes:
- name: ca
  configMap:
    name: {{ . }}
    items:
    - key: {{ empty $.Values.extraCA.pem | ternary $.Values.extraCA.key "ca.crt" }}
      path: ca.crt
{{- end }}
{{- end }}

{{/* What their containers have in common, but for the variables. */}}
{{- define "operator.container" -}}
image: {{ include "operator.image" . }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- if include "operator.caConfigMap" . }}
volumeMounts:
- name: ca
  mountPath: /etc/shopify-token-operator
  readOnly: true
{{- end }}
{{- end }}

{{/* Variables that both need: whose objects, and the way to Shopify. Only what isn't the operator's default. */}}
{{- define "operator.env" -}}
{{- with .Values.watchNamespaces }}
- name: WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- if include "operator.caConfigMap" . }}
- name: SHOPIFY_CA_FILE
  value: /etc/shopify-token-operator/ca.crt
{{- end }}
{{- with .Values.proxy }}
{{- if .secretName }}
- name: HTTPS_PROXY
  valueFrom:
    secretKeyRef:
      name: {{ .secretName }}
      key: HTTPS_PROXY
{{- else if .url }}
- name: HTTPS_PROXY
  value: {{ .url | quote }}
{{- end }}
{{- with .noProxy }}
- name: NO_PROXY
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- if ne .Values.log.level "info" }}
- name: LOG_LEVEL
  value: {{ .Values.log.level }}
{{- end }}
{{- if ne .Values.log.format "json" }}
- name: LOG_FORMAT
  value: {{ .Values.log.format }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Variables of the operator alone, of a shard or of all: `root`, and `shard`. */}}
{{- define "operator.runEnv" -}}
{{- $root := .root -}}
{{- with $root.Values.installPages.publicURL }}
- name: PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
{{- with .shard.selector }}
- name: SELECTOR
  value: {{ . | quote }}
{{- end }}
{{- $lease := include "operator.instance" . }}
{{- if ne $lease "shopify-token-operator" }}
- name: LEASE_NAME
  value: {{ $lease }}
{{- end }}
{{- if ne (int $root.Values.concurrency) 16 }}
- name: CONCURRENCY
  value: {{ $root.Values.concurrency | quote }}
{{- end }}
{{- if ne $root.Values.revocationTimeout "1h" }}
- name: REVOCATION_TIMEOUT
  value: {{ $root.Values.revocationTimeout | quote }}
{{- end }}
{{- with $root.Values.traces.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- include "operator.env" $root }}
{{- end }}

{{/* Variables of the Job that uninstalls: it takes the lease of every shard. */}}
{{- define "operator.uninstallEnv" -}}
- name: UNINSTALL_TIMEOUT
  value: {{ .Values.uninstall.timeout | quote }}
{{- $leases := list }}
{{- range include "operator.shards" . | fromJsonArray }}
{{- $leases = append $leases (include "operator.instance" (dict "root" $ "shard" .)) }}
{{- end }}
{{- if ne (first $leases) "shopify-token-operator" }}
- name: LEASE_NAME
  value: {{ first $leases }}
{{- end }}
{{- with rest $leases }}
- name: FURTHER_LEASES
  value: {{ join "," . }}
{{- end }}
{{- include "operator.env" . }}
{{- end }}
