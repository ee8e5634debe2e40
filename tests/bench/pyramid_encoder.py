#!/usr/bin/env python3
"""Makes model/weights/encoder-pyramid.safetensors: SqueezeNet 1.1 and the principal directions of photographs.

    tests/bench/pyramid_encoder.py --photographs DIR [--teacher FILE] [--seed 1] [--out FILE]

Nothing is trained. The kinds of features, the random squares of photographs that give their scales and directions, and
the anchor are those of teacher_features.py, all in one group: SqueezeNet and DIR are the only inputs. The file has the
tensors that model/network/patch_pyramid.h names, in F16. Prints the share of the photographs' variance that the directions
keep.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from environment import ENCODER  # first: it selects the Python

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import teacher_features  # noqa: E402

GROUP = teacher_features.PYRAMID


def directions_of(photographs: teacher_features.Maps) -> tuple[torch.Tensor, float]:
    """Mean and directions [1 + D, C], as TargetSpace::Stored() of model/network/target_space.h; and the share of the variance."""
    of = teacher_features.principal(GROUP, photographs)
    projection = of.directions / of.variances.mean().sqrt()
    offset = torch.cat([of.mean @ projection, torch.tensor([-GROUP.anchor * GROUP.directions**0.5])])
    return torch.cat([offset[None], torch.nn.functional.pad(of.scales[:, None] * projection, (0, 1))]), of.kept


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the encoder of proad-pyramid")
    parser.add_argument("--photographs", type=pathlib.Path, required=True)
    parser.add_argument("--teacher", type=pathlib.Path, default=ENCODER)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=ENCODER)
    options = parser.parse_args()
    if not options.teacher.exists():
        sys.exit(f"there is no file {options.teacher}")
    torch.set_grad_enabled(False)
    network = teacher_features.load_teacher(options.teacher)
    crops = teacher_features.crops(options.photographs, options.seed)
    directions, kept = directions_of(teacher_features.layers(network, crops))
    tensors = {f"squeezenet.{name}": tensor for name, tensor in network.items() if not name.startswith("conv10")}
    halves = {name: tensor.half().contiguous() for name, tensor in {**tensors, "directions": directions}.items()}
    assert all(tensor.isfinite().all() for tensor in halves.values())
    save_file(halves, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {100 * kept:.1f} % of the variance")
    return 0


if __name__ == "__main__":
    sys.exit(main())
