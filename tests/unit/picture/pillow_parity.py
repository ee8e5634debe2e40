"""Compares decoding, resizing and cropping with Pillow and torchvision's rule, sample by sample.

    pillow_parity.py RESIZE_TOOL

The promise: 99 % of the samples of a resized picture within 1 of Pillow's, none further than 2. What is asserted is
more: equal.
"""

import io
import os
import pathlib
import subprocess
import sys
import unittest

import numpy as np
from PIL import Image

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])
FACTORY = SOURCE / ".." / "shared" / "datasets" / "factory4"
SAMPLE = SOURCE / "deploy" / "sample"
TOOL = subprocess.Popen([sys.argv.pop(1)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ours(mode: str, *sizes: int, data: bytes) -> np.ndarray:
    TOOL.stdin.write(" ".join(map(str, [mode, len(data), *sizes])).encode() + b"\n" + data)
    TOOL.stdin.flush()
    answer = TOOL.stdout.readline().decode()
    if answer.startswith("error") or not answer:
        raise AssertionError(f"{mode} {sizes}: {answer}")
    width, height = map(int, answer.split())
    return np.frombuffer(TOOL.stdout.read(width * height * 3), np.uint8).reshape(height, width, 3)


def pillow_resized(image: Image.Image, width: int, height: int) -> np.ndarray:
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * 10007 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8), "RGB")


def extremes(width: int, height: int) -> Image.Image:
    """Black and white only, so that rounding at both ends of the range is met."""
    rng = np.random.default_rng(width)
    return Image.fromarray(rng.integers(0, 2, (height, width, 3), np.uint8) * 255, "RGB")


def real_pictures(limit: int) -> list[pathlib.Path]:
    files = sorted(p for root in (SAMPLE, FACTORY) for p in root.rglob("*.png"))
    files += sorted(p for root in (SAMPLE, FACTORY) for p in root.rglob("*.jpg"))
    return files[:: max(1, len(files) // limit)]


class Resize(unittest.TestCase):
    def check(self, image: Image.Image, width: int, height: int) -> None:
        with self.subTest(f"{image.width}x{image.height} to {width}x{height}"):
            np.testing.assert_array_equal(
                ours("resize", image.width, image.height, width, height, data=image.tobytes()),
                pillow_resized(image, width, height))

    def test_sizes(self) -> None:
        for size in [(2000, 2000), (1024, 768), (393, 391), (392, 500), (500, 392), (392, 392),
                     (100, 37), (17, 1000), (3, 2), (1, 1), (1, 300), (300, 1)]:
            for to in [(392, 392), (448, 448), (256, 128), (37, 41), (1, 1), (7, 1), (1, 9)]:
                self.check(noise(*size), *to)

    def test_every_small_size(self) -> None:
        """Rows and columns of every remainder that the vectorised loops can leave."""
        for width in range(1, 40):
            self.check(noise(50, 30), width, 41 - width)
            self.check(noise(width, 41 - width), 23, 23)

    def test_order_of_the_passes(self) -> None:
        """Pillow begins with the columns when that leaves it less to do; the result differs by 1."""
        for width, to_width in [(50, 40), (50, 49), (50, 60), (500, 392)]:
            for limit in range(2 * (width - to_width) - 2, 2 * (width - to_width) + 3):
                self.check(noise(width, 600), to_width, 600 - limit)
        self.check(noise(500, 800), 392, 392)
        self.check(noise(900, 2000), 392, 392)

    def test_black_and_white(self) -> None:
        for to in [(392, 392), (99, 101), (1500, 1400)]:
            self.check(extremes(997, 1003), *to)

    def test_strong_shrinking(self) -> None:
        self.check(noise(20000, 11), 5, 5)
        self.check(noise(11, 20000), 5, 5)

    def test_real_pictures(self) -> None:
        files = real_pictures(12)
        if not files:
            self.skipTest("no pictures beside the project")
        for file in files:
            image = Image.open(file).convert("RGB")
            self.check(image, 392, 392)
            self.check(image, 448, 336)


class Crop(unittest.TestCase):
    def test_centre_crop(self) -> None:
        """torchvision's CenterCrop: offset int(round((size - crop) / 2.0)), Python's round."""
        cases = [((448, 448), (392, 392)), ((448, 448), (391, 389)), ((300, 500), (299, 497)),
                 ((700, 500), (501, 333)), ((700, 448), (392, 392)), ((448, 500), (392, 392)),
                 ((392, 392), (392, 392)), ((401, 403), (398, 402))]
        for image in [noise(700, 500), noise(500, 900)]:
            for resize, crop in cases:
                with self.subTest(f"{image.size} {resize} {crop}"):
                    left = int(round((resize[0] - crop[0]) / 2.0))
                    top = int(round((resize[1] - crop[1]) / 2.0))
                    theirs = pillow_resized(image, *resize)
                    np.testing.assert_array_equal(
                        ours("prepare", *image.size, *resize, *crop, data=image.tobytes()),
                        theirs[top : top + crop[1], left : left + crop[0]])


class Decode(unittest.TestCase):
    def picture(self) -> Image.Image:
        files = real_pictures(1)
        return Image.open(files[0]).convert("RGB") if files else noise(300, 200)

    def encoded(self, **options: object) -> bytes:
        buffer = io.BytesIO()
        self.picture().save(buffer, **options)
        return buffer.getvalue()

    def check(self, data: bytes, tolerance: int = 0) -> None:
        theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
        difference = np.abs(ours("decode", data=data).astype(int) - theirs)
        self.assertLessEqual(difference.max(), tolerance)

    def test_lossless(self) -> None:
        for options in [dict(format="PNG"), dict(format="PNG", optimize=True), dict(format="BMP"),
                        dict(format="TIFF"), dict(format="TIFF", compression="tiff_lzw"),
                        dict(format="TIFF", compression="tiff_adobe_deflate"),
                        dict(format="TIFF", compression="packbits"),
                        dict(format="WEBP", lossless=True), dict(format="WEBP", quality=80)]:
            with self.subTest(str(options)):
                self.check(self.encoded(**options))

    def test_modes(self) -> None:
        for mode in ["L", "P", "RGBA", "1"]:
            for kind in ["PNG", "BMP", "TIFF"]:
                if (mode, kind) == ("1", "TIFF"):
                    continue  # one bit a sample: refused in TIFF
                with self.subTest(f"{mode} {kind}"):
                    image = self.picture().convert(mode)
                    if mode == "RGBA":
                        image.putalpha(image.getchannel("R"))
                    buffer = io.BytesIO()
                    image.save(buffer, format=kind)
                    self.check(buffer.getvalue())

    def test_jpeg(self) -> None:
        """Decoders may differ in the inverse transform; here they do not, but may."""
        for options in [dict(quality=90), dict(quality=60, subsampling=2), dict(progressive=True),
                        dict(quality=95, subsampling=0), dict(optimize=True)]:
            with self.subTest(str(options)):
                self.check(self.encoded(format="JPEG", **options), tolerance=2)

    def test_real_files(self) -> None:
        files = real_pictures(20)
        if not files:
            self.skipTest("no pictures beside the project")
        for file in files:
            with self.subTest(file.name):
                self.check(file.read_bytes(), tolerance=2 if file.suffix == ".jpg" else 0)


if __name__ == "__main__":
    with TOOL:
        unittest.main()
