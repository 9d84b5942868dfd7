{{/* The command line of the operator: from config, from the values, from extraArgs; the later wins. */}}

{{/*
Where a key of cert-manager's ControllerConfiguration goes: path -> flag. An empty flag: it says nothing
that needs an answer (the header), or the values of the chart say it.
*/}}
{{- define "certwright.configFlags" -}}
apiVersion: ""
kind: ""
clusterResourceNamespace: cluster-resource-namespace
namespace: namespace
controllers: controllers
numberOfConcurrentWorkers: concurrent-workers
maxConcurrentChallenges: max-concurrent-challenges
enableCertificateOwnerRef: enable-certificate-owner-ref
copiedAnnotationPrefixes: copied-annotation-prefixes
certificateRequestMinimumBackoffDuration: certificate-request-minimum-backoff-duration
certificateRequestMaximumBackoffDuration: certificate-request-maximum-backoff-duration
featureGates: feature-gates
leaderElectionConfig.namespace: leader-election-namespace
leaderElectionConfig.leaseDuration: leader-election-lease-duration
leaderElectionConfig.renewDeadline: leader-election-renew-deadline
leaderElectionConfig.retryPeriod: leader-election-retry-period
acmeHTTP01Config.solverNameservers: acme-http01-solver-nameservers
acmeDNS01Config.recursiveNameservers: dns01-recursive-nameservers
acmeDNS01Config.recursiveNameserversOnly: dns01-recursive-nameservers-only
acmeDNS01Config.checkRetryPeriod: dns01-check-retry-period
ingressShimConfig.defaultIssuerName: default-issuer-name
ingressShimConfig.defaultIssuerKind: default-issuer-kind
ingressShimConfig.defaultIssuerGroup: default-issuer-group
ingressShimConfig.defaultAutoCertificateAnnotations: auto-certificate-annotations
pemSizeLimitsConfig.maxCertificateSize: max-certificate-size
pemSizeLimitsConfig.maxPrivateKeySize: max-private-key-size
pemSizeLimitsConfig.maxChainLength: max-certificate-chain-length
pemSizeLimitsConfig.maxBundleSize: max-certificate-bundle-size
logging.format: logging-format
logging.verbosity: v
{{- end -}}

{{/* config as one level: JSON of path -> value. featureGates stays a map, to become one flag. */}}
{{- define "certwright.flatConfig" -}}
{{- $flat := dict -}}
{{- range $key, $value := .Values.config -}}
{{- if and (kindIs "map" $value) (ne $key "featureGates") -}}
{{- range $inner, $leaf := $value -}}
{{- $_ := set $flat (printf "%s.%s" $key $inner) $leaf -}}
{{- end -}}
{{- else -}}
{{- $_ := set $flat $key $value -}}
{{- end -}}
{{- end -}}
{{- $flat | toJson -}}
{{- end -}}

{{/* A value as the text of a flag: lists by comma, maps as key=value by comma, whole numbers whole. */}}
{{- define "certwright.flagValue" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- $pairs = append $pairs (printf "%s=%v" $key $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- else if kindIs "float64" . -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "certwright.arguments" -}}
{{- $flags := dict -}}
{{- $known := include "certwright.configFlags" . | fromYaml -}}
{{- range $path, $value := include "certwright.flatConfig" . | fromJson -}}
{{- with get $known $path -}}
{{- $_ := set $flags . (include "certwright.flagValue" $value) -}}
{{- end -}}
{{- end -}}

{{- $election := .Values.global.leaderElection -}}
{{- $namespace := include "certwright.namespace" . -}}
{{- $values := dict
  "v" .Values.global.logLevel
  "cluster-resource-namespace" (.Values.clusterResourceNamespace | default $namespace)
  "leader-election-namespace" $election.namespace
  "leader-election-lease-duration" $election.leaseDuration
  "leader-election-renew-deadline" $election.renewDeadline
  "leader-election-retry-period" $election.retryPeriod
  "max-concurrent-challenges" .Values.maxConcurrentChallenges
  "feature-gates" .Values.featureGates
  "dns01-recursive-nameservers" .Values.dns01RecursiveNameservers
  "default-issuer-name" .Values.ingressShim.defaultIssuerName
  "default-issuer-kind" .Values.ingressShim.defaultIssuerKind
  "default-issuer-group" .Values.ingressShim.defaultIssuerGroup
  "signers-config-map" (printf "%s/%s" $namespace (include "certwright.signersName" .))
  "metrics-listen-address" "0.0.0.0:9402"
  "internal-healthz-listen-address" "0.0.0.0:9403"
  "acme-http01-solver-listen-address" (printf "0.0.0.0:%v" (int .Values.solver.port))
  "acme-http01-solver-service" (printf "%s/%s" $namespace (include "certwright.solverName" .))
-}}
{{- if .Values.enableCertificateOwnerRef -}}
{{- $_ := set $values "enable-certificate-owner-ref" "true" -}}
{{- end -}}
{{- if .Values.dns01RecursiveNameserversOnly -}}
{{- $_ := set $values "dns01-recursive-nameservers-only" "true" -}}
{{- end -}}
{{- if .Values.disableAutoApproval -}}
{{- $_ := set $values "controllers" "-certificaterequests-approver" -}}
{{- end -}}
{{- range $flag, $value := $values -}}
{{- $text := include "certwright.flagValue" $value -}}
{{- if and (not (kindIs "invalid" $value)) (ne $text "") -}}
{{- $_ := set $flags $flag $text -}}
{{- end -}}
{{- end -}}

{{- range $extra := .Values.extraArgs -}}
{{- $_ := unset $flags ($extra | toString | trimPrefix "--" | splitList "=" | first) -}}
{{- end -}}
- controller
{{- range $flag, $text := $flags }}
- {{ printf "--%s=%s" $flag $text | quote }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}
