{{/* The name of all objects: at most 43 characters, so that the longest suffix fits into a label. */}}
{{- define "operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* What pods are selected by: never changes in the life of a release. */}}
{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What is deployed: a Deployment for each shard, or one without a name. As JSON. */}}
{{- define "operator.shards" -}}
{{ .Values.shards | default (list dict) | toJson }}
{{- end }}

{{/* The name of a shard's Deployment, and of its lease: `root`, and `shard`. */}}
{{- define "operator.instance" -}}
{{ include "operator.fullname" .root }}{{ with .shard.name }}-{{ . }}{{ end }}
{{- end }}

{{/* A lease of the release is held by nobody: the leader of another shard, or of another release, doesn't stand for it. */}}
{{- define "operator.leaderless" -}}
{{- range $index, $shard := include "operator.shards" . | fromJsonArray }}
{{- $lease := include "operator.instance" (dict "root" $ "shard" $shard) | quote }}
{{- if $index }}
or {{ end -}}
label_replace(absent(leader{job=~".*shopify-token-operator.*", lease={{ $lease }}} == 1), "lease", {{ $lease }}, "", "")
{{- end }}
{{- end }}

{{/* What its pods are selected by. */}}
{{- define "operator.instanceSelector" -}}
{{ include "operator.selector" .root }}
{{- with .shard.name }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of every object, beside its name. */}}
{{- define "operator.commonLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "operator.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
{{ include "operator.commonLabels" . }}
{{- end }}

{{- define "operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The ConfigMap with further certificate authorities; empty: none. */}}
{{- define "operator.caConfigMap" -}}
{{- if .Values.extraCA.pem -}}
{{ include "operator.fullname" . }}-ca
{{- else -}}
{{ .Values.extraCA.configMap }}
{{- end -}}
{{- end }}

{{/* Whom roles are bound to. */}}
{{- define "operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "operator.fullname" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Where the proxy listens. */}}
{{- define "operator.proxyPort" -}}
{{- with .Values.proxy -}}
{{- if .url -}}
{{ regexFind ":[0-9]+/?$" .url | trimAll ":/" }}
{{- else -}}
{{ .port }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The port of the collector of traces. */}}
{{- define "operator.tracesPort" -}}
{{- with urlParse .Values.traces.endpoint -}}
{{ regexFind ":[0-9]+$" .host | trimPrefix ":" | default (eq .scheme "https" | ternary "443" "80") }}
{{- end -}}
{{- end }}

{{/* A text whose links to the documentation lead to the mirror of it, if there is one: `root`, and `text`. */}}
{{- define "operator.linked" -}}
{{- with .root.Values.monitoring.docs -}}
{{ regexReplaceAll (printf "%s/blob/main/docs/([a-z/-]+)[.]md" (regexQuoteMeta $.root.Chart.Home)) $.text (replace "*" "${1}" .) }}
{{- else -}}
{{ .text }}
{{- end -}}
{{- end }}

{{/* Defaults of values that aren't there: `helm upgrade --reuse-values` brings those of an older chart alone. */}}
{{- define "operator.values" -}}
{{- include "operator.fill" (dict "values" .Values "defaults" (include "operator.defaults" . | fromJson)) -}}
{{- end }}

{{/* Groups of values are filled; what is a value as a whole, and was set to null, is one that isn't there. */}}
{{- define "operator.fill" -}}
{{- range $name, $default := .defaults -}}
{{- $group := kindIs "map" $default -}}
{{- if not (hasKey $.values $name) -}}
{{- $_ := set $.values $name $default -}}
{{- else if and $group (kindIs "map" (index $.values $name)) -}}
{{- include "operator.fill" (dict "values" (index $.values $name) "defaults" $default) -}}
{{- end -}}
{{- end -}}
{{- end }}
