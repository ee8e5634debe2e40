{{/* Up at once, by as many pods as there are; down by one pod a minute, after a quiet time. */}}
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

{{/* Mean seconds that a picture waited for a thread and for a device, summed over the pods: KEDA divides it by
their number, and falls back only for values that it divides. 0 without pictures. */}}
{{- define "proad.waitQuery" -}}
{{- /* Pods of the Deployment, not the trainer's. */}}
{{- $pods := printf "namespace=%q,pod=~%q" .root.Release.Namespace (printf "%s-[a-z0-9]+-[a-z0-9]{5}" (include "proad.componentName" .)) -}}
sum(sum by (pod) (rate(proad_stage_seconds_sum{stage=~"queue|batch_wait",{{ $pods }}}[1m])) / (sum by (pod) (rate(proad_stage_seconds_count{stage="batch_wait",{{ $pods }}}[1m])) > 0)) or vector(0)
{{- end }}
