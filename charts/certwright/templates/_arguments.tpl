{{/*
The command line of the operator: what the chart decides, then extraArgs. Of a flag given twice the last
counts, and lists are joined; config, a file, is below both.
*/}}
{{- define "certwright.arguments" -}}
{{- $election := .Values.global.leaderElection -}}
{{- $namespace := include "certwright.namespace" . -}}
{{- $labels := list -}}
{{- range $key, $value := .Values.global.commonLabels -}}
{{- $labels = append $labels (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- $flags := dict
  "cluster-resource-namespace" (.Values.clusterResourceNamespace | default $namespace)
  "leader-election-namespace" $election.namespace
  "leader-election-lease-duration" $election.leaseDuration
  "leader-election-renew-deadline" $election.renewDeadline
  "leader-election-retry-period" $election.retryPeriod
  "max-concurrent-challenges" (int .Values.maxConcurrentChallenges)
  "feature-gates" .Values.featureGates
  "dns01-recursive-nameservers" .Values.dns01RecursiveNameservers
  "dns01-recursive-nameservers-only" (ternary "true" "" .Values.dns01RecursiveNameserversOnly)
  "enable-certificate-owner-ref" (ternary "true" "" .Values.enableCertificateOwnerRef)
  "default-deletion-policy" .Values.defaults.deletionPolicy
  "deletion-delay" .Values.defaults.deletionDelay
  "issuances-namespace" $namespace
  "controllers" (ternary "-certificaterequests-approver" "" .Values.disableAutoApproval)
  "default-issuer-name" .Values.ingressShim.defaultIssuerName
  "default-issuer-kind" .Values.ingressShim.defaultIssuerKind
  "default-issuer-group" .Values.ingressShim.defaultIssuerGroup
  "signers-config-map" (printf "%s/%s" $namespace (include "certwright.signersName" .))
  "acme-http01-solver-listen-address" (printf "0.0.0.0:%d" (int .Values.solver.port))
  "acme-http01-solver-service" (printf "%s/%s" $namespace (include "certwright.solverName" .))
  "acme-http01-solver-extra-labels" (join "," $labels)
  "trust-revoke-requested-by" (ternary "true" "false" .Values.policies.enabled)
  "crl-listen-address" (ternary (printf "0.0.0.0:%d" (int .Values.crl.port)) "" .Values.crl.enabled)
  "metrics-listen-address" "0.0.0.0:9402"
  "internal-healthz-listen-address" "0.0.0.0:9403"
-}}
- controller
- --v={{ int .Values.global.logLevel }}
{{- if .Values.config }}
- --config=/etc/certwright/config.yaml
{{- end }}
{{- range $flag, $value := $flags }}
{{- if $value }}
- {{ printf "--%s=%v" $flag $value | quote }}
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The file behind --config: a ControllerConfiguration of cert-manager. */}}
{{- define "certwright.config" -}}
{{- $head := dict "apiVersion" "controller.config.cert-manager.io/v1alpha1" "kind" "ControllerConfiguration" -}}
{{- merge (dict) .Values.config $head | toYaml -}}
{{- end -}}
