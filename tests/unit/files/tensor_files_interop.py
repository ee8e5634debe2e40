"""Tensor files of the public safetensors package and of PyTorch, against this project's reader and writer."""

import collections
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy
import safetensors
import safetensors.torch
import torch

TOOL = pathlib.Path(os.environ["PROAD_BINARY_DIR"]) / "tests" / "unit" / "tensor_tool"

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def run(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, check=False)


def listing(path):
    result = run("list", path)
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return json.loads(result.stdout)


def described(tensors):
    """What tensor_tool must say of these tensors."""
    answer = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        answer[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    return answer


def one_of_each():
    generator = torch.Generator().manual_seed(1)
    tensors = {
        str(dtype): (torch.randn(3, 5, generator=generator) * 50).to(dtype) for dtype in DTYPES
    }
    tensors["scalar"] = torch.tensor(2.5)
    tensors["nothing"] = torch.zeros(0, 4)
    tensors["odd"] = torch.arange(7, dtype=torch.uint8)
    tensors["größe \"1\""] = torch.ones(2)
    return tensors


class Base(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def path(self, name):
        return self.directory / name

    def saved(self, value, **options):
        path = self.path("file.pth")
        torch.save(value, path, **options)
        return path

    def refused(self, path, *words):
        result = run("list", path)
        self.assertEqual(result.returncode, 1, result)
        for word in (str(path), *words):
            self.assertIn(word, result.stderr)


class Safetensors(Base):
    def test_reads_what_python_writes(self):
        path = self.path("f.safetensors")
        tensors = one_of_each()
        safetensors.torch.save_file(tensors, path, metadata={"format": "pt", "größe": "1"})
        answer = listing(path)
        self.assertEqual(answer["tensors"], described(tensors))
        self.assertEqual(answer["metadata"], {"format": "pt", "größe": "1"})

    def test_python_reads_what_it_writes(self):
        source, target = self.path("in.safetensors"), self.path("out.safetensors")
        tensors = one_of_each()
        safetensors.torch.save_file(tensors, source, metadata={"format": "pt", "a": "b"})
        self.assertEqual(run("rewrite", source, target).returncode, 0)
        back = safetensors.torch.load_file(target)
        self.assertEqual(back.keys(), tensors.keys())
        for name, tensor in tensors.items():
            self.assertEqual(back[name].dtype, tensor.dtype, name)
            self.assertTrue(torch.equal(back[name], tensor), name)
        with safetensors.safe_open(target, "pt") as file:
            self.assertEqual(file.metadata(), {"format": "pt", "a": "b"})

    def test_types_without_a_place_are_refused_by_name(self):
        path = self.path("f.safetensors")
        safetensors.torch.save_file({"w": torch.zeros(2, dtype=torch.float8_e4m3fn)}, path)
        self.refused(path, 'tensor "w"', "F8_E4M3", "BF16")

    def test_both_refuse_the_same_damage(self):
        path = self.path("f.safetensors")
        safetensors.torch.save_file({"a": torch.ones(2), "b": torch.zeros(3)}, path)
        good = path.read_bytes()
        for size in range(len(good)):
            path.write_bytes(good[:size])
            with self.assertRaises(Exception):
                safetensors.torch.load_file(path)
            self.assertNotEqual(run("list", path).returncode, 0, size)


class TorchArchive(Base):
    def test_state_dict_of_a_module(self):
        module = torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.LayerNorm(4)
        )
        state = module.state_dict()
        self.assertIsInstance(state, collections.OrderedDict)
        self.assertEqual(listing(self.saved(state))["tensors"], described(state))

    def test_every_type(self):
        tensors = one_of_each()
        self.assertEqual(listing(self.saved(tensors))["tensors"], described(tensors))

    def test_every_pickle_protocol(self):
        tensors = one_of_each()
        for protocol in (2, 3, 4, 5):
            path = self.saved({"model": tensors, "epoch": 300}, pickle_protocol=protocol)
            self.assertEqual(listing(path)["tensors"], described(tensors), protocol)

    def test_under_a_usual_name_among_other_things(self):
        module = torch.nn.Linear(3, 4)
        for name in ("teacher", "model", "state_dict"):
            value = {
                "epoch": 10**12,
                "lr": 1e-3,
                "best": None,
                "flags": [True, False, ("a", -1, 70000)],
                "optimizer": torch.optim.Adam(module.parameters()).state_dict(),
                name: module.state_dict(),
            }
            self.assertEqual(
                listing(self.saved(value))["tensors"], described(module.state_dict()), name
            )

    def test_parameters(self):
        parameters = dict(torch.nn.Linear(3, 4).named_parameters())
        self.assertEqual(listing(self.saved(parameters))["tensors"], described(parameters))

    def test_views_of_one_storage(self):
        base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
        views = {
            "base": base,
            "transposed": base.t(),
            "row": base[1],
            "column": base[:, 2],
            "steps": base[::2, 1::3],
            "block": base[1:3, 2:5],
            "permuted": base.reshape(2, 3, 4).permute(2, 0, 1),
        }
        self.assertEqual(listing(self.saved(views))["tensors"], described(views))

    def test_many_tensors(self):
        tensors = {f"block.{i}.weight": torch.full((2, 2), float(i)) for i in range(3000)}
        self.assertEqual(listing(self.saved(tensors))["tensors"], described(tensors))

    def test_becomes_safetensors(self):
        tensors = one_of_each()
        target = self.path("out.safetensors")
        self.assertEqual(run("rewrite", self.saved(tensors), target).returncode, 0)
        back = safetensors.torch.load_file(target)
        self.assertEqual(described(back), described(tensors))

    def test_expanded_views_are_refused(self):
        path = self.saved({"w": torch.ones(1).expand(1000)})
        self.refused(path, 'tensor "w"', "overlap", "contiguous()")

    def test_a_hostile_pickle_is_refused_by_name_and_not_run(self):
        witness = self.path("owned")

        class Hostile:
            def __reduce__(self):
                return os.system, (f"touch {witness}",)

        for protocol in (2, 4):
            value = {"w": torch.ones(1), "x": Hostile()}
            self.refused(self.saved(value, pickle_protocol=protocol), '.system" is refused')
        self.assertFalse(witness.exists())

    def test_numpy_and_whole_modules_are_refused_by_name(self):
        self.refused(self.saved({"w": numpy.ones(3)}), "numpy", "is refused", "state_dict()")
        self.refused(self.saved(torch.nn.Linear(1, 1)), "Linear", "is refused")

    def test_types_without_a_place_are_refused_by_name(self):
        self.refused(self.saved({"w": torch.zeros(2, dtype=torch.complex64)}), "ComplexFloatStorage")

    def test_the_format_before_16_is_read(self):
        tensors = one_of_each()
        tensors["view"] = tensors["torch.float32"].t()
        path = self.saved(tensors, _use_new_zipfile_serialization=False)
        self.assertEqual(listing(path)["tensors"], described(tensors))

    def test_torchscript_is_explained(self):
        path = self.path("script.pt")
        torch.jit.script(torch.nn.Linear(2, 2)).save(path)
        self.refused(path, "TorchScript", "state_dict()")

    def test_every_truncation_is_refused(self):
        path = self.saved({"w": torch.ones(2, 3)})
        good = path.read_bytes()
        for size in range(0, len(good), 7):
            path.write_bytes(good[:size])
            self.refused(path)


if __name__ == "__main__":
    unittest.main()
