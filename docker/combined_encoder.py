#!/usr/bin/env python3
"""Makes the encoder file of proad-combined: a vision transformer and EfficientNet-Lite in one safetensors file.

    docker/combined_encoder.py TRANSFORMER.safetensors LITE.pth OUT.safetensors [--blocks 10] [--stages 5]

TRANSFORMER has the official names of DINOv2 in F32. LITE is a published state dict of EfficientNet-Lite in torch.save's
format before PyTorch 1.6. Keeps the blocks and stages that the preset runs, and folds the batch norms into the
convolutions. Needs no package. Equal inputs give equal bytes.
"""

from __future__ import annotations

import argparse
import array
import collections
import json
import math
import os
import pathlib
import pickle
import struct
import sys
import typing

EPSILON = 1e-3  # of EfficientNet's batch norms
FIRST_BLOCKS = {16: (0, 1, 3, 5, 8, 11, 15), 21: (0, 1, 4, 7, 11, 15, 20)}  # of stages, by number of blocks

Tensor = tuple[list[int], array.array]  # shape; row-major float32


def read_safetensors(path: pathlib.Path) -> dict[str, Tensor]:
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: tensor {name} is {entry['dtype']}; F32 is needed")
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["shape"], array.array("f", data[8 + size + begin:8 + size + end]))
    return tensors


class Storage(typing.NamedTuple):
    type: str
    key: str


class StateDict(pickle.Unpickler):
    """Reads the pickles of a state dict; refuses all other names."""

    def find_class(self, module: str, name: str) -> typing.Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, *rest: (storage, offset, list(shape), rest[0])
        if module == "torch" and name in ("FloatStorage", "LongStorage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is refused")

    def persistent_load(self, pid: tuple) -> Storage:
        return Storage(pid[1], pid[2])


def read_pth(path: pathlib.Path) -> dict[str, Tensor]:
    """The float tensors of the file."""
    with path.open("rb") as file:
        head = [StateDict(file).load() for _ in range(3)]
        if head[:2] != [0x1950a86a20f9469cfc6c, 1001] or not head[2]["little_endian"]:
            sys.exit(f"{path}: is not a file of torch.save before PyTorch 1.6")
        state_dict = StateDict(file).load()
        types = {storage.key: storage.type for storage, *_ in state_dict.values()}
        storages = {}
        for key in StateDict(file).load():
            (count,) = struct.unpack("<q", file.read(8))
            values = array.array("f" if types[key] == "FloatStorage" else "q")
            values.fromfile(file, count)
            storages[key] = values
    tensors = {}
    for name, (storage, offset, shape, strides) in state_dict.items():
        if storage.type == "FloatStorage":
            tensors[name] = (shape, row_major(storages[storage.key], offset, shape, strides))
    return tensors


def row_major(values: array.array, offset: int, shape: list[int], strides: typing.Sequence[int]) -> array.array:
    positions = [offset]
    for extent, stride in zip(shape, strides, strict=True):
        positions = [position + i * stride for position in positions for i in range(extent)]
    return array.array("f", [values[position] for position in positions])


def folded(tensors: dict[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch norm after it."""
    shape, weight = tensors[f"{convolution}.weight"]
    gamma, beta, mean, variance = (tensors[f"{norm}.{part}"][1] for part in
                                   ("weight", "bias", "running_mean", "running_var"))
    factors = [g / math.sqrt(v + EPSILON) for g, v in zip(gamma, variance, strict=True)]
    each = len(weight) // shape[0]
    scaled = array.array("f", [value * factors[i // each] for i, value in enumerate(weight)])
    bias = array.array("f", [b - m * f for b, m, f in zip(beta, mean, factors, strict=True)])
    return (shape, scaled), ([shape[0]], bias)


def lite_tensors(tensors: dict[str, Tensor], stages: int) -> dict[str, Tensor]:
    convolutions = [("stem", "_conv_stem", "_bn0")]
    indices = {int(name.split(".")[1]) for name in tensors if name.startswith("_blocks.")}
    # A file without the blocks of later stages has only those that are needed.
    first_blocks = FIRST_BLOCKS.get(len(indices))
    blocks = first_blocks[stages] if first_blocks and stages < len(first_blocks) else len(indices)
    for i in range(blocks):
        for ours, part, norm in (("expand", "_expand_conv", "_bn0"), ("depthwise", "_depthwise_conv", "_bn1"),
                                 ("project", "_project_conv", "_bn2")):
            if f"_blocks.{i}.{part}.weight" in tensors:
                convolutions.append((f"blocks.{i}.{ours}", f"_blocks.{i}.{part}", f"_blocks.{i}.{norm}"))
    result = {}
    for ours, published, norm in convolutions:
        result[f"lite.{ours}.weight"], result[f"lite.{ours}.bias"] = folded(tensors, published, norm)
    return result


def transformer_tensors(tensors: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    kept = {}
    for name, tensor in tensors.items():
        later = name.startswith("blocks.") and int(name.split(".")[1]) >= blocks
        if not later and not name.startswith(("norm.", "mask_token", "head.")):
            kept[f"transformer.{name}"] = tensor
    return kept


def write_safetensors(path: pathlib.Path, tensors: dict[str, Tensor]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (shape, values) in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * len(values)]}
        at += 4 * len(values)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, (_, values) in sorted(tensors.items()):
            values.tofile(file)
    temporary.rename(path)


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the encoder file of proad-combined")
    parser.add_argument("transformer", type=pathlib.Path)
    parser.add_argument("lite", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--blocks", type=int, default=10, help="of the transformer")
    parser.add_argument("--stages", type=int, default=5, help="of EfficientNet-Lite")
    options = parser.parse_args()
    tensors = {**transformer_tensors(read_safetensors(options.transformer), options.blocks),
               **lite_tensors(read_pth(options.lite), options.stages)}
    write_safetensors(options.out, tensors)
    print(f"{options.out}: {len(tensors)} tensors, {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
