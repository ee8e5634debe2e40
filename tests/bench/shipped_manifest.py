#!/usr/bin/env python3
"""Writes the manifest of the shipped model: its metrics and its thresholds.

    tests/bench/shipped_manifest.py [DATASET] [--budget 0.1] [--build build/release] [--out FILE]

Writes model/weights/proad-pyramid.json; `proad import --manifest` makes a version with these thresholds. DATASET is
factory4 beside the project; the model was trained on its good training images. The thresholds come from its good test
images that are not in deploy/sample, so that the sample has no part in them. Each category has its own threshold: one
more good image stays below it with probability 1 - BUDGET if the scores are normal. (14 or 25 images are too few for an
empirical quantile.) The images of all categories together are enough for one: the threshold of an image without a
category lies half way between the highest score of the share BUDGET and the next above, as in model/spec/calibration.h.
Prints the verdicts on the sample's test images, and on all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from environment import BUILD, FACTORY4, ROOT, SAMPLE, program  # first: it selects the Python

import scipy.stats  # noqa: E402

WEIGHTS = ROOT / "model" / "weights"


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def calibration(scores: list[float], budget: float) -> dict[str, Any]:
    """As Calibrate of model/spec/calibration.h."""
    ranked = sorted(scores, reverse=True)
    rejected = math.floor(budget * len(ranked) + 1e-9)
    if rejected < 1:
        raise SystemExit(f"{len(ranked)} good images are too few for a budget of {budget}")
    return {"threshold": (ranked[rejected - 1] + ranked[rejected]) / 2, "false_reject_budget": budget,
            "images": len(ranked)}


def bound(scores: list[float], budget: float) -> dict[str, Any]:
    """As CalibrateProvisional of model/spec/calibration.h, but with the category's own standard deviation."""
    quantile = scipy.stats.t.ppf(1 - budget, len(scores) - 1)
    threshold = statistics.fmean(scores) + quantile * statistics.stdev(scores) * (1 + 1 / len(scores)) ** 0.5
    return {"threshold": threshold, "false_reject_budget": budget, "images": len(scores)}


def evaluate(trainer: pathlib.Path, dataset: pathlib.Path, store: pathlib.Path) -> tuple[dict[str, Any], pathlib.Path]:
    subprocess.run([trainer, "import", "--store", store, "--name", "proad-pyramid", "--encoder",
                    WEIGHTS / "encoder-pyramid.safetensors", "--weights", WEIGHTS / "proad-pyramid.safetensors"],
                   check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([trainer, "evaluate", "--store", store, "proad-pyramid@1", dataset, "--json"], check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout), store / "proad-pyramid" / "1" / "manifest.json"


def thresholds(samples: list[dict[str, Any]], budget: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The threshold of all images together, and those by category."""
    good: dict[str, list[float]] = {}
    for sample in samples:
        if not sample["defect"]:
            good.setdefault(sample["category"], []).append(sample["score"])
    pooled = [score for scores in good.values() for score in scores]
    return calibration(pooled, budget), {name: bound(good[name], budget) for name in sorted(good)}


def table(samples: list[dict[str, Any]], categories: dict[str, Any]) -> str:
    lines = ["| category | threshold | good, called NORMAL | defective, called ANOMALOUS |", "|---|---|---|---|"]
    for name, of_category in categories.items():
        cells = []
        for defective in (False, True):
            scores = [sample["score"] for sample in samples
                      if sample["category"] == name and bool(sample["defect"]) == defective]
            right = sum((score >= of_category["threshold"]) == defective for score in scores)
            cells.append(f"{right} of {len(scores)}")
        lines.append(f"| {name} | {of_category['threshold']:.4f} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the manifest of the shipped model")
    parser.add_argument("dataset", type=pathlib.Path, nargs="?", default=FACTORY4)
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    parser.add_argument("--out", type=pathlib.Path, default=WEIGHTS / "proad-pyramid.json")
    options = parser.parse_args()
    if not options.dataset.is_dir():
        sys.exit(f"there is no folder {options.dataset}")
    with tempfile.TemporaryDirectory() as scratch:
        report, file = evaluate(program("proad-trainer", options.build), options.dataset, pathlib.Path(scratch))
        manifest = json.loads(file.read_text(encoding="utf-8"))
    known = {digest(path) for path in SAMPLE.glob("*/test/*/*")}
    in_sample = [digest(options.dataset / sample["name"]) in known for sample in report["samples"]]
    shown = [sample for sample, inside in zip(report["samples"], in_sample, strict=True) if inside]
    other = [sample for sample, inside in zip(report["samples"], in_sample, strict=True) if not inside]
    manifest["calibration"], manifest["categories"] = thresholds(other, options.budget)
    manifest["metrics"] = {"/".join(filter(None, (metric["name"], metric["category"]))): metric["value"]
                           for metric in report["metrics"]}
    options.out.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(table(shown, manifest["categories"]) + "\n\n" + table(report["samples"], manifest["categories"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
