"""The Helm chart: linted, rendered, refused, and held against Kubernetes' schemas, the server and the metrics."""

from __future__ import annotations

import copy
import difflib
import functools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest
from typing import Any, Iterator

import chart
import config_schema
import crds
import helm_python
import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import yaml
from chart import EXAMPLES, NAMESPACE, RELEASE, ROOT

BINARY = pathlib.Path(os.environ["PROAD_BINARY_DIR"])
# The oldest that Chart.yaml allows, one in between, and the newest that is known.
KUBERNETES = ("1.29", "1.31", kubernetes_validate.latest_version())

# It reads a megabyte anew for every object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

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

# (values, words of the message): what the schema refuses, and what relations of values do.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"replica": 2}, "additional properties 'replica' not allowed"),
    ({"image": {"name": "x"}}, "at '/image': additional properties 'name' not allowed"),
    ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of"),
    ({"image": {"tag": "a b"}}, "at '/image/tag': 'a b' does not match pattern"),
    ({"image": {"digest": "sha256:12"}}, "at '/image/digest'"),
    ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
    ({"replicas": "2"}, "at '/replicas': got string, want integer"),
    ({"device": "tpu"}, "at '/device': value must be one of 'cpu', 'cuda'"),
    ({"gpu": {"count": 0}}, "at '/gpu/count': minimum: got 0, want 1"),
    ({"gpu": {"resource": "gpu"}}, "at '/gpu/resource': 'gpu' does not match pattern"),
    ({"resources": {"requests": {"memory": "4 GB"}}}, "at '/resources/requests/memory'"),
    ({"resources": {"limits": {"nvidia.com/gpu": 1}}}, "additional properties 'nvidia.com/gpu' not allowed"),
    ({"resources": {"limits": None}}, "at '/resources'"),
    ({"env": {"A-B": "x"}}, "invalid propertyName 'A-B'"),
    ({"env": {"A": 1}}, "at '/env/A': got number, want string"),
    ({"config": {"batching": {"max_bach": 8}}}, "at '/config/batching': additional properties 'max_bach' not allowed"),
    ({"config": {"batching": {"max_batch": 257}}}, "at '/config/batching/max_batch': maximum: got 257, want 256"),
    ({"config": {"batching": {"max_delay": 5}}}, "at '/config/batching/max_delay': got number, want string"),
    ({"config": {"shutdown": {"lame_duck": "5"}}}, "at '/config/shutdown/lame_duck': '5' does not match pattern"),
    ({"config": {"shutdown": {"drain_grace": None}}}, "at '/config/shutdown'"),
    ({"config": {"log": {"level": "loud"}}}, "at '/config/log/level': value must be one of 'debug'"),
    ({"config": {"image": {"max_bytes": "32MB"}}}, "at '/config/image/max_bytes'"),
    # What the chart decides.
    ({"config": {"server": {"listen": "0.0.0.0:1"}}}, "at '/config/server': additional properties 'listen' not allowed"),
    ({"config": {"models": {"store": "/x"}}}, "at '/config/models': additional properties 'store' not allowed"),
    ({"config": {"models": {"device": "cuda:1"}}}, "additional properties 'device' not allowed"),
    ({"config": {"training": {"enabled": True}}}, "additional properties 'enabled' not allowed"),
    ({"terminationMargin": 0}, "at '/terminationMargin': minimum: got 0, want 5"),
    ({"store": {"kind": "s3"}}, "at '/store/kind': value must be one of"),
    ({"store": {"kind": "existingClaim"}}, "at '/store/existingClaim': minLength: got 0, want 1"),
    ({"store": {"kind": "copy"}}, "at '/store/copy/repository': minLength: got 0, want 1"),
    ({"store": {"kind": "copy", "copy": {"repository": "m"}}}, "at '/store/copy/tag': minLength: got 0, want 1"),
    ({"store": {"importShipped": True}}, "at '/store/kind': value must be one of 'claim', 'existingClaim'"),
    ({"store": {"kind": "claim", "claim": {"accessMode": "ReadOnlyMany"}}}, "at '/store/claim/accessMode'"),
    ({"replicas": 2, "store": {"kind": "claim", "claim": {"accessMode": "ReadWriteOnce"}}},
     "at '/store/claim/accessMode': value must be 'ReadWriteMany'"),
    ({"training": {"mode": "serving"}}, "at '/store/kind': value must be one of 'claim', 'existingClaim'"),
    ({"training": {"mode": "serving"}, "store": {"kind": "claim"}, "replicas": 2}, "at '/replicas': value must be 1"),
    ({"training": {"mode": "serving"}, "store": {"kind": "claim"}, "autoscaling": {"mode": "hpa"}},
     "at '/autoscaling/mode': value must be 'none'"),
    ({"training": {"mode": "separate"}, "store": {"kind": "copy", "copy": {"repository": "m", "tag": "1"}}},
     "at '/store/kind': value must be one of 'claim', 'existingClaim'"),
    ({"trainJob": {"enabled": True, "name": "a", "model": "m", "dataset": "d", "encoderFile": "e.pth"},
      "store": {"kind": "claim"}}, "at '/training/dataClaim': minLength: got 0, want 1"),
    ({"trainJob": {"dataset": "../other"}}, "at '/trainJob/dataset': '../other' does not match pattern"),
    ({"trainJob": {"worldSize": 1}}, "at '/trainJob/worldSize': minimum: got 1, want 2"),
    ({"trainJob": {"enabled": True, "name": "a", "model": "m", "dataset": "d", "encoderFile": "e.pth"},
      "store": {"kind": "claim"}, "training": {"dataClaim": "p"}},
     "trainJob: its pods share training.work, whose accessMode is not ReadWriteMany"),
    ({"service": {"type": "LoadBalancer"}}, "at '/service/type': value must be one of 'Headless', 'ClusterIP'"),
    ({"tls": {"secretName": "A_b"}}, "at '/tls/secretName': 'A_b' does not match pattern"),
    ({"tls": {"clientCaSecretName": "ca"}}, "at '/tls/secretName': minLength: got 0, want 1"),
    ({"tls": {"secretName": "t", "clientCaSecretName": "ca", "requireClientCertificate": False}},
     "at '/tokens/secretName': minLength: got 0, want 1"),
    ({"tokens": {"secretName": "t"}}, "at '/tokens/allowPlaintext': value must be true"),
    ({"autoscaling": {"mode": "both"}}, "at '/autoscaling/mode': value must be one of 'none', 'hpa', 'keda'"),
    ({"autoscaling": {"mode": "keda"}}, "at '/autoscaling/keda/serverAddress': minLength: got 0, want 1"),
    ({"autoscaling": {"targetWaitSeconds": 0}}, "at '/autoscaling/targetWaitSeconds': minimum"),
    ({"autoscaling": {"mode": "hpa", "minReplicas": 9}},
     "autoscaling.maxReplicas: 8 is less than autoscaling.minReplicas (9)"),
    ({"autoscaling": {"mode": "keda", "keda": {"serverAddress": "http://p", "fallbackReplicas": 1}}},
     "autoscaling.keda.fallbackReplicas: 1 is not between autoscaling.minReplicas (2) and maxReplicas (8)"),
    ({"podDisruptionBudget": {"maxUnavailable": "0%"}}, "at '/podDisruptionBudget/maxUnavailable'"),
    ({"strategy": {"maxSurge": 0}}, "strategy: maxSurge and maxUnavailable are both 0"),
    ({"topologySpread": {"whenUnsatisfiable": "Never"}}, "at '/topologySpread/whenUnsatisfiable'"),
    ({"tolerations": [{"effect": "Never"}]}, "at '/tolerations/0/effect': value must be one of"),
    ({"affinity": {"hostAffinity": {}}}, "additional properties 'hostAffinity' not allowed"),
    ({"securityContext": {"runAsUser": 0}}, "at '/securityContext/runAsUser': minimum: got 0, want 1"),
    ({"securityContext": {"privileged": True}}, "additional properties 'privileged' not allowed"),
    ({"networkPolicy": {"clients": [{}]}}, "at '/networkPolicy/clients/0': minProperties: got 0, want 1"),
    ({"networkPolicy": {"egress": [{"ports": []}]}}, "at '/networkPolicy/egress/0': missing property 'to'"),
    ({"networkPolicy": {"egress": [{"to": []}]}}, "at '/networkPolicy/egress/0/to': minItems: got 0, want 1"),
    ({"metrics": {"serviceMonitor": {"interval": "15"}}}, "at '/metrics/serviceMonitor/interval'"),
    ({"fullnameOverride": "x" * 41}, "at '/fullnameOverride': maxLength: got 41, want 40"),
]


