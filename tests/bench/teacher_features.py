#!/usr/bin/env python3
"""What a teacher's features tell, by kind: nearest neighbours among patches of good pictures, scored as Pro-AD does.

    tests/bench/teacher_features.py [DATASET] --photographs DIR [--teacher FILE] [--memory 5000] [--seed 1]
                                    [--threads 2]

The table "Features of SqueezeNet as a teacher" in model/weights/HISTORY.md. DATASET lies in MVTec-AD's layout; without it, factory4 beside the
project. The teacher is SqueezeNet 1.1, .npz or .safetensors. Random squares out of 80 random pictures of DIR, whatever
they show, give all constants below. A picture of 392 x 392 has 28 x 28 patches, each with the means of fire3, fire5,
fire7 and fire9 of the picture enlarged to 448 x 448, of fire3 and fire5 of it at 784 x 784 ("fine3", "fine5"), and of
fire5 of it at 196 x 196 ("coarse5"). Kinds of features:

    standardised   each channel less its mean, divided by its standard deviation, cut at five of them
    (unit) root    the square root of each channel (and of length one)
    contrast S     the unit root less its mean over the S x S patches around
    spread         the unit root of what lies halfway between each patch and the largest of the 3 x 3 around it

A group of kinds becomes a space as in model/network/target_space.h: each kind, less some of the picture's own mean, divided by
its root mean square distance from its mean, times its weight; the principal directions of all, divided by the root mean
square length; and the anchor, a constant: 10 amounts to the Euclidean distance, 0 is none.
--memory random patches of a category's good training pictures are remembered. Of each patch and group the nearest of
them by cosine stands where Pro-AD has what its decoder rebuilt. Prints image AUROC, pixel AUROC where there are masks,
and their means as a table in Markdown.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import statistics
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

import factory4
import nearest_neighbours  # and after it what lies in tests/torch
import reference
import teacher_parity

ROOT = nearest_neighbours.ROOT
CONFIG = reference.PRESETS["proad-small"]
GRID = CONFIG.grid[0]
TEACHER = "squeezenet1_1-imagenet-fp16.npz"
STRIDES = {3: 4, 5: 8, 7: 16, 9: 16}  # of the fire modules' maps

Maps = dict[str, torch.Tensor]  # by layer, [pictures, D, GRID, GRID]


class Group(NamedTuple):
    kinds: tuple[tuple[str, str, float], ...]  # kind, layer, weight
    anchor: float
    directions: int = 191
    less: float = 0  # of each picture's own mean


STANDARDISED = tuple(("standardised", f"fire{number}", 1.0) for number in STRIDES)
TEXTURE, FINE = ("unit root", "fire3", 1.0), ("unit root", "fine3", 1.0)
COARSE, OBJECT, UNIT_COARSE = ("root", "coarse5", 1.0), ("root", "fire9", 1.0), ("unit root", "coarse5", 1.0)
CONTRAST_5, HALF_CONTRAST_9 = ("contrast 5", "fire5", 1.0), ("contrast 9", "fire5", 0.5)
SPREAD = tuple(("spread", layer, 1.0) for layer in ("fire3", "fine3", "fine5"))
PYRAMID = Group((("spread", "fire3", 0.7), ("spread", "fine3", 1.0), ("spread", "fine5", 1.3),
                 ("root", "coarse5", 0.5), ("root", "fire9", 0.5)), 1, less=0.5)
SPACES = {
    "layers 3, 5, 7, 9, each channel standardised, one group": [Group(STANDARDISED, 10, 1280)],
    "[unit root of fire3, 5 x 5 contrast of fire5] + root of fire9, no anchors":
        [Group((TEXTURE, CONTRAST_5), 0), Group((OBJECT,), 0)],
    "the same (5 x 5 contrast) with anchors 2 and 1": [Group((TEXTURE, CONTRAST_5), 2), Group((OBJECT,), 1)],
    "[unit root of fire3, of it enlarged twice, half the 9 x 9 contrast of fire5], anchor 1 + root of fire9, anchor 2":
        [Group((TEXTURE, FINE, HALF_CONTRAST_9), 1), Group((OBJECT,), 2)],
    "the same + [root of fire9, of fire5 at half the side], anchors 1 and 1":
        [Group((TEXTURE, FINE, HALF_CONTRAST_9), 1), Group((COARSE, OBJECT), 1)],
    "all of these in one group, anchor 1": [Group((TEXTURE, FINE, HALF_CONTRAST_9, COARSE, OBJECT), 1)],
    "the low group of these alone": [Group((TEXTURE, FINE, HALF_CONTRAST_9), 1)],
    "the high group of these alone": [Group((COARSE, OBJECT), 1)],
    "root of fire5 at half the side alone": [Group((COARSE,), 1)],
    "unit root of fire5 at half the side alone": [Group((UNIT_COARSE,), 1)],
    "[spread of fire3, of it and fire5 enlarged twice] + [root of fire9, of fire5 at half the side], anchors 1 and 1":
        [Group(SPREAD, 1), Group((COARSE, OBJECT), 1)],
    "all of these in one group, anchor 1, weights of 0.7, 1, 1.3, 0.5 and 0.5": [PYRAMID._replace(less=0)],
    "the same less half of each picture's own mean: the encoder of proad-pyramid": [PYRAMID],
}


def pooled(features: torch.Tensor, stride: int, side: int) -> torch.Tensor:
    """Means over patches; a position stands for the pixels nearest to it. [1, D, h, w] -> [1, D, GRID, GRID]"""
    borders = torch.arange(features.shape[-1] + 1) * stride + (stride - 1) / 2
    borders[0], borders[-1] = 0, side
    edges = torch.arange(GRID + 1) * (side / GRID)
    shared = torch.minimum(borders[1:], edges[1:, None]) - torch.maximum(borders[:-1], edges[:-1, None])
    weights = F.normalize(shared.clamp_min(0), p=1, dim=1)
    return weights @ features @ weights.T


def layers(teacher: reference.Weights, pictures: Iterable[Image.Image]) -> Maps:
    maps: dict[str, list[torch.Tensor]] = {}
    for picture in pictures:
        seen = picture.convert("RGB").resize((CONFIG.width_px, CONFIG.height), Image.Resampling.BILINEAR)
        rgb = torch.from_numpy(numpy.asarray(seen).copy())[None].permute(0, 3, 1, 2).float() / 255
        for side, prefix, numbers in ((16 * GRID, "fire", list(STRIDES)), (2 * CONFIG.height, "fine", [3, 5]),
                                      (CONFIG.height // 2, "coarse", [5])):
            resized = F.interpolate(rgb, size=(side, side), mode="bicubic", align_corners=False,
                                    antialias=side < CONFIG.height).clamp(0, 1)
            fires = teacher_parity.squeezenet(teacher, resized)
            for number in numbers:
                maps.setdefault(f"{prefix}{number}", []).append(pooled(fires[number], STRIDES[number], side))
    return {name: torch.cat(of_pictures) for name, of_pictures in maps.items()}


def crops(folder: pathlib.Path, seed: int) -> Iterator[Image.Image]:
    draw = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for path in draw.sample(files, 80):
        picture = Image.open(path)
        side = int(min(picture.size) * draw.uniform(0.5, 1))
        x, y = draw.randint(0, picture.width - side), draw.randint(0, picture.height - side)
        yield picture.crop((x, y, x + side, y + side))


def patches(kind: str, layer: torch.Tensor, of_photographs: torch.Tensor, less: float) -> torch.Tensor:
    """[pictures * GRID * GRID, D]"""
    if kind == "spread":
        layer = (layer + F.max_pool2d(layer, 3, 1, 1)) / 2
    features = layer.clamp_min(0).sqrt()
    if kind == "standardised":
        deviation, mean = torch.std_mean(of_photographs, (0, 2, 3), keepdim=True)
        features = ((layer - mean) / (deviation + 1e-3 * deviation.mean())).clamp(-5, 5)
    elif kind != "root":
        features = F.normalize(features, dim=1)
    if kind.startswith("contrast"):
        side = int(kind.split()[1])
        features = features - F.avg_pool2d(features, side, 1, side // 2, count_include_pad=False)
    features = features - less * features.mean((2, 3), keepdim=True)
    return features.permute(0, 2, 3, 1).flatten(0, 2)


class Principal(NamedTuple):
    """What photographs say of a group's features: D of them, K of their directions."""
    scales: torch.Tensor      # [D], to a kind's weight
    mean: torch.Tensor        # [D], scaled
    directions: torch.Tensor  # [D, K], those of the largest variances
    variances: torch.Tensor   # [K]
    kept: float               # share of all variance


