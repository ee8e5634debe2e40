"""What the images and the compose file are made of. No container engine takes part: there is none where tests run."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import unittest
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = (DOCKER / "Dockerfile", DOCKER / "Dockerfile.cpu")
BINARY = pathlib.Path(os.environ["PROAD_BINARY_DIR"])


def versions() -> dict[str, str]:
    """The plain variables of docker/versions.sh."""
    text = (DOCKER / "versions.sh").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Z_]+)=([^(\s]+)$", text, re.MULTILINE))


def instructions(file: pathlib.Path) -> list[str]:
    """The instructions of a Dockerfile, continued lines joined."""
    text = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line]


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))
    return loaded


class Dockerfiles(unittest.TestCase):
    def test_hadolint(self) -> None:
        hadolint = pathlib.Path(sys.executable).parent / "hadolint"
        checked = subprocess.run([hadolint, "--no-color", *DOCKERFILES], capture_output=True, text=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))

    def test_hadolint_would_complain(self) -> None:
        hadolint = pathlib.Path(sys.executable).parent / "hadolint"
        checked = subprocess.run([hadolint, "-"], input="FROM debian\n", capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 1)
        self.assertIn("DL3006", checked.stdout)

    def test_base_images_are_pinned_in_one_place(self) -> None:
        pinned = versions()
        for file in DOCKERFILES:
            with self.subTest(file.name):
                images = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE))
                self.assertTrue(images)
                for name, image in images.items():
                    self.assertEqual(image, pinned[name])
                    self.assertRegex(image, r":\d+\.\d+", "pinned by version")
                stages = [line for line in instructions(file) if line.startswith("FROM ")]
                for stage in stages:
                    self.assertRegex(stage, r"^FROM (\$\{\w+_IMAGE\} AS \w+|scratch)$")
                self.assertEqual(stages[-1], "FROM scratch")

    def test_the_version_is_that_of_the_project(self) -> None:
        [version] = re.findall(r"project\(proad VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
        for file in DOCKERFILES:
            self.assertIn(f"ARG VERSION={version}", instructions(file), file.name)
        for name in ("compose.yaml", "compose.cuda.yaml"):
            self.assertRegex(compose(name)["services"]["proad-server"]["image"], rf"^proad-server:{version}(-cpu)?$")
        chart = yaml.safe_load((ROOT / "deploy/helm/proad/Chart.yaml").read_text(encoding="utf-8"))
        self.assertEqual((chart["version"], chart["appVersion"]), (version, version))

    def test_the_container(self) -> None:
        for file in DOCKERFILES:
            with self.subTest(file.name):
                lines = instructions(file)
                last = lines[lines.index("FROM scratch"):]
                user = next(line for line in last if line.startswith("USER "))
                self.assertRegex(user, r"^USER [1-9]\d*:[1-9]\d*$")
                self.assertIn("STOPSIGNAL SIGTERM", last)
                health = next(line for line in last if line.startswith("HEALTHCHECK "))
                self.assertIn('CMD ["/opt/proad/bin/proad", "doctor", "--health"', health)
                # Without a shell in between, which the image has not, and which would keep signals to itself.
                self.assertIn('ENTRYPOINT ["/opt/proad/bin/proad-server"]', last)
                self.assertFalse([line for line in last if line.startswith("RUN ")])
                labels = next(line for line in last if line.startswith("LABEL "))
                for label in ("title", "description", "version", "revision", "licenses"):
                    self.assertIn(f"org.opencontainers.image.{label}=", labels)

    def test_both_are_the_same_but_for_cuda(self) -> None:
        def plain(file: pathlib.Path) -> list[str]:
            cuda = re.compile(r"CUDA_IMAGE|--from=cuda|NVIDIA_|^ENV PROAD_DEPS")
            return [line.replace("-DPROAD_CUDA=ON", "-DPROAD_CUDA=OFF").replace(" --no-tests --cpu", " --no-tests")
                    for line in instructions(file) if not cuda.search(line)]

        self.assertEqual(plain(DOCKERFILES[0]), plain(DOCKERFILES[1]))

    def test_what_is_copied_is_there_and_not_ignored(self) -> None:
        ignored = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
                   if line and not line.startswith(("#", "!", "**"))]
        for file in DOCKERFILES:
            text = " ".join(instructions(file))
            named = set(re.findall(r"\b(?:docker|model|deploy)/[\w./-]*\.(?:sh|yaml|png|safetensors)", text))
            self.assertGreaterEqual(len(named), 7)
            for name in named:
                self.assertTrue((ROOT / name).is_file(), name)
                for pattern in ignored:
                    self.assertFalse(pathlib.PurePath(name).match(pattern) or name.startswith(f"{pattern}/"), name)


class Compose(unittest.TestCase):
    def test_images_are_pinned_in_one_place(self) -> None:
        pinned, services = versions(), compose()["services"]
        self.assertEqual(services["prometheus"]["image"], pinned["PROMETHEUS_IMAGE"])
        self.assertEqual(services["grafana"]["image"], pinned["GRAFANA_IMAGE"])

    def test_everything_that_is_mounted_is_there(self) -> None:
        everything = compose()
        for name, service in everything["services"].items():
            for volume in service["volumes"]:
                source = volume.split(":")[0]
                with self.subTest(name, volume=volume):
                    if source.startswith("."):
                        self.assertTrue((DOCKER / source).exists())
                        self.assertTrue(volume.endswith(":ro"), "files of the project are read only")
                    else:
                        self.assertIn(source, everything["volumes"])
            for network in service["networks"]:
                self.assertIn(network, everything["networks"])
            for secret in service.get("secrets", []):
                self.assertIn(secret, everything["secrets"])

    def test_services_are_confined(self) -> None:
        for name, service in compose()["services"].items():
            with self.subTest(name):
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                for port in service["ports"]:
                    self.assertTrue(port.startswith("127.0.0.1:"), port)
        self.assertIs(compose()["services"]["proad-server"]["read_only"], True)

    def test_prometheus_and_grafana_find_what_is_mounted(self) -> None:
        services = compose()["services"]
        prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text(encoding="utf-8"))
        self.assertEqual(prometheus["rule_files"], ["rules/*.yaml"])  # beside the file: /etc/prometheus/rules
        text = yaml.safe_dump(prometheus["scrape_configs"])
        self.assertIn("proad-server", text)
        self.assertIn("9464", text)
        self.assertIn("proad-server", services)
        self.assertIn("metrics", services["proad-server"]["networks"])
        provisioning = ROOT / "deploy/grafana/provisioning"
        [source] = yaml.safe_load(next((provisioning / "datasources").iterdir()).read_text(encoding="utf-8"))["datasources"]
        self.assertEqual(source["url"], "http://prometheus:9090")
        [provider] = yaml.safe_load(next((provisioning / "dashboards").iterdir()).read_text(encoding="utf-8"))["providers"]
        folder = provider["options"]["path"]
        self.assertIn(f"../deploy/grafana/dashboards:{folder}:ro", services["grafana"]["volumes"])

    def test_cuda_changes_the_server_only(self) -> None:
        cuda = compose("compose.cuda.yaml")
        self.assertEqual(list(cuda["services"]), ["proad-server"])
        self.assertEqual(cuda["services"]["proad-server"]["build"], {"dockerfile": "docker/Dockerfile"})

    def test_the_server_has_the_time_that_its_configuration_adds_up_to(self) -> None:
        printed = subprocess.run(
            [str(BINARY / "server/proad-server"), "--config", str(DOCKER / "compose-server.yaml"), "--print-config"],
            capture_output=True, text=True, timeout=120, check=True)
        config = yaml.safe_load(printed.stdout)
        waits = [config["shutdown"]["lame_duck"], config["shutdown"]["drain_grace"], config["training"]["checkpoint_grace"]]
        seconds = [int(re.fullmatch(r"(\d+)s", wait).group(1)) for wait in waits]  # type: ignore[union-attr]
        grace = int(compose()["services"]["proad-server"]["stop_grace_period"].removesuffix("s"))
        self.assertGreater(grace, sum(seconds) + 2)

    def test_the_server_takes_both_configurations(self) -> None:
        for name in ("server.yaml", "compose-server.yaml"):
            checked = subprocess.run(
                [str(BINARY / "server/proad-server"), "--config", str(DOCKER / name), "--check-config"],
                capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(checked.returncode, 0, checked.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
