"""The README's commands and examples, run as they stand there, in their order.

    readme_test.py README_EXAMPLE      the C++ example, compiled
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from waiting import first_line  # noqa: E402

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])
README = (SOURCE / "README.md").read_text()
# Run by continuous integration itself, and by e2e_demo_test.
BY_OTHERS = {"deploy/demo.sh", "tests/run.sh"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    """Each command of each shell block, continued lines joined, comments dropped."""
    for block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.split("  #")[0].split(" #")[0].strip()
            if command and command not in BY_OTHERS:
                yield command


def start(command):
    """A server in the background, once it is ready."""
    server = subprocess.Popen(command.removesuffix("&").split(), stdout=subprocess.PIPE, text=True, cwd=SOURCE)
    if not first_line(server, "ready"):
        raise SystemExit(f"the server ended with {server.wait()} before it printed 'ready': {command}")
    return server


def run(command, **options):
    print(f"$ {command if isinstance(command, str) else ' '.join(map(str, command))}", flush=True)
    subprocess.run(command, shell=isinstance(command, str), check=True, cwd=SOURCE, timeout=120, **options)


def main():
    example = sys.argv[1]
    servers = []
    try:
        for command in commands():
            if command.endswith("&"):
                servers.append(start(command))
            else:
                run(command)
        assert servers, "the README starts no server"
        run([example])
        with tempfile.TemporaryDirectory() as packages:
            run([sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index",
                 "--target", packages, "client/python"])
            for block in blocks("python"):
                run([sys.executable, "-c", block], env={**os.environ, "PYTHONPATH": packages})
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
    assert [server.wait(timeout=60) for server in servers] == [0], "a server did not stop cleanly"


if __name__ == "__main__":
    main()
