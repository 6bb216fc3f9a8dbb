{{/* Rules that several network policies have. */}}

{{/* To the database, and to the name service that finds it. */}}
{{- define "todo.toDatabase" -}}
- to:
    {{- toYaml .Values.network.database.to | nindent 4 }}
  ports:
    - {port: {{ .Values.network.database.port }}, protocol: TCP}
- to:
    {{- toYaml .Values.network.dns.to | nindent 4 }}
  ports:
    - {port: {{ .Values.network.dns.port }}, protocol: UDP}
    - {port: {{ .Values.network.dns.port }}, protocol: TCP}
{{- end }}

{{/* From Prometheus to an admin port: a dict of `monitoring` and `port`. */}}
{{- define "todo.fromMonitoring" -}}
- from:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ .monitoring.namespace }}}
      podSelector:
        matchLabels:
          {{- toYaml .monitoring.podLabels | nindent 10 }}
  ports:
    - {port: {{ .port }}, protocol: TCP}
{{- end }}
