{{/*
Who may do what, as plain rules; rbac.yaml and rbac-users.yaml make objects of them. The operator has one
ClusterRole per controller, named and cut as cert-manager's, with only what certwright does: patch and no
update, since it patches, no list where it only gets.
*/}}

{{- define "certwright.controllerRules" -}}
issuers:
  - &readIssuers
    apiGroups: [cert-manager.io]
    resources: [issuers, clusterissuers]
    verbs: [get, list, watch]
  - apiGroups: [cert-manager.io]
    resources: [issuers/status]
    verbs: [patch]
  # Account keys are made once and never changed.
  - &makeSecrets
    apiGroups: [""]
    resources: [secrets]
    verbs: [get, list, watch, create]
  - &events
    apiGroups: [events.k8s.io]
    resources: [events]
    verbs: [create, patch]

clusterissuers:
  - *readIssuers
  - apiGroups: [cert-manager.io]
    resources: [clusterissuers/status]
    verbs: [patch]
  - *makeSecrets
  - *events

certificates:
  - apiGroups: [cert-manager.io]
    resources: [certificates]
    verbs: [get, list, watch]
  - apiGroups: [cert-manager.io]
    resources: [certificaterequests]
    verbs: [get, list, watch, create, delete]
  - apiGroups: [cert-manager.io]
    resources: [certificates/status, certificaterequests/status]
    verbs: [patch]
  # An owner reference that blocks deletion needs this, here and below, where the API server enforces it.
  - apiGroups: [cert-manager.io]
    resources: [certificates/finalizers, certificaterequests/finalizers]
    verbs: [update]
  # It writes into its requests who made them. Anybody may ask who they are, where that was not taken away.
  - apiGroups: [authentication.k8s.io]
    resources: [selfsubjectreviews]
    verbs: [create]
  - apiGroups: [acme.cert-manager.io]
    resources: [orders]
    verbs: [get, list, watch, create, delete]
  - *readIssuers
  - apiGroups: [""]
    resources: [secrets]
    verbs: [get, list, watch, create, patch, delete]
  - *events

orders:
  - apiGroups: [acme.cert-manager.io]
    resources: [orders]
    verbs: [get, list, watch]
  - apiGroups: [acme.cert-manager.io]
    resources: [orders/status]
    verbs: [patch]
  - apiGroups: [acme.cert-manager.io]
    resources: [orders/finalizers]
    verbs: [update]
  - apiGroups: [acme.cert-manager.io]
    resources: [challenges]
    verbs: [get, list, watch, create, delete]
  - *readIssuers
  - &readSecrets
    apiGroups: [""]
    resources: [secrets]
    verbs: [get, list, watch]
  - *events

challenges:
  - apiGroups: [acme.cert-manager.io]
    resources: [challenges]
    verbs: [get, list, watch, patch, delete]
  - apiGroups: [acme.cert-manager.io]
    resources: [challenges/status]
    verbs: [patch]
  - *readIssuers
  - *readSecrets
  - apiGroups: [""]
    resources: [services]
    verbs: [get, create, delete]
  # They go with their Service; but who may not delete may not set an owner either, where that is enforced.
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices]
    verbs: [get, create, patch, delete]
  # Update changes the one Ingress that a solver names.
  - apiGroups: [networking.k8s.io]
    resources: [ingresses]
    verbs: [get, create, update, delete]
  - *events
  # OpenShift asks for these to let an Ingress have a host and an EndpointSlice the address of a pod.
  - apiGroups: [route.openshift.io]
    resources: [routes/custom-host]
    verbs: [create]
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices/restricted]
    verbs: [create]

