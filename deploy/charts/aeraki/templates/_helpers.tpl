{{/* The name of the objects. */}}
{{- define "aeraki.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains "aeraki" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-aeraki" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* The name of what has no namespace: two releases of one name may live in two namespaces. */}}
{{- define "aeraki.clusterName" -}}
{{ include "aeraki.name" . }}-{{ .Release.Namespace }}
{{- end }}

{{/* What tells this release's pods from others. */}}
{{- define "aeraki.selector" -}}
app.kubernetes.io/name: aeraki
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "aeraki.labels" -}}
{{ include "aeraki.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "aeraki.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "aeraki.name" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "aeraki.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/*
The name of the Lease. Pods of releases that do not do the same must not stand by for each other; those of one release must, also
while an upgrade changes which namespaces are watched.
*/}}
{{- define "aeraki.electionId" -}}
{{- if .Values.leaderElection.id -}}
{{- .Values.leaderElection.id -}}
{{- else if .Values.settings.instance -}}
aeraki-controller-{{ .Values.settings.instance }}
{{- else if or .Values.settings.watchNamespaces .Values.settings.watchNamespaceSelector -}}
aeraki-controller-{{ .Release.Name }}
{{- else -}}
aeraki-controller
{{- end -}}
{{- end }}

{{/* The settings file. */}}
{{- define "aeraki.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- range $key, $value := dict "plugins" "plugins" "electionId" "leaderElection.id" "httpAddress" "http.port" "probeAddress" "http.probePort" "httpAuthentication" "http.authentication" "webhookAddress" "webhook.port" "webhookCertificate" "webhook.issuerRef" -}}
{{- if hasKey $settings $key -}}
{{- fail (printf "settings.%s is not for the settings: give the value %s, on which other objects depend too" $key $value) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $settings "electionId" (include "aeraki.electionId" .) -}}
{{- $_ := set $settings "httpAddress" (printf ":%v" .Values.http.port) -}}
{{- $_ := set $settings "probeAddress" (printf ":%v" .Values.http.probePort) -}}
{{- if .Values.http.authentication -}}
{{- $_ := set $settings "httpAuthentication" true -}}
{{- end -}}
{{- if .Values.webhook.enabled -}}
{{- $_ := set $settings "webhookAddress" (printf ":%v" .Values.webhook.port) -}}
{{- $_ := set $settings "webhookCertificate" "/etc/aeraki-webhook" -}}
{{- end -}}
{{- with concat .Values.plugins .Values.extraPlugins | uniq -}}
{{- $_ := set $settings "plugins" . -}}
{{- end -}}
{{- if and (has "istiod" ($settings.source | default list)) (not $settings.istiodAddress) -}}
{{- $_ := set $settings "istiodAddress" (printf "istiod.%s.svc:15012" ($settings.rootNamespace | default "istio-system")) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end }}

{{/* All rules but those for the Lease: a YAML list. What follows from the plugins' kinds is written by scripts/render_deploy.py. */}}
{{- define "aeraki.rules" -}}
{{- $rules := list -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yaml" -}}
{{- $owner := base $path | trimSuffix ".yaml" -}}
{{- if or (eq $owner "core") (not (concat $.Values.plugins $.Values.extraPlugins)) (has $owner $.Values.plugins) -}}
{{- $rules = concat $rules ($.Files.Get $path | fromYamlArray) -}}
{{- end -}}
{{- end -}}
{{- if ne (.Values.settings.liveWeights | default "off") "off" -}}
{{- $rules = concat $rules (.Files.Get "files/live-weights.yaml" | fromYamlArray) -}}
{{- end -}}
{{- toYaml (concat $rules .Values.rbac.extraRules | uniq) -}}
{{- end }}
