"""tests/support/fake_server.cc from Python: a server that does as the request says."""

import os
import pathlib
import subprocess

PROGRAM = pathlib.Path(os.environ["PROAD_BINARY_DIR"]) / "tests" / "wire" / "proad_fake_server"


def picture(score):
    """A picture that it gives this score."""
    return f"score={score}".encode()


class FakeServer:
    """Runs the program; `address` is where it listens. `words` are its arguments."""

    def __init__(self, *words):
        self._words = words

    def __enter__(self):
        self._process = subprocess.Popen([PROGRAM, *self._words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            raise AssertionError(f"{PROGRAM} ended with {self._process.wait()}")
        return self

    def stop(self):
        """Ends it now; whoever left it open finds nobody there."""
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def __exit__(self, kind, error, trace):
        self._process.stdin.close()
        self._process.stdout.close()
        code = self._process.wait(timeout=60)
        if kind is None and code != 0:
            raise AssertionError(f"{PROGRAM} ended with {code}")
