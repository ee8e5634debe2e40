"""What the parity scripts share: running the C++ network, and comparing tensors with a bound."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import types
import typing

# Before torch is loaded: threads that spin for long while they wait starve each other where cores are shared.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import numpy
from PIL import Image

try:
    import torch
    from safetensors.torch import load_file, save_file
except (ImportError, OSError) as error:  # OSError: a build of torch without the libraries that it loads
    print(f"skipped: this Python has no PyTorch to compare with ({error})")
    sys.exit(77)

SOURCE = pathlib.Path(os.environ.get("PROAD_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BINARIES = pathlib.Path(os.environ.get("PROAD_BINARY_DIR", SOURCE / "build" / "dev"))

Tensors = dict[str, torch.Tensor]


class Tool:
    """A C++ program of this folder in a process of its own, which starts once for all cases."""

    def __init__(self, name: str, directory: pathlib.Path) -> None:
        self._input = directory / "input.safetensors"
        self._output = directory / "output.safetensors"
        self._name = name
        self._process = subprocess.Popen([BINARIES / "tests" / "torch" / name], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | types.TracebackType | None) -> None:
        self._process.stdin.close()
        self._process.wait()

    def run_on(self, inputs: Tensors, words: dict[str, object]) -> tuple[Tensors, str]:
        """What the tool computed from the inputs, and its answer."""
        save_file({name: tensor.contiguous() for name, tensor in inputs.items()}, self._input)
        answer = self.ask({**words, "input": self._input, "output": self._output})
        return load_file(self._output), answer

    def ask(self, words: dict[str, object]) -> str:
        job = " ".join(f"{name}={value}" for name, value in words.items())
        self._process.stdin.write(job + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer.startswith("ok "):
            sys.exit(f"{self._name}, job '{job}': {answer or f'ended with {self._process.wait()}'}")
        return answer.removeprefix("ok ")


class Network(Tool):
    """The C++ network."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__("proad_forward_tool", directory)

    def run(self, inputs: Tensors, encoder: pathlib.Path, weights: pathlib.Path | None = None,
            **options: object) -> tuple[Tensors, str]:
        """What the network computed, and whose names it found in the encoder's file."""
        words = {"encoder": encoder, **options}
        if weights is not None:
            words["weights"] = weights
        return self.run_on(inputs, words)

    def publish(self, store: pathlib.Path, preset: str, encoder: pathlib.Path,
                weights: pathlib.Path) -> pathlib.Path:
        """Makes a version and returns its directory."""
        return pathlib.Path(self.ask({"store": store, "preset": preset, "encoder": encoder,
                                      "weights": weights}))


def random_images(batch: int, height: int, width: int, seed: int) -> torch.Tensor:
    """uint8 [B, H, W, 3] with smooth shapes and fine grain."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 9, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    grain = 0.15 * torch.randn(batch, 3, height, width, generator=generator)
    return ((smooth + grain).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def image_pixels(path: pathlib.Path, height: int, width: int) -> torch.Tensor:
    """A file's pixels at the network's size: uint8 [1, H, W, 3]."""
    image = Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(numpy.array(image))[None]


class Comparison:
    """Collects the worst differences, prints them as a table, and fails at the end if any is too large."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def add(self, case: str, what: str, error: float, bound: float) -> None:
        fits = error <= bound  # false for NaN
        print(f"{'ok  ' if fits else 'FAIL'} {case:<54} {what:<16} {error:.2e} (at most {bound:.0e})",
              flush=True)
        if not fits:
            self.failures.append(f"{case}: {what}")

    def expect(self, case: str, what: str, truth: bool) -> None:
        if not truth:
            print(f"FAIL {case:<54} {what}", flush=True)
            self.failures.append(f"{case}: {what}")

    def finish(self) -> None:
        if self.failures:
            sys.exit(f"{len(self.failures)} comparisons failed: {'; '.join(self.failures)}")
        print("all comparisons hold")


def absolute_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    assert actual.shape == expected.shape, f"{tuple(actual.shape)} against {tuple(expected.shape)}"
    return (actual.double() - expected.double()).abs().max().item()


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, as a share of the largest expected value."""
    return absolute_error(actual, expected) / expected.abs().max().item()