def kinds_of(group: Group, maps: Maps, photographs: Maps) -> list[torch.Tensor]:
    return [patches(kind, maps[layer], photographs[layer], group.less) for kind, layer, _ in group.kinds]


def principal(group: Group, photographs: Maps) -> Principal:
    kinds = kinds_of(group, photographs, photographs)
    scales = torch.cat([(weight / (features - features.mean(0)).square().sum(1).mean().sqrt()).expand(features.shape[1])
                        for (_, _, weight), features in zip(group.kinds, kinds, strict=True)])
    base = torch.cat(kinds, dim=1) * scales
    variances, directions = torch.linalg.eigh(torch.cov(base.T))
    largest = variances[-group.directions:]
    return Principal(scales, base.mean(0), directions[:, -group.directions:], largest,
                     (largest.sum() / variances.sum()).item())


def space(group: Group, photographs: Maps, *others: Maps) -> list[torch.Tensor]:
    """Of each of the others [pictures * GRID * GRID, dimensions], of length one."""
    of = principal(group, photographs)
    projection = of.directions / of.variances.sum().sqrt()
    bases = (torch.cat(kinds_of(group, maps, photographs), dim=1) * of.scales for maps in others)
    return [F.normalize(F.pad((base - of.mean) @ projection, (0, 1), value=group.anchor), dim=1) for base in bases]


