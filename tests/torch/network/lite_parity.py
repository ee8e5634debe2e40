"""The tokens of EfficientNet-Lite, alone and beside a vision transformer, against a transcription.

PROAD_LITE_WEIGHTS may name a folder with the published efficientnet-lite<n>-*.pth; they are then compared too.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import parity  # first: it skips the test where there is no PyTorch
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import reference

BOUND = 1e-4
STAGES = (2, 3, 4)
# Of EfficientNet-Lite2: blocks, kernel, stride, expansion, channels.
LITE2 = ((1, 3, 1, 1, 16), (3, 3, 2, 6, 24), (3, 5, 2, 6, 48), (4, 3, 2, 6, 88), (4, 5, 1, 6, 120))
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def random_lite(generator: torch.Generator) -> parity.Tensors:
    """The tensors of a published state dict, random. Larger values than these make the network chaotic: its saturated
    units then turn rounding errors into visible ones."""
    tensors: parity.Tensors = {}

    def add(convolution: str, norm: str, *shape: int) -> None:
        deviation = math.sqrt(2 / math.prod(shape[1:]))
        tensors[f"{convolution}.weight"] = torch.randn(shape, generator=generator) * deviation
        tensors[f"{norm}.weight"] = 0.5 + torch.rand(shape[0], generator=generator)
        tensors[f"{norm}.bias"] = 0.3 * torch.randn(shape[0], generator=generator)
        tensors[f"{norm}.running_mean"] = 0.3 * torch.randn(shape[0], generator=generator)
        tensors[f"{norm}.running_var"] = 1 + torch.rand(shape[0], generator=generator)
        tensors[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    inputs, index = 32, 0
    for blocks, kernel, _, expansion, outputs in LITE2:
        for _ in range(blocks):
            block, expanded = f"_blocks.{index}.", inputs * expansion
            if expansion > 1:
                add(f"{block}_expand_conv", f"{block}_bn0", expanded, inputs, 1, 1)
            add(f"{block}_depthwise_conv", f"{block}_bn1", expanded, 1, kernel, kernel)
            add(f"{block}_project_conv", f"{block}_bn2", outputs, expanded, 1, 1)
            inputs, index = outputs, index + 1
    tensors["_conv_head.weight"] = torch.zeros(1280, 352, 1, 1)
    return tensors


def same(x: torch.Tensor, weight: torch.Tensor, stride: int = 1, groups: int = 1) -> torch.Tensor:
    """A convolution as TensorFlow pads it."""
    padding: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + weight.shape[2] - size, 0)
        padding += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, padding), weight, stride=stride, groups=groups)


def stages(w: parity.Tensors, images: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of the first five stages. images: RGB in 0..1"""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"],
                            w[f"{name}.bias"], eps=1e-3)

    x = F.relu6(norm(same((images * 255 - 127) / 128, w["_conv_stem.weight"], 2), "_bn0"))
    outputs, index = [], 0
    for blocks, _, stride, expansion, _ in LITE2:
        for i in range(blocks):
            name, y = f"_blocks.{index}.", x
            if expansion > 1:
                y = F.relu6(norm(same(y, w[f"{name}_expand_conv.weight"]), f"{name}_bn0"))
            depthwise = w[f"{name}_depthwise_conv.weight"]
            y = F.relu6(norm(same(y, depthwise, stride if i == 0 else 1, y.shape[1]), f"{name}_bn1"))
            y = norm(same(y, w[f"{name}_project_conv.weight"]), f"{name}_bn2")
            x = x + y if i > 0 else y
            index += 1
        outputs.append(x)
    return outputs


def projected(maps: list[torch.Tensor], grid: tuple[int, int], width: int) -> list[torch.Tensor]:
    """The tokens of each of STAGES, [B, h w, width]."""
    channels = sum(maps[stage].shape[1] for stage in STAGES)
    size = max(channels, width)
    matrix = torch.tensor([[math.sqrt(2 / width) * math.cos(math.pi * (i + 0.5) * (j + 0.5) / size)
                            for j in range(width)] for i in range(channels)])
    tokens, first = [], 0
    for stage in STAGES:
        x = maps[stage]
        fine = x.shape[2] >= grid[0]
        x = F.adaptive_avg_pool2d(x, grid) if fine else F.interpolate(x, size=grid, mode="bilinear")
        x = F.normalize(x.flatten(2).transpose(1, 2), dim=2)
        tokens.append(x @ matrix[first:first + x.shape[2]])
        first += x.shape[2]
    return tokens


def scaled(groups: list[torch.Tensor], levels: list[float], centering: list[float]) -> list[torch.Tensor]:
    return [F.normalize(g - c * g.mean(1, keepdim=True), dim=2) * level * g.shape[2] ** 0.5
            for g, level, c in zip(groups, levels, centering, strict=True)]