def every_case() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in EXAMPLES:
        yield name, chart.example(name)
    yield from VARIATIONS.items()


def leaves(values: Any, path: str = "") -> Iterator[str]:
    """Dotted names of what is not a map, and of maps that are empty."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path


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


class Values(unittest.TestCase):
    def test_what_is_not_possible_is_refused(self) -> None:
        for values, words in REFUSED:
            with self.subTest(json.dumps(values)):
                with self.assertRaises((helm_python.HelmValuesError, helm_python.HelmRenderError)) as refusal:
                    chart.render(values)
                self.assertIn(words, str(refusal.exception))

    def test_the_schema_is_closed_everywhere(self) -> None:
        # Kubernetes checks affinity, Helm owns "global".
        open_on_purpose = {"global", "nodeAffinity", "podAffinity", "podAntiAffinity"}

        def walk(schema: Any, name: str) -> Iterator[str]:
            if isinstance(schema, list):
                for part in schema:
                    yield from walk(part, name)
            if not isinstance(schema, dict):
                return
            if schema.get("type") == "object" and "additionalProperties" not in schema and name not in open_on_purpose:
                yield name
            for key, part in schema.items():
                if key in ("properties", "definitions"):
                    for inner, value in part.items():
                        yield from walk(value, inner)
                elif key not in ("if", "then", "enum", "const"):
                    yield from walk(part, name)

        schema = json.loads(config_schema.SCHEMA.read_text(encoding="utf-8"))
        self.assertEqual(list(walk(schema, "values")), [])

    def test_the_schema_knows_every_value_and_no_other(self) -> None:
        schema = json.loads(config_schema.SCHEMA.read_text(encoding="utf-8"))
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text(encoding="utf-8"))

        def known(part: dict[str, Any], path: str = "") -> Iterator[str]:
            if "$ref" in part:
                part = schema["definitions"][part["$ref"].rsplit("/", 1)[1]]
            for key, inner in part.get("properties", {}).items():
                name = f"{path}.{key}" if path else key
                yield name
                yield from known(inner, name)

        def given(part: Any, path: str = "") -> Iterator[str]:
            for key, inner in part.items() if isinstance(part, dict) else ():
                name = f"{path}.{key}" if path else key
                yield name
                yield from given(inner, name)

        in_schema = set(known(schema))
        self.assertEqual(set(given(values)) - in_schema, set())
        # Maps of Kubernetes, and the server's keys, which have the server's defaults.
        optional = re.compile(r"global|config\..*|(.*\.)?(resources\..*|affinity\..*)|.*ephemeral-storage")
        self.assertEqual({name for name in in_schema - set(given(values)) if not optional.fullmatch(name)}, set())

    def test_the_readme_explains_every_value(self) -> None:
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text(encoding="utf-8"))
        readme = (chart.CHART / "README.md").read_text(encoding="utf-8")
        cells = re.findall(r"^\| (`[^|]+`) \|", readme.partition("## Values")[2], re.MULTILINE)
        explained = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}

        def covered(name: str) -> bool:
            parts = name.split(".")
            return any(".".join(parts[:length]) in explained for length in range(1, len(parts) + 1))

        self.assertEqual([name for name in leaves(values) if not covered(name)], [], "values without a row")
        known = {".".join(name.split(".")[:length]) for name in leaves(values) for length in range(1, 9)}
        self.assertEqual(explained - known, set(), "rows without a value")

    def test_the_examples_say_nothing_that_is_default(self) -> None:
        defaults = yaml.safe_load((chart.CHART / "values.yaml").read_text(encoding="utf-8"))

        def same(values: Any, default: Any, path: str) -> Iterator[str]:
            for key, value in values.items():
                if isinstance(value, dict) and isinstance(default.get(key), dict):
                    yield from same(value, default[key], f"{path}.{key}")
                elif key in default and default[key] == value:
                    yield f"{path}.{key}"

        for name in EXAMPLES:
            self.assertEqual(list(same(chart.example(name), defaults, name)), [])


class Server(unittest.TestCase):
    """What the chart makes of the server's configuration, asked of the server itself."""

    @staticmethod
    def server(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(BINARY / "server/proad-server"), *arguments], capture_output=True, text=True,
                              timeout=120, check=False)

    def test_the_schema_has_the_keys_of_the_server(self) -> None:
        schema = json.loads(config_schema.SCHEMA.read_text(encoding="utf-8"))
        for name, definition in config_schema.definitions().items():
            self.assertEqual(schema["definitions"][name], definition,
                             f"if a key was added: {config_schema.__file__} --update")
        printed = self.server("--print-config")
        self.assertEqual(printed.returncode, 0, printed.stderr)
        keys = set(leaves(yaml.safe_load(printed.stdout)))
        self.assertEqual({key for key, _, _ in config_schema.documented()}, keys)

    def test_the_server_takes_every_configuration(self) -> None:
        # Text to who has it: many are the same, and the server takes a second to start.
        configurations = {
            item["data"]["server.yaml"]: f"{name}: {item['metadata']['name']}"
            for name, values in every_case() for item in chart.objects(values)
            if item["kind"] == "ConfigMap" and "server.yaml" in item["data"]
        }
        self.assertGreater(len(configurations), len(EXAMPLES))
        for configuration, name in configurations.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                text = self.with_secrets(configuration, pathlib.Path(folder))
                file = pathlib.Path(folder, "server.yaml")
                file.write_text(text, encoding="utf-8")
                checked = self.server("--config", str(file), "--check-config")
                self.assertEqual(checked.returncode, 0, checked.stderr + text)

    @staticmethod
    def with_secrets(text: str, folder: pathlib.Path) -> str:
        """The configuration with the folders of secrets elsewhere, filled with what a cluster would have there."""
        if "/run/proad/" not in text:
            return text
        key, certificate = folder / "tls/tls.key", folder / "tls/tls.crt"
        for name in ("tls", "client-ca", "tokens"):
            (folder / name).mkdir()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=test", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        (folder / "client-ca/ca.crt").write_bytes(certificate.read_bytes())
        (folder / "tokens/tokens").write_text(f"line-4 detect {'0123456789abcdef' * 4}\n", encoding="utf-8")
        for path in (key, folder / "tokens/tokens"):
            path.chmod(0o600)
        return text.replace("/run/proad/", f"{folder}/")

    def test_large_numbers_stay_numbers(self) -> None:
        text = chart.render(chart.example("gpu"))["templates/configmap.yaml"]
        self.assertIn("max_pixels: 100000000\n", text)

    def test_only_the_trainer_trains(self) -> None:
        items = chart.objects(chart.example("gpu"))
        for name, trains in ((f"{RELEASE}-proad", False), (f"{RELEASE}-proad-trainer", True)):
            config = yaml.safe_load(chart.find(items, "ConfigMap", name)["data"]["server.yaml"])
            self.assertEqual(config["training"]["enabled"], trains, name)

    def test_a_pod_has_the_time_that_its_configuration_adds_up_to(self) -> None:
        # lame duck, drain, whether it trains, checkpoint; two seconds of the server's own and the margin on top.
        cases = [("15s", "30s", False, "10s", 45), ("15s", "30s", True, "10s", 55), ("1m30s", "250ms", False, "10s", 91),
                 ("0s", "1h", True, "1m", 3660), ("1.5s", "1.5s", False, "9s", 4)]
        for lame_duck, drain_grace, trains, checkpoint_grace, seconds in cases:
            values: dict[str, Any] = {"config": {
                "shutdown": {"lame_duck": lame_duck, "drain_grace": drain_grace},
                "training": {"checkpoint_grace": checkpoint_grace}}}
            if trains:
                values |= {"training": {"mode": "serving"}, "store": {"kind": "claim"}}
            _, spec = chart.pods(values)[f"Deployment/{RELEASE}-proad"]
            with self.subTest(lame_duck=lame_duck, drain_grace=drain_grace):
                self.assertEqual(spec["terminationGracePeriodSeconds"], seconds + 2 + 15)

    def test_a_changed_configuration_makes_new_pods(self) -> None:
        def checksum(values: dict[str, Any]) -> str:
            deployment = chart.find(chart.objects(values), "Deployment", f"{RELEASE}-proad")
            return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

        self.assertNotEqual(checksum({}), checksum({"config": {"batching": {"max_batch": 4}}}))
        self.assertEqual(checksum({}), checksum({"replicas": 4}))


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