def anomaly_maps(groups: list[Group], photographs: Maps, train: Maps, test: Maps, drawn: torch.Tensor) -> torch.Tensor:
    """[pictures, 256, 256], from the drawn patches of train"""
    pairs = []
    for group in groups:
        known, queries = space(group, photographs, train, test)
        known = known[drawn]
        nearest = torch.cat([known[(part @ known.T).argmax(1)] for part in torch.split(queries, 4096)])
        pairs.append([patch.view(-1, GRID, GRID, patch.shape[1]).permute(0, 3, 1, 2) for patch in (queries, nearest)])
    return reference.anomaly_map([queries for queries, _ in pairs], [nearest for _, nearest in pairs], CONFIG)


def image_auroc(anomaly: torch.Tensor, tests: list[pathlib.Path]) -> float:
    scores, good = reference.image_score(anomaly), torch.tensor([path.parent.name == "good" for path in tests])
    return nearest_neighbours.auroc(scores[good].tolist(), scores[~good].tolist())


def pixel_auroc(anomaly: torch.Tensor, tests: list[pathlib.Path]) -> float:
    """As nearest_neighbours.auroc, of millions. What lies at the centre of each of the map's pixels counts."""
    masks = torch.zeros(anomaly.shape, dtype=torch.bool)
    for mask, path in zip(masks, tests, strict=True):
        if path.parent.name != "good":
            file = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
            stored = Image.open(file).convert("L").resize((reference.MAP_SIDE,) * 2, Image.Resampling.NEAREST)
            mask.copy_(torch.from_numpy(numpy.asarray(stored) > 0))
    good, defective = anomaly[~masks].sort().values, anomaly[masks]
    below = torch.searchsorted(good, defective) + torch.searchsorted(good, defective, right=True)
    return below.double().mean().item() / 2 / len(good)


def main() -> int:
    parser = argparse.ArgumentParser(description="Nearest neighbours on a teacher's features, by kind")
    parser.add_argument("dataset", type=pathlib.Path, nargs="?", default=ROOT / "../shared/datasets/factory4")
    parser.add_argument("--photographs", type=pathlib.Path, required=True)
    parser.add_argument("--teacher", type=pathlib.Path, default=ROOT / "../shared/weights" / TEACHER)
    for name, default in (("memory", 5000), ("seed", 1), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    if not options.dataset.is_dir():
        print(f"no folder {options.dataset}", file=sys.stderr)
        return 77
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    stored = numpy.load(options.teacher) if options.teacher.suffix == ".npz" else load_file(options.teacher)
    teacher = {name: torch.as_tensor(tensor).float() for name, tensor in stored.items()}
    photographs = layers(teacher, crops(options.photographs, options.seed))
    categories = sorted(path for path in options.dataset.iterdir() if (path / "train/good").is_dir())
    figures: dict[str, list[tuple[float, float | None]]] = {title: [] for title in SPACES}
    for category in categories:
        tests = sorted((category / "test").glob("*/*"))
        train = layers(teacher, map(Image.open, sorted((category / "train/good").iterdir())))
        test = layers(teacher, map(Image.open, tests))
        drawn = torch.randperm(len(train["fine3"]) * GRID**2, generator=torch.Generator().manual_seed(options.seed))
        for title, groups in SPACES.items():
            anomaly = anomaly_maps(groups, photographs, train, test, drawn[:options.memory])
            pixel = pixel_auroc(anomaly, tests) if (category / "ground_truth").is_dir() else None
            figures[title].append((image_auroc(anomaly, tests), pixel))
        print(f"{category.name} done", file=sys.stderr)
    names = [*(category.name for category in categories), "mean"]
    print("| space | " + " | ".join(f"{kind}: {name}" for kind in ("image", "pixel") for name in names) + " |")
    print("|---" * (2 * len(names) + 1) + "|")
    for title, pairs in figures.items():
        cells = [[*values, statistics.fmean(value for value in values if value is not None)]
                 for values in zip(*pairs, strict=True)]
        print(factory4.row(title, cells[0] + cells[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
