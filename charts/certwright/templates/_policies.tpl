{{/* What the admission policies have in common. */}}

{{/* Metadata of a policy and of its binding: (list . "name"). */}}
{{- define "certwright.policyMetadata" -}}
{{- $root := index . 0 -}}
name: {{ include "certwright.fullname" $root }}-{{ index . 1 }}
labels:
  {{- include "certwright.labels" $root | nindent 2 }}
  app.kubernetes.io/component: policies
{{- end -}}

{{/* The binding of a validating policy that needs no parameters: (list . "name"). */}}
{{- define "certwright.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "certwright.policyMetadata" . | nindent 2 }}
spec:
  policyName: {{ include "certwright.fullname" (index . 0) }}-{{ index . 1 }}
  validationActions: [Deny]
{{- end -}}

{{/*
An object stored before there was a rule can still be deleted, labelled and given a status. Each rule
moreover lets pass what stays as it was.
*/}}
{{- define "certwright.policySpecChanged" -}}
- name: not-being-deleted
  expression: "!has(object.metadata.deletionTimestamp)"
- name: spec-changed
  expression: >-
    has(object.spec) && (request.operation == "CREATE" || object.spec != oldObject.?spec.orValue(null))
{{- end -}}

{{/* Whether a CertificateRequest is made by anybody but the operator, which says itself who it is. */}}
{{- define "certwright.policyMadeByOthers" -}}
- name: made-by-others
  expression: has(object.spec) && request.userInfo.username != {{ include "certwright.userName" . | squote }}
{{- end -}}

{{/* Namespaces that cert-manager's webhook did not look at. */}}
{{- define "certwright.policyNamespaces" -}}
matchExpressions:
  - key: cert-manager.io/disable-validation
    operator: NotIn
    values: ["true"]
{{- end -}}

{{/* Whether the API server can change what it admits, by kind or by version where kinds are not known. */}}
{{- define "certwright.canMutate" -}}
{{- if or (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version) -}}
true
{{- end -}}
{{- end -}}

{{/* The user that the operator is to the API server. */}}
{{- define "certwright.userName" -}}
system:serviceaccount:{{ include "certwright.namespace" . }}:{{ include "certwright.serviceAccountName" . }}
{{- end -}}
