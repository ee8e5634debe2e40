"""The tokens of a patch pyramid with random weights against a transcription."""

from __future__ import annotations

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import parity  # first: it skips the test where there is no PyTorch
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import teacher_parity

BOUND = 1e-4
WIDTH = 192
LONGEST = 4  # times the usual length, as model/network/target_space.cc cuts it


def project(features: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Features [B, N, D], less half of the image's own mean, to tokens [B, N, WIDTH]. directions: [1 + D, WIDTH]."""
    moved = features @ directions[1:, :-1] - directions[0, :-1]
    longest = LONGEST * (WIDTH - 1) ** 0.5
    moved = moved * (longest / moved.norm(dim=2, keepdim=True)).clamp(max=1)
    anchor = -directions[0, -1].expand(*moved.shape[:2], 1)
    return F.normalize(torch.cat([moved, anchor], 2), dim=2) * WIDTH**0.5


def tokens(weights: parity.Tensors, directions: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    kinds = [kind for group in teacher_parity.kinds(weights, images) for kind in group]
    features = torch.cat(kinds, dim=1).flatten(2).transpose(1, 2)
    return project(features - 0.5 * features.mean(1, keepdim=True), directions)


def main() -> None:
    torch.set_num_threads(1)
    comparison = parity.Comparison()
    generator = torch.Generator().manual_seed(6)
    weights = teacher_parity.random_squeezenet(generator)
    directions = torch.randn(1 + 1280, WIDTH, generator=generator)
    directions[1:, -1] = 0
    directions[0, -1] = -14
    side = teacher_parity.GRID * teacher_parity.PATCH
    images = torch.rand(2, 3, side, side, generator=generator)
    with tempfile.TemporaryDirectory() as folder, parity.Network(pathlib.Path(folder)) as network:
        file = pathlib.Path(folder) / "encoder.safetensors"
        tensors = {f"squeezenet.{name}": tensor for name, tensor in weights.items()}
        save_file({**tensors, "directions": directions}, file)
        computed, dialect = network.run({"images": images}, file, preset="proad-pyramid", input_height=side,
                                        input_width=side)
    comparison.expect("pyramid", "recognised", dialect == "pyramid")
    expected = tokens(weights, directions, images)
    comparison.add("pyramid", "tokens", parity.relative_error(computed["tap.0"], expected), BOUND)
    comparison.finish()


if __name__ == "__main__":
    main()
