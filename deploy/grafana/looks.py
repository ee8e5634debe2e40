"""Formatting of values on a page: colours, units, names in legends, ticks of an axis."""

import math
import re
from typing import Optional

from dashboard import Json, Query

PALETTE = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff9830", "#f2495c", "#5794f2", "#b877d9", "#fade2a", "#56a64b", "#ca95e5"]
COLOURS = {
    "green": "#73bf69", "red": "#f2495c", "dark-red": "#c4162a", "light-red": "#ff7383", "yellow": "#fade2a",
    "blue": "#5794f2", "orange": "#ff9830", "light-orange": "#ffb357", "purple": "#b877d9", "transparent": "none"}


def colour_of(name: Optional[str]) -> str:
    return COLOURS.get(name or "", name or "#ccccdc")


def seconds_text(value: float) -> str:
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min"),
                                (172800, 1 / 3600, "h"), (math.inf, 1 / 86400, "d")):
        if abs(value) < limit:
            return f"{value * factor:.3g} {unit}"
    return f"{value} s"


def text_of(value: float, unit: str, decimals: Optional[int] = None) -> str:
    """A value in approximately the format of Grafana."""
    if math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.{2 if decimals is None and 0 < abs(value) < 0.01 else decimals or 0}f} %"
    if unit == "s":
        return seconds_text(value) if value else "0 s"
    if unit == "bytes":
        for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
            if abs(value) >= 1024 ** power:
                return f"{value / 1024 ** power:.3g} {name}"
        return f"{value:.0f} B"
    number = f"{value:.{decimals}f}" if decimals is not None else f"{value:.4g}"
    return number + ({"reqps": " req/s", "ops": "/s"}.get(unit, ""))


def threshold_colour(defaults: Json, value: float) -> str:
    colour = "green"
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return colour_of(colour)


def legend_of(query: Query, metric: Json) -> str:
    if query.legend in ("", "__auto"):
        return metric.get("__name__", "") if len(metric) <= 1 else ", ".join(
            f"{key}={value}" for key, value in sorted(metric.items()) if key != "__name__")
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: str(metric.get(match.group(1), "")), query.legend)


def ticks(low: float, high: float, unit: str = "", count: int = 4) -> list[float]:
    """Round numbers between two values; for bytes, round in KiB, MiB, GiB."""
    span = (high - low) or 1
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    if unit == "bytes" and rough >= 1024:
        kilo = 1024.0 ** math.floor(math.log(rough, 1024))
        power = kilo * 10.0 ** math.floor(math.log10(rough / kilo))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]
