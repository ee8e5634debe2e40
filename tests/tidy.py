#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy) over the C++ files of model/, server/ and client/ that build without LibTorch.

    tests/tidy.py [--build build/asan] [--jobs N] [FILE ...]

The build folder must be configured, and its generated protobuf headers built (target proad_proto). A file without a
finding is remembered in BUILD/tidy by a digest of the file, of the project's headers that it includes, of its compile
command and of the checks; an unchanged file is not checked again. From nothing this takes about seven minutes on two
cores. Exits 1 when there is a finding.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("model", "server", "client")
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def closure(file: pathlib.Path, seen: dict[pathlib.Path, str]) -> None:
    """Adds the text of `file` and of the project's headers that it includes, directly or not, to `seen`."""
    if file in seen:
        return
    seen[file] = file.read_text(encoding="utf-8")
    for name in INCLUDE.findall(seen[file]):
        if (ROOT / name).is_file():
            closure(ROOT / name, seen)


def digest(entry: dict[str, str], common: str) -> str:
    files: dict[pathlib.Path, str] = {}
    closure(pathlib.Path(entry["file"]), files)
    texts = [common, entry["command"], *(f"{path.relative_to(ROOT)}\n{files[path]}" for path in sorted(files))]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def entries(build: pathlib.Path, wanted: list[pathlib.Path]) -> list[dict[str, str]]:
    chosen = []
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        file = pathlib.Path(entry["file"])
        if not file.is_relative_to(ROOT) or file.relative_to(ROOT).parts[0] not in FOLDERS:
            continue
        if not wanted or file in wanted:
            chosen.append(without_precompiled_headers(entry))
    return chosen


def without_precompiled_headers(entry: dict[str, str]) -> dict[str, str]:
    """The same compile command, which reads the headers themselves: clang-tidy then needs nothing but generated sources."""
    command = re.sub(r" -Xclang -include-pch -Xclang \S+", "", entry["command"])
    command = re.sub(r" -Xclang -include -Xclang \S+cmake_pch\S+", "", command)
    return {**entry, "command": re.sub(r" -Winvalid-pch| -fpch-\S+", "", command)}


def check(program: str, commands: pathlib.Path, file: str) -> str:
    """The findings of a file; empty when there is none."""
    done = subprocess.run([program, "-p", str(commands), "--quiet", file], capture_output=True, text=True, check=False)
    return done.stdout + (done.stderr if done.returncode and not done.stdout else "")


def main() -> int:
    parser = argparse.ArgumentParser(description="clang-tidy over model/, server/ and client/")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/asan")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    program = shutil.which("clang-tidy-14")
    if program is None:
        print("tidy: clang-tidy-14 is missing: run docker/install_deps.sh", file=sys.stderr)
        return 1
    build = options.build.resolve()
    if not (build / "compile_commands.json").exists():
        print(f"tidy: {build} is not configured: run cmake --preset {build.name}", file=sys.stderr)
        return 1
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    protos = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "proto").rglob("*.proto"))]
    common = "\0".join([version, (ROOT / ".clang-tidy").read_text(encoding="utf-8"), *protos])
    clean = build / "tidy"
    clean.mkdir(exist_ok=True)

    chosen = entries(build, [file.resolve() for file in options.files])
    digests = {entry["file"]: digest(entry, common) for entry in chosen}
    (clean / "compile_commands.json").write_text(json.dumps(chosen), encoding="utf-8")
    changed = [file for file, value in digests.items() if not (clean / value).exists()]
    found = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for file, findings in zip(changed, pool.map(lambda file: check(program, clean, file), changed), strict=True):
            if findings:
                print(findings, end="", flush=True)
                found += 1
            else:
                (clean / digests[file]).touch()
    for stale in clean.iterdir():
        if not options.files and stale.suffix == "" and stale.name not in digests.values():
            stale.unlink()
    print(f"tidy: {len(chosen)} files, {len(changed)} of them checked, {found or 'none'} with findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
