{{- define "noetl-metrics.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the release's objects; a release that is called as the chart does not say it twice. */}}
{{- define "noetl-metrics.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "noetl-metrics.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "noetl-metrics.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/*
What selects the operator's pods: never a version, since selectors cannot change. The name is fixed,
whatever objects are called: the servers' NetworkPolicy lets in the operator by it.
*/}}
{{- define "noetl-metrics.selectorLabels" -}}
app.kubernetes.io/name: noetl-metrics
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "noetl-metrics.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "noetl-metrics.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: noetl
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "noetl-metrics.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "noetl-metrics.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Cluster-wide objects carry the namespace: two releases of one name do not meet. */}}
{{- define "noetl-metrics.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "noetl-metrics.fullname" .) | trunc 100 | trimSuffix "-" }}
{{- end }}

{{- define "noetl-metrics.agentClusterRole" -}}
{{- printf "%s-agent" (include "noetl-metrics.clusterName" .) }}
{{- end }}

{{- define "noetl-metrics.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry }}
{{- $name := ternary (printf "%s/%s" $registry .Values.image.repository) .Values.image.repository (ne $registry "") }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "noetl-metrics.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The kind of scrape object: what was asked for, or the first that the cluster has. */}}
{{- define "noetl-metrics.scrapeKind" -}}
{{- $has := .Capabilities.APIVersions }}
{{- if ne .Values.scrape.kind "Auto" }}
{{- .Values.scrape.kind }}
{{- else if $has.Has "operator.victoriametrics.com/v1beta1/VMServiceScrape" }}VMServiceScrape
{{- else if $has.Has "operator.victoriametrics.com/v1beta1/VMPodScrape" }}VMPodScrape
{{- else if $has.Has "monitoring.coreos.com/v1/ServiceMonitor" }}ServiceMonitor
{{- else if $has.Has "monitoring.coreos.com/v1/PodMonitor" }}PodMonitor
{{- else }}None
{{- end }}
{{- end }}

{{/* The kind of rules object, in the same way. */}}
{{- define "noetl-metrics.rulesKind" -}}
{{- $has := .Capabilities.APIVersions }}
{{- if ne .Values.rules.kind "Auto" }}
{{- .Values.rules.kind }}
{{- else if $has.Has "operator.victoriametrics.com/v1beta1/VMRule" }}VMRule
{{- else if $has.Has "monitoring.coreos.com/v1/PrometheusRule" }}PrometheusRule
{{- else }}None
{{- end }}
{{- end }}

{{- define "noetl-metrics.instanceNamespace" -}}
{{- default .Release.Namespace .Values.instance.namespace }}
{{- end }}

{{/* A ClusterRoleBinding of ServiceAccounts, `namespace/name`, to the ClusterRole of its name. */}}
{{- define "noetl-metrics.accountsBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  labels:
    {{- .labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .name }}
subjects:
  {{- range .accounts }}
  {{- $parts := splitList "/" . }}
  - kind: ServiceAccount
    name: {{ index $parts 1 }}
    namespace: {{ index $parts 0 }}
  {{- end }}
{{- end }}

{{/* The ServiceAccounts of servers that ask the API server: those named, and the release's own. */}}
{{- define "noetl-metrics.reviewers" -}}
{{- $reviewers := .Values.rbac.reviewers }}
{{- if and .Values.instance.enabled (dig "server" "auth" "review" false .Values.instance.spec) }}
{{- $own := printf "%s/%s-server" (include "noetl-metrics.instanceNamespace" .) .Values.instance.name }}
{{- $reviewers = append $reviewers $own | uniq }}
{{- end }}
{{- toJson $reviewers }}
{{- end }}
