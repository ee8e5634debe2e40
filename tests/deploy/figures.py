"""Makes the pictures of deploy/figures by hand: a real server and a real Prometheus, a quarter of an hour of a small
factory, and the dashboards as deploy/grafana/preview.py draws them.

    export PROAD_SOURCE_DIR=$PWD PROAD_BINARY_DIR=$PWD/build/release PROAD_PROMETHEUS=$PWD/.deps/prometheus/usr/bin
    .deps/venv/bin/python tests/deploy/figures.py --minutes 15 --out out/figures
    chromium --headless --no-sandbox --hide-scrollbars --window-size=1440,2440 --screenshot=service.png \\
        out/figures/service.html

Three lines send pictures of their own. At a fifth of the time somebody sends more than the server takes, at a third a
camera sends damaged pictures, then another version takes over, and from about the middle on a training job runs, whose
version then judges one of the lines.
"""

import argparse
import pathlib
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from line import Line, config, pictures  # noqa: E402
from prometheus import SCRAPE, SOURCE, RealPrometheus, preview  # noqa: E402
from real_server import RealServer  # noqa: E402

TAKT = {"alien": 0.5, "brick": 0.4, "gravel": 1.5}  # seconds
MODELS: dict[str, str] = {}  # that judge a category, where it is not the default one


def run_line(line, category, over):
    """Good parts, and now and then a bad one."""
    good = pictures(category, "good")
    bad = [picture for picture in pictures(category) if picture not in good]
    chance = random.Random(category)
    while not over.is_set():
        begin = time.monotonic()
        picture = chance.choice(bad if chance.random() < 0.08 else good)
        line.detect(picture, category, **({"model": MODELS[category]} if category in MODELS else {}))
        over.wait(max(0.0, TAKT[category] - (time.monotonic() - begin)))


def happen(line, unit, over):
    """What happens beside; `unit`: a minute of fifteen, in seconds."""
    begin = time.monotonic()

    def until(minute):
        over.wait(max(0.0, begin + minute * unit - time.monotonic()))

    until(1)
    line.overlays(10)
    until(3)
    line.rush(64, 4)
    until(5)
    line.wrong(60)
    until(6)
    line.swap()
    until(7)
    line.await_job(line.start_job("aliens", 5, "alien", "brick", activate_on_success=True), timeout=3600)
    MODELS["alien"] = "aliens"
    line.fail_to_swap()
    line.await_job(line.start_bad_job("broken"))
    line.stream("brick", 60)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="proad-figures-") as folder:
        data = pathlib.Path(folder) / "data"
        data.mkdir()
        with RealServer(config(data, max_images=48)) as server, RealPrometheus(server.metrics_address) as prometheus:
            line = Line(server, data)
            over = threading.Event()
            threads = [threading.Thread(target=run_line, args=(line, category, over)) for category in TAKT]
            threads.append(threading.Thread(target=happen, args=(line, 60 * options.minutes / 15, over), daemon=True))
            for thread in threads:
                thread.start()
            over.wait(60 * options.minutes)
            over.set()
            for name in ("service", "training"):
                preview.main(["--prometheus", prometheus.url, "--minutes", str(options.minutes),
                              "--scrape", str(SCRAPE), "--out", str(options.out / f"{name}.html"),
                              str(SOURCE / "deploy" / "grafana" / "dashboards" / f"{name}.json")])
            for thread in threads[:-1]:  # what happens beside may still be under way, and ends with the server
                thread.join()
            line.close()


if __name__ == "__main__":
    main()
