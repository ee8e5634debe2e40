"""The server's configuration as the chart's schema has it, made from deploy/proad-server.yaml.

    config_schema.py --update     writes it into values.schema.json

deploy/proad-server.yaml names every key with its default and, for numbers, its range; unit tests hold it against the
server. What the chart decides by itself is left out, so that the schema refuses it.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "deploy/helm/proad/values.schema.json"
KEYS = ROOT / "deploy/proad-server.yaml"

# Where to listen, what lies where, what computes, who is let in: values of the chart decide.
CHARTS_OWN = {
    "server.listen", "server.metrics_listen", "models.store", "models.device", "training.enabled",
    "training.data_root", "training.jobs", "training.encoders", "training.trainer", "training.checkpoint_on_stop",
    "training.uploads.datasets", "server.tls.certificate", "server.tls.key", "server.tls.client_ca",
    "server.tls.require_client_certificate", "auth.tokens", "auth.allow_plaintext",
}
# The termination grace of the pods is the sum of these.
REQUIRED = {"training.checkpoint_grace", "shutdown.lame_duck", "shutdown.drain_grace"}

DURATION = r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$"
BYTES = r"^[0-9]+(KiB|MiB|GiB)$"


def documented() -> Iterator[tuple[str, str, str]]:
    """(key, default, comment) of every key, in the order of the file."""
    sections: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in KEYS.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.lstrip("# "))
            continue
        match = re.fullmatch(r"( *)([a-z_]+):(?: +(.+))?", line)
        if match:
            indent, name, default = len(match.group(1)), match.group(2), match.group(3)
            sections = [section for section in sections if section[0] < indent]
            if default is None:
                sections.append((indent, name))
            else:
                yield ".".join([*(section for _, section in sections), name]), default, " ".join(comment)
        comment = []


def schema_of(key: str, default: str, comment: str) -> dict[str, Any]:
    """What a value may be, from its default and from what the comment says."""
    if default in ("true", "false"):
        return {"type": "boolean"}
    if re.fullmatch(r"\d+", default):
        numbers = re.search(r": ((?:\d+, )+\d+)\.", comment)
        if numbers:
            return {"enum": [int(number) for number in numbers.group(1).split(", ")]}
        allowed = re.search(r"\b(\d+) to (\d+)\b", comment)
        if allowed is None:
            raise ValueError(f"{KEYS.name}: {key}: the comment states no range")
        return {"type": "integer", "minimum": int(allowed.group(1)), "maximum": int(allowed.group(2))}
    if re.fullmatch(DURATION, default):
        return {"$ref": "#/definitions/duration"}
    if re.fullmatch(BYTES, default):
        return {"$ref": "#/definitions/bytes"}
    choices = re.search(r": ((?:\w+, )+\w+)\.", comment)
    if choices and default in choices.group(1).split(", "):
        return {"enum": choices.group(1).split(", ")}
    return {"type": "string"}


def definitions() -> dict[str, Any]:
    """What the configuration adds to the schema's definitions."""
    return {
        "duration": {"type": "string", "pattern": DURATION},
        "bytes": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": BYTES}]},
        "config": config_schema(),
    }


def config_schema() -> dict[str, Any]:
    """The sections and keys."""
    root: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for key, default, comment in documented():
        if key in CHARTS_OWN:
            continue
        node = root
        *sections, name = key.split(".")
        for section in sections:
            node = node["properties"].setdefault(
                section, {"type": "object", "additionalProperties": False, "properties": {}})
        node["properties"][name] = schema_of(key, default, comment)
    for key in sorted(REQUIRED):
        section, name = key.split(".")
        root.setdefault("required", [])
        if section not in root["required"]:
            root["required"].append(section)
        root["properties"][section].setdefault("required", []).append(name)
    return root


def main() -> int:
    if sys.argv[1:] != ["--update"]:
        print(__doc__)
        return 2
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    schema["definitions"] |= definitions()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