class Wiring(unittest.TestCase):
    """Selectors select what they should, names lead somewhere."""

    @staticmethod
    def selected(selector: dict[str, str], values: dict[str, Any]) -> set[str]:
        return {pod for pod, (labels, _) in chart.pods(values).items() if selector.items() <= labels.items()}

    def test_selectors(self) -> None:
        values = chart.example("gpu")
        items = chart.objects(values)
        server, trainer = f"Deployment/{RELEASE}-proad", f"StatefulSet/{RELEASE}-proad-trainer"
        job = f"Job/{RELEASE}-proad-job-mvtec"
        for kind, name, pods in (
                ("Service", "proad", {server}), ("Service", "proad-trainer", {trainer}),
                ("Service", "proad-metrics", {server, trainer}), ("Service", "proad-job-mvtec", {job})):
            selector = chart.find(items, kind, f"{RELEASE}-{name}")["spec"]["selector"]
            self.assertEqual(self.selected(selector, values), pods, name)
        for kind, name, pods in (("PodDisruptionBudget", "proad", {server}), ("NetworkPolicy", "proad", {server, trainer})):
            spec = chart.find(items, kind, f"{RELEASE}-{name}")["spec"]
            selector = spec.get("selector", spec.get("podSelector"))["matchLabels"]
            self.assertEqual(self.selected(selector, values), pods, name)

    def test_every_workload_selects_its_own_pods(self) -> None:
        for name, values in every_case():
            for item in chart.objects(values):
                if item["kind"] in ("Deployment", "StatefulSet"):
                    own = f"{item['kind']}/{item['metadata']['name']}"
                    self.assertEqual(self.selected(item["spec"]["selector"]["matchLabels"], values), {own}, name)

    def test_volumes_claims_and_ports_exist(self) -> None:
        for name, values in every_case():
            items = chart.objects(values)
            made = {item["metadata"]["name"] for item in items if item["kind"] == "PersistentVolumeClaim"}
            text = json.dumps(values)
            for pod, (_, spec) in chart.pods(values).items():
                with self.subTest(name, pod=pod):
                    volumes = {volume["name"] for volume in spec.get("volumes", [])}
                    mounted = set()
                    for container in spec["containers"] + spec.get("initContainers", []):
                        mounted |= {mount["name"] for mount in container.get("volumeMounts", [])}
                    self.assertEqual(volumes, mounted)
                    for volume in spec.get("volumes", []):
                        if "persistentVolumeClaim" in volume:
                            claim = volume["persistentVolumeClaim"]["claimName"]
                            self.assertTrue(claim in made or f'"{claim}"' in text, claim)

    def test_the_monitor_finds_the_metrics(self) -> None:
        items = chart.objects(chart.example("ha"))
        monitor = chart.find(items, "ServiceMonitor", f"{RELEASE}-proad")["spec"]
        service = chart.find(items, "Service", f"{RELEASE}-proad-metrics")
        self.assertLessEqual(monitor["selector"]["matchLabels"].items(), service["metadata"]["labels"].items())
        self.assertEqual(monitor["endpoints"][0]["port"], service["spec"]["ports"][0]["name"])
        # The alerts look for jobs by this name.
        self.assertEqual(service["metadata"]["labels"][monitor["jobLabel"]], "proad")

    def test_probes_ask_for_services_of_the_contract(self) -> None:
        contract = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "proto/proad/v1").glob("*.proto"))
        services = {f"proad.v1.{name}" for name in re.findall(r"^service (\w+)", contract, re.MULTILINE)}
        for name, values in every_case():
            for pod, (_, spec) in chart.pods(values).items():
                if pod.startswith(("Deployment/", "StatefulSet/")):
                    text = json.dumps([spec["containers"][0][f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")])
                    asked = re.findall(r"proad\.v1\.\w+", text)
                    self.assertEqual(len(asked), 3, name)
                    self.assertLessEqual(set(asked), services, name)
                    # Kubernetes' gRPC probes know no TLS.
                    encrypted = bool(values.get("tls", {}).get("secretName"))
                    self.assertEqual(("--health" in text, '"grpc"' in text), (encrypted, not encrypted), name)

    def test_programs_know_what_they_are_started_with(self) -> None:
        """Options of every command in a pod, asked of the programs' own help."""
        asked: dict[tuple[str, str], set[str]] = {}
        for _, values in every_case():
            for _, spec in chart.pods(values).values():
                for container in spec["containers"] + spec.get("initContainers", []):
                    words = container.get("command", []) + container.get("args", [])
                    commands = [words, *(probe["exec"]["command"] for probe in container.values()
                                         if isinstance(probe, dict) and "exec" in probe)]
                    for program, *rest in commands:
                        if program.startswith("/opt/proad/bin/"):
                            options = {word.split("=")[0] for word in rest if word.startswith("--")}
                            asked.setdefault((program.rsplit("/", 1)[1], rest[0]), set()).update(options)
        self.assertEqual(set(asked), {("proad", "detect"), ("proad", "doctor"), ("proad", "import"),
                                      ("proad-trainer", "plan"), ("proad-trainer", "train")})
        for (program, command), options in asked.items():
            folder = "client" if program == "proad" else "server"
            told = subprocess.run([str(BINARY / folder / program), command, "--help"], capture_output=True, text=True,
                                  timeout=120, check=False)
            self.assertEqual(told.returncode, 0, told.stderr)
            for option in options:
                self.assertRegex(told.stdout, rf"{option}\b", f"{program} {command}")

    def test_scaling_is_one_or_the_other(self) -> None:
        for mode, kinds in (("none", set()), ("hpa", {"HorizontalPodAutoscaler"}), ("keda", {"ScaledObject"})):
            items = chart.objects({"autoscaling": {"mode": mode, "keda": {"serverAddress": "http://p"}}})
            scalers = {item["kind"] for item in items} & {"HorizontalPodAutoscaler", "ScaledObject"}
            self.assertEqual(scalers, kinds)
            deployment = chart.find(items, "Deployment", f"{RELEASE}-proad")
            # Both would fight over the number.
            self.assertEqual("replicas" in deployment["spec"], mode == "none")

    def test_scaling_asks_for_metrics_that_exist(self) -> None:
        [scaler] = [item for item in chart.objects(chart.example("ha")) if item["kind"] == "ScaledObject"]
        query = scaler["spec"]["triggers"][0]["metadata"]["query"]
        readme = (chart.CHART / "README.md").read_text(encoding="utf-8")
        source = (ROOT / "server/telemetry/metrics.cc").read_text(encoding="utf-8")
        names = set(re.findall(r"proad_[a-z_]+?(?=_sum|_count)", query + readme))
        self.assertEqual(names, {"proad_stage_seconds"})
        for name in names:
            self.assertIn(f'"{name}"', source)
        for stage in re.search(r'stage=~"([^"]+)"', query).group(1).split("|"):  # type: ignore[union-attr]
            self.assertIn(f'"{stage}"', source)
        rules = {"groups": [{"name": "scaling", "rules": [{"record": "scaling:wait:sum", "expr": query}]}]}
        promtool = pathlib.Path(os.environ["PROAD_PROMETHEUS"], "promtool")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            yaml.safe_dump(rules, file)
            file.flush()
            checked = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        pods = re.compile(re.search(r'pod=~"([^"]+)"', query).group(1))  # type: ignore[union-attr]
        self.assertTrue(pods.fullmatch(f"{RELEASE}-proad-7d4b9c6f5d-x2k9q"))
        self.assertFalse(pods.fullmatch(f"{RELEASE}-proad-trainer-0"))

    def test_one_server_at_a_time_holds_the_jobs(self) -> None:
        deployment = chart.find(chart.objects(chart.example("cpu")), "Deployment", f"{RELEASE}-proad")
        self.assertEqual(deployment["spec"]["strategy"], {"type": "Recreate"})

    def test_a_device_of_the_right_kind(self) -> None:
        counts = {"Deployment": 1, "StatefulSet": 2, "Job": 1}
        for pod, (_, spec) in chart.pods(chart.example("gpu")).items():
            kind = pod.split("/")[0]
            if kind in counts:
                self.assertEqual(spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], counts[kind], pod)
                self.assertIn("nvidia.com/gpu", [toleration["key"] for toleration in spec["tolerations"]], pod)
                self.assertEqual(spec["runtimeClassName"], "nvidia", pod)
        for pod, (_, spec) in chart.pods(chart.example("cpu")).items():
            self.assertNotIn("nvidia.com/gpu", spec["containers"][0]["resources"]["limits"], pod)

    def test_ranks_are_told_apart_and_find_rank_0(self) -> None:
        items = chart.objects(chart.example("gpu"))
        name = f"{RELEASE}-proad-job-mvtec"
        job = chart.find(items, "Job", name)["spec"]
        self.assertEqual((job["completionMode"], job["completions"], job["parallelism"]), ("Indexed", 4, 4))
        spec = job["template"]["spec"]
        self.assertEqual(spec["restartPolicy"], "Never")  # podFailurePolicy wants it
        environment = {variable["name"]: variable for variable in spec["containers"][0]["env"]}
        self.assertEqual(environment["WORLD_SIZE"]["value"], "4")
        self.assertIn("job-completion-index", environment["RANK"]["valueFrom"]["fieldRef"]["fieldPath"])
        # Pods of an indexed Job are called JOB-INDEX, below the subdomain that the Service makes.
        self.assertEqual(environment["MASTER_ADDR"]["value"], f"{name}-0.{spec['subdomain']}")
        service = chart.find(items, "Service", spec["subdomain"])["spec"]
        self.assertEqual((service["clusterIP"], service["publishNotReadyAddresses"]), ("None", True))


if __name__ == "__main__":
    unittest.main(verbosity=2)
