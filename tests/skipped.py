#!/usr/bin/env python3
"""Passes ctest's output on and lists the skipped tests with their reasons before ctest's closing summary.

    ctest --test-dir BUILD ... | tests/skipped.py BUILD
    tests/skipped.py --self-test

A test is skipped when it exits with code 77; its reason is the last line that it printed. A case of a GoogleTest program
is skipped by GTEST_SKIP(); its reason is the text given there. The summary stays at the end, where a caller reads it.
"""

from __future__ import annotations

import pathlib
import re
import sys

SUMMARY = re.compile(r"^\d+% tests passed")
SKIPPED_TEST = re.compile(r"Test +#\d+: (\S+) \.*\*\*\*Skipped")
SECTION = re.compile(r"^\d+/\d+ Testing: (\S+)\n.*?^Output:\n-+\n(.*?)^<end of output>", re.MULTILINE | re.DOTALL)
SKIPPED_CASE = re.compile(r"^\S+:\d+: Skipped\n(.*?)^\[  SKIPPED \] (\S+)", re.MULTILINE | re.DOTALL)


def last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed no reason"


def skipped(names: list[str], log: str) -> list[str]:
    """One line for each skipped test of `names` and for each skipped case in ctest's log."""
    found = []
    for name, output in SECTION.findall(log):
        if name in names:
            found.append(f"{name}: {last_line(output)}")
        for reason, case in SKIPPED_CASE.findall(output):
            found.append(f"{name}, {case}: {' '.join(reason.split()) or 'no reason given'}")
    return found


def pass_on(build: pathlib.Path) -> None:
    names: list[str] = []
    summary: list[str] = []
    for line in sys.stdin:
        if summary or SUMMARY.match(line):
            summary.append(line)
            continue
        sys.stdout.write(line)
        sys.stdout.flush()
        if match := SKIPPED_TEST.search(line):
            names.append(match.group(1))
    log = build / "Testing" / "Temporary" / "LastTest.log"
    found = skipped(names, log.read_text(encoding="utf-8", errors="replace")) if log.exists() else names
    if found:
        print(f"{len(found)} skipped:")
        for reason in found:
            print(f"   {reason}")
        print()
    sys.stdout.writelines(summary)


def self_test() -> None:
    log = """Start testing: Nov 30 20:00 UTC
----------------------------------------------------------
1/3 Testing: parity
1/3 Test: parity
Command: "python" "parity.py"
Output:
----------------------------------------------------------
starting
skipped: this Python has no PyTorch
<end of output>
Test time =   0.1 sec
2/3 Testing: gpu_test
2/3 Test: gpu_test
Output:
----------------------------------------------------------
[ RUN      ] Device.Runs
/src/tests/gpu_test.cc:12: Skipped
there is no GPU

[  SKIPPED ] Device.Runs (0 ms)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Device.Runs
<end of output>
3/3 Testing: silent
3/3 Test: silent
Output:
----------------------------------------------------------
<end of output>
"""
    assert skipped(["parity", "silent"], log) == [
        "parity: skipped: this Python has no PyTorch",
        "gpu_test, Device.Runs: there is no GPU",
        "silent: it printed no reason",
    ], skipped(["parity", "silent"], log)
    assert SKIPPED_TEST.search(" 5/90 Test  #5: parity ....................***Skipped   0.02 sec").group(1) == "parity"
    assert SUMMARY.match("100% tests passed, 0 tests failed out of 90")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        pass_on(pathlib.Path(sys.argv[1]))
