"""The Helm chart, rendered by Helm's own engine; no cluster and no network take part.

    chart.py --update     writes tests/deploy/golden/ anew; read the difference before it is committed
"""

from __future__ import annotations

import functools
import pathlib
import sys
from typing import Any, Iterator

import helm_python
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/proad"
VALUES = ROOT / "deploy/helm/values"
GOLDEN = ROOT / "tests/deploy/golden"
RULES = ROOT / "deploy/prometheus/rules"
DASHBOARDS = ROOT / "deploy/grafana/dashboards"
# The examples that are compared with a golden rendering.
EXAMPLES = ("minimal", "cpu", "gpu", "tls", "ha")
# Beside the examples: what they leave out.
VARIATIONS: dict[str, dict[str, Any]] = {
    "hpa": {"autoscaling": {"mode": "hpa"}},
    "everything off": {
        "serviceAccount": {"create": False}, "networkPolicy": {"enabled": False}, "test": {"enabled": False},
        "topologySpread": {"enabled": False}, "podDisruptionBudget": {"enabled": False},
    },
    "nobody may come": {"networkPolicy": {"clients": [], "monitoring": []}},
    "out to one address": {"networkPolicy": {"egress": [{
        "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 443, "protocol": "TCP"}]}]}},
    "tokens without a certificate": {"tokens": {"secretName": "t", "allowPlaintext": True}},
    "certificates of clients or tokens": {
        "tls": {"secretName": "t", "clientCaSecretName": "c", "requireClientCertificate": False},
        "tokens": {"secretName": "t"},
    },
    "names": {"fullnameOverride": "inspection", "nameOverride": "x", "podLabels": {"a": "b"},
              "podAnnotations": {"c": "d"}, "affinity": {"nodeAffinity": {}}},
    "recreate": {"strategy": {"type": "Recreate"}},
    "a claim for jobs that is there": {
        "store": {"kind": "existingClaim", "existingClaim": "models"},
        "training": {"mode": "separate", "work": {"existingClaim": "work"}},
    },
}

RELEASE = "line1"
NAMESPACE = "factory"

Object = dict[str, Any]


@functools.cache
def loaded() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def example(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((VALUES / f"{name}.yaml").read_text(encoding="utf-8"))
    return values


def every_case() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and values of everything that is rendered for tests."""
    for name in EXAMPLES:
        yield name, example(name)
    yield from VARIATIONS.items()


def render(values: dict[str, Any]) -> dict[str, str]:
    """Template to text, for what is not empty. Raises HelmValuesError or HelmRenderError."""
    chart = loaded()
    chart.validate_schema(values)
    rendered = chart.render(values, name=RELEASE, namespace=NAMESPACE)
    return {path.removeprefix("proad/"): text for path, text in sorted(rendered.items()) if text.strip()}


def objects(values: dict[str, Any]) -> list[Object]:
    """Every object that Kubernetes would get."""
    return [
        document
        for path, text in render(values).items() if path.endswith(".yaml")
        for document in yaml.safe_load_all(text) if document
    ]


def pods(values: dict[str, Any]) -> dict[str, tuple[Object, Object]]:
    """Name of the object to labels and spec of its pods."""
    found = {}
    for item in objects(values):
        template = item if item["kind"] == "Pod" else item.get("spec", {}).get("template")
        if template:
            found[f"{item['kind']}/{item['metadata']['name']}"] = (template["metadata"]["labels"], template["spec"])
    return found


def find(items: list[Object], kind: str, name: str) -> Object:
    [item] = [item for item in items if item["kind"] == kind and item["metadata"]["name"] == name]
    return item


def golden(name: str) -> str:
    """A rendering to be compared. Rules and dashboards are named, not repeated."""
    parts = []
    for path, text in render(example(name)).items():
        for folder, indent in ((RULES, 2), (DASHBOARDS, 4)):
            for file in sorted(folder.iterdir()) if folder.is_dir() else []:
                lines = file.read_text(encoding="utf-8").strip().splitlines()
                body = "\n".join(" " * indent + line for line in lines)
                text = text.replace(body, " " * indent + f"(contents of {file.relative_to(ROOT)})")
        lines = [line.rstrip() for line in text.strip().splitlines()]
        parts.append(f"# ---------------- {path}\n" + "\n".join(line for line in lines if line) + "\n")
    return "\n".join(parts)


def main() -> int:
    if sys.argv[1:] != ["--update"]:
        print(__doc__)
        return 2
    for name in EXAMPLES:
        (GOLDEN / f"{name}.yaml").write_text(golden(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
