"""A real Prometheus for tests, with the rules of deploy/, that scrapes a server every second.

Used as a context manager:

    with RealPrometheus(server.metrics_address) as prometheus:
        prometheus.api.instant("proad_ready")
"""

import datetime
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

from waiting import await_true

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])
sys.path.insert(0, str(SOURCE / "deploy" / "grafana"))
import preview  # noqa: E402

RULES = SOURCE / "deploy" / "prometheus" / "rules"
PROGRAMS = pathlib.Path(os.environ["PROAD_PROMETHEUS"])
PROMTOOL = PROGRAMS / "promtool"
SCRAPE = 1  # seconds
if not PROMTOOL.exists():
    sys.exit(f"{PROMTOOL} is missing: run docker/install_deps.sh")


def promtool(*arguments, stdin=None):
    """Runs promtool to its end; never raises on its exit code."""
    command = [str(PROMTOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=240)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class RealPrometheus:
    """Prometheus over `targets` (HOST:PORT), its rules evaluated every second too.

    `history`: what it knew before, as {series: function of the day before today (1 to 7)}.
    """

    def __init__(self, *targets, history=None):
        self._targets = targets
        self._history = history or {}

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="proad-prometheus-")
        folder = pathlib.Path(self._folder.name)
        targets = ", ".join(f'"{target}"' for target in self._targets)
        (folder / "prometheus.yaml").write_text(f"""
global: {{scrape_interval: {SCRAPE}s, evaluation_interval: {SCRAPE}s}}
rule_files: ["{RULES}/*.yaml"]
scrape_configs:
  - job_name: proad
    static_configs: [{{targets: [{targets}]}}]
""")
        if self._history:
            self._write_history(folder)
        port = free_port()
        self._log = open(folder / "prometheus.log", "w+")
        self.process = subprocess.Popen(
            [str(PROGRAMS / "prometheus"), f"--config.file={folder / 'prometheus.yaml'}",
             f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=self._log, stderr=self._log)
        self.url = f"http://127.0.0.1:{port}"
        self.api = preview.Prometheus(self.url)
        await_true("Prometheus to scrape a target", self._answers, pause=0.1)
        return self

    def _write_history(self, folder):
        """Blocks with the hour around this time of the day of each of the seven days before."""
        now = int(time.time())
        lines = []
        for series, value in self._history.items():
            lines.append(f"# TYPE {series.partition('{')[0]} gauge")
            lines += [f"{series} {value(day)} {when}" for day in range(7, 0, -1)
                      for when in range(now - 86400 * day - 1800, now - 86400 * day + 1800, 60)]
        (folder / "history.txt").write_text("\n".join([*lines, "# EOF"]) + "\n")
        done = promtool("tsdb", "create-blocks-from", "openmetrics", "--quiet", folder / "history.txt", folder / "data")
        assert done.returncode == 0, done.stdout + done.stderr

    def _answers(self):
        assert self.process.poll() is None, f"prometheus ended:\n{self.log()}"
        try:
            return self.api.instant("sum(up) > 0")
        except (OSError, RuntimeError):  # not there yet; there, and reading its files
            return None

    def await_rules(self):
        """Returns once every rule was evaluated on what has been scraped until now."""
        now = time.time()

        def evaluated():
            groups = self.api.get("rules")["groups"]
            return all(_seconds(rule["lastEvaluation"]) > now + SCRAPE for group in groups for rule in group["rules"])

        await_true("every rule to be evaluated on the last scrape", evaluated, pause=0.1)

    def log(self):
        self._log.flush()
        self._log.seek(0)
        return self._log.read()

    def __exit__(self, kind, error, trace):
        self.process.terminate()
        self.process.wait(timeout=30)
        if kind is not None:
            print("--- prometheus log\n" + self.log()[-4000:])
        self._log.close()
        self._folder.cleanup()


def _seconds(when):
    """Seconds since 1970 of Prometheus' RFC 3339, which has nine decimals and any offset."""
    match = re.match(r"(.*:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$", when)
    whole = datetime.datetime.fromisoformat(match.group(1) + match.group(3).replace("Z", "+00:00"))
    return whole.timestamp() + float("0." + (match.group(2) or "0"))
