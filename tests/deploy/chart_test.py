"""The Helm chart: linted, rendered, and held against Kubernetes' schemas and its standards of security."""

from __future__ import annotations

import copy
import difflib
import functools
import json
import tempfile
import unittest
from typing import Any

import chart
import crds
import helm_python
import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import yaml
from chart import EXAMPLES, NAMESPACE, RELEASE, every_case

# The oldest that Chart.yaml allows, one in between, and the newest that is known.
KUBERNETES = ("1.29", "1.31", kubernetes_validate.latest_version())

# It reads a megabyte anew for every object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


class Rendering(unittest.TestCase):
    def test_lint(self) -> None:
        for name, values in every_case():
            with self.subTest(name):
                report = helm_python.lint(chart.CHART, values, strict=True, namespace=NAMESPACE)
                self.assertEqual(report["errors"], [])
                findings = {message["error"] for message in report["messages"]}
                self.assertLessEqual(findings, {"icon is recommended"})

    def test_golden(self) -> None:
        for name in EXAMPLES:
            with self.subTest(name):
                file = chart.GOLDEN / f"{name}.yaml"
                golden, rendered = file.read_text(encoding="utf-8").splitlines(), chart.golden(name).splitlines()
                difference = "\n".join(difflib.unified_diff(golden, rendered, file.name, "rendered", lineterm=""))
                self.assertEqual(difference, "", f"if it is meant: {chart.__file__} --update")

    def test_kubernetes_takes_every_object(self) -> None:
        seen = set()  # most are the same in many cases
        for name, values in every_case():
            for item in chart.objects(values):
                text = json.dumps(item, sort_keys=True)
                if text in seen:
                    continue
                seen.add(text)
                with self.subTest(name, object=f"{item['kind']}/{item['metadata']['name']}"):
                    if item["apiVersion"] in crds.GROUPS:
                        jsonschema.validate(item, crds.SCHEMAS[item["kind"]])
                        continue
                    for version in KUBERNETES:
                        kubernetes_validate.validate(item, version, strict=True)

    def test_the_oldest_kubernetes_is_the_one_that_is_promised(self) -> None:
        promised = yaml.safe_load((chart.CHART / "Chart.yaml").read_text(encoding="utf-8"))["kubeVersion"]
        self.assertEqual(promised, f">={KUBERNETES[0]}.0-0")

    def test_the_check_of_objects_can_fail(self) -> None:
        item = chart.find(chart.objects({}), "Deployment", f"{RELEASE}-proad")
        item["spec"]["replica"] = 1
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(item, KUBERNETES[0], strict=True)
        rule = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "x"},
                "spec": {"groups": [{"name": "x", "rules": [{"alert": "A", "exp": "1"}]}]}}
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate(rule, crds.SCHEMAS["PrometheusRule"])

    def test_no_name_is_used_twice(self) -> None:
        for name, values in every_case():
            with self.subTest(name):
                names = [(item["kind"], item["metadata"]["name"]) for item in chart.objects(values)]
                self.assertEqual(len(names), len(set(names)), names)

    def test_names_stay_short_enough(self) -> None:
        values = copy.deepcopy(chart.example("gpu"))
        values["fullnameOverride"] = "x" * 40
        values["trainJob"]["name"] = "y" * 15
        for item in chart.objects(values):
            if item["kind"] in ("Service", "StatefulSet", "Job"):
                with self.subTest(item["metadata"]["name"]):
                    # A label of DNS; pods of the others have a number of up to two digits behind it.
                    self.assertLessEqual(len(item["metadata"]["name"]), 63 if item["kind"] == "Service" else 60)

    def test_a_packaged_chart_renders_the_same(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            archive = chart.loaded().save(folder)
            with helm_python.Chart.load(archive) as packaged:
                for name in EXAMPLES:
                    again = packaged.render(chart.example(name), name=RELEASE, namespace=NAMESPACE)
                    again = {path.removeprefix("proad/"): text for path, text in again.items() if text.strip()}
                    self.assertEqual(again, chart.render(chart.example(name)), name)

    def test_rules_and_dashboards_are_those_of_the_project(self) -> None:
        items = chart.objects(chart.example("ha"))
        rules = {item["metadata"]["name"]: item["spec"] for item in items if item["kind"] == "PrometheusRule"}
        files = {f"{RELEASE}-proad-{file.stem}": yaml.safe_load(file.read_text(encoding="utf-8"))
                 for file in chart.RULES.glob("*.yaml")}
        self.assertEqual(rules, files)
        dashboards = {name: json.loads(text)
                      for item in items if item["kind"] == "ConfigMap" and "dashboard" in item["metadata"]["name"]
                      for name, text in item["data"].items()}
        files = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in chart.DASHBOARDS.glob("*.json")}
        self.assertEqual(dashboards, files)


