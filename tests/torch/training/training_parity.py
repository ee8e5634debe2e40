"""Loss, gradients, optimiser steps and schedule against the transcription, which computes in float64."""

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
# Of how far ten steps move a tensor, which is little beside the tensor itself.
MOVE_BOUND = 1e-3

STEPS = 10
BATCH = 3
# The warm-up matters: the first step goes by the signs of the gradients, and of what is all but 0, rounding decides.
RECIPE = {"learning_rate": 1e-3, "final_ratio": 0.1, "warmup_steps": 3, "weight_decay": 1e-2, "tau": 3.0,
          "gradient_clip": 0.1}

TINY = dataclasses.replace(reference.PRESETS["proad-tiny"], height=56, width_px=56)

# name, configuration, what differs from RECIPE
CASES: tuple[tuple[str, reference.Config, dict[str, float]], ...] = (
    ("tiny, 4 layers", TINY, {}),
    ("tiny, 2 layers, not square", dataclasses.replace(TINY, decoder_layers=2, width_px=84), {}),
    ("tiny, 4 groups, gradients unclipped", dataclasses.replace(TINY, groups=4),
     {"tau": 1.0, "gradient_clip": 1e3, "warmup_steps": 5}),
    ("tiny, 2 layers, none of the three", dataclasses.replace(
        TINY, decoder_layers=2, groups=1, adaptive_noisy_bottleneck=False, dynamic_decoder=False,
        prototype_constraint=False), {"weight_decay": 0.0}),
)


def random_optimizer_input(dtype: torch.dtype) -> parity.Tensors:
    """Three tensors, gradients of very different size between steps, one element that never has any."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    sizes = 10.0 ** (2 * normal(STEPS) - 2)
    inputs = {"learning_rate": torch.linspace(0, 1e-2, STEPS, dtype=torch.float64)}
    for name, shape in (("matrix", (5, 7)), ("vector", (11,)), ("bank", (3, 2, 4))):
        inputs[f"parameter.{name}"] = normal(*shape).to(dtype)
        gradients = normal(STEPS, *shape) * sizes.view(-1, *[1] * len(shape))
        gradients.view(STEPS, -1)[:, 0] = 0
        inputs[f"gradient.{name}"] = gradients.to(dtype)
    return inputs


def check_optimizer(comparison: parity.Comparison, tool: parity.Tool, dtype: torch.dtype, name: str,
                    bound: float) -> None:
    inputs = random_optimizer_input(dtype)
    decay = 0.1
    computed, _ = tool.run_on(inputs, {"job": "optimize", "type": name, "weight_decay": decay})
    names = [key.removeprefix("parameter.") for key in inputs if key.startswith("parameter.")]
    optimizer = reference.StableAdamW({key: inputs[f"parameter.{key}"].double().clone() for key in names},
                                      decay)
    for step, rate in enumerate(inputs["learning_rate"].tolist()):
        optimizer.step({key: inputs[f"gradient.{key}"][step].double() for key in names}, rate)
        error = max(parity.relative_error(computed[f"parameter.{key}"][step], optimizer.parameters[key])
                    for key in names)
        comparison.add(f"StableAdamW alone, {name}", f"step {step}", error, bound)


def check_training(comparison: parity.Comparison, tool: parity.Tool, directory: pathlib.Path, case: str,
                   config: reference.Config, changes: dict[str, float]) -> None:
    recipe = RECIPE | changes
    generator = torch.Generator().manual_seed(len(case))
    encoder = reference.random_encoder(config, generator)
    trainable = reference.random_trainable(config, generator)
    save_file(encoder, directory / "encoder.safetensors")
    save_file(trainable, directory / "weights.safetensors")
    images = torch.stack([
        reference.normalise(parity.random_images(BATCH, config.height, config.width_px, seed=step))
        for step in range(STEPS)])
    computed, _ = tool.run_on({"images": images}, {
        "job": "train", "encoder": directory / "encoder.safetensors",
        "weights": directory / "weights.safetensors", "preset": config.preset,
        "decoder_layers": config.decoder_layers, "groups": config.groups, "input_height": config.height,
        "input_width": config.width_px,
        "adaptive_noisy_bottleneck": int(config.adaptive_noisy_bottleneck),
        "dynamic_decoder": int(config.dynamic_decoder),
        "prototype_constraint": int(config.prototype_constraint), **recipe})

    rates = reference.learning_rates(recipe["learning_rate"], recipe["learning_rate"] * recipe["final_ratio"],
                                     int(recipe["warmup_steps"]), STEPS)
    expected = reference.train({name: tensor.double() for name, tensor in encoder.items()},
                               {name: tensor.double() for name, tensor in trainable.items()}, config,
                               images.double(), rates, recipe["weight_decay"], recipe["tau"],
                               recipe["gradient_clip"])

    def each(values: list[float], name: str) -> float:
        return max(abs(actual / value - 1) if value else abs(actual)
                   for actual, value in zip(computed[name].tolist(), values, strict=True))

    def worst(prefix: str, tensors: parity.Tensors) -> float:
        return max(parity.relative_error(computed[f"{prefix}.{name}"], tensor)
                   for name, tensor in tensors.items())

    def worst_move() -> float:
        def error(name: str) -> float:
            start, end = trainable[name].double(), expected.weights[name]
            return ((computed[f"weight.{name}"].double() - end).norm() / (end - start).norm()).item()

        return max(error(name) for name in trainable)

    comparison.expect(case, "gradients and weights of every parameter",
                      {name.partition(".")[2] for name in computed if "." in name} == set(trainable))
    comparison.add(case, "learning rates", each(rates, "learning_rate"), 1e-12)
    comparison.add(case, "loss, 10 steps", each(expected.losses, "loss"), BOUND)
    comparison.add(case, "norm, 10 steps", each(expected.norms, "norm"), BOUND)
    comparison.add(case, "every gradient", worst("gradient", expected.gradients), BOUND)
    comparison.add(case, "every weight", worst("weight", expected.weights), BOUND)
    comparison.add(case, "every move", worst_move(), MOVE_BOUND)


def main() -> None:
    torch.set_num_threads(1)
    comparison = parity.Comparison()
    with (tempfile.TemporaryDirectory() as folder,
          parity.Tool("proad_training_tool", pathlib.Path(folder)) as tool):
        check_optimizer(comparison, tool, torch.float64, "F64", 1e-6)
        check_optimizer(comparison, tool, torch.float32, "F32", 1e-5)
        for case, config, changes in CASES:
            check_training(comparison, tool, pathlib.Path(folder), case, config, changes)
    comparison.finish()


if __name__ == "__main__":
    main()
