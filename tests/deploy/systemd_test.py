"""The unit of the service: understood by systemd, confined, and of one mind with the configuration. No systemd runs."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy/systemd/proad-server.service"
SERVER = pathlib.Path(os.environ["PROAD_BINARY_DIR"]) / "server/proad-server"
# systemd calls less than 5 "medium" and less than 2 "OK".
EXPOSURE = 2.0


def setting(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "min" else 1)


class Unit(unittest.TestCase):
    def test_systemd_understands_it(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder, UNIT.name)
            # What is installed only there: the program, and its manual.
            text = UNIT.read_text(encoding="utf-8").replace("/usr/bin/proad-server", str(SERVER))
            unit.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
            verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
            self.assertEqual((verified.returncode, verified.stdout + verified.stderr), (0, ""))

            unit.write_text(text.replace("ProtectClock=yes", "ProtectClocks=yes"), encoding="utf-8")
            verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
            self.assertIn("ProtectClocks", verified.stderr)

    def test_it_is_confined(self) -> None:
        analysed = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", UNIT],
                                  capture_output=True, text=True, check=False)
        [level] = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", analysed.stdout)
        self.assertLess(float(level), EXPOSURE, analysed.stdout)

    def test_the_user_can_be_made(self) -> None:
        users = UNIT.parent / "proad.sysusers.conf"
        made = subprocess.run(["systemd-sysusers", "--dry-run", users], capture_output=True, text=True, check=False)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(re.findall(r"^u (\S+)", users.read_text(encoding="utf-8"), re.MULTILINE), setting("User"))

    def test_it_has_the_time_that_its_configuration_adds_up_to(self) -> None:
        config = yaml.safe_load((ROOT / "deploy/proad-server.yaml").read_text(encoding="utf-8"))
        waits = (config["shutdown"]["lame_duck"], config["shutdown"]["drain_grace"], config["training"]["checkpoint_grace"])
        self.assertGreater(seconds(setting("TimeoutStopSec")[0]), sum(map(seconds, waits)) + 2)

    def test_it_may_write_where_the_configuration_does(self) -> None:
        config = yaml.safe_load((ROOT / "deploy/proad-server.yaml").read_text(encoding="utf-8"))
        state = pathlib.Path("/var/lib") / setting("StateDirectory")[0]
        # Jobs, datasets and encoders lie beside the store unless the configuration says otherwise.
        self.assertEqual(pathlib.Path(config["models"]["store"]).parent, state)
        self.assertEqual(setting("ProtectSystem"), ["strict"])

    def test_a_trainer_may_be_nice(self) -> None:
        """Niceness is refused where @resources is taken out of @system-service."""
        denied = " ".join(line for line in setting("SystemCallFilter") if line.startswith("~"))
        self.assertNotIn("@resources", denied)
        group = subprocess.run(["systemd-analyze", "syscall-filter", "@resources"], capture_output=True, text=True, check=True)
        self.assertIn("setpriority", group.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
