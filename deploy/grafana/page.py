"""The panels of a page, drawn as HTML and SVG."""

import dataclasses
import datetime
import html
import math
import time

from dashboard import Json, Prometheus, Query, expand
from looks import COLOURS, PALETTE, colour_of, legend_of, text_of, threshold_colour, ticks


@dataclasses.dataclass
class Series:
    name: str
    points: list[tuple[float, float]]


class Page:
    """A dashboard at one time, over a number of minutes before it."""

    def __init__(self, prometheus: Prometheus, minutes: float, scrape: float, columns: int = 300) -> None:
        self.prometheus = prometheus
        self.end = time.time()
        self.start = self.end - 60 * minutes
        self.step = max(scrape, math.ceil(60 * minutes / columns))
        self.values = {"__rate_interval": f"{math.ceil(max(4 * scrape, self.step + scrape))}s",
                       "__range": f"{math.ceil(60 * minutes)}s"}

    def series(self, panel: Json) -> list[Series]:
        found = []
        for target in panel["targets"]:
            query = Query(panel["title"], target["expr"], target["legendFormat"], False)
            for each in self.prometheus.range(expand(query.expr, self.values), self.start, self.end, self.step):
                points = [(when, float(value)) for when, value in each["values"] if value not in ("NaN", "+Inf")]
                if points:
                    found.append(Series(legend_of(query, each["metric"]), points))
        return found

    def instants(self, panel: Json) -> list[tuple[Json, str, float]]:
        found = []
        for target in panel["targets"]:
            query = Query(panel["title"], target["expr"], target["legendFormat"], True)
            for each in self.prometheus.instant(expand(query.expr, self.values)):
                found.append((each["metric"], legend_of(query, each["metric"]), float(each["value"][1])))
        return found

    def time_axis(self, left: float, right: float, bottom: float) -> str:
        out = ""
        step = next((s for s in (30, 60, 120, 300, 600, 1800, 3600, 7200) if (self.end - self.start) / s <= 7), 14400)
        when = math.ceil(self.start / step) * step
        while when < self.end:
            x = left + (right - left) * (when - self.start) / (self.end - self.start)
            clock = datetime.datetime.fromtimestamp(when).strftime("%H:%M" if step >= 60 else "%H:%M:%S")
            out += f'<line x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{bottom:.1f}" class="grid"/>'
            out += f'<text x="{x:.1f}" y="{bottom + 14:.1f}" class="tick" text-anchor="middle">{clock}</text>'
            when += step
        return out

    def draw(self, panel: Json, width: int, height: int) -> str:
        kind = panel["type"]
        if kind == "timeseries":
            return self.draw_series(panel, width, height)
        if kind == "heatmap":
            return self.draw_heatmap(panel, width, height)
        if kind == "stat":
            return self.draw_stat(panel, width, height)
        if kind == "bargauge":
            return self.draw_bars(panel, width, height)
        if kind == "state-timeline":
            return self.draw_timeline(panel, width, height)
        if kind == "table":
            return self.draw_table(panel)
        raise ValueError(f"{panel['title']}: no way to draw a {kind}")

    def nothing(self, panel: Json) -> str:
        words = panel["fieldConfig"]["defaults"].get("noValue", "no data")
        return f'<div class="nothing">{html.escape(words)}</div>'

    def draw_series(self, panel: Json, width: int, height: int) -> str:
        defaults = panel["fieldConfig"]["defaults"]
        custom = defaults["custom"]
        overrides = {each["matcher"]["options"]: {rule["id"]: rule["value"] for rule in each["properties"]}
                     for each in panel["fieldConfig"]["overrides"]}
        found = self.series(panel)
        if not found:
            return self.nothing(panel)
        stacked = custom["stacking"]["mode"] == "normal"
        base: dict[float, float] = {}
        drawn = []
        for index, each in enumerate(found):
            color = overrides.get(each.name, {}).get("color", {}).get("fixedColor")
            colour = colour_of(color) if color else PALETTE[index % len(PALETTE)]
            low = [base.get(when, 0.0) if stacked else 0.0 for when, _ in each.points]
            high = [value + below for (_, value), below in zip(each.points, low)]
            if stacked:
                base.update(zip((when for when, _ in each.points), high))
            drawn.append((each, colour, low, high))
        bottom = float(defaults.get("min", min(min(high) for _, _, _, high in drawn)))
        top = max(max(high) for _, _, _, high in drawn)
        limits = [step for step in defaults["thresholds"]["steps"] if step["value"] is not None]
        if custom["thresholdsStyle"]["mode"] == "line":
            near = [step["value"] for step in limits if step["value"] <= 2 * top]
            top = max([top, *near])
        top = min(float(defaults.get("max", math.inf)), bottom + 1.08 * (top - bottom)) if top > bottom else bottom + 1
        left, right, floor = 58.0, width - 8.0, height - 44.0

        def x_of(when: float) -> float:
            return left + (right - left) * (when - self.start) / (self.end - self.start)

        def y_of(value: float) -> float:
            return floor - (floor - 6) * (min(value, top) - bottom) / (top - bottom)

        out = self.time_axis(left, right, floor)
        for tick in ticks(bottom, top, defaults["unit"]):
            out += (f'<line x1="{left}" y1="{y_of(tick):.1f}" x2="{right}" y2="{y_of(tick):.1f}" class="grid"/>'
                    f'<text x="{left - 6}" y="{y_of(tick) + 4:.1f}" class="tick" text-anchor="end">'
                    f'{html.escape(text_of(tick, defaults["unit"]))}</text>')
        for each, colour, low, high in drawn:
            fill = overrides.get(each.name, {}).get("custom.fillOpacity", custom["fillOpacity"])
            out += self.draw_line(each, colour, custom | {"fillOpacity": fill}, [x_of(when) for when, _ in each.points],
                                  [y_of(value) for value in low], [y_of(value) for value in high])
        if custom["thresholdsStyle"]["mode"] == "line":
            for step in limits:
                if bottom < step["value"] <= top:
                    y = y_of(step["value"])
                    out += (f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke-dasharray="6 4"'
                            f' stroke="{colour_of(step["color"])}" stroke-width="1.2" opacity="0.8"/>')
        legend = "".join(f'<span><i style="background:{colour}"></i>{html.escape(each.name)}</span>'
                         for each, colour, _, _ in drawn)
        return f'<svg width="{width}" height="{height - 24}">{out}</svg><div class="legend">{legend}</div>'

    def draw_line(self, each: Series, colour: str, custom: Json, xs: list[float], low: list[float],
                  high: list[float]) -> str:
        """A line and the area below it, interrupted where there are no values."""
        out = ""
        begin = 0
        for index in range(1, len(xs) + 1):
            if index < len(xs) and each.points[index][0] - each.points[index - 1][0] <= 1.5 * self.step:
                continue
            part = range(begin, index)
            begin = index
            upper = " ".join(f"{xs[i]:.1f},{high[i]:.1f}" for i in part)
            lower = " ".join(f"{xs[i]:.1f},{low[i]:.1f}" for i in reversed(part))
            if len(part) == 1:
                out += f'<circle cx="{xs[part[0]]:.1f}" cy="{high[part[0]]:.1f}" r="2" fill="{colour}"/>'
                continue
            out += (f'<polygon points="{upper} {lower}" fill="{colour}" opacity="{custom["fillOpacity"] / 100}"/>'
                    f'<polyline points="{upper}" fill="none" stroke="{colour}" stroke-width="{custom["lineWidth"]}"/>')
        return out

    def draw_heatmap(self, panel: Json, width: int, height: int) -> str:
        found = []
        expr = expand(panel["targets"][0]["expr"], self.values)
        for each in self.prometheus.range(expr, self.start, self.end, self.step):
            found.append((float(each["metric"]["le"].replace("+Inf", "inf")),
                          {when: float(value) for when, value in each["values"]}))
        found.sort(key=lambda pair: pair[0])
        cells = []
        below: dict[float, float] = {}
        for edge, counts in found:
            cells.append((edge, {when: max(0.0, count - below.get(when, 0.0)) for when, count in counts.items()}))
            below = counts
        filled = [index for index, (_, counts) in enumerate(cells) if any(count > 0.01 for count in counts.values())]
        if not filled:
            return self.nothing(panel)
        cells = cells[max(0, filled[0] - 1):filled[-1] + 2]
        most = max(max(counts.values()) for _, counts in cells)
        left, right, floor = 58.0, width - 8.0, height - 24.0
        row = (floor - 6) / len(cells)
        column = (right - left) * self.step / (self.end - self.start)
        unit = panel["options"]["yAxis"]["unit"]
        out = self.time_axis(left, right, floor)
        for index, (edge, counts) in enumerate(cells):
            y = floor - (index + 1) * row
            name = "more" if math.isinf(edge) else text_of(edge, unit)
            if len(cells) <= 10 or index % 2 == 0:
                out += f'<text x="{left - 6}" y="{y + 5:.1f}" class="tick" text-anchor="end">{html.escape(name)}</text>'
            for when, count in counts.items():
                if count <= 0.01:
                    continue
                x = left + (right - left) * (when - self.start) / (self.end - self.start)
                shade = math.sqrt(count / most)
                out += (f'<rect x="{x - column:.1f}" y="{y + 0.5:.1f}" width="{column:.2f}" height="{row - 1:.1f}"'
                        f' fill="rgb({int(20 + 150 * shade)},{int(60 + 165 * shade)},{int(120 + 135 * shade)})"/>')
        return f'<svg width="{width}" height="{height}">{out}</svg>'

    def draw_stat(self, panel: Json, width: int, height: int) -> str:
        defaults = panel["fieldConfig"]["defaults"]
        found = self.series(panel)
        if not found:
            return self.nothing(panel)
        last = found[0].points[-1][1]
        colour = threshold_colour(defaults, last)
        line = ""
        if panel["options"]["graphMode"] == "area" and len(found[0].points) > 1:
            values = [value for _, value in found[0].points]
            low, high = min(values), max(values)
            span = (high - low) or 1
            points = " ".join(
                f"{width * index / (len(values) - 1):.1f},{height - 4 - 0.35 * height * (value - low) / span:.1f}"
                for index, value in enumerate(values))
            line = (f'<svg width="{width}" height="{height}" class="spark"><polygon points="0,{height} {points} '
                    f'{width},{height}" fill="{colour}" opacity="0.15"/><polyline points="{points}" fill="none" '
                    f'stroke="{colour}" stroke-width="1.5"/></svg>')
        value = html.escape(text_of(last, defaults["unit"], defaults.get("decimals")))
        return f'{line}<div class="stat" style="color:{colour}">{value}</div>'

    def draw_bars(self, panel: Json, width: int, height: int) -> str:
        defaults = panel["fieldConfig"]["defaults"]
        found = self.instants(panel)
        if not found:
            return self.nothing(panel)
        most = defaults.get("max") or max(value for _, _, value in found) or 1
        out = ""
        for _, name, value in found:
            colour = threshold_colour(defaults, value)
            out += (f'<div class="bar"><span>{html.escape(name)}</span><div><b style="width:{100 * value / most:.1f}%;'
                    f'background:{colour}"></b></div><em style="color:{colour}">'
                    f'{html.escape(text_of(value, defaults["unit"], defaults.get("decimals")))}</em></div>')
        return f'<div class="bars">{out}</div>'

    def draw_timeline(self, panel: Json, width: int, height: int) -> str:
        found = self.series(panel)
        if not found:
            return self.nothing(panel)
        left, right, floor = 190.0, width - 8.0, height - 24.0
        row = min(34.0, (floor - 6) / len(found))
        out = self.time_axis(left, right, floor)
        for index, each in enumerate(found):
            y = 6 + index * row
            out += (f'<text x="{left - 8}" y="{y + row / 2 + 4:.1f}" class="tick" text-anchor="end">'
                    f'{html.escape(each.name)}</text>')
            for when, value in each.points:
                if value > 0:
                    x = left + (right - left) * (when - self.start) / (self.end - self.start)
                    wide = (right - left) * self.step / (self.end - self.start) + 0.4
                    out += (f'<rect x="{x:.1f}" y="{y + 3:.1f}" width="{min(wide, right - x):.1f}"'
                            f' height="{row - 6:.1f}" fill="{COLOURS["blue"]}"/>')
        return f'<svg width="{width}" height="{height}">{out}</svg>'

    def draw_table(self, panel: Json) -> str:
        organize = panel["transformations"][0]["options"]
        defaults = panel["fieldConfig"]["defaults"]
        columns = sorted(organize["indexByName"], key=lambda name: int(organize["indexByName"][name]))
        found = self.instants(panel)
        if not found:
            return self.nothing(panel)
        head = "".join(f"<th>{html.escape(organize['renameByName'][name])}</th>" for name in columns)
        rows = ""
        for metric, _, value in found:
            cells = [text_of(value, defaults["unit"], 0) if name == "Value" else str(metric.get(name, ""))
                     for name in columns]
            rows += "<tr>" + "".join(
                f"<td>{html.escape(cell if len(cell) < 30 else cell[:12] + '…')}</td>" for cell in cells) + "</tr>"
        return f"<table><tr>{head}</tr>{rows}</table>"
