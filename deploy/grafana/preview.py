#!/usr/bin/env python3
"""Draws a dashboard of this folder without Grafana: a page with the same panels, from the same queries.

    deploy/grafana/preview.py --prometheus http://127.0.0.1:9090 --minutes 60 --out page.html \\
        deploy/grafana/dashboards/service.json

For machines without Grafana, and for tests, which run every query of every panel. Needs only Python.
"""

import argparse
import html
import json
import pathlib
import sys
from typing import Optional

from dashboard import Json, Prometheus, expand, panels, queries, variables
from page import Page

# Names that tests import.
__all__ = ["Page", "Prometheus", "draw", "expand", "main", "panels", "queries", "variables"]

UNIT_HEIGHT, COLUMN = 38, 60  # pixels of a grid unit

STYLE = """
body{margin:0;background:#111217;color:#ccccdc;font:13px Inter,"DejaVu Sans",sans-serif}
h1{font-size:19px;font-weight:500;margin:0;padding:14px 12px 2px}
p{margin:0;padding:0 12px 10px;color:#8e8e9e}
main{position:relative;width:1440px}
section{position:absolute;box-sizing:border-box;overflow:hidden;
  background:#181b1f;border:1px solid #2c2f36;border-radius:3px}
section>h2{font-size:13px;font-weight:500;margin:0;padding:6px 10px 4px;white-space:nowrap}
h3{position:absolute;margin:0;padding:9px 8px;font-size:15px;font-weight:500;color:#e6e6f0}
.grid{stroke:#26292f;stroke-width:1}.tick{fill:#8e8e9e;font-size:11px}
.legend{padding:0 8px 0 20px;height:20px;overflow:hidden;white-space:nowrap}
.legend span{margin-right:11px;font-size:11px}
.legend i{display:inline-block;width:12px;height:4px;border-radius:2px;margin-right:6px;vertical-align:3px}
.stat,.nothing{position:absolute;inset:24px 0 0 0;display:flex;align-items:center;justify-content:center}
.stat{font-size:38px;font-weight:500}.nothing{color:#6e6e7e}
.spark{position:absolute;left:0;bottom:0}
.bars{padding:6px 12px}.bar{display:flex;align-items:center;margin:5px 0}.bar span{width:230px;font-size:12px}
.bar div{flex:1;background:#22252b;height:16px}.bar b{display:block;height:16px}
.bar em{width:70px;text-align:right;font-style:normal}
table{border-collapse:collapse;width:100%;font-size:13px}th{color:#8ab8ff;font-weight:500}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid #26292f}
"""


def draw(dashboard: Json, page: Page, rows: int) -> str:
    """The page; `rows`: number of rows to draw, 0 for all."""
    body, height, seen = "", 0, 0
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        x, y = grid["x"] * COLUMN, grid["y"] * UNIT_HEIGHT
        wide, high = grid["w"] * COLUMN, grid["h"] * UNIT_HEIGHT
        if panel["type"] == "row":
            seen += 1
            if rows and seen > rows:
                break
            body += f'<h3 style="left:{x}px;top:{y}px">{html.escape(panel["title"])}</h3>\n'
            continue
        height = max(height, y + high)
        inside = page.draw(panel, wide - 10, high - 40)
        body += (f'<section style="left:{x + 3}px;top:{y + 3}px;width:{wide - 6}px;height:{high - 6}px" '
                 f'title="{html.escape(panel["description"])}"><h2>{html.escape(panel["title"])}</h2>{inside}'
                 '</section>\n')
    title = html.escape(dashboard["title"])
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
            f'<body><h1>{title}</h1><p>{html.escape(dashboard["description"])}</p>'
            f'<main style="height:{height + 8}px">\n{body}</main></body></html>\n')


def main(arguments: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dashboard", type=pathlib.Path)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--scrape", type=float, default=15, help="seconds between scrapes")
    parser.add_argument("--rows", type=int, default=0, help="only so many rows of panels; 0: all")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args(arguments)
    dashboard = json.loads(options.dashboard.read_text(encoding="utf-8"))
    page = Page(Prometheus(options.prometheus), options.minutes, options.scrape)
    page.values |= variables(dashboard)
    options.out.write_text(draw(dashboard, page, options.rows), encoding="utf-8")
    print(f"{options.out}: {dashboard['title']}, {len(panels(dashboard))} panels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
