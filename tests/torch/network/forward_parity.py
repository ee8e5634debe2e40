"""The whole network, map and score, as the paper writes it and frozen, against the transcription."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import parity  # first: it skips the test where there is no PyTorch
import reference
import torch
from safetensors.torch import save_file

BOUND = 1e-4

TINY = reference.PRESETS["proad-tiny"]


def with_input(config: reference.Config, height: int, width: int) -> reference.Config:
    return dataclasses.replace(config, height=height, width_px=width)


# name, configuration, batch
CASES = (
    ("tiny", TINY, 3),
    ("small", reference.PRESETS["proad-small"], 2),
    ("base", reference.PRESETS["proad-base"], 1),
    ("tiny, not square", with_input(TINY, 224, 308), 2),
    ("tiny, positions of the lineage", dataclasses.replace(TINY, position_resize="lineage"), 2),
    ("tiny, position grid of the input", dataclasses.replace(TINY, position_grid=20), 1),
    ("tiny, 8 decoder layers", dataclasses.replace(TINY, decoder_layers=8), 2),
    ("tiny, 1 group", dataclasses.replace(TINY, groups=1), 2),
    ("tiny, 8 groups", dataclasses.replace(TINY, decoder_layers=8, groups=8), 2),
    ("tiny, no bottleneck", dataclasses.replace(TINY, adaptive_noisy_bottleneck=False), 2),
    ("tiny, static prototypes", dataclasses.replace(TINY, dynamic_decoder=False), 2),
    ("tiny, no prototype constraint", dataclasses.replace(TINY, prototype_constraint=False), 2),
    ("tiny, none of the three", dataclasses.replace(
        TINY, adaptive_noisy_bottleneck=False, dynamic_decoder=False, prototype_constraint=False), 2),
)


def check(comparison: parity.Comparison, network: parity.Network, directory: pathlib.Path, case: str,
          config: reference.Config, batch: int) -> None:
    generator = torch.Generator().manual_seed(len(case))
    encoder = reference.random_encoder(config, generator)
    trainable = reference.random_trainable(config, generator)
    save_file(encoder, directory / "encoder.safetensors")
    save_file(trainable, directory / "weights.safetensors")
    pixels = parity.random_images(batch, config.height, config.width_px, seed=batch)
    expected = reference.forward(encoder | trainable, config, reference.normalise(pixels))
    computed, _ = network.run(
        {"pixels": pixels}, directory / "encoder.safetensors", directory / "weights.safetensors", preset=config.preset, decoder_layers=config.decoder_layers,
        groups=config.groups, input_height=config.height, input_width=config.width_px,
        position_resize=config.position_resize,
        adaptive_noisy_bottleneck=int(config.adaptive_noisy_bottleneck),
        dynamic_decoder=int(config.dynamic_decoder),
        prototype_constraint=int(config.prototype_constraint))

    def worst(name: str, tensors: list[torch.Tensor]) -> float:
        return max(parity.relative_error(computed[f"{name}.{i}"], tensor)
                   for i, tensor in enumerate(tensors))

    def channels_last(groups: list[torch.Tensor]) -> list[torch.Tensor]:
        return [group.permute(0, 2, 3, 1) for group in groups]

    comparison.add(case, "taps", worst("tap", expected.taps), BOUND)
    comparison.add(case, "encoder groups", worst("encoder_group", channels_last(expected.encoder_groups)),
                   BOUND)
    comparison.add(case, "decoder groups", worst("decoder_group", channels_last(expected.decoder_groups)),
                   BOUND)
    for prefix in "", "frozen_":
        comparison.add(case, f"{prefix}map", parity.relative_error(computed[f"{prefix}map"], expected.map),
                       BOUND)
        scores = (computed[f"{prefix}score"] / expected.score - 1).abs().max().item()
        comparison.add(case, f"{prefix}score", scores, BOUND)


def main() -> None:
    comparison = parity.Comparison()
    with (torch.inference_mode(), tempfile.TemporaryDirectory() as folder,
          parity.Network(pathlib.Path(folder)) as network):
        for case, config, batch in CASES:
            check(comparison, network, pathlib.Path(folder), case, config, batch)
    comparison.finish()


if __name__ == "__main__":
    main()
