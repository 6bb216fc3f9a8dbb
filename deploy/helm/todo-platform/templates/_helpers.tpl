{{/* Names and labels. A component is `api`, `gateway`, `migrations` or `backup`; templates that need one get a dict of
     `root` (the chart's context) and `component`. */}}

{{- define "todo.name" -}}
{{ .root.Release.Name }}-{{ .component }}
{{- end }}

{{/* What tells a component's pods from all others; never changes. */}}
{{- define "todo.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "todo.labels" -}}
{{ include "todo.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "todo.metadata" -}}
name: {{ include "todo.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "todo.labels" . | nindent 2 }}
{{- end }}

{{- define "todo.image" -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end -}}
todo-{{ .tier }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}
