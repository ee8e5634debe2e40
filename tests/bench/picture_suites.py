#!/usr/bin/env python3
"""Compares the decoder with Pillow on all image files below some folders.

    tests/bench/picture_suites.py FOLDER... [--build build/release]

For every PNG, JPEG, BMP, TIFF and WebP file: an image that the decoder accepts must equal Pillow's within 2 levels, and
a file that Pillow refuses as damaged must be refused. Prints the exceptions and the counts; exit status 1 if there are
exceptions.

Figures, files up to 32 MB:

    suite                                      files  accepted  exceptions
    Pillow, Tests/images                         674       542           5
    image-rs/image                               321       256           2
    image-rs/image-tiff, with libtiff's pictures 216        46           3
    image-rs/image-png                             4         3           0
    webmproject/libwebp-test-data                 26        25           0

Seven exceptions are TIFF files whose colours Pillow divides by their alpha channel (associated alpha), where the decoder
keeps the stored colours. Three are PNG files that Pillow refuses for other reasons than damaged pixels: a wrong sequence
of animation chunks, an unknown compression of a text chunk, and a text that is too long.
"""

import argparse
import io
import pathlib
import subprocess
import sys
import warnings

from environment import BUILD, program  # first: it selects the Python

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".dib", ".tif", ".tiff", ".webp"}
MAX_BYTES = 32 << 20
MAX_PIXELS = 64_000_000
TOLERANCE = 2


class Decoder:
    """resize_tool, one request after another; started again after a crash."""

    def __init__(self, tool: pathlib.Path) -> None:
        self.tool = tool
        self.process: subprocess.Popen[bytes] | None = None

    def decode(self, data: bytes) -> np.ndarray | str:
        if self.process is None:
            self.process = subprocess.Popen([self.tool], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdin.write(b"decode %d\n" % len(data) + data)
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode()
        if not answer:
            self.process = None
            return "the tool has crashed"
        if answer.startswith("error"):
            return answer.strip()
        width, height = map(int, answer.split())
        return np.frombuffer(self.process.stdout.read(width * height * 3), np.uint8).reshape(height, width, 3)


def pillow(data: bytes) -> np.ndarray | str:
    """The pixels as RGB, 16 bit grey scaled as the decoder does, or the error."""
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            return "too large"
        image.load()
        if image.mode.startswith("I"):
            samples = np.asarray(image).astype(np.int64)
            return np.repeat(((samples * 255 + 32895) >> 16).astype(np.uint8)[:, :, None], 3, 2)
        return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises many types
        return f"{type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares the decoder with Pillow on folders of images")
    parser.add_argument("folders", type=pathlib.Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    decoder = Decoder(program("resize_tool", options.build))
    files = [file for folder in options.folders for file in sorted(folder.rglob("*"))
             if file.suffix.lower() in ENDINGS and file.is_file() and 0 < file.stat().st_size <= MAX_BYTES]
    accepted = exceptions = 0
    for file in files:
        data = file.read_bytes()
        ours, theirs = decoder.decode(data), pillow(data)
        if isinstance(ours, str):
            if "crashed" in ours:
                exceptions += 1
                print(f"{file}: {ours}")
            continue
        accepted += 1
        problem = ""
        if isinstance(theirs, str):
            problem = f"Pillow refuses it: {theirs}"
        elif ours.shape != theirs.shape:
            problem = f"{ours.shape} here, {theirs.shape} in Pillow"
        elif (difference := int(np.abs(ours.astype(int) - theirs).max())) > TOLERANCE:
            problem = f"differs by {difference}"
        if problem:
            exceptions += 1
            print(f"{file}: {problem}")
    print(f"{len(files)} files, {accepted} accepted, {exceptions} exceptions")
    return 1 if exceptions else 0


if __name__ == "__main__":
    sys.exit(main())
