"""Where the benchmarks find their Python packages and the programs of the project. Import it before anything that is
not in Python's standard library: when another Python runs the script, it starts the script again in the Python that
docker/install_deps.sh made, which has PyTorch, gRPC and safetensors.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PROAD_BINARY_DIR", ROOT / "build" / "release"))
SAMPLE = ROOT / "deploy" / "sample"
FACTORY4 = ROOT.parent / "shared" / "datasets" / "factory4"
# The dataset of the published results where it lies beside the project, the sample elsewhere.
DATASET = FACTORY4 if FACTORY4.is_dir() else SAMPLE
ENCODER = ROOT / "model" / "weights" / "encoder-pyramid.safetensors"

FOLDERS = {"proad": "client", "proad-server": "server", "proad-trainer": "server", "resize_tool": "tests/unit"}  # others: tests/bench

_VENV = pathlib.Path(os.environ.get("PROAD_DEPS", ROOT / ".deps")) / "venv"
if pathlib.Path(sys.prefix).resolve() != _VENV.resolve():
    if not (_VENV / "bin" / "python").exists():
        sys.exit(f"{_VENV} is missing; run: docker/install_deps.sh")
    os.execv(_VENV / "bin" / "python", [str(_VENV / "bin" / "python"), *sys.argv])

for _folder in ("support", "torch", "torch/network"):
    sys.path.insert(0, str(ROOT / "tests" / _folder))


def program(name: str, build: pathlib.Path = BUILD) -> pathlib.Path:
    """The path of a program of the project. Exits with the command that builds it when it does not exist."""
    path = build / FOLDERS.get(name, "tests/bench") / name
    if not path.exists():
        sys.exit(f"{path} is missing; run: cmake --preset {build.name} && cmake --build {build} --target {name}")
    return path


def run_program(command: list[Any], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs a program of the project, which prints its own errors. Exits when it fails."""
    done = subprocess.run([str(word) for word in command], check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} {command[1]} exited with {done.returncode}")
    return done
