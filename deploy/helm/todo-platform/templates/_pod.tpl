{{/* What every pod has in common: the restricted pod security standard, no identity in the cluster, a root that cannot be
     written, and secrets as files of its own user. */}}

{{- define "todo.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: {{ eq .component "gateway" }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "todo.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Replicas on different nodes and zones where there are any; those of an old version do not count. */}}
{{- define "todo.spread" -}}
topologySpreadConstraints:
  {{- $selector := include "todo.selector" . }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}

{{/* Probes of a tier's admin listener. Liveness asks whether the process answers and nothing else: a restart mends no
     database. Readiness has its own patience inside the tier. */}}
{{- define "todo.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{/* A volume of secret files. `sources` is a list of {secret, key, path}; 288 is 0440 in decimal, for which YAML has two
     spellings. */}}
{{- define "todo.secretFiles" -}}
- name: secrets
  projected:
    defaultMode: 288
    sources:
      {{- range . }}
      - secret:
          name: {{ .secret }}
          items: [{key: {{ .key | quote }}, path: {{ .path }}}]
      {{- end }}
{{- end }}

{{/* The database's secret files, as JSON: a template can only hand over text. */}}
{{- define "todo.databaseSecrets" -}}
{{- $database := .Values.secrets.database -}}
{{- $files := list (dict "secret" $database.existingSecret "key" $database.urlKey "path" "database-url") -}}
{{- with $database.caKey -}}
{{- $files = append $files (dict "secret" $database.existingSecret "key" . "path" "database-ca") -}}
{{- end -}}
{{- $files | toJson -}}
{{- end }}
