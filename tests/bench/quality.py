#!/usr/bin/env python3
"""Trains a preset with a recipe and prints its quality on images that nothing was chosen on, beside those that were used.

    tests/bench/quality.py [DATASET] [--report DATASET] [--choose] [--seeds 1 2 3] [--preset proad-pyramid]
                           [--recipe quick] [--set KEY=VALUE ...] [--encoder FILE] [--build build/release] [--threads 2]
                           [--keep DIR]

DATASET and the dataset of --report have MVTec-AD's layout. The default of DATASET is factory4 beside the project where it
exists, and otherwise deploy/sample; that of --report is report1 beside the project, and none elsewhere.

Features, recipe, rules and seeds are chosen on the even-numbered test images of DATASET. Its odd-numbered test images and
the whole test split of --report serve only to report the result. Numbers count the sorted images of each folder from 0;
in factory4 they are even and odd where the file names are. With --choose, neither the odd-numbered images nor the dataset
of --report are read. Run it without --choose only when no choice is left.

Each seed is one job of proad-trainer on all good training images of DATASET, and another on those of --report. No image
is held out for thresholds. Prints tables in Markdown: image AUROC, pixel AUROC and AUPRO (the last two only with masks) by
category and their mean, each as the mean of the seeds and the range of the seeds. --keep stores the datasets of the two
splits, the jobs and the versions in DIR; a job that already ended there does not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from environment import BUILD, DATASET, ENCODER, FACTORY4, program  # first: it selects the Python

import factory4  # noqa: E402

REPORT = FACTORY4.parent / "report1"
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# The order of the rows, and their titles.
PARTS = {"even": "even-numbered, chosen on", "odd": "odd-numbered, reported", "report": "reported"}

Seeds = list[factory4.Figures]  # the figures of each seed


def link(source: pathlib.Path, target: pathlib.Path) -> None:
    """Makes `target` the same file, or a copy where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except FileExistsError:
        pass
    except OSError:
        shutil.copy(source, target)


def images_in(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)


def write_split(dataset: pathlib.Path, target: pathlib.Path, parity: int) -> pathlib.Path:
    """A dataset with all training images of `dataset`, and every second test image with its mask."""
    files: list[pathlib.Path] = []
    for folder in sorted(dataset.glob("*/train/good")):
        files += images_in(folder)
    for folder in sorted(dataset.glob("*/test/*")):
        for image in images_in(folder)[parity::2]:
            masks = folder.parents[1] / "ground_truth" / folder.name
            files += [image, *masks.glob(f"{image.stem}_mask.*"), *masks.glob(f"{image.stem}.*")]
    if not files:
        sys.exit(f"{dataset} has no folder CATEGORY/train/good: this benchmark needs MVTec-AD's layout")
    for file in files:
        link(file, target / file.relative_to(dataset))
    return target


def evaluate(options: argparse.Namespace, version: pathlib.Path, dataset: pathlib.Path) -> factory4.Figures:
    command = [program("proad-trainer", options.build), "evaluate", "--version-dir", version, dataset, "--json",
               "--device", options.device]
    done = subprocess.run([str(word) for word in command], check=False, stdout=subprocess.PIPE,
                          env={**os.environ, "OMP_NUM_THREADS": str(options.threads)})
    if done.returncode != 0:
        sys.exit(f"proad-trainer evaluate exited with {done.returncode}")
    metrics = json.loads(done.stdout)["metrics"]
    return {(metric["name"], metric["category"]): metric["value"] for metric in metrics}


def train(options: argparse.Namespace, dataset: pathlib.Path, folder: pathlib.Path) -> Seeds:
    """One job for each seed; the figures on the test split of `dataset`."""
    folder.mkdir(parents=True, exist_ok=True)
    job = argparse.Namespace(**{**vars(options), "dataset": dataset})
    return [factory4.train(job, folder, seed) for seed in options.seeds]


def measure(options: argparse.Namespace, folder: pathlib.Path) -> dict[str, Seeds]:
    """The figures of each part."""
    even = write_split(options.dataset, folder / "even", 0)
    parts = {"even": train(options, even, folder / "jobs_dataset")}
    if options.choose:
        return parts
    odd = write_split(options.dataset, folder / "odd", 1)
    versions = [folder / "jobs_dataset" / "store" / f"seed{seed}" / "1" for seed in options.seeds]
    parts["odd"] = [evaluate(options, version, odd) for version in versions]
    if options.report:
        parts["report"] = train(options, options.report, folder / "jobs_report")
    return parts


def cell(seeds: Seeds, metric: str, category: str) -> str:
    values = [figures[metric, category] for figures in seeds if (metric, category) in figures]
    if not values:
        return "-"
    mean = sum(values) / len(values)
    return f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else f"{mean:.3f}"


def table(metric: str, parts: dict[str, Seeds], names: dict[str, str]) -> str:
    """The rows of the parts that have categories in common share a table; others follow in tables of their own."""
    lines: list[str] = []
    shown: list[str] = []
    for part, seeds in parts.items():
        categories = sorted({category for figures in seeds for name, category in figures if name == metric and category})
        if not categories:
            continue
        if part != "odd" or not shown:
            shown = categories
            lines += [""] * bool(lines) + [f"| {factory4.METRICS[metric]} | " + " | ".join([*shown, "mean"]) + " |",
                                           "|---" * (len(shown) + 2) + "|"]
        cells = [cell(seeds, metric, category) for category in [*shown, ""]]
        lines.append(f"| {names[part]}, {PARTS[part]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Quality on test images that nothing was chosen on")
    parser.add_argument("dataset", type=pathlib.Path, nargs="?", default=DATASET)
    parser.add_argument("--report", type=pathlib.Path, default=REPORT if REPORT.is_dir() else None,
                        help="another dataset that only reports")
    parser.add_argument("--choose", action="store_true", help="use only the even-numbered test images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--preset", default="proad-pyramid")
    parser.add_argument("--encoder", type=pathlib.Path, default=ENCODER)
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    for dataset in (options.dataset, options.report):
        if dataset and not dataset.is_dir():
            sys.exit(f"there is no dataset {dataset}")
    return options


def main() -> int:
    options = parse()
    program("proad-trainer", options.build)
    with tempfile.TemporaryDirectory() as scratch:
        parts = measure(options, options.keep or pathlib.Path(scratch))
    names = dict.fromkeys(PARTS, options.dataset.resolve().name)
    if options.report:
        names["report"] = options.report.resolve().name
    seeds = ", ".join(map(str, options.seeds))
    print(f"`{options.preset}`, recipe `{options.recipe}`, seeds {seeds}; mean of the seeds, and their range\n")
    tables = [table(metric, parts, names) for metric in factory4.METRICS]
    print("\n\n".join(text for text in tables if text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
