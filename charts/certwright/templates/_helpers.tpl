{{/* Names, labels and the image: what every other template asks for. */}}

{{/*
The name in labels. It always contains "certwright": see certwright.fullname.
*/}}
{{- define "certwright.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if not (contains "certwright" $name) -}}
{{- $name = printf "%s-certwright" ($name | trunc 42 | trimSuffix "-") -}}
{{- end -}}
{{- $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/*
helm upgrade --reuse-values keeps the defaults of the old chart, so that those of this one are missing: say
so, rather than fail on the first of them. Here, since every object asks for its name first.
*/}}
{{- define "certwright.checkValues" -}}
{{- if not (and .Values.solver .Values.policies .Values.readinessProbe .Values.defaults .Values.crl) -}}
{{- fail "The defaults of this chart are missing from the values. helm upgrade --reuse-values does that: it keeps the defaults of the old chart. Use --reset-then-reuse-values." -}}
{{- end -}}
{{- end -}}

{{/*
The name of the Deployment and the start of every other name: the release's, and always with
"certwright" in it. An upgrade of a cert-manager release must never meet an object of cert-manager's
under the same name: the selector of a Deployment cannot be changed, and the rollback would fail too.
53 characters leave room for suffixes in the 63 of a Service.
*/}}
{{- define "certwright.fullname" -}}
{{- include "certwright.checkValues" . -}}
{{- $name := default .Release.Name .Values.fullnameOverride -}}
{{- if not (contains "certwright" $name) -}}
{{- $name = printf "%s-certwright" ($name | trunc 42 | trimSuffix "-") -}}
{{- end -}}
{{- $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "certwright.namespace" -}}
{{- .Values.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "certwright.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "certwright.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The Service of the lists of revoked certificates. */}}
{{- define "certwright.crlName" -}}
{{- printf "%s-crl" (include "certwright.fullname" .) -}}
{{- end -}}

{{/* The HTTP-01 solver Service, which the operator finds by a flag. */}}
{{- define "certwright.solverName" -}}
{{- printf "%s-solver" (include "certwright.fullname" .) -}}
{{- end -}}

{{/* The ConfigMap that tells the approval policy which kinds of signers there are. */}}
{{- define "certwright.signersName" -}}
{{- printf "%s-signers" (include "certwright.fullname" .) -}}
{{- end -}}

{{/* What selects the pods. Never changes for a release. */}}
{{- define "certwright.selectorLabels" -}}
app.kubernetes.io/name: {{ include "certwright.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* Labels of every object; the component is added where there is one. */}}
{{- define "certwright.labels" -}}
app: {{ include "certwright.name" . }}
app.kubernetes.io/name: {{ include "certwright.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- if eq .Values.creator "helm" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
{{- with .Values.global.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The image. One that is cert-manager's by name or version comes from the values of the release that is
being replaced, and would run cert-manager with flags that are not its own: refuse it.
*/}}
{{- define "certwright.image" -}}
{{- $image := .Values.image -}}
{{- $path := $image.repository | default (list .Values.imageNamespace $image.name | compact | join "/") -}}
{{- $registry := $image.registry -}}
{{- if and (not $registry) (not $image.repository) -}}
{{- $registry = .Values.imageRegistry -}}
{{- end -}}
{{- $reference := list $registry $path | compact | join "/" -}}
{{- if regexMatch "cert-manager-(controller|webhook|cainjector|acmesolver)" $reference -}}
{{- fail (printf "image: %s is an image of cert-manager. Remove image.* from the values, or name an image of certwright; with helm upgrade, use --reset-then-reuse-values instead of --reuse-values." $reference) -}}
{{- end -}}
{{- if and $image.tag (regexMatch "^v1\\.[0-9]+\\.[0-9]+" $image.tag) -}}
{{- fail (printf "image.tag: %s is a version of cert-manager (those of certwright have no leading v). Remove it from the values to get %s." $image.tag .Chart.AppVersion) -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $reference $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $reference ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The names under which extraObjects of a cert-manager release ask for ours. */}}
{{- define "cert-manager.name" -}}{{ include "certwright.name" . }}{{- end -}}
{{- define "cert-manager.fullname" -}}{{ include "certwright.fullname" . }}{{- end -}}
{{- define "cert-manager.namespace" -}}{{ include "certwright.namespace" . }}{{- end -}}
{{- define "cert-manager.serviceAccountName" -}}{{ include "certwright.serviceAccountName" . }}{{- end -}}
{{- define "labels" -}}{{ include "certwright.labels" . }}{{- end -}}
