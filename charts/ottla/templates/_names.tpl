{{/* What things are called. */}}
{{- define "ottla.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "ottla.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "ottla.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "ottla.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: selectors are made of them. Input: a dict with root and component. */}}
{{- define "ottla.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ottla.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: none that a new version of the chart changes, which would restart all of them. */}}
{{- define "ottla.podLabels" -}}
{{ include "ottla.selectorLabels" . }}
app.kubernetes.io/part-of: ottla
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ottla.labels" -}}
{{ include "ottla.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ottla
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ottla.serviceAccountName" -}}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false: name the account that is there with serviceAccount.name." -}}
{{- end -}}
{{- .Values.serviceAccount.name | default (include "ottla.fullname" .) -}}
{{- end -}}

{{- define "ottla.secretName" -}}
{{- .Values.cluster.existingSecret | default (printf "%s-cluster-secret" (include "ottla.fullname" .)) -}}
{{- end -}}

{{- define "ottla.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* The name under which clients within the cluster reach Ottla. */}}
{{- define "ottla.doorHost" -}}
{{- $service := ternary "standalone" "gateway" (eq .Values.mode "standalone") -}}
{{- printf "%s-%s.%s.svc.%s" (include "ottla.fullname" .) $service .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{- define "ottla.etcdEndpoints" -}}
{{- if .Values.etcd.enabled -}}
{{- $full := include "ottla.fullname" . -}}
{{- $root := . -}}
{{- $endpoints := list -}}
{{- range $index := until (int .Values.etcd.replicas) -}}
{{- $endpoints = append $endpoints (printf "http://%s-etcd-%d.%s-etcd.%s.svc.%s:2379" $full $index $full $root.Release.Namespace $root.Values.clusterDomain) -}}
{{- end -}}
{{- join "," $endpoints -}}
{{- else -}}
{{- join "," .Values.etcd.endpoints -}}
{{- end -}}
{{- end -}}
