#!/usr/bin/env python3
"""Trains one model on several products from scratch, once per seed, and prints its metrics beside a baseline.

    tests/bench/factory4.py [DATASET] [--seeds 1 2 3] [--recipe quick] [--set KEY=VALUE ...] [--preset proad-pyramid]
                            [--encoder FILE] [--build build/release] [--threads 2] [--no-baseline] [--keep DIR]

DATASET has any supported layout with a test split. The default is factory4 beside the project where it exists, and
otherwise deploy/sample. Each seed is one job of proad-trainer on all good training images; no image is held out for
thresholds. Prints tables in Markdown: image AUROC, pixel AUROC and AUPRO (the last two only for a dataset with masks) by
category and their mean, for each seed and as the mean of the seeds. The baseline is the image AUROC of nearest neighbours
among the encoder's features (nearest_neighbours.py); it needs MVTec-AD's layout. --keep stores the jobs and versions in
DIR; a job that already ended there does not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
import tempfile
from typing import Any

from environment import BUILD, DATASET, ENCODER, ROOT, program, run_program  # first: it selects the Python

import torch  # noqa: E402

import nearest_neighbours  # noqa: E402

METRICS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}

# The members of Recipe in model/spec/recipe.h with their defaults; a file leaves out what it does not change.
RECIPE: dict[str, Any] = {
    "epochs": 0, "steps": 0, "batch_size": 16, "learning_rate": 1e-3, "final_ratio": 0.1, "warmup_epochs": 0,
    "warmup_steps": 0, "weight_decay": 1e-4, "gradient_clip": 0.1, "dropout": 0.2, "tau": 3.0, "seed": 1,
    "precision": "fp32", "adaptive_noisy_bottleneck": True, "dynamic_decoder": True, "prototype_constraint": True,
}

Figures = dict[tuple[str, str], float]  # by metric and category, "" the mean


def value_of(text: str) -> Any:
    """The JSON value of a number, true or false; any other text as it is."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def recipe(name: str, overrides: list[str], seed: int) -> dict[str, Any]:
    lines = (ROOT / "model" / "recipes" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("#")[0].split(":", 1) for line in lines if ":" in line.split("#")[0]]
    pairs += [text.split("=", 1) for text in overrides]
    return {"name": name, **RECIPE, **{key.strip(): value_of(value.strip()) for key, value in pairs}, "seed": seed}


def specification(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """A job's spec.json, as server/jobs/job_files.h reads it."""
    return {
        "format": 1,
        "train": {
            "model_name": f"seed{seed}",
            "dataset": str(options.dataset.resolve()),
            "dataset_format": "auto",
            "categories": [],
            "preset": options.preset,
            "recipe": recipe(options.recipe, options.set, seed),
            "encoder_file": str(options.encoder.resolve()),
            "init_from": "",
            "device": options.device,
            "validation_share": 0.0,
            "false_reject_budget": 0.01,
            "skip_unreadable": False,
            "world_size": 1,
            "active_version": "",
        },
        "request_digest": "", "dataset_path": "", "dataset_id": "", "encoder": "", "init_from": "",
        "activate_on_success": False,
        "labels": {},
    }


def train(options: argparse.Namespace, folder: pathlib.Path, seed: int) -> Figures:
    job = folder / "jobs" / f"seed{seed}"
    if not (job / "result.json").exists():
        job.mkdir(parents=True, exist_ok=True)
        (job / "spec.json").write_text(json.dumps(specification(options, seed), indent=2) + "\n", encoding="utf-8")
        (folder / "store").mkdir(exist_ok=True)
        print(f"training with seed {seed}", file=sys.stderr)
        run_program([program("proad-trainer", options.build), "train", "--job", job, "--store", folder / "store"],
                    env={**os.environ, "OMP_NUM_THREADS": str(options.threads)})
    result = json.loads((job / "result.json").read_text(encoding="utf-8"))
    return {(metric["name"], metric["category"]): metric["value"] for metric in result["evaluation"]["metrics"]}


def row(title: str, values: list[float | None]) -> str:
    return f"| {title} | " + " | ".join("-" if value is None else f"{value:.3f}" for value in values) + " |"


def table(metric: str, seeds: dict[int, Figures], baseline: nearest_neighbours.Figures | None) -> str:
    categories = sorted({category for figures in seeds.values() for name, category in figures if name == metric})
    categories = [*categories[1:], ""]  # the mean last
    lines = [f"| {METRICS[metric]} | " + " | ".join(category or "mean" for category in categories) + " |",
             "|---" * (len(categories) + 1) + "|"]
    for seed, figures in seeds.items():
        lines.append(row(f"seed {seed}", [figures.get((metric, category)) for category in categories]))
    means = [sum(figures[metric, category] for figures in seeds.values()) / len(seeds) for category in categories]
    lines.append(row("mean", list(means)))
    if baseline and metric == "image_auroc":
        for score, words in (("max", "nearest neighbours, largest"), ("top1", "nearest neighbours, top 1 %")):
            lines.append(row(words, [baseline[score].get(category) for category in categories]))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Trains on several products with several seeds")
    parser.add_argument("dataset", type=pathlib.Path, nargs="?", default=DATASET)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--preset", default="proad-pyramid")
    parser.add_argument("--encoder", type=pathlib.Path, default=ENCODER)
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-baseline", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    if not options.dataset.exists():
        sys.exit(f"there is no dataset {options.dataset}")
    program("proad-trainer", options.build)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or pathlib.Path(scratch)
        seeds = {seed: train(options, folder, seed) for seed in options.seeds}
    torch.set_num_threads(options.threads)
    baseline = None if options.no_baseline else nearest_neighbours.baseline(options.dataset, options.encoder)
    measured = {name for figures in seeds.values() for name, _ in figures}
    print("\n\n".join(table(metric, seeds, baseline) for metric in METRICS if metric in measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
