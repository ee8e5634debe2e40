"""What teachers say of each patch against a transcription; SqueezeNet with random weights, and an encoder."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import parity  # first: it skips the test where there is no PyTorch
import reference
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

BOUND = 1e-4
GRID = 7  # at half the side conv1 then has an even number of rows: the last maximum is of fewer
PATCH = 14
FIRES = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128), 6: (256, 48, 192),
         7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}


def random_squeezenet(generator: torch.Generator) -> parity.Tensors:
    weights = {}

    def convolution(name: str, inputs: int, outputs: int, kernel: int) -> None:
        shape = (outputs, inputs, kernel, kernel)
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / (inputs * kernel**2)) ** 0.5
        weights[f"{name}.bias"] = torch.randn(outputs, generator=generator) * 0.1

    convolution("conv1", 3, 64, 3)
    weights["conv1.weight"] /= 64  # its inputs go to 255
    for number, (inputs, squeezed, expanded) in FIRES.items():
        convolution(f"fire{number}.squeeze1x1", inputs, squeezed, 1)
        convolution(f"fire{number}.expand1x1", squeezed, expanded, 1)
        convolution(f"fire{number}.expand3x3", squeezed, expanded, 3)
    return weights


def squeezenet(weights: parity.Tensors, rgb: torch.Tensor) -> dict[int, torch.Tensor]:
    """The fire modules' maps."""
    def convolution(x: torch.Tensor, name: str, **how: int) -> torch.Tensor:
        return F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **how))

    blue_green_red = rgb[:, [2, 1, 0]] * 255 - torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
    x = convolution(blue_green_red, "conv1", stride=2)
    maps = {}
    for number in FIRES:
        if number in (2, 4, 6):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        x = convolution(x, f"fire{number}.squeeze1x1")
        x = torch.cat([convolution(x, f"fire{number}.expand1x1"),
                       convolution(x, f"fire{number}.expand3x3", padding=1)], 1)
        maps[number] = x
    return maps


def pooled(features: torch.Tensor, stride: int, side: int) -> torch.Tensor:
    """Means over patches of an image in which each half pixel has the features of the nearest position."""
    centres = torch.arange(features.shape[-1]) * stride + stride - 0.5
    half_pixels = torch.arange(2 * side) / 2 + 0.25
    nearest = (half_pixels[:, None] - centres[None]).abs().argmin(1)
    return F.avg_pool2d(features[:, :, nearest][:, :, :, nearest], 2 * side // GRID)


def kinds(weights: parity.Tensors, images: torch.Tensor) -> list[list[torch.Tensor]]:
    def resized(side: int) -> torch.Tensor:
        return F.interpolate(images, size=(side, side), mode="bicubic", align_corners=False,
                             antialias=side < PATCH * GRID).clamp(0, 1)

    def spread(features: torch.Tensor) -> torch.Tensor:
        around = torch.stack([torch.stack([
            features[:, :, max(0, y - 1):y + 2, max(0, x - 1):x + 2].amax((2, 3)) for x in range(GRID)], 2)
            for y in range(GRID)], 2)
        return F.normalize(((features + around) / 2).sqrt(), dim=1)

    side, half, twice = 16 * GRID, PATCH * GRID // 2, 2 * PATCH * GRID
    maps, of_twice = squeezenet(weights, resized(side)), squeezenet(weights, resized(twice))
    texture, fine, parts = pooled(maps[3], 4, side), pooled(of_twice[3], 4, twice), pooled(of_twice[5], 8, twice)
    coarse = pooled(squeezenet(weights, resized(half))[5], 8, half).sqrt()
    return [[spread(texture), spread(fine), spread(parts)], [coarse, pooled(maps[9], 16, side).sqrt()]]


def check_squeezenet(comparison: parity.Comparison, tool: parity.Tool, directory: pathlib.Path) -> None:
    weights = random_squeezenet(torch.Generator().manual_seed(3))
    file = directory / "teacher.safetensors"
    save_file(weights, file)
    images = torch.rand(2, 3, GRID * PATCH, GRID * PATCH, generator=torch.Generator().manual_seed(4))
    computed, name = tool.run_on({"images": images}, {"job": "teach", "teacher": file, "groups": 2, "grid": GRID})
    comparison.expect("SqueezeNet", "recognised", name == "squeezenet1_1")
    for group, expected in enumerate(kinds(weights, images)):
        for kind, features in enumerate(expected):
            error = parity.relative_error(computed.pop(f"{group}.{kind}"), features.flatten(2).transpose(1, 2))
            comparison.add("SqueezeNet", f"group {group}, kind {kind}", error, BOUND)
    comparison.expect("SqueezeNet", "no other kinds", not computed)


def check_encoder(comparison: parity.Comparison, tool: parity.Tool, directory: pathlib.Path) -> None:
    side = GRID * PATCH
    config = dataclasses.replace(reference.PRESETS["proad-tiny"], height=side, width_px=side)
    encoder = reference.random_encoder(config, torch.Generator().manual_seed(5))
    file = directory / "teacher.safetensors"
    save_file(encoder, file)
    rgb = parity.random_images(2, side, side, seed=1)
    expected = reference.group_means(reference.encode(encoder, config, reference.normalise(rgb)), config)
    images = rgb.permute(0, 3, 1, 2).float() / 255
    computed, _ = tool.run_on({"images": images}, {"job": "teach", "teacher": file, "groups": config.groups,
                                                   "grid": GRID})
    for group, mean in enumerate(expected):
        comparison.add("encoder", f"group {group}",
                       parity.relative_error(computed[f"{group}.0"], mean.flatten(2).transpose(1, 2)), BOUND)


def main() -> None:
    torch.set_num_threads(1)
    comparison = parity.Comparison()
    with tempfile.TemporaryDirectory() as folder, parity.Tool("proad_training_tool", pathlib.Path(folder)) as tool:
        check_squeezenet(comparison, tool, pathlib.Path(folder))
        check_encoder(comparison, tool, pathlib.Path(folder))
    comparison.finish()


if __name__ == "__main__":
    main()
