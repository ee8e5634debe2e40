"""The chart's values: which are refused, that each is explained, and that the server takes what they become."""

from __future__ import annotations

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
import helm_python
import yaml
from chart import EXAMPLES, RELEASE, every_case

BINARY = pathlib.Path(os.environ["PROAD_BINARY_DIR"])

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
    ({"training": {"mode": "serving"}, "store": {"kind": "claim"}},
     "resources.limits.memory: 5Gi is less than the 9363Mi that training.mode serving needs"),
    ({"training": {"mode": "serving"}, "store": {"kind": "claim"}, "resources": {"limits": {"memory": "7000000000"}},
      "config": {"training": {"feature_memory": "1GiB", "concurrency": 2}}}, "7000000000 is less than the 11703Mi"),
    ({"training": {"mode": "separate", "resources": {"limits": {"memory": "6Gi"}}}, "store": {"kind": "claim"}},
     "training.resources.limits.memory: 6Gi is less than the 9948Mi that training.mode separate needs"),
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


def leaves(values: Any, path: str = "") -> Iterator[str]:
    """Dotted names of what is not a map, and of maps that are empty."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path


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

    def test_jobs_have_a_pod_of_their_own_where_the_store_can_be_shared(self) -> None:
        claim = {"kind": "claim"}
        for store, mode in ((claim, "separate"), ({"kind": "existingClaim", "existingClaim": "models"}, "separate"),
                            ({"kind": "claim", "claim": {"accessMode": "ReadWriteOnce"}}, "none"), ({}, "none")):
            sets = [item for item in chart.objects({"store": store}) if item["kind"] == "StatefulSet"]
            self.assertEqual(len(sets), 1 if mode == "separate" else 0, store)
        self.assertFalse([item for item in chart.objects({"store": claim, "training": {"mode": "none"}})
                          if item["kind"] == "StatefulSet"])

    def test_a_pod_has_the_time_that_its_configuration_adds_up_to(self) -> None:
        # lame duck, drain, whether it trains, checkpoint; two seconds of the server's own and the margin on top.
        cases = [("15s", "30s", False, "10s", 45), ("15s", "30s", True, "10s", 55), ("1m30s", "250ms", False, "10s", 91),
                 ("0s", "1h", True, "1m", 3660), ("1.5s", "1.5s", False, "9s", 4)]
        for lame_duck, drain_grace, trains, checkpoint_grace, seconds in cases:
            values: dict[str, Any] = {"config": {
                "shutdown": {"lame_duck": lame_duck, "drain_grace": drain_grace},
                "training": {"checkpoint_grace": checkpoint_grace}}}
            if trains:
                values |= {"training": {"mode": "serving"}, "store": {"kind": "claim"},
                           "resources": {"limits": {"memory": "10Gi"}}}
            _, spec = chart.pods(values)[f"Deployment/{RELEASE}-proad"]
            with self.subTest(lame_duck=lame_duck, drain_grace=drain_grace):
                self.assertEqual(spec["terminationGracePeriodSeconds"], seconds + 2 + 15)

    def test_threads_and_workers_follow_from_the_cpu_request(self) -> None:
        # request, limit, device, configured threads; threads and workers in the server's configuration (None: default).
        cases: list[tuple[str, str | None, str, int | None, int | None, int | None]] = [
            ("2", None, "cpu", None, 2, 2), ("3", None, "cpu", None, 3, 3), ("1500m", None, "cpu", None, 2, 2),
            ("40", None, "cpu", None, 40, 16), ("4", None, "cuda", None, 4, None), ("2", "8", "cpu", None, None, None),
            ("2", None, "cpu", 7, 7, 2),
        ]
        for request, limit, device, configured, threads, workers in cases:
            limits = {"memory": "5Gi"} | ({"cpu": limit} if limit else {})
            values: dict[str, Any] = {
                "device": device, "resources": {"requests": {"cpu": request, "memory": "5Gi"}, "limits": limits}}
            if configured is not None:
                values["config"] = {"preprocessing": {"threads": configured}}
            with self.subTest(request=request, limit=limit, device=device, configured=configured):
                text = chart.find(chart.objects(values), "ConfigMap", f"{RELEASE}-proad")["data"]["server.yaml"]
                config = yaml.safe_load(text)
                self.assertEqual(config.get("preprocessing", {}).get("threads"), threads)
                self.assertEqual(config.get("batching", {}).get("workers"), workers)

    def test_a_changed_configuration_makes_new_pods(self) -> None:
        def checksum(values: dict[str, Any]) -> str:
            deployment = chart.find(chart.objects(values), "Deployment", f"{RELEASE}-proad")
            return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

        self.assertNotEqual(checksum({}), checksum({"config": {"batching": {"max_batch": 4}}}))
        self.assertEqual(checksum({}), checksum({"replicas": 4}))


if __name__ == "__main__":
    unittest.main(verbosity=2)
