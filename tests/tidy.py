#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy) over the C++ files of model/, server/ and client/ that build without LibTorch.

    tests/tidy.py [--build build/asan] [--jobs N] [FILE ...]

The build folder must be configured, and its generated protobuf headers built (target proad_proto). A file without a
finding is remembered in BUILD/tidy by a digest of the file, of the project's headers that it includes, of its compile
command and of the checks; an unchanged file is not checked again. Exits 1 when there is a finding.

Most of the time of a check goes into the headers of gRPC and of the standard library, so files of one folder that define
different names are checked as one translation unit. Files that do not compile together are checked one by one.
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
# The name that a line without indentation defines: a type, an alias, a macro, a function, a variable.
DEFINED = re.compile(
    r"^(?:(?:class|struct|enum class|enum|union|#define) (\w+)|(?:using|namespace) (\w+) =|(?!using|namespace|//|#|})[\w:].*?(\w+)(?:\(|\[| =|\{|;))",
    re.MULTILINE)
UNIT_FILES = 12  # the most files of one translation unit


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


def group(entries_: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """Splits the files into units: one folder, one set of compiler options, and no name that two of them define."""
    units: list[tuple[tuple[str, str], set[str], list[dict[str, str]]]] = []
    for entry in entries_:
        file = pathlib.Path(entry["file"])
        kind = (str(file.parent), options_of(entry))
        names = {"".join(found) for found in DEFINED.findall(file.read_text(encoding="utf-8"))}
        for its_kind, taken, unit in units:
            if its_kind == kind and len(unit) < UNIT_FILES and not names & taken:
                taken |= names
                unit.append(entry)
                break
        else:
            units.append((kind, names, [entry]))
    return [unit for _, _, unit in units]


def options_of(entry: dict[str, str]) -> str:
    """The compile command without the names of the source and of the object file."""
    return " ".join(word for word in entry["command"].split() if not word.endswith((".cc", ".o", ".o.d")))


def run_tidy(program: str, folder: pathlib.Path, file: str) -> tuple[int, str]:
    done = subprocess.run([program, "-p", str(folder), "--config-file", str(ROOT / ".clang-tidy"), "--quiet", file],
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + (done.stderr if done.returncode and not done.stdout else "")


def check(program: str, folder: pathlib.Path, unit: list[dict[str, str]]) -> dict[str, str]:
    """The findings of the files of a unit that have any."""
    if len(unit) > 1:
        name = hashlib.sha256("".join(entry["file"] for entry in unit).encode()).hexdigest()[:16]
        together = folder / name / "unit.cc"
        together.parent.mkdir(exist_ok=True)
        together.write_text("".join(f'#include "{entry["file"]}"\n' for entry in unit), encoding="utf-8")
        entry = {**unit[0], "file": str(together), "command": unit[0]["command"].replace(unit[0]["file"], str(together))}
        (together.parent / "compile_commands.json").write_text(json.dumps([entry]), encoding="utf-8")
        status, _ = run_tidy(program, together.parent, str(together))
        shutil.rmtree(together.parent)
        if status == 0:
            return {}
    findings = {}
    for entry in unit:
        status, text = run_tidy(program, folder, entry["file"])
        if status != 0 or text:
            findings[entry["file"]] = text
    return findings


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
    changed = [entry for entry in chosen if not (clean / digests[entry["file"]]).exists()]
    units = group(changed)
    found = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for unit, findings in zip(units, pool.map(lambda unit: check(program, clean, unit), units), strict=True):
            for entry in unit:
                if entry["file"] in findings:
                    print(findings[entry["file"]], end="", flush=True)
                    found += 1
                else:
                    (clean / digests[entry["file"]]).touch()
    for stale in clean.iterdir():
        if not options.files and stale.suffix == "" and stale.name not in digests.values():
            stale.unlink()
    print(f"tidy: {len(chosen)} files, {len(changed)} of them checked in {len(units)} units, {found or 'none'} with findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
