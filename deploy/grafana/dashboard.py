"""Queries of a dashboard, and a client for Prometheus."""

import dataclasses
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Iterator

Json = dict[str, Any]

VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclasses.dataclass(frozen=True)
class Query:
    """One query of a panel, with variables not yet expanded."""

    panel: str
    expr: str
    legend: str
    instant: bool


def panels(dashboard: Json) -> list[Json]:
    """All panels except rows, including those in collapsed rows."""
    found: list[Json] = []
    for panel in dashboard["panels"]:
        found += [panel] if panel["type"] != "row" else panel.get("panels", [])
    return found


def queries(dashboard: Json) -> Iterator[Query]:
    """All queries of a dashboard: panels and annotations."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Query(panel["title"], target["expr"], target.get("legendFormat", ""), target.get("instant", False))
    for annotation in dashboard["annotations"]["list"]:
        yield Query(annotation["name"], annotation["expr"], annotation["titleFormat"], False)


def variables(dashboard: Json) -> dict[str, str]:
    """The dashboard's variables, each with the value of All."""
    return {each["name"]: each.get("allValue", "") for each in dashboard["templating"]["list"]}


def expand(expr: str, values: dict[str, str]) -> str:
    """`expr` with every $name replaced; a name without a value is an error."""
    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        if name not in values:
            raise KeyError(f"{expr}: there is no variable ${name}")
        return values[name]

    return VARIABLE.sub(value, expr)


class Prometheus:
    """Client for the part of Prometheus' HTTP API that dashboards need."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, path: str, **parameters: Any) -> Any:
        """The `data` of an answer. Raises RuntimeError with Prometheus' message."""
        data = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{data}", timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path} {parameters}: {error.read().decode()}") from error

    def instant(self, expr: str) -> list[Json]:
        """Series of {metric, value}."""
        result: list[Json] = self.get("query", query=expr)["result"]
        return result

    def range(self, expr: str, start: float, end: float, step: float) -> list[Json]:
        """Series of {metric, values}."""
        result: list[Json] = self.get("query_range", query=expr, start=start, end=end, step=step)["result"]
        return result