class Security(unittest.TestCase):
    def test_pods_are_restricted(self) -> None:
        """The level "restricted" of the Pod Security Standards, and more."""
        for name, values in every_case():
            for pod, (_, spec) in chart.pods(values).items():
                with self.subTest(name, pod=pod):
                    self.assertIs(spec["automountServiceAccountToken"], False)
                    self.assertIs(spec["enableServiceLinks"], False)
                    self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
                    self.assertGreater(spec["securityContext"]["runAsUser"], 0)
                    self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    for field in ("hostNetwork", "hostPID", "hostIPC"):
                        self.assertNotIn(field, spec)
                    for volume in spec.get("volumes", []):
                        self.assertNotIn("hostPath", volume)
                    for container in spec["containers"] + spec.get("initContainers", []):
                        self.assertEqual(container["securityContext"], {
                            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]}})
                        self.assertIn("memory", container["resources"]["limits"])
                        self.assertIn("cpu", container["resources"]["requests"])

    def test_secrets_are_mounted_as_folders(self) -> None:
        _, spec = chart.pods(chart.example("tls"))[f"Deployment/{RELEASE}-proad"]
        secrets = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
        self.assertEqual(secrets, {"tls", "client-ca", "probe", "tokens"})
        mounts = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] in secrets]
        self.assertEqual(len(mounts), len(secrets))
        for mount in mounts:
            self.assertNotIn("subPath", mount)  # such a mount never sees a changed secret
            self.assertIs(mount["readOnly"], True)

    def test_no_service_account_has_a_token(self) -> None:
        account = chart.find(chart.objects({}), "ServiceAccount", f"{RELEASE}-proad")
        self.assertIs(account["automountServiceAccountToken"], False)

    def test_nobody_comes_who_is_not_named(self) -> None:
        cases: list[tuple[dict[str, Any], int]] = [
            ({}, 2), ({"networkPolicy": {"clients": []}}, 1), ({"networkPolicy": {"clients": [], "monitoring": []}}, 0)]
        for values, rules in cases:
            spec = chart.find(chart.objects(values), "NetworkPolicy", f"{RELEASE}-proad")["spec"]
            self.assertEqual(sorted(spec["policyTypes"]), ["Egress", "Ingress"])
            self.assertEqual(spec["egress"], [])
            self.assertEqual(len(spec["ingress"]), rules)
            for rule in spec["ingress"]:
                # An empty list would mean everybody, and no ports every port.
                self.assertTrue(rule["from"])
                self.assertTrue(rule["ports"])

    def test_the_ranks_of_a_job_talk_to_each_other_only(self) -> None:
        items = chart.objects(chart.example("gpu"))
        name = f"{RELEASE}-proad-job-mvtec"
        labels, _ = chart.pods(chart.example("gpu"))[f"Job/{name}"]
        spec = chart.find(items, "NetworkPolicy", name)["spec"]
        self.assertEqual(spec["podSelector"]["matchLabels"], labels)
        self.assertEqual(spec["ingress"], [{"from": [{"podSelector": {"matchLabels": labels}}]}])
        others = [rule for rule in spec["egress"] if "ports" in rule]
        self.assertEqual([[port["port"] for port in rule["ports"]] for rule in others], [[53, 53]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
