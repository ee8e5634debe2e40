"""The runbook, deploy/README.md, followed line by line.

Blocks below `<!-- run -->` are run as they stand there, one after the other, with the real programs. The folders that
they name (/etc/proad, /var/lib/proad, /usr/share/proad, /srv) are folders of the test, the port is a free one, and a few
lines of shell stand in for systemd and sudo. Training is made short. Commands for Helm are rendered, not run.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import chart
import helm_python

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNBOOK = ROOT / "deploy/README.md"
BINARY = pathlib.Path(os.environ["PROAD_BINARY_DIR"])

# Seconds; a fifth of it on a machine with nothing else to do.
TIMEOUT = 560

# What stands in for the machine of an operator. FOLDER, PORT, PROAD and SERVER are replaced.
MACHINE = r"""
set -euo pipefail
PS4='+ $SECONDS s: '
sudo() { if [ "$1" = -u ]; then shift 2; fi; "$@"; }
proad() {
  [ "$1" != train ] || set -- "$@" --epochs 1 --batch-size 4 --input-side 112
  # doctor looks at a server only when one is named.
  if [ "$1" = doctor ]; then PROAD "$@"; else PROAD_SERVER=127.0.0.1:PORT PROAD "$@"; fi
}
proad-server() { SERVER "$@"; }
systemctl() {
  [ "${*: -1}" = proad-server ]
  case "$1" in
    enable | start)
      mkfifo FOLDER/says 2>/dev/null || true
      SERVER --config FOLDER/etc/proad/proad-server.yaml >FOLDER/says 2>>FOLDER/log &
      server=$!
      # "ready", or the end of the file when it ends before.
      grep -q -m1 '^ready' FOLDER/says || { cat FOLDER/log; return 1; } ;;
    stop) kill -TERM "$server"; wait "$server" ;;
    restart) systemctl stop proad-server && systemctl start proad-server ;;
    *) echo "systemctl $1: not known to the test"; return 1 ;;
  esac
}
trap 'kill -KILL ${server:-} 2>/dev/null || true' EXIT
"""


def blocks(marked: bool) -> list[str]:
    """Shell blocks in their order; those to be run, or all others."""
    text = RUNBOOK.read_text(encoding="utf-8")
    found = []
    for mark, indent, body in re.findall(r"(<!-- run -->\n)?( *)```sh\n(.*?)```", text, re.DOTALL):
        if bool(mark) == marked:
            found.append("".join(line.removeprefix(indent) for line in body.splitlines(keepends=True)))
    return found


def commands(text: str) -> list[list[str]]:
    """The words of each command, continued lines joined."""
    return [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def free_port() -> int:
    """Below those that the system gives to outgoing connections."""
    for port in range(20000 + os.getpid() % 5000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port is free")


class Runbook(unittest.TestCase):
    def test_the_commands_of_one_machine(self) -> None:
        with tempfile.TemporaryDirectory(prefix="proad-runbook-") as name:
            folder = pathlib.Path(name)
            port = free_port()
            (folder / "etc/proad").mkdir(parents=True)
            (folder / "var/lib/proad").mkdir(parents=True)
            (folder / "srv/backup").mkdir(parents=True)
            shutil.copytree(ROOT / "deploy/sample/brick", folder / "srv/pictures/brick")
            (folder / "usr/share/proad").mkdir(parents=True)
            (folder / "usr/share/proad/weights").symlink_to(ROOT / "model/weights")
            # As installed: jobs find the shipped encoder in ../share/proad/weights of the server's folder.
            (folder / "usr/bin").mkdir()
            for program in ("proad-server", "proad-trainer"):
                shutil.copy2(BINARY / "server" / program, folder / "usr/bin")

            def there(text: str) -> str:
                text = re.sub(r"(?<![\w/])(/etc|/var/lib|/usr/share)(?=/proad\b| proad\b)", rf"{folder}\1", text)
                text = re.sub(r"(?<![\w/])/srv/", f"{folder}/srv/", text)
                return text.replace("localhost:50051", f"127.0.0.1:{port}")

            config = (ROOT / "deploy/proad-server.yaml").read_text(encoding="utf-8")
            config = config.replace("listen: 127.0.0.1:50051", f"listen: 127.0.0.1:{port}")
            config = config.replace("metrics_listen: 127.0.0.1:9464", "metrics_listen: 127.0.0.1:0")
            config = re.sub(r"^  lame_duck: .*$", "  lame_duck: 0s", config, flags=re.MULTILINE)
            (folder / "etc/proad/proad-server.yaml").write_text(there(config), encoding="utf-8")

            script = MACHINE + "set -x\n"
            for word, value in (("FOLDER", name), ("PORT", str(port)), ("PROAD", str(BINARY / "client/proad")),
                                ("SERVER", str(folder / "usr/bin/proad-server"))):
                script = re.sub(rf"\b{word}\b", value, script)
            script += "\n".join(there(block) for block in blocks(marked=True))
            said = folder / "said"
            with said.open("w", encoding="utf-8") as output:
                # A session of its own, so that nothing of it stays.
                shell = subprocess.Popen(["bash", "-c", script], stdout=output, stderr=subprocess.STDOUT, cwd=folder,
                                         stdin=subprocess.DEVNULL, start_new_session=True)
                try:
                    status = shell.wait(timeout=TIMEOUT)
                except subprocess.TimeoutExpired:
                    status = -1
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(shell.pid, signal.SIGKILL)
                    shell.wait()
            text = said.read_text(encoding="utf-8")
            self.assertEqual(status, 0, text[-6000:])

            # What the runbook promises to have happened.
            self.assertIn("line-4@1 serves now", text)
            self.assertIn("proad-pyramid@1 serves now; before: proad-pyramid@2", text)
            lost, restored = folder / "var/lib/proad/models.lost", folder / "var/lib/proad/models"
            versions = sorted(path.relative_to(lost).as_posix() for path in lost.glob("*/[0-9]*/*"))
            self.assertGreaterEqual(len(versions), 12)
            for version in versions:
                self.assertEqual((restored / version).read_bytes(), (lost / version).read_bytes(), version)
            self.assertEqual((restored / "proad-pyramid/active").read_bytes(), (lost / "proad-pyramid/active").read_bytes())

    def test_the_commands_for_helm_render(self) -> None:
        seen = set()
        for block in blocks(marked=False):
            for words in commands(block):
                if words[0] != "helm":
                    continue
                seen.add(words[1])
                self.assertIn(words[1], {"lint", "template", "install", "upgrade", "test", "history", "rollback", "package"})
                if "deploy/helm/proad" in words and "--values" in words:
                    for values in map(chart.example, chart.EXAMPLES):
                        for option, value in zip(words, words[1:]):
                            if option == "--set":
                                for key, part in helm_python.parse_set_string(value).items():
                                    values[key] = {**values.get(key, {}), **part}
                        self.assertTrue(chart.render(values))
        self.assertLessEqual({"lint", "template", "install", "upgrade", "test", "rollback"}, seen)

    def test_every_release_and_namespace_is_the_same(self) -> None:
        """What is copied from one block must fit the next."""
        for block in blocks(marked=False):
            for words in commands(block):
                if words[0] == "kubectl" and words[1:3] != ["create", "namespace"]:
                    self.assertIn("factory", words, words)
                if words[0] == "helm" and words[1] in ("install", "upgrade", "test", "rollback"):
                    self.assertIn("line1", words, words)
                    self.assertIn("factory", words, words)


if __name__ == "__main__":
    unittest.main(verbosity=2)