# Used where feature gate ExperimentalCertificateSigningRequestControllers is on. Who may have an Issuer
# sign is up to its namespace: verb reference on signers.cert-manager.io.
certificatesigningrequests:
  - apiGroups: [certificates.k8s.io]
    resources: [certificatesigningrequests]
    verbs: [list, watch]
  - apiGroups: [certificates.k8s.io]
    resources: [certificatesigningrequests/status]
    verbs: [patch]
  - apiGroups: [certificates.k8s.io]
    resources: [certificatesigningrequests/finalizers]
    verbs: [update]
  - apiGroups: [certificates.k8s.io]
    resources: [signers]
    resourceNames: [issuers.cert-manager.io/*, clusterissuers.cert-manager.io/*]
    verbs: [sign]
  - apiGroups: [authorization.k8s.io]
    resources: [subjectaccessreviews]
    verbs: [create]
  - apiGroups: [acme.cert-manager.io]
    resources: [orders]
    verbs: [get, list, watch, create, delete]
  - *readIssuers
  - *readSecrets
  - *events

# An annotated Ingress is only told, by an event, that it is not supported yet.
ingress-shim:
  - apiGroups: [networking.k8s.io]
    resources: [ingresses]
    verbs: [get, list, watch]
  - *events

# What goes is looked at once more before: whether its Certificate is gone, and the definition of all of them
# is not, whether its namespace is, and whether an Ingress or Gateway names its Secret.
issuances:
  - apiGroups: [cert-manager.io]
    resources: [certificates]
    verbs: [get, list, watch]
  - *readIssuers
  - apiGroups: [""]
    resources: [secrets]
    verbs: [get, list, watch, create, delete]
  - apiGroups: [""]
    resources: [namespaces]
    verbs: [get, list, watch]
  - apiGroups: [apiextensions.k8s.io]
    resources: [customresourcedefinitions]
    resourceNames: [certificates.cert-manager.io]
    verbs: [get]
  - apiGroups: [networking.k8s.io]
    resources: [ingresses]
    verbs: [list]
  - apiGroups: [gateway.networking.k8s.io]
    resources: [gateways, referencegrants]
    verbs: [list]
  - *events
{{- if .Values.crl.publish }}

# The list of certificates that a CA issuer revoked is in a ConfigMap beside it, and told of in its status.
revocation-lists:
  - *readIssuers
  - apiGroups: [cert-manager.io]
    resources: [issuers/status, clusterissuers/status]
    verbs: [patch]
  - *readSecrets
  - apiGroups: [""]
    resources: [configmaps]
    verbs: [get, list, watch, create, patch, delete]
  - *events
{{- end }}

# Webhooks of a cert-manager that was removed by halves are found and named at /readyz.
leftovers:
  - apiGroups: [admissionregistration.k8s.io]
    resources: [validatingwebhookconfigurations, mutatingwebhookconfigurations]
    verbs: [list]
{{- if not .Values.disableAutoApproval }}

approve:cert-manager-io:
  - apiGroups: [cert-manager.io]
    resources: [signers]
    verbs: [approve]
    {{- with .Values.approveSignerNames }}
    resourceNames:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end -}}

{{/*
Rights in one namespace. A name cannot limit create; list and watch it does limit, where they select the
object by name.
*/}}
{{- define "certwright.localRules" -}}
leaderelection:
  namespace: {{ .Values.global.leaderElection.namespace }}
  rules:
    - apiGroups: [coordination.k8s.io]
      resources: [leases]
      verbs: [create]
    - apiGroups: [coordination.k8s.io]
      resources: [leases]
      resourceNames: [cert-manager-controller]
      verbs: [get, update]

# The addresses that challenges are led to are those of the solver Service.
solver:
  namespace: {{ include "certwright.namespace" . }}
  rules:
    - apiGroups: [discovery.k8s.io]
      resources: [endpointslices]
      verbs: [get, list, watch]

# The records of issued certificates, where tenants cannot write.
issuances:
  namespace: {{ include "certwright.namespace" . }}
  rules:
    - apiGroups: [certwright.io]
      resources: [issuances]
      verbs: [get, list, watch, create, patch, delete]

signers:
  namespace: {{ include "certwright.namespace" . }}
  rules:
    - apiGroups: [""]
      resources: [configmaps]
      verbs: [create]
    - apiGroups: [""]
      resources: [configmaps]
      resourceNames: [{{ include "certwright.signersName" . }}]
      verbs: [get, list, watch, patch]

# What was ordered from each ACME account: a ConfigMap an account, named by its hash, which goes once it says nothing any
# more.
ratelimits:
  namespace: {{ .Values.clusterResourceNamespace | default (include "certwright.namespace" .) }}
  rules:
    - apiGroups: [""]
      resources: [configmaps]
      verbs: [create, get, list, patch, delete]

# Which CAs an issuer signed with: a ConfigMap an issuer, named by its hash, which goes when the issuer goes.
authorities:
  namespace: {{ .Values.clusterResourceNamespace | default (include "certwright.namespace" .) }}
  rules:
    - apiGroups: [""]
      resources: [configmaps]
      verbs: [create, get, patch, delete]
{{- end -}}

{{/* What people may do: added to the built-in roles under `to`. */}}
{{- define "certwright.userRules" -}}
cluster-view:
  to: [cluster-reader]
  rules:
    - apiGroups: [cert-manager.io]
      resources: [clusterissuers]
      verbs: [get, list, watch]
    - apiGroups: [certwright.io]
      resources: [issuances]
      verbs: [get, list, watch]

view:
  to: [view, edit, admin, cluster-reader]
  rules:
    - apiGroups: [cert-manager.io]
      resources: [certificates, certificaterequests, issuers]
      verbs: [get, list, watch]
    - apiGroups: [acme.cert-manager.io]
      resources: [challenges, orders]
      verbs: [get, list, watch]

edit:
  to: [edit, admin]
  rules:
    - apiGroups: [cert-manager.io]
      resources: [certificates, certificaterequests, issuers]
      verbs: [create, delete, deletecollection, patch, update]
    - apiGroups: [cert-manager.io]
      resources: [certificates/status]
      verbs: [update]
    # No create: an Order or Challenge made by hand against a ClusterIssuer could use its credentials.
    # Deleting one, or patching its finalizer, frees it when it is stuck.
    - apiGroups: [acme.cert-manager.io]
      resources: [challenges, orders]
      verbs: [delete, deletecollection, patch, update]
{{- end -}}
