#!/usr/bin/env python3
"""Checks that every reason of an error is declared, documented and written once.

    reason_check.py [ROOT]       prints every offence as FILE:LINE: WHAT; exit 1 when there is one
    reason_check.py --self-test  plants offences in a temporary tree and checks that each is found

server/util/reasons.h declares the reasons, each with a comment that says what the caller should do.
  table      proto/proad/v1/errors.md has one row for each reason, with the same text, and no other row.
  literals   no other file of server/ writes a declared reason, or another UPPER_SNAKE_CASE word, as a string literal. Names of
             environment variables and of job states are listed below.
  model      the reasons that the exceptions of model/ carry, as string literals, are declared. Names of values of an enum in
             proto/ may be literals, too.
  clients    the same for the reasons that client/ compares or documents.
  documents  every UPPER_SNAKE_CASE word in README.md, deploy/, proto/ and client/ documents is a reason, a gRPC code, a value
             of an enum in proto/, an environment variable, or listed below.
"""

import dataclasses
import pathlib
import re
import sys
import tempfile

from check_main import report_self_test, run_check

HEADER = "server/util/reasons.h"
TABLE = "proto/proad/v1/errors.md"

DECLARATION = re.compile(r'^inline constexpr char (k\w+)\[\] = "([A-Z0-9_]+)";$')
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| ([^|]+) \| (.+) \|$")
LITERAL = re.compile(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)"')
WORD = re.compile(r"(?<![\w$/.-])[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+(?![\w/-])")
ENUM_VALUE = re.compile(r"^\s*([A-Z][A-Z0-9_]+)\s*=\s*\d+;", re.MULTILINE)

