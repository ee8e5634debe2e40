"""The chart's objects beside each other, and beside the programs, the contract and the metrics that they name."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest
from typing import Any

import chart
import yaml
from chart import RELEASE, ROOT, every_case

BINARY = pathlib.Path(os.environ["PROAD_BINARY_DIR"])


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
