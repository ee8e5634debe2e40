#!/usr/bin/env python3
"""Prints the manual page of a program, made from its --help and --version.

    manual.py PROGRAM SECTION

Every command has a section, made from `PROGRAM COMMAND... --help`.
"""

import dataclasses
import pathlib
import re
import subprocess
import sys

OTHERS = {"proad": "proad-server(8), proad-trainer(1)", "proad-server": "proad(1), proad-trainer(1)",
          "proad-trainer": "proad(1), proad-server(8)"}
FILES = {"proad-server": "/etc/proad/proad-server.yaml\nEvery key of the configuration with its default."}


@dataclasses.dataclass
class Help:
    """The output of --help, split into parts."""

    summary: str
    usage: str
    parts: dict[str, list[tuple[str, str]]]  # "Options" etc. -> (word, description)
    footer: list[str]


def ask(program: str, *words: str) -> str:
    return subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout


def parse(text: str) -> Help:
    """The layout is CLI11's: a heading, entries at two columns, their descriptions there or below at thirty."""
    summary, usage = [], ""
    parts: dict[str, list[tuple[str, str]]] = {}
    footer: list[str] = []
    part: list[tuple[str, str]] | None = None
    for line in text.splitlines():
        heading = re.fullmatch(r"([A-Z]\w+):", line)
        entry = re.fullmatch(r"  (\S.*?)(?:  +(\S.*))?", line)
        if heading:
            part = parts.setdefault(heading[1], [])
        elif line.startswith("Usage: "):
            usage = line.removeprefix("Usage: ")
        elif part is not None and entry:
            part.append((entry[1], entry[2] or ""))
        elif part and re.match(r" {10,}\S", line):
            word, meaning = part[-1]
            part[-1] = (word, f"{meaning} {line.strip()}".strip())
        elif line and not usage:
            summary.append(line)
        elif line:
            footer.append(line)
    if not usage:
        raise SystemExit(f"manual.py: this is not the help of a command:\n{text}")
    return Help(" ".join(summary), usage, parts, footer)


def escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def entries(found: Help) -> list[str]:
    lines = []
    for title, part in found.parts.items():
        if title == "Subcommands":
            continue
        for word, meaning in part:
            lines += [".TP", f".B {escaped(word)}", escaped(meaning)]
    return lines


def commands(program: str, found: Help, path: tuple[str, ...] = ()) -> list[str]:
    lines = []
    for word, _ in found.parts.get("Subcommands", []):
        below = parse(ask(program, *path, word, "--help"))
        name = " ".join((*path, word))
        if "Subcommands" not in below.parts:
            usage = re.sub(r"^\S+", pathlib.Path(program).name, below.usage)
            if name not in usage:  # a command that another program runs
                words = usage[usage.find("["):] if "[" in usage else ""
                usage = f"{pathlib.Path(program).name} {name} {words}"
            lines += [f".SS {escaped(name)}", escaped(below.summary + "."), ".PP", f".B {escaped(usage)}"]
            lines += entries(below)
            for line in below.footer:
                lines += [".PP", escaped(line)]
        lines += commands(program, below, (*path, word))
    return lines


def page(program: str, section: str) -> str:
    name = pathlib.Path(program).name
    found = parse(ask(program, "--help"))
    version = ask(program, "--version").split()[1]
    summary = found.summary.rstrip(".")
    lines = [
        f'.TH {name.upper()} {section} "" "{name} {version}" "Pro\\-AD Server"',
        ".nh", ".ad l", ".SH NAME", f"{escaped(name)} \\- {escaped(summary[0].lower() + summary[1:])}",
        ".SH SYNOPSIS", f".B {escaped(found.usage)}",
        ".SH OPTIONS", *entries(found),
    ]
    for line in found.footer:
        lines += [".PP", escaped(line)]
    below = commands(program, found)
    if below:
        lines += [".SH COMMANDS", *below]
    if name in FILES:
        file, meaning = FILES[name].split("\n")
        lines += [".SH FILES", ".TP", f".I {escaped(file)}", escaped(meaning)]
    lines += [".SH SEE ALSO", escaped(OTHERS[name])]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1], sys.argv[2]))
