#!/usr/bin/env python3
"""Image and pixel AUROC of a teacher's features without training: nearest neighbours among patches of good images.

    tests/bench/teacher_features.py [DATASET] [--photographs DIR] [--teacher FILE] [--memory 5000] [--seed 1]
                                    [--crops 80] [--spaces N] [--threads 2]

Prints the table "Features of SqueezeNet as a teacher" of model/weights/HISTORY.md. DATASET has MVTec-AD's layout. The
default is factory4 beside the project where it exists, and otherwise deploy/sample. The teacher is SqueezeNet 1.1, .npz or
.safetensors; the default is the one in the shipped encoder. Random squares of --crops random images of DIR (default:
deploy/sample) give all constants below. An image of 392 x 392 has 28 x 28 patches. Each patch has the means of fire3,
fire5, fire7 and fire9 of the image enlarged to 448 x 448, of fire3 and fire5 of the image at 784 x 784 ("fine3", "fine5"),
and of fire5 of the image at 196 x 196 ("coarse5"). Kinds of features:

    standardised   each channel minus its mean, divided by its standard deviation, clamped to five of them
    (unit) root    the square root of each channel (normalised to length one)
    contrast S     the unit root minus its mean over the S x S patches around
    spread         the unit root of the mean of each patch and the maximum of the 3 x 3 patches around it

A group of kinds becomes a space as in model/network/target_space.h: each kind, minus a share of the image's own mean,
divided by its root mean square distance from its mean, times its weight; the principal directions of all, divided by the
root mean square length; and the anchor, a constant dimension: 10 amounts to the Euclidean distance, 0 is none.
--memory random patches of a category's good training images form the memory. For each patch and group, the nearest of
them by cosine takes the place of Pro-AD's reconstruction. --spaces limits the table to its first N rows. Prints image
AUROC, pixel AUROC where there are masks, and their means as a table in Markdown.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import statistics
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from environment import DATASET, ENCODER, SAMPLE  # first: it selects the Python

import numpy  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import factory4  # noqa: E402
import nearest_neighbours  # noqa: E402
import reference  # noqa: E402
import teacher_parity  # noqa: E402

CONFIG = reference.PRESETS["proad-small"]
GRID = CONFIG.grid[0]
STRIDES = {3: 4, 5: 8, 7: 16, 9: 16}  # of the fire modules' maps

Maps = dict[str, torch.Tensor]  # by layer, [images, D, GRID, GRID]


class Group(NamedTuple):
    kinds: tuple[tuple[str, str, float], ...]  # kind, layer, weight
    anchor: float
    directions: int = 191
    less: float = 0  # share of each image's own mean to subtract


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
    "the same less half of each image's own mean: the encoder of proad-pyramid": [PYRAMID],
}


def pooled(features: torch.Tensor, stride: int, side: int) -> torch.Tensor:
    """Means over patches, [1, D, h, w] -> [1, D, GRID, GRID]. A position covers the pixels nearest to it."""
    borders = torch.arange(features.shape[-1] + 1) * stride + (stride - 1) / 2
    borders[0], borders[-1] = 0, side
    edges = torch.arange(GRID + 1) * (side / GRID)
    shared = torch.minimum(borders[1:], edges[1:, None]) - torch.maximum(borders[:-1], edges[:-1, None])
    weights = F.normalize(shared.clamp_min(0), p=1, dim=1)
    return weights @ features @ weights.T


def layers(teacher: reference.Weights, images: Iterable[Image.Image]) -> Maps:
    maps: dict[str, list[torch.Tensor]] = {}
    for image in images:
        seen = image.convert("RGB").resize((CONFIG.width_px, CONFIG.height), Image.Resampling.BILINEAR)
        rgb = torch.from_numpy(numpy.asarray(seen).copy())[None].permute(0, 3, 1, 2).float() / 255
        for side, prefix, numbers in ((16 * GRID, "fire", list(STRIDES)), (2 * CONFIG.height, "fine", [3, 5]),
                                      (CONFIG.height // 2, "coarse", [5])):
            resized = F.interpolate(rgb, size=(side, side), mode="bicubic", align_corners=False,
                                    antialias=side < CONFIG.height).clamp(0, 1)
            fires = teacher_parity.squeezenet(teacher, resized)
            for number in numbers:
                maps.setdefault(f"{prefix}{number}", []).append(pooled(fires[number], STRIDES[number], side))
    return {name: torch.cat(of_images) for name, of_images in maps.items()}


def load_teacher(file: pathlib.Path) -> reference.Weights:
    """SqueezeNet's weights in float32, from a file of their own or from an encoder that contains them."""
    stored = numpy.load(file) if file.suffix == ".npz" else load_file(file)
    names = [name for name in stored if name.startswith("squeezenet.")] or list(stored)
    return {name.removeprefix("squeezenet."): torch.as_tensor(stored[name]).float() for name in names}


