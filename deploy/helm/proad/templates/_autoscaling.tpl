{{/* Scales up at once, at most doubling the pods; scales down by one pod per minute after the stabilization time. */}}
{{- define "proad.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Percent
      value: 100
      periodSeconds: 60
scaleDown:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleDownStabilizationSeconds }}
  policies:
    - type: Pods
      value: 1
      periodSeconds: 60
{{- end }}

{{/* Mean wait of an image for a thread and a device in seconds, summed over the pods: KEDA divides it by the
number of pods, and its fallback works only for such values. 0 without images. */}}
{{- define "proad.waitQuery" -}}
{{- /* Pods of the Deployment, not the trainer's. */}}
{{- $pods := printf "namespace=%q,pod=~%q" .root.Release.Namespace (printf "%s-[a-z0-9]+-[a-z0-9]{5}" (include "proad.componentName" .)) -}}
sum(sum by (pod) (rate(proad_stage_seconds_sum{stage=~"queue|batch_wait",{{ $pods }}}[1m])) / (sum by (pod) (rate(proad_stage_seconds_count{stage="batch_wait",{{ $pods }}}[1m])) > 0)) or vector(0)
{{- end }}
