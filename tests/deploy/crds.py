"""Shapes of the objects that are not Kubernetes' own, as far as the chart uses them.

After the definitions of prometheus-operator (monitoring.coreos.com/v1) and KEDA (keda.sh/v1alpha1). Closed: a field
that is misspelt, or used and not listed here, fails.
"""

from __future__ import annotations

from typing import Any

GROUPS = {"monitoring.coreos.com/v1", "keda.sh/v1alpha1"}

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}
COUNT = {"type": "integer", "minimum": 0}


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required),
            "properties": {**required, **(optional or {})}}


def kind(version: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return closed({"apiVersion": {"const": version}, "kind": {"const": name},
                   "metadata": closed({"name": TEXT}, {"labels": TEXTS, "annotations": TEXTS}), "spec": spec})


POLICIES = {"type": "array", "items": closed(
    {"type": {"enum": ["Pods", "Percent"]}, "value": COUNT, "periodSeconds": COUNT})}
SCALING = closed({}, {"stabilizationWindowSeconds": COUNT, "policies": POLICIES})

SCHEMAS = {
    "ServiceMonitor": kind("monitoring.coreos.com/v1", "ServiceMonitor", closed(
        {"selector": closed({"matchLabels": TEXTS}),
         "endpoints": {"type": "array", "minItems": 1, "items": closed(
             {"port": TEXT}, {"path": TEXT, "interval": DURATION, "scrapeTimeout": DURATION})}},
        {"jobLabel": TEXT})),
    "PrometheusRule": kind("monitoring.coreos.com/v1", "PrometheusRule", closed(
        {"groups": {"type": "array", "items": closed(
            {"name": TEXT, "rules": {"type": "array", "items": {"oneOf": [
                closed({"record": TEXT, "expr": TEXT}, {"labels": TEXTS}),
                closed({"alert": TEXT, "expr": TEXT},
                       {"for": DURATION, "keep_firing_for": DURATION, "labels": TEXTS, "annotations": TEXTS}),
            ]}}},
            {"interval": DURATION})}})),
    "ScaledObject": kind("keda.sh/v1alpha1", "ScaledObject", closed(
        {"scaleTargetRef": closed({"name": TEXT}, {"apiVersion": TEXT, "kind": TEXT}),
         "triggers": {"type": "array", "minItems": 1, "items": closed(
             {"type": {"const": "prometheus"},
              # Values of metadata are text, numbers too.
              "metadata": closed({"serverAddress": TEXT, "query": TEXT,
                                  "threshold": {"type": "string", "pattern": r"^[0-9.]+$"}})},
             {"metricType": {"enum": ["AverageValue", "Value"]}})}},
        {"pollingInterval": COUNT, "cooldownPeriod": COUNT, "minReplicaCount": COUNT, "maxReplicaCount": COUNT,
         "fallback": closed({"failureThreshold": COUNT, "replicas": COUNT}),
         "advanced": closed({"horizontalPodAutoscalerConfig": closed(
             {"behavior": closed({}, {"scaleUp": SCALING, "scaleDown": SCALING})})})})),
}
