{{/*
The settings of one role as `ottla serve` reads them: the chart's own, then `config`, then those of the role.
Input: a dict with root, component and values.
*/}}
{{- define "ottla.config" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $config := dict "listen" "0.0.0.0" "log" (dict "format" "json") "data-dir" "/var/lib/ottla" -}}
{{- $grace := int .values.terminationGracePeriodSeconds -}}
{{- $before := 10 -}}
{{- if eq .component "storage" -}}
{{- $before = add 10 (include "ottla.storagePreStopSeconds" .values | int) -}}
{{- else if eq .component "gateway" -}}
{{- $before = add 10 (int .values.preStopSeconds) -}}
{{- end -}}
{{- $_ := set $config "shutdown" (dict "timeout-ms" (mul 1000 (max 1 (sub $grace $before)))) -}}
{{- $_ := set $config "http" (dict "port" 8080) -}}
{{- if eq $values.mode "cluster" -}}
{{- $_ := set $config "cluster" (dict "name" $values.cluster.name "secret-file" "/etc/ottla/secret/cluster-secret" "lease-ttl-ms" (int $values.cluster.leaseTtlMs)) -}}
{{- $_ := set $config "internal" (dict "listen" "0.0.0.0" "port" 50052) -}}
{{- end -}}
{{- if has .component (list "gateway" "standalone") -}}
{{- $gateway := $values.gateway -}}
{{- $advertised := $gateway.kafka.advertisedAddress | default (printf "%s:%d" (include "ottla.doorHost" $root) (int $gateway.kafka.port)) -}}
{{- $_ := set $config "kafka" (dict "port" (int $gateway.kafka.port) "advertised-address" $advertised) -}}
{{- $_ := set $config "grpc" (dict "port" (int $gateway.grpc.port)) -}}
{{- end -}}
{{- with $values.tracing -}}
{{- if .endpoint -}}
{{- $_ := set $config "tracing" (dict "endpoint" .endpoint "sample-ratio" (float64 .sampleRatio)) -}}
{{- end -}}
{{- end -}}
{{- with $values.topicDefaults -}}
{{- $_ := set $config "topic-defaults" . -}}
{{- end -}}
{{- if not (kindIs "invalid" $values.defaultReplicationFactor) -}}
{{- $_ := set $config "default-replication-factor" (int $values.defaultReplicationFactor) -}}
{{- end -}}
{{- $config = mustMergeOverwrite $config (deepCopy $values.config) (deepCopy .values.config) -}}
{{- toYaml $config -}}
{{- end -}}

{{/* How long a storage pod's preStop may take of its grace. Input: the values of storage. */}}
{{- define "ottla.storagePreStopSeconds" -}}
{{- min 15 (max 1 (div (int .terminationGracePeriodSeconds) 4)) -}}
{{- end -}}

{{/* Where etcd is, and how to prove oneself to it. */}}
{{- define "ottla.etcdEnvironment" -}}
- name: OTTLA_ETCD_ENDPOINTS
  value: {{ include "ottla.etcdEndpoints" . | quote }}
{{- with .Values.etcd }}
{{- if .username }}
- name: OTTLA_ETCD_USERNAME
  value: {{ .username | quote }}
{{- end }}
{{- if .passwordSecret }}
- name: OTTLA_ETCD_PASSWORD_FILE
  value: /etc/ottla/etcd-password/password
{{- end }}
{{- if .tlsSecret }}
- name: OTTLA_ETCD_TLS_CA_FILE
  value: /etc/ottla/etcd-tls/ca.crt
{{- if .tlsClientCertificate }}
- name: OTTLA_ETCD_TLS_CERTIFICATE_FILE
  value: /etc/ottla/etcd-tls/tls.crt
- name: OTTLA_ETCD_TLS_KEY_FILE
  value: /etc/ottla/etcd-tls/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
