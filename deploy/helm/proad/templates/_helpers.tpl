{{/* ---------------------------------------------------------------- names */}}

{{- define "proad.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 of the 63 characters of a name: the longest suffix is "-job-NAME-63". */}}
{{- define "proad.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "proad.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "proad.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The name of a component's objects: (dict "root" $ "component" "server"). */}}
{{- define "proad.componentName" -}}
{{- if eq .component "server" }}
{{- include "proad.fullname" .root }}
{{- else }}
{{- printf "%s-%s" (include "proad.fullname" .root) .component }}
{{- end }}
{{- end }}

{{- define "proad.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "proad.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* ---------------------------------------------------------------- labels */}}

{{/* Pods of the server, of any component. */}}
{{- define "proad.instanceLabels" -}}
app.kubernetes.io/name: {{ include "proad.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Pods of one component. They can never change: a Deployment's selector is immutable. */}}
{{- define "proad.selectorLabels" -}}
{{ include "proad.instanceLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object: (dict "root" $ "component" "server"). */}}
{{- define "proad.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "proad.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: proad
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of pods that are not servers: no Service, policy or budget may select them. */}}
{{- define "proad.taskLabels" -}}
app.kubernetes.io/name: {{ include "proad.name" .root }}-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: proad
{{- end }}

{{/* ---------------------------------------------------------------- values */}}

{{/* An image's reference: (dict "image" MAP "tag" DEFAULT). */}}
{{- define "proad.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) }}
{{- end }}
{{- end }}

{{/* Where jobs run: training.mode, or for auto a pod of its own if a published version stays in the store, and pods of
several nodes can share it. */}}
{{- define "proad.trainingMode" -}}
{{- $mode := .Values.training.mode }}
{{- if eq $mode "auto" }}
{{- $store := .Values.store }}
{{- $shared := or (eq $store.kind "existingClaim") (and (eq $store.kind "claim") (eq $store.claim.accessMode "ReadWriteMany")) }}
{{- $mode = ternary "separate" "none" $shared }}
{{- end }}
{{- $mode }}
{{- end }}

{{/* "yes" if the server runs jobs in this component: (dict "root" $ "component" "server"). */}}
{{- define "proad.trains" -}}
{{- $mode := include "proad.trainingMode" .root }}
{{- if or (and (eq $mode "serving") (eq .component "server")) (and (eq $mode "separate") (eq .component "trainer")) }}yes{{ end }}
{{- end }}

{{- define "proad.storePath" -}}
/var/lib/proad/models
{{- end }}

{{- define "proad.storeClaim" -}}
{{- ternary (printf "%s-store" (include "proad.fullname" .)) .Values.store.existingClaim (eq .Values.store.kind "claim") }}
{{- end }}

{{- define "proad.workClaim" -}}
{{- default (printf "%s-work" (include "proad.fullname" .)) .Values.training.work.existingClaim }}
{{- end }}

{{/* Seconds of a duration as the server reads it ("1m30s", "250ms"), rounded up. */}}
{{- define "proad.seconds" -}}
{{- $units := dict "ns" 1e-9 "us" 1e-6 "ms" 1e-3 "s" 1.0 "m" 60.0 "h" 3600.0 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+(ns|us|ms|s|m|h)" (toString .) -1 }}
{{- $sum = addf $sum (mulf (float64 (regexFind "^[0-9.]+" .)) (get $units (regexFind "[a-z]+$" .))) }}
{{- end }}
{{- int (ceil $sum) }}
{{- end }}

{{/* MiB of a quantity of Kubernetes ("8Gi", "500M", "1e9") or of a size in the server's configuration
("2GiB"), rounded down. */}}
{{- define "proad.mebibytes" -}}
{{- $text := trimSuffix "B" (toString .) }}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 }}
{{- $number := regexFind "^[0-9.]+([eE][0-9]+)?" $text }}
{{- int (floor (divf (mulf (float64 $number) (get $units (trimPrefix $number $text))) 1048576.0)) }}
{{- end }}

{{/* MiB that a pod needs at least: the memory bound of its server (server/memory_bound.h, with 512 MiB for models and the
same defaults), and for each of `jobs` that run at once 2 GiB and training.feature_memory.
Takes root, device, resources, jobs. */}}
{{- define "proad.leastMemory" -}}
{{- $c := .root.Values.config }}
{{- $server := default dict $c.server }}
{{- $admission := default dict $c.admission }}
{{- $preprocessing := default dict $c.preprocessing }}
{{- $batching := default dict $c.batching }}
{{- $training := default dict $c.training }}
{{- $messages := int (include "proad.mebibytes" (default "768MiB" $server.max_memory)) }}
{{- $images := int (include "proad.mebibytes" (default "512MiB" $admission.max_bytes)) }}
{{- $answers := mul 2 (int (include "proad.mebibytes" (default "256MiB" $admission.max_output_bytes))) }}
{{- $prepared := div (mul 3 (int (default 256 $admission.max_images))) 2 }}
{{- $batches := 0 }}
{{- if eq .device "cpu" }}
{{- $cores := int (default "4" (include "proad.requestedCores" .resources)) }}
{{- $workers := int (default (min $cores 16) $batching.workers) }}
{{- $batches = mul 64 $workers (int (default 4 $batching.max_batch)) }}
{{- end }}
{{- $job := add 2048 (int (include "proad.mebibytes" (default "2GiB" $training.feature_memory))) }}
{{- $sum := add 1024 (div (mul 3 $messages) 2) $images $answers $prepared $batches (mul .jobs $job) }}
{{- if $preprocessing.max_bytes }}
{{- add $sum (int (include "proad.mebibytes" $preprocessing.max_bytes)) }}
{{- else }}
{{- /* By default pixels may take an eighth of the whole. */}}
{{- div (add (mul $sum 8) 6) 7 }}
{{- end }}
{{- end }}

{{/* Time for a pod to end: the lame duck, the drain, one second of refusing and one of
flushing (server/DESIGN.md, "Start and stop"), the checkpoint of a job, and the margin. */}}
{{- define "proad.terminationGrace" -}}
{{- $c := .root.Values.config }}
{{- $sum := add (include "proad.seconds" $c.shutdown.lame_duck) (include "proad.seconds" $c.shutdown.drain_grace) 2 .root.Values.terminationMargin }}
{{- if include "proad.trains" . }}
{{- $sum = add $sum (include "proad.seconds" $c.training.checkpoint_grace) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* Environment of the command line inside the cluster: TLS files and server name. */}}
{{- define "proad.clientEnvironment" -}}
{{- $tls := .Values.tls }}
{{- if $tls.secretName -}}
- name: PROAD_TLS_CA
  value: /run/proad/tls/ca.crt
- name: PROAD_TLS_SERVER_NAME
  value: {{ default (printf "%s.%s.svc" (include "proad.fullname" .) .Release.Namespace) $tls.serverName }}
{{- if $tls.clientCaSecretName }}
{{- $folder := ternary "probe" "tls" (ne $tls.probeSecretName "") }}
- name: PROAD_TLS_CERT
  value: /run/proad/{{ $folder }}/tls.crt
- name: PROAD_TLS_KEY
  value: /run/proad/{{ $folder }}/tls.key
{{- end }}
{{- end }}
{{- end }}

{{/* ---------------------------------------------------------------- the server's configuration */}}

{{/* Cores of the CPU request of a pod, rounded up: "2", "1500m". "" with a CPU limit, which the server reads itself,
and without a request. */}}
{{- define "proad.requestedCores" -}}
{{- $cpu := toString (default "" (default dict .requests).cpu) }}
{{- if and $cpu (not (default dict .limits).cpu) }}
{{- if hasSuffix "m" $cpu }}
{{- ceil (divf (float64 (trimSuffix "m" $cpu)) 1000.0) | int }}
{{- else }}
{{- ceil (float64 $cpu) | int }}
{{- end }}
{{- end }}
{{- end }}

{{/* The configuration of a component, as a map in YAML. */}}
{{- define "proad.configMap" -}}
{{- $v := .root.Values }}
{{- $config := deepCopy $v.config }}
{{- $server := dict "listen" "0.0.0.0:50051" "metrics_listen" "0.0.0.0:9464" }}
{{- $device := ternary $v.training.device $v.device (eq .component "trainer") }}
{{- /* Without a CPU limit the server would start a thread for each core of the node. */}}
{{- with include "proad.requestedCores" (ternary $v.training.resources $v.resources (eq .component "trainer")) }}
{{- $sizes := dict "preprocessing" (dict "threads" (int .)) }}
{{- if eq $device "cpu" }}
{{- $_ := set $sizes "batching" (dict "workers" (min (int .) 16)) }}
{{- end }}
{{- $config = mergeOverwrite $sizes $config }}
{{- end }}
{{- $models := dict "store" (include "proad.storePath" .root) "device" $device }}
{{- $training := dict "enabled" false }}
{{- if include "proad.trains" . }}
{{- $work := "/var/lib/proad/work" }}
{{- $training = dict "enabled" true "jobs" (print $work "/jobs") "encoders" (print $work "/encoders") "uploads" (dict "datasets" (print $work "/datasets")) }}
{{- if $v.training.dataClaim }}
{{- $_ := set $training "data_root" "/var/lib/proad/data" }}
{{- end }}
{{- end }}
{{- with $v.tls }}
{{- if .secretName }}
{{- $tls := dict "certificate" "/run/proad/tls/tls.crt" "key" "/run/proad/tls/tls.key" }}
{{- if .clientCaSecretName }}
{{- $tls = merge $tls (dict "client_ca" "/run/proad/client-ca/ca.crt" "require_client_certificate" .requireClientCertificate) }}
{{- end }}
{{- $_ := set $server "tls" $tls }}
{{- end }}
{{- end }}
{{- $own := dict "server" $server "models" $models "training" $training }}
{{- with $v.tokens }}
{{- if .secretName }}
{{- $auth := dict "tokens" (printf "/run/proad/tokens/%s" .key) }}
{{- if .allowPlaintext }}
{{- $_ := set $auth "allow_plaintext" true }}
{{- end }}
{{- $_ := set $own "auth" $auth }}
{{- end }}
{{- end }}
{{- toYaml (mergeOverwrite $config $own) }}
{{- end }}

{{/* A map as the server's YAML: Helm's numbers are floating point, and large ones would be written
as 6.4e+07. */}}
{{- define "proad.plainYaml" -}}
{{- $lines := list }}
{{- range $key, $value := . }}
{{- if not (kindIs "map" $value) }}
{{- $text := toString $value }}
{{- if kindIs "float64" $value }}{{ $text = int64 $value | toString }}{{ end }}
{{- if kindIs "string" $value }}{{ $text = quote $value }}{{ end }}
{{- $lines = append $lines (printf "%s: %s" $key $text) }}
{{- else if $value }}
{{- $lines = append $lines (printf "%s:\n%s" $key (include "proad.plainYaml" $value | indent 2)) }}
{{- end }}
{{- end }}
{{- join "\n" $lines }}
{{- end }}

{{- define "proad.config" -}}
{{- include "proad.plainYaml" (include "proad.configMap" . | fromYaml) }}
{{- end }}
