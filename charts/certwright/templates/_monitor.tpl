{{/* What a ServiceMonitor and a PodMonitor have in common. Arguments: root, settings, kind, target. */}}

{{- define "certwright.monitorMetadata" -}}
metadata:
  name: {{ include "certwright.fullname" .root }}
  namespace: {{ .settings.namespace | default (include "certwright.namespace" .root) }}
  labels:
    {{- include "certwright.labels" .root | nindent 4 }}
    app.kubernetes.io/component: controller
    prometheus: {{ .settings.prometheusInstance }}
    {{- with .settings.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .settings.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "certwright.monitorEndpoint" -}}
path: {{ .settings.path }}
interval: {{ .settings.interval }}
scrapeTimeout: {{ .settings.scrapeTimeout }}
honorLabels: {{ .settings.honorLabels }}
{{- with .settings.endpointAdditionalProperties }}
{{ toYaml . }}
{{- end }}
{{- end -}}
