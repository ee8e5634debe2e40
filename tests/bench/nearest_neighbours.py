#!/usr/bin/env python3
"""Image AUROC of nearest neighbours among the encoder's features of good patches, without any training.

    tests/bench/nearest_neighbours.py [DATASET] [--encoder FILE] [--coreset 20000] [--threads 2] [--json FILE]

DATASET has MVTec-AD's layout. The default is factory4 beside the project where it exists, and otherwise deploy/sample. A
vision transformer describes a patch by the mean of the encoder's taps in each of its two groups, each normalised to
length one and concatenated; a pyramid (encoder-pyramid.safetensors) by its token. For each category, the patches of the
good training images form the memory, a random choice of --coreset of them when there are more. A patch's distance is
that to its nearest neighbour in the memory. Two scores of an image are ranked: the largest distance of its patches, and
the mean of the largest 1 % of them, at least four. Prints image AUROC by category and their mean as a table in
Markdown.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

from environment import DATASET, ENCODER  # first: it selects the Python

import numpy  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import reference  # noqa: E402

CONFIG = reference.PRESETS["proad-tiny"]
SCORES = ("max", "top1")
Figures = dict[str, dict[str, float]]  # of each score, by category


def pixels(path: pathlib.Path) -> torch.Tensor:
    """The image as serving prepares it: [1, 3, H, W]."""
    image = Image.open(path).convert("RGB").resize((CONFIG.width_px, CONFIG.height), Image.Resampling.BILINEAR)
    return reference.normalise(torch.from_numpy(numpy.asarray(image).copy())[None])


def pyramid_patches(encoder: reference.Weights, path: pathlib.Path) -> torch.Tensor:
    """[h * w, C]: the tokens that model/network/patch_pyramid.h computes, each of length one."""
    import pyramid_parity  # here, for these import this module
    import teacher_features

    network = {name.removeprefix("squeezenet."): tensor for name, tensor in encoder.items()}
    maps = teacher_features.layers(network, [Image.open(path)])
    group = teacher_features.PYRAMID
    features = torch.cat(teacher_features.kinds_of(group, maps, maps), dim=1)
    tokens = pyramid_parity.project(features[None], encoder["directions"])[0]
    return torch.nn.functional.normalize(tokens, dim=1)


def patches(encoder: reference.Weights, path: pathlib.Path) -> torch.Tensor:
    """[h * w, groups * C]"""
    if "directions" in encoder:
        return pyramid_patches(encoder, path)
    taps = reference.encode(encoder, CONFIG, pixels(path))
    groups = [mean[0].flatten(1).T for mean in reference.group_means(taps, CONFIG)]
    return torch.cat([torch.nn.functional.normalize(group, dim=1) for group in groups], dim=1)


def distances(queries: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """The distance of each query to its nearest neighbour, [Q]. All rows of both have the same length."""
    length = memory[0].square().sum()
    parts = [memory[i:i + 8192] for i in range(0, len(memory), 8192)]
    nearest = torch.stack([(queries @ part.T).amax(1) for part in parts]).amax(0)
    result: torch.Tensor = (2 * (length - nearest)).clamp_min(0).sqrt()
    return result


def auroc(good: list[float], defective: list[float]) -> float:
    """The share of pairs in which the defective image scores above the good one; equal scores count half."""
    a, b = torch.tensor(defective)[:, None], torch.tensor(good)[None]
    return ((a > b).double() + (a == b).double() / 2).mean().item()


def measure(encoder: reference.Weights, category: pathlib.Path, coreset: int) -> dict[str, float]:
    memory = torch.cat([patches(encoder, path) for path in sorted((category / "train/good").iterdir())])
    if len(memory) > coreset:
        memory = memory[torch.randperm(len(memory), generator=torch.Generator().manual_seed(1))[:coreset]]
    scores: dict[str, dict[bool, list[float]]] = {name: {True: [], False: []} for name in SCORES}
    for path in sorted((category / "test").glob("*/*")):
        found = distances(patches(encoder, path), memory).sort(descending=True).values
        good = path.parent.name == "good"
        scores["max"][good].append(found[0].item())
        scores["top1"][good].append(found[:max(4, len(found) // 100)].mean().item())
    return {name: auroc(by_kind[True], by_kind[False]) for name, by_kind in scores.items()}


def baseline(dataset: pathlib.Path, encoder_file: pathlib.Path, coreset: int = 20000) -> Figures:
    """Image AUROC of each score by category, "" the mean."""
    encoder = {name: tensor.float() for name, tensor in load_file(encoder_file).items()}
    figures: Figures = {name: {} for name in SCORES}
    with torch.inference_mode():
        for category in sorted(path for path in dataset.iterdir() if (path / "train/good").is_dir()):
            for name, value in measure(encoder, category, coreset).items():
                figures[name][category.name] = value
            print(f"{category.name} done", file=sys.stderr)
    if not figures["max"]:
        sys.exit(f"{dataset} has no folder CATEGORY/train/good: the baseline needs MVTec-AD's layout")
    for of_score in figures.values():
        of_score[""] = sum(of_score.values()) / len(of_score)
    return figures


def table(figures: Figures) -> str:
    categories = list(figures["max"])
    lines = ["| score | " + " | ".join(name or "mean" for name in categories) + " |",
             "|---" * (len(categories) + 1) + "|"]
    for name, words in (("max", "largest patch distance"), ("top1", "mean of the largest 1 %")):
        lines.append(f"| {words} | " + " | ".join(f"{figures[name][c]:.3f}" for c in categories) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Nearest neighbours on the encoder's features")
    parser.add_argument("dataset", type=pathlib.Path, nargs="?", default=DATASET)
    parser.add_argument("--encoder", type=pathlib.Path, default=ENCODER)
    parser.add_argument("--coreset", type=int, default=20000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if not options.dataset.is_dir():
        sys.exit(f"there is no folder {options.dataset}")
    torch.set_num_threads(options.threads)
    figures = baseline(options.dataset, options.encoder, options.coreset)
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