def crops(folder: pathlib.Path, seed: int, count: int = 80) -> Iterator[Image.Image]:
    draw = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for path in draw.sample(files, min(count, len(files))):
        image = Image.open(path)
        side = int(min(image.size) * draw.uniform(0.5, 1))
        x, y = draw.randint(0, image.width - side), draw.randint(0, image.height - side)
        yield image.crop((x, y, x + side, y + side))


def patches(kind: str, layer: torch.Tensor, of_photographs: torch.Tensor, less: float) -> torch.Tensor:
    """[images * GRID * GRID, D]"""
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
    """Statistics of a group's features over the photographs: D features, K of their principal directions."""
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
    """Each of `others` as [images * GRID * GRID, dimensions], of length one."""
    of = principal(group, photographs)
    projection = of.directions / of.variances.sum().sqrt()
    bases = (torch.cat(kinds_of(group, maps, photographs), dim=1) * of.scales for maps in others)
    return [F.normalize(F.pad((base - of.mean) @ projection, (0, 1), value=group.anchor), dim=1) for base in bases]


def anomaly_maps(groups: list[Group], photographs: Maps, train: Maps, test: Maps, drawn: torch.Tensor) -> torch.Tensor:
    """[images, 256, 256], from the drawn patches of train"""
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
    """nearest_neighbours.auroc for millions of pixels; the mask counts at the centre of each pixel of the map."""
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
    parser.add_argument("dataset", type=pathlib.Path, nargs="?", default=DATASET)
    parser.add_argument("--photographs", type=pathlib.Path, default=SAMPLE)
    parser.add_argument("--teacher", type=pathlib.Path, default=ENCODER)
    for name, default in (("memory", 5000), ("seed", 1), ("crops", 80), ("spaces", len(SPACES)), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    if not options.dataset.is_dir():
        sys.exit(f"there is no folder {options.dataset}")
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    teacher = load_teacher(options.teacher)
    photographs = layers(teacher, crops(options.photographs, options.seed, options.crops))
    spaces = dict(list(SPACES.items())[:options.spaces])
    categories = sorted(path for path in options.dataset.iterdir() if (path / "train/good").is_dir())
    figures: dict[str, list[tuple[float, float | None]]] = {title: [] for title in spaces}
    for category in categories:
        tests = sorted((category / "test").glob("*/*"))
        train = layers(teacher, map(Image.open, sorted((category / "train/good").iterdir())))
        test = layers(teacher, map(Image.open, tests))
        drawn = torch.randperm(len(train["fine3"]) * GRID**2, generator=torch.Generator().manual_seed(options.seed))
        for title, groups in spaces.items():
            anomaly = anomaly_maps(groups, photographs, train, test, drawn[:options.memory])
            pixel = pixel_auroc(anomaly, tests) if (category / "ground_truth").is_dir() else None
            figures[title].append((image_auroc(anomaly, tests), pixel))
        print(f"{category.name} done", file=sys.stderr)
    names = [*(category.name for category in categories), "mean"]
    print("| space | " + " | ".join(f"{kind}: {name}" for kind in ("image", "pixel") for name in names) + " |")
    print("|---" * (2 * len(names) + 1) + "|")
    for title, pairs in figures.items():
        cells = []
        for values in zip(*pairs, strict=True):
            known = [value for value in values if value is not None]
            cells.append([*values, statistics.fmean(known) if known else None])
        print(factory4.row(title, cells[0] + cells[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
