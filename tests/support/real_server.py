"""The real binaries for end-to-end tests: a store with `proad-tiny`, the fastest model, a server on free ports, the
command line.

Used as a context manager:

    with RealServer() as server:
        server.proad("detect", "deploy/sample")
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import grpc
from waiting import first_line

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])
BINARY = pathlib.Path(os.environ["PROAD_BINARY_DIR"])
PROAD = BINARY / "client" / "proad"
SERVER = BINARY / "server" / "proad-server"
SAMPLE = SOURCE / "deploy" / "sample"
MODEL = "proad-tiny"


def run(*command, **options):
    """Runs a command to its end; never raises on its exit code."""
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=SOURCE, timeout=240, **options
    )


def import_model(store):
    """Makes version 1 of the model in `store`."""
    weights = SOURCE / "model" / "weights"
    done = run(
        PROAD, "import", "--store", store, "--name", MODEL, "--preset", "proad-tiny",
        "--encoder", weights / "encoder-tiny.safetensors", "--weights", weights / "proad-tiny.safetensors",
    )
    assert done.returncode == 0, f"import failed: {done.stdout}{done.stderr}"


class Server:
    """A `proad-server` that can be killed and started again over the same store, with the same configuration."""

    def __init__(self, store, config, log, flags=()):
        self._command = [SERVER, "--store", store, "--config", config,
                         "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *flags]
        self._log = pathlib.Path(log)
        self.process = None
        self.channel = None

    def start(self):
        with open(self._log, "a") as log:
            self.process = subprocess.Popen(
                [str(part) for part in self._command], stdout=subprocess.PIPE, stderr=log, text=True, cwd=SOURCE)
        line = first_line(self.process, "listening ")
        assert line, f"the server did not start:\n{self.log()}"
        self.address = re.search(r"grpc=(\S+)", line).group(1)
        self.channel = grpc.insecure_channel(self.address)

    def await_ready(self):
        """Returns once the default model is warm."""
        assert first_line(self.process, "ready"), f"the server did not become ready:\n{self.log()}"

    def kill(self):
        """SIGKILL."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None:
            self.process.stdout.close()

    def log(self):
        return self._log.read_text()


class RealServer:
    """`proad-server` with that model; `config` is YAML text, default none."""

    def __init__(self, config=None, flags=()):
        self._config = config
        self._flags = flags

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="proad-e2e-")
        self.folder = pathlib.Path(self._folder.name)
        self.store = self.folder / "store"
        import_model(self.store)
        command = [SERVER, "--store", self.store, "--default-model", MODEL,
                   "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *self._flags]
        if self._config is not None:
            path = self.folder / "server.yaml"
            path.write_text(self._config)
            command += ["--config", path]
        self._log = open(self.folder / "server.log", "w+")
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=SOURCE
        )
        line = self._first_line("listening ")
        self.address = re.search(r"grpc=(\S+)", line).group(1)
        self.metrics_address = re.search(r"metrics=(\S+)", line).group(1)
        self._first_line("ready")
        return self

    def _first_line(self, prefix):
        line = first_line(self.process, prefix)
        assert line, f"the server ended with {self.process.wait()} before it printed '{prefix}':\n{self.log()}"
        return line

    def log(self):
        return (self.folder / "server.log").read_text()

    def proad(self, *arguments):
        """Runs the command line against this server."""
        return run(PROAD, *arguments, env={**os.environ, "PROAD_SERVER": self.address})

    def proad_json(self, *arguments):
        """The command line's JSON lines; fails the test when it failed."""
        done = self.proad(*arguments, "--json")
        assert done.returncode == 0, f"proad {arguments} exited {done.returncode}: {done.stdout}{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def terminate(self, timeout=60):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=timeout)

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if kind is not None:
            print("--- server log\n" + self.log())
        self._log.close()
        self._folder.cleanup()
