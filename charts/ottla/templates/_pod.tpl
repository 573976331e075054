{{/*
The pod of one role. Input: a dict with root, component, values, target (the role as --target names it), ports (name to
number), and where needed environment, volumeMounts, volumes, initContainers (lists), preStop (a handler),
startupSeconds.
*/}}
{{- define "ottla.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $inCluster := eq $values.mode "cluster" -}}
metadata:
  labels:
    {{- include "ottla.podLabels" (dict "root" $root "component" .component) | nindent 4 }}
    {{- range $label, $text := .values.podLabels }}
    {{- if or (hasKey $values.commonLabels $label) (regexMatch "^(app\\.kubernetes\\.io|helm\\.sh)/" $label) }}
    {{- fail (printf "podLabels of %s hold %s, which the chart or commonLabels set: leave it out." $.component $label) }}
    {{- end }}
    {{ $label }}: {{ $text | quote }}
    {{- end }}
  annotations:
    checksum/config: {{ include "ottla.config" . | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "ottla.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "ottla.selectorLabels" (dict "root" $root "component" $.component) | nindent 10 }}
    {{- end }}
  {{- with .initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: ottla
      image: {{ include "ottla.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      args:
        - --config=/etc/ottla/config/{{ .component }}.yaml
        - --target={{ .target }}
        - --node-id={{ .nodeId | default "auto" }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        {{- if $inCluster }}
        {{- include "ottla.etcdEnvironment" $root | nindent 8 }}
        {{- end }}
        {{- with .environment }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with .values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- range $name, $port := .ports }}
        - name: {{ $name }}
          containerPort: {{ $port }}
          protocol: TCP
        {{- end }}
      startupProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: {{ div (.startupSeconds | default 120) 2 }}
      livenessProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      {{- with .preStop }}
      lifecycle:
        preStop:
          {{- toYaml . | nindent 10 }}
      {{- end }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: config
          mountPath: /etc/ottla/config
          readOnly: true
        - name: tmp
          mountPath: /tmp
        {{- if $inCluster }}
        - name: cluster-secret
          mountPath: /etc/ottla/secret
          readOnly: true
        {{- end }}
        {{- if and $inCluster $values.etcd.tlsSecret }}
        - name: etcd-tls
          mountPath: /etc/ottla/etcd-tls
          readOnly: true
        {{- end }}
        {{- if and $inCluster $values.etcd.passwordSecret }}
        - name: etcd-password
          mountPath: /etc/ottla/etcd-password
          readOnly: true
        {{- end }}
        {{- with .volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "ottla.fullname" $root }}-config
        items:
          - key: {{ .component }}.yaml
            path: {{ .component }}.yaml
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- if $inCluster }}
    - name: cluster-secret
      secret:
        secretName: {{ include "ottla.secretName" $root }}
        items:
          - key: cluster-secret
            path: cluster-secret
    {{- end }}
    {{- if and $inCluster $values.etcd.tlsSecret }}
    - name: etcd-tls
      secret:
        secretName: {{ $values.etcd.tlsSecret }}
    {{- end }}
    {{- if and $inCluster $values.etcd.passwordSecret }}
    - name: etcd-password
      secret:
        secretName: {{ $values.etcd.passwordSecret }}
    {{- end }}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Metadata of an object of a role. Input: a dict with root, component and, if the name differs, name. */}}
{{- define "ottla.metadata" -}}
name: {{ .name | default (printf "%s-%s" (include "ottla.fullname" .root) .component) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "ottla.labels" . | nindent 2 }}
{{- end -}}

{{/* A Deployment of a role. Input: as for the pod. */}}
{{- define "ottla.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "ottla.metadata" . | nindent 2 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .values) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "ottla.selectorLabels" . | nindent 6 }}
  template:
    {{- include "ottla.pod" . | nindent 4 }}
{{- end -}}

{{/* Evictions take one pod of a role at a time. */}}
{{- define "ottla.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "ottla.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: {{ ternary "IfHealthyBudget" "AlwaysAllow" (has .component (list "storage" "etcd")) }}
  selector:
    matchLabels:
      {{- include "ottla.selectorLabels" . | nindent 6 }}
{{- end -}}