def compare_lite(comparison: parity.Comparison, network: parity.Network, file: pathlib.Path, weights: parity.Tensors,
                 images: torch.Tensor, case: str) -> None:
    _, _, height, width = images.shape
    computed, dialect = network.run({"images": images}, file, preset="proad-lite", input_height=height,
                                    input_width=width)
    comparison.expect(case, "recognised", dialect == "lite")
    tokens = projected(stages(weights, images), (height // 16, width // 16), 256)
    expected = scaled([torch.stack(tokens).mean(0)], [1], [0])
    comparison.add(case, "tokens", parity.relative_error(computed["tap.0"], expected[0]), BOUND)


def random_transformer(generator: torch.Generator, config: reference.Config) -> parity.Tensors:
    """DINOv2 without registers, under official names."""
    width = config.width
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width), "pos_embed": (1, 1 + config.position_grid**2, width),
        "patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,)}
    for i in range(config.blocks):
        for name, shape in (("norm1.weight", (width,)), ("norm1.bias", (width,)),
                            ("attn.qkv.weight", (3 * width, width)), ("attn.qkv.bias", (3 * width,)),
                            ("attn.proj.weight", (width, width)), ("attn.proj.bias", (width,)),
                            ("ls1.gamma", (width,)), ("norm2.weight", (width,)), ("norm2.bias", (width,)),
                            ("mlp.fc1.weight", (4 * width, width)), ("mlp.fc1.bias", (4 * width,)),
                            ("mlp.fc2.weight", (width, 4 * width)), ("mlp.fc2.bias", (width,)),
                            ("ls2.gamma", (width,))):
            shapes[f"blocks.{i}.{name}"] = shape
    return {name: torch.randn(shape, generator=generator) * (0.05 if len(shape) > 1 else 0.5)
            for name, shape in shapes.items()}


def compare_combined(comparison: parity.Comparison, network: parity.Network, folder: pathlib.Path,
                     weights: parity.Tensors, generator: torch.Generator) -> None:
    case, height, width = "DINOv2-S and lite2", 84, 112
    config = dataclasses.replace(reference.PRESETS["proad-small"], registers=0, height=height, width_px=width)
    transformer = random_transformer(generator, config)
    file = folder / "combined.safetensors"
    save_file({**transformer, "norm.weight": torch.ones(config.width)}, folder / "transformer.safetensors")
    torch.save(weights, folder / "lite.pth", _use_new_zipfile_serialization=False)
    converter = parity.SOURCE / "docker" / "combined_encoder.py"
    subprocess.run([sys.executable, converter, folder / "transformer.safetensors", folder / "lite.pth", file],
                   check=True, stdout=subprocess.DEVNULL)
    images = torch.rand(2, 3, height, width, generator=generator)
    computed, dialect = network.run({"images": images}, file, preset="proad-combined", input_height=height,
                                    input_width=width)
    comparison.expect(case, "recognised", dialect == "combined")
    taps = reference.encode({**transformer, "register_tokens": torch.zeros(1, 0, config.width)}, config,
                            (images - MEAN) / STD)
    groups = [torch.stack(taps[:4]).mean(0)[:, 1:], torch.stack(taps[4:]).mean(0)[:, 1:]]
    grid = (height // 14, width // 14)
    enlarged = F.interpolate(images, size=(16 * grid[0], 16 * grid[1]), mode="bilinear")
    groups.append(torch.stack(projected(stages(weights, enlarged), grid, config.width)).mean(0))
    for i, expected in enumerate(scaled(groups, [1, 1, 1], [0, 0, 0])):
        comparison.add(case, f"group {i}", parity.relative_error(computed[f"tap.{i}"], expected), BOUND)


def main() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    comparison = parity.Comparison()
    generator = torch.Generator().manual_seed(8)
    weights = random_lite(generator)
    with tempfile.TemporaryDirectory() as folder, parity.Network(pathlib.Path(folder)) as network:
        file = pathlib.Path(folder) / "lite.pth"
        torch.save(weights, file, _use_new_zipfile_serialization=False)
        for height, width in ((96, 96), (80, 112)):  # even and odd sides of the maps
            images = torch.rand(2, 3, height, width, generator=generator)
            compare_lite(comparison, network, file, weights, images, f"lite2, {height} x {width}")
        compare_combined(comparison, network, pathlib.Path(folder), weights, generator)
        for published in sorted(pathlib.Path(os.environ.get("PROAD_LITE_WEIGHTS", "/nonexistent")).glob("*lite2*.pth")):
            images = torch.rand(1, 3, 448, 448, generator=generator)
            compare_lite(comparison, network, published, torch.load(published, weights_only=True), images,
                         published.name)
    comparison.finish()


if __name__ == "__main__":
    main()
