{{/* The pod of a server: (dict "root" $ "component" "server" or "trainer"). */}}
{{- define "proad.pod" -}}
{{- $root := .root }}
{{- $v := $root.Values }}
{{- $trainer := eq .component "trainer" }}
{{- $device := ternary $v.training.device $v.device $trainer }}
{{- $place := ternary $v.training $v $trainer -}}
metadata:
  annotations:
    # A changed configuration creates new pods. The server reads certificates and tokens again itself.
    checksum/config: {{ include "proad.config" . | sha256sum }}
    {{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "proad.labels" . | nindent 4 }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "proad.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "proad.terminationGrace" . }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if and (eq $device "cuda") $v.gpu.runtimeClassName }}
  runtimeClassName: {{ $v.gpu.runtimeClassName }}
  {{- end }}
  {{- with include "proad.pullSecrets" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "proad.podSecurity" $root | nindent 4 }}
  {{- if eq $v.store.kind "copy" }}
  initContainers:
    - name: copy-models
      image: {{ include "proad.image" (dict "image" $v.store.copy "tag" "latest") }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      command: [cp, -R, {{ printf "%s/." (trimSuffix "/" $v.store.copy.path) | quote }}, /var/lib/proad/models/]
      securityContext:
        {{- include "proad.containerSecurity" $root | nindent 8 }}
      resources:
        {{- toYaml $place.resources | nindent 8 }}
      volumeMounts:
        - name: store
          mountPath: /var/lib/proad/models
  {{- end }}
  containers:
    - name: server
      image: {{ include "proad.image" (dict "image" $v.image "tag" $root.Chart.AppVersion) }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: [--config, /etc/proad/server.yaml]
      {{- $environment := include "proad.clientEnvironment" $root }}
      {{- if or $v.env $environment }}
      env:
        {{- with $environment }}
        # For the probes.
        {{- . | nindent 8 }}
        {{- end }}
        {{- range $name, $value := $v.env }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      {{- end }}
      ports:
        - name: grpc
          containerPort: 50051
        - name: metrics
          containerPort: 9464
      {{- include "proad.probes" . | nindent 6 }}
      securityContext:
        {{- include "proad.containerSecurity" $root | nindent 8 }}
      resources:
        requests:
          {{- toYaml $place.resources.requests | nindent 10 }}
        limits:
          {{- toYaml $place.resources.limits | nindent 10 }}
          {{- if eq $device "cuda" }}
          {{ $v.gpu.resource }}: {{ ternary $v.training.gpus $v.gpu.count $trainer }}
          {{- end }}
      volumeMounts:
        {{- include "proad.mounts" . | nindent 8 }}
  volumes:
    {{- include "proad.volumes" . | nindent 4 }}
  {{- with $place.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $tolerations := $place.tolerations }}
  {{- if eq $device "cuda" }}
  {{- $tolerations = concat (list (dict "key" $v.gpu.resource "operator" "Exists" "effect" "NoSchedule")) $tolerations }}
  {{- end }}
  {{- with $tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $place.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and $v.topologySpread.enabled (not $trainer) }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "proad.selectorLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end }}

{{- define "proad.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "proad.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.securityContext.runAsUser }}
runAsGroup: {{ .Values.securityContext.runAsGroup }}
fsGroup: {{ .Values.securityContext.fsGroup }}
# Changing the group of a store with many versions at every start would take minutes.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "proad.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* ModelService reports SERVING from the first second to the lame duck, independent of models, because
a restart would not repair them. DetectionService and TrainingService report which calls the pod
can answer. */}}
{{- define "proad.probes" -}}
{{- $ready := ternary "proad.v1.TrainingService" "proad.v1.DetectionService" (eq .component "trainer") -}}
startupProbe:
  {{- include "proad.probe" (dict "root" .root "service" "proad.v1.ModelService") | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 150
readinessProbe:
  {{- include "proad.probe" (dict "root" .root "service" $ready) | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  {{- include "proad.probe" (dict "root" .root "service" "proad.v1.ModelService") | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* Kubernetes' gRPC probes do not support TLS; the command line does. */}}
{{- define "proad.probe" -}}
{{- if .root.Values.tls.secretName -}}
exec:
  command: [/opt/proad/bin/proad, doctor, --health, --service={{ .service }}, --server=127.0.0.1:50051, --timeout=4s]
{{- else -}}
grpc:
  port: 50051
  service: {{ .service }}
{{- end }}
{{- end }}

{{- define "proad.secretMounts" -}}
{{- $v := .Values }}
{{- $mounts := list }}
{{- if $v.tls.secretName }}{{ $mounts = append $mounts "tls" }}{{ end }}
{{- if $v.tls.clientCaSecretName }}{{ $mounts = append $mounts "client-ca" }}{{ end }}
{{- if $v.tls.probeSecretName }}{{ $mounts = append $mounts "probe" }}{{ end }}
{{- if $v.tokens.secretName }}{{ $mounts = append $mounts "tokens" }}{{ end }}
{{- /* As folders, never with subPath: only so is a changed secret seen. */}}
{{- range $mounts }}
- name: {{ . }}
  mountPath: /run/proad/{{ . }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "proad.secretVolumes" -}}
{{- $v := .Values }}
{{- $volumes := list (list "tls" $v.tls.secretName) (list "client-ca" $v.tls.clientCaSecretName) (list "probe" $v.tls.probeSecretName) (list "tokens" $v.tokens.secretName) }}
{{- range $volumes }}
{{- if last . }}
- name: {{ first . }}
  secret:
    secretName: {{ last . }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end }}

{{- define "proad.mounts" -}}
{{- $v := .root.Values -}}
- name: config
  mountPath: /etc/proad
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- include "proad.secretMounts" .root }}
{{- if ne $v.store.kind "shipped" }}
- name: store
  mountPath: /var/lib/proad/models
{{- end }}
{{- if include "proad.trains" . }}
- name: work
  mountPath: /var/lib/proad/work
{{- if $v.training.dataClaim }}
- name: data
  mountPath: /var/lib/proad/data
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "proad.volumes" -}}
{{- $v := .root.Values -}}
- name: config
  configMap:
    name: {{ include "proad.componentName" . }}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
{{- include "proad.secretVolumes" .root }}
{{- if eq $v.store.kind "copy" }}
- name: store
  emptyDir:
    sizeLimit: {{ $v.store.copy.sizeLimit }}
{{- else if ne $v.store.kind "shipped" }}
- name: store
  persistentVolumeClaim:
    claimName: {{ include "proad.storeClaim" .root }}
{{- end }}
{{- if include "proad.trains" . }}
- name: work
  persistentVolumeClaim:
    claimName: {{ include "proad.workClaim" .root }}
{{- if $v.training.dataClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ $v.training.dataClaim }}
    readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "proad.trainJobMounts" -}}
- name: tmp
  mountPath: /tmp
- name: store
  mountPath: /var/lib/proad/models
- name: work
  mountPath: /var/lib/proad/work
- name: data
  mountPath: /var/lib/proad/data
  readOnly: true
{{- end }}
