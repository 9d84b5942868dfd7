{{/* Values of cert-manager's chart that are accepted and have no effect, with the reason: for the notes. */}}
{{- define "certwright.ignoredValues" -}}
webhook: validation and approval are done by schemas and admission policies in the API server
cainjector: there is no webhook whose CA would have to be injected
startupapicheck: there is no webhook to wait for
acmesolver: challenges are answered by the operator itself, there are no solver pods
verticalPodAutoscaler: create one for the Deployment, by extraObjects if wanted
{{- end -}}

{{- define "certwright.ignored" -}}
{{- $reasons := include "certwright.ignoredValues" . | fromYaml -}}
{{- range $name, $reason := $reasons -}}
{{- if index $.Values $name }}
  {{ $name }}: {{ $reason }}
{{- end -}}
{{- end -}}
{{- if dig "podSecurityPolicy" "enabled" false .Values.global }}
  global.podSecurityPolicy: Kubernetes has had no PodSecurityPolicy since 1.25
{{- end -}}
{{- end -}}
