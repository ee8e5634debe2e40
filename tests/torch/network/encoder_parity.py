"""The encoder against Hugging Face, timm and the transcription: every tap, from files of every kind.

All weights are random and no tensor is trivial. Nothing is fetched: the peers are made from configurations.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import collections
import dataclasses
import math
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import parity  # first: it skips the test where there is no PyTorch
import reference
import torch
from safetensors.torch import save_file

try:
    import timm
    from transformers import (Dinov2WithRegistersConfig, Dinov2WithRegistersForImageClassification,
                              Dinov2WithRegistersModel)
except ImportError as error:
    print(f"skipped: a peer is not installed ({error})")
    sys.exit(77)

TAPS = (2, 3, 4, 5, 6, 7, 8, 9)
SIZES = ((392, 392), (392, 280))
BOUND = 1e-4


def randomise(model: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.state_dict().items():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            value = 1 + 0.1 * noise
        elif name.endswith(("lambda1", "gamma")):
            value = 0.3 + 0.1 * noise
        elif "token" in name:
            value = 0.5 * noise
        elif "pos" in name:
            value = 0.3 * noise
        elif parameter.ndim >= 2:
            value = noise / math.sqrt(parameter[0].numel())
        else:
            value = 0.1 * noise
        parameter.copy_(value)


@dataclasses.dataclass
class Bench:
    """What every comparison needs."""

    comparison: parity.Comparison
    network: parity.Network
    directory: pathlib.Path


def compare_taps(bench: Bench, case: str, dialect: str, file: pathlib.Path, images: torch.Tensor,
                 expected: list[torch.Tensor], **options: object) -> None:
    height, width = images.shape[-2:]
    case = f"{case}, {height}x{width}"
    computed, seen = bench.network.run({"images": images}, file, input_height=height,
                                       input_width=width, **options)
    bench.comparison.expect(case, f"taken for {seen}, expected {dialect}", seen == dialect)
    error = max(parity.absolute_error(computed[f"tap.{i}"], tap) for i, tap in enumerate(expected))
    bench.comparison.add(case, f"{len(expected)} taps, max abs", error, BOUND)


def images_of(size: tuple[int, int], batch: int) -> torch.Tensor:
    return reference.normalise(parity.random_images(batch, *size, seed=size[1]))


def hugging_face(bench: Bench, width: int, heads: int, image_size: int, files: tuple[str, ...],
                 batch: int, preset: str) -> None:
    directory = bench.directory
    config = Dinov2WithRegistersConfig(hidden_size=width, num_hidden_layers=12, num_attention_heads=heads,
                                       image_size=image_size, patch_size=14, num_labels=3)
    classifier = Dinov2WithRegistersForImageClassification(config).eval()
    randomise(classifier, seed=width)
    model = Dinov2WithRegistersModel(config).eval()
    model.load_state_dict(classifier.dinov2_with_registers.state_dict())
    paths = {}
    if "on disk" in files:
        model.save_pretrained(directory / "hf")
        paths["on disk"] = directory / "hf" / "model.safetensors"
    if "in memory" in files:
        paths["in memory"] = directory / "memory.safetensors"
        save_file(model.state_dict(), paths["in memory"])
    if "classifier" in files:
        classifier.save_pretrained(directory / "classifier")
        paths["classifier"] = directory / "classifier" / "model.safetensors"
    if "pth" in files:
        paths["pth"] = directory / "hf.pth"
        torch.save(model.state_dict(), paths["pth"])
    for size in SIZES:
        images = images_of(size, batch)
        states = model(images, output_hidden_states=True).hidden_states
        expected = [states[tap + 1] for tap in TAPS]
        for name, path in paths.items():
            case = f"Hugging Face {width} wide, grid {image_size // 14}, {name}"
            compare_taps(bench, case, "huggingface", path, images, expected, preset=preset)


def with_timm(bench: Bench) -> None:
    model = timm.create_model("vit_small_patch14_reg4_dinov2", pretrained=False, num_classes=0,
                              dynamic_img_size=True).eval()
    randomise(model, seed=7)
    paths = {"safetensors": bench.directory / "timm.safetensors",
             "pth": bench.directory / "timm.pth"}
    save_file(model.state_dict(), paths["safetensors"])
    torch.save(model.state_dict(), paths["pth"])
    outputs: list[torch.Tensor] = []
    for block in model.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    for size in SIZES:
        images = images_of(size, 1)
        outputs.clear()
        model.forward_features(images)
        expected = [outputs[tap] for tap in TAPS]
        for name, path in paths.items():
            compare_taps(bench, f"timm vit_small, {name}", "timm", path, images, expected,
                         preset="proad-small")


def official(bench: Bench) -> None:
    for resize in "official", "lineage":
        for dtype in torch.float32, torch.float16, torch.bfloat16:
            config = reference.Config(width=192, heads=3, position_resize=resize, height=392,
                                      width_px=280)
            weights = {name: tensor.to(dtype) for name, tensor in reference.random_encoder(
                config, torch.Generator().manual_seed(3), depth=12).items()}
            path = bench.directory / "official.pth"
            torch.save(collections.OrderedDict(weights), path)
            images = images_of((392, 280), 2)
            expected = reference.encode({name: tensor.float() for name, tensor in weights.items()},
                                        config, images)
            case = f"official .pth, {resize}, {str(dtype).removeprefix('torch.')}"
            compare_taps(bench, case, "official", path, images, expected, preset="proad-tiny",
                         position_resize=resize)


def main() -> None:
    comparison = parity.Comparison()
    with (torch.inference_mode(), tempfile.TemporaryDirectory() as folder,
          parity.Network(pathlib.Path(folder)) as network):
        bench = Bench(comparison, network, pathlib.Path(folder))
        hugging_face(bench, 192, 3, 518, ("on disk", "in memory", "classifier", "pth"), 2, "proad-tiny")
        hugging_face(bench, 192, 3, 392, ("on disk",), 1, "proad-tiny")
        hugging_face(bench, 768, 12, 518, ("on disk",), 1, "proad-base")
        with_timm(bench)
        official(bench)
    comparison.finish()


if __name__ == "__main__":
    main()