GRPC_CODES = {
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
# Words in UPPER_SNAKE_CASE that are no reasons.
ENVIRONMENT = re.compile(
    r"^(PROAD|OMP|GOMP|GLOO|MASTER|LOCAL|WORLD|TORCH|NCCL|CUDA|NVIDIA|MALLOC|CMAKE|SSL|XDG|GRPC)_|^NO_COLOR$|^DPROAD_")
NO_REASONS = {
    "NOT_SERVING",       # gRPC health
    "UPPER_SNAKE_CASE",  # the spelling itself
    "PR_SET_PDEATHSIG",  # Linux
}
# Declared reasons that server/ also uses as other words: file -> words.
OTHER_WORDS = {
    "server/jobs/train_job.cc": {"CANCELLED"},  # the name of a state
}


@dataclasses.dataclass(frozen=True)
class Finding:
    file: str
    line: int
    text: str

    def __str__(self):
        return f"{self.file}:{self.line}: {self.text}"


def lines(root, file):
    path = root / file
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def sources(root, folder, suffixes):
    for path in sorted((root / folder).glob("**/*")):
        if path.suffix in suffixes and path.is_file() and "build" not in path.relative_to(root).parts:
            yield path.relative_to(root).as_posix()


def declared(root, found):
    """The reasons of the header: name -> (line, what the caller should do)."""
    reasons = {}
    comment = []
    for number, line in enumerate(lines(root, HEADER), 1):
        match = DECLARATION.match(line)
        if match:
            constant, name = match.groups()
            expected = "k" + "".join(word.capitalize() for word in name.split("_"))
            if constant != expected:
                found.append(Finding(HEADER, number, f"{name} is called {constant}; expected {expected}"))
            if not comment:
                found.append(Finding(HEADER, number, f"{name} has no comment that says what the caller should do"))
            if name in reasons:
                found.append(Finding(HEADER, number, f"{name} is declared twice"))
            reasons[name] = (number, " ".join(comment))
            comment = []
        elif line.startswith("// ") and not line.startswith("// ---"):
            comment.append(line[3:])
        else:
            comment = []
    return reasons


def check_table(root, reasons):
    rows = {}
    for number, line in enumerate(lines(root, TABLE), 1):
        match = ROW.match(line)
        if not match:
            continue
        name, _, text = match.groups()
        if name in rows:
            yield Finding(TABLE, number, f"{name} has two rows")
        rows[name] = number
        if name not in reasons:
            yield Finding(TABLE, number, f"{name} is not declared in {HEADER}")
        elif reasons[name][1] != text:
            yield Finding(TABLE, number, f"{name}: the text differs from {HEADER}: {reasons[name][1]!r}")
    for name, (number, _) in reasons.items():
        if name not in rows:
            yield Finding(HEADER, number, f"{name} has no row in {TABLE}")


def check_server(root, reasons):
    for file in sources(root, "server", {".h", ".cc"}):
        if file == HEADER:
            continue
        for number, line in enumerate(lines(root, file), 1):
            code = line.split("//")[0]
            for name in LITERAL.findall(code):
                if name in OTHER_WORDS.get(file, ()) or ENVIRONMENT.match(name):
                    continue
                if name in reasons:
                    yield Finding(file, number, f'"{name}" is a reason: write the constant of {HEADER}')
                elif "_" in name:
                    yield Finding(file, number, f'"{name}" looks like a reason and is not declared in {HEADER}')


def check_literals(root, folder, suffixes, reasons):
    """Literals in code that may not include the header: they must be declared there, or be values of an enum in proto/."""
    known = set(reasons) | NO_REASONS | enum_values(root)
    for file in sources(root, folder, suffixes):
        for number, line in enumerate(lines(root, file), 1):
            for name in LITERAL.findall(line):
                if "_" in name and name not in known and not ENVIRONMENT.match(name):
                    yield Finding(file, number, f'"{name}" is not a reason that {HEADER} declares')


def check_model(root, reasons):
    yield from check_literals(root, "model", {".h", ".cc"}, reasons)


def check_clients(root, reasons):
    yield from check_literals(root, "client", {".h", ".cc", ".py"}, reasons)


def enum_values(root):
    """The values of the enums in proto/, with and without the prefix of their enum."""
    names = set()
    for file in sources(root, "proto", {".proto"}):
        for value in ENUM_VALUE.findall("\n".join(lines(root, file))):
            parts = value.split("_")
            names.update("_".join(parts[start:]) for start in range(len(parts)))
    return names


def documents(root):
    yield from (name for name in ("README.md",) if (root / name).is_file())
    for folder in ("deploy", "client"):
        yield from sources(root, folder, {".md"})
    yield from sources(root, "proto/proad", {".md", ".proto"})


def check_documents(root, reasons):
    known = set(reasons) | GRPC_CODES | NO_REASONS | enum_values(root)
    for file in documents(root):
        for number, line in enumerate(lines(root, file), 1):
            for name in WORD.findall(line):
                if name not in known and not ENVIRONMENT.match(name):
                    yield Finding(file, number, f"{name} is not a reason that {HEADER} declares")


def findings(root):
    root = pathlib.Path(root)
    found = []
    reasons = declared(root, found)
    if not reasons:
        return [Finding(HEADER, 0, "declares no reason")]
    for check in (check_table, check_server, check_model, check_clients, check_documents):
        found.extend(check(root, reasons))
    return found


# ---------------------------------------------------------------- the check of the check

CLEAN = {
    HEADER: """// Reasons.
#pragma once

// Send the call again after the retry delay.
inline constexpr char kQueueFull[] = "QUEUE_FULL";
// Send an image.
inline constexpr char kImageEmpty[] = "IMAGE_EMPTY";
""",
    TABLE: """# Reasons

| Reason | Code | What the caller should do |
|---|---|---|
| `QUEUE_FULL` | RESOURCE_EXHAUSTED | Send the call again after the retry delay. |
| `IMAGE_EMPTY` | INVALID_ARGUMENT | Send an image. |
""",
    "server/rpc/unary.cc": 'f({.reason = reason::kQueueFull});  // "QUEUE_FULL"\ngetenv("OMP_NUM_THREADS");\n',
    "server/jobs/train_job.cc": 'return "CANCELLED";\n',
    "model/picture/frame.cc": 'throw InvalidImage(\n    "frame", "IMAGE_EMPTY",\n    "no bytes");\n',
    "client/error.h": '// For example "QUEUE_FULL".\n',
    "proto/proad/v1/detection.proto": "enum Verdict {\n  VERDICT_NORMAL = 1;\n}\n// RESOURCE_EXHAUSTED (QUEUE_FULL)\n",
    "README.md": "`RESOURCE_EXHAUSTED` with `QUEUE_FULL`; VERDICT_NORMAL; set `PROAD_SERVER`.\n",
}

# What is planted, and what must be found: (file, new content, line, words of the message).
PLANTED = [
    (HEADER, CLEAN[HEADER] + 'inline constexpr char kGone[] = "GONE";\n', 8, "no comment"),
    (HEADER, CLEAN[HEADER] + '// Stop.\ninline constexpr char kGone[] = "GONE";\n', 9, "has no row"),
    (HEADER, CLEAN[HEADER].replace("kQueueFull", "kFull"), 5, "expected kQueueFull"),
    (TABLE, CLEAN[TABLE] + "| `GONE` | INTERNAL | Stop. |\n", 7, "is not declared"),
    (TABLE, CLEAN[TABLE].replace("Send an image.", "Send two."), 6, "the text differs"),
    (TABLE, CLEAN[TABLE] + "| `IMAGE_EMPTY` | INTERNAL | Send an image. |\n", 7, "two rows"),
    ("server/rpc/unary.cc", 'f({.reason = "QUEUE_FULL"});\n', 1, "write the constant"),
    ("server/rpc/unary.cc", 'f({.reason = "QUEUE_GONE"});\n', 1, "not declared"),
    ("model/picture/frame.cc", 'throw InvalidInput("frame",\n    "IMAGE_GONE", "x");\n', 2, '"IMAGE_GONE" is not a reason'),
    ("client/error.h", 'if (reason == "QUEUE_GONE") {\n', 1, "is not a reason"),
    ("README.md", "`RESOURCE_EXHAUSTED` with `QUEUE_GONE`\n", 1, "QUEUE_GONE is not a reason"),
    ("proto/proad/v1/detection.proto", "// UNAVAILABLE (NO_SUCH_THING)\n", 1, "NO_SUCH_THING"),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)

        def write(name, content):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content, encoding="utf-8")

        for name, content in CLEAN.items():
            write(name, content)
        failures += [f"found in the clean tree: {finding}" for finding in findings(root)]
        for name, content, line, words in PLANTED:
            write(name, content)
            found = findings(root)
            if not any(f.file == name and f.line == line and words in f.text for f in found):
                failures.append(f"not found: {name}:{line} {words}; found {[str(f) for f in found]}")
            write(name, CLEAN[name])
    return report_self_test(failures, len(PLANTED), "reason check")


if __name__ == "__main__":
    sys.exit(run_check(sys.argv[1:], findings, self_test, "reasons: {} offences", "reasons: all declared and documented"))
