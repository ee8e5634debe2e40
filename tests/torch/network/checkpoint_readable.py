"""A stored version, read by the public safetensors package: names, shapes, precision, values and digests."""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import parity  # first: it skips the test where there is no PyTorch
import reference
from safetensors import safe_open
from safetensors.torch import load_file

WEIGHTS = parity.SOURCE / "model" / "weights"


def check_tensors(comparison: parity.Comparison, stored: pathlib.Path, source: pathlib.Path) -> None:
    with safe_open(stored, "pt") as file:
        comparison.expect(stored.name, "metadata says who may read it",
                          file.metadata() == {"format": "pt"})
    written, expected = load_file(stored), load_file(source)
    comparison.expect(stored.name, f"names {written.keys() ^ expected.keys()} differ",
                      written.keys() == expected.keys())
    for name, tensor in expected.items():
        comparison.expect(stored.name, f"{name} differs",
                          written[name].dtype == tensor.dtype and written[name].equal(tensor))


def main() -> None:
    comparison = parity.Comparison()
    with tempfile.TemporaryDirectory() as folder, parity.Network(pathlib.Path(folder)) as network:
        version = network.publish(pathlib.Path(folder) / "store", "proad-tiny",
                                  WEIGHTS / "encoder-tiny.safetensors",
                                  WEIGHTS / "proad-tiny.safetensors")
        check_tensors(comparison, version / "encoder.safetensors", WEIGHTS / "encoder-tiny.safetensors")
        check_tensors(comparison, version / "model.safetensors", WEIGHTS / "proad-tiny.safetensors")
        manifest = json.loads((version / "manifest.json").read_text())
        listed = manifest["files"]
        present = {file.name for file in version.iterdir()} - {"manifest.json"}
        comparison.expect("manifest", f"lists {sorted(listed)}", listed.keys() == present)
        for name, digest in listed.items():
            content = (version / name).read_bytes()
            comparison.expect("manifest", f"digest of {name}",
                              digest["sha256"] == hashlib.sha256(content).hexdigest()
                              and digest["bytes"] == len(content))
        comparison.expect("manifest", "preset", manifest["config"]["preset"] == "proad-tiny")

        # The probe's score, computed from the stored files alone.
        config = reference.PRESETS["proad-tiny"]
        weights = {name: tensor.float() for file in ("encoder", "model")
                   for name, tensor in load_file(version / f"{file}.safetensors").items()}
        pixels = parity.image_pixels(version / manifest["probe"]["file"], config.height, config.width_px)
        score = reference.forward(weights, config, reference.normalise(pixels)).score.item()
        comparison.add("manifest", "probe score", abs(manifest["probe"]["score"] / score - 1), 1e-4)
    comparison.finish()


if __name__ == "__main__":
    main()
