"""Reading and writing of PNG files with 16 bits per sample, which many libraries reduce to 8 bits."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_grey(data: bytes) -> npt.NDArray[np.uint16]:
    """Decodes a grey PNG with 16 bits to [height, width]. Raises ValueError for other or damaged files."""
    try:
        from PIL import Image
    except ImportError:
        return read_grey_plainly(data)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if not image.mode.startswith("I"):
                raise ValueError(f"not a grey PNG with 16 bits: its mode in Pillow is {image.mode}")
            return np.asarray(image).astype(np.uint16)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"damaged PNG: {error}") from error


def read_grey_plainly(data: bytes) -> npt.NDArray[np.uint16]:
    """The same without Pillow."""
    width, height, samples = _parse(data)
    stride = 2 * width
    rows = np.zeros((height, stride), dtype=np.uint8)
    above = np.zeros(stride, dtype=np.uint8)
    for y in range(height):
        start = y * (stride + 1)
        line = np.frombuffer(samples, np.uint8, stride, start + 1)
        rows[y] = _unfilter(samples[start], line, above)
        above = rows[y]
    return rows.view(">u2").astype(np.uint16)


def _parse(data: bytes) -> tuple[int, int, bytes]:
    """Returns width, height and the filtered rows."""
    if not data.startswith(_SIGNATURE):
        raise ValueError("not a PNG")
    header, packed, at = b"", b"", len(_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            packed += content
        at += 12 + length
    if len(header) != 13:
        raise ValueError("PNG without header")
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if (bits, colour, interlaced) != (16, 0, 0):
        raise ValueError(f"not a grey PNG with 16 bits and without interlacing: {bits} bits, colour type {colour}")
    wanted = height * (2 * width + 1)
    try:
        samples = zlib.decompressobj().decompress(packed, wanted)
    except zlib.error as error:
        raise ValueError(f"damaged PNG: {error}") from error
    if len(samples) != wanted:
        raise ValueError(f"truncated PNG: {len(samples)} of {wanted} bytes")
    return width, height, samples


def _unfilter(kind: int, line: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Reverses a PNG row filter. The pixel to the left is two bytes before."""
    if kind == 0:
        return line
    if kind == 1:
        return np.cumsum(line.reshape(-1, 2), axis=0, dtype=np.uint8).reshape(-1)
    if kind == 2:
        return line + above
    if kind not in (3, 4):
        raise ValueError(f"damaged PNG: row filter {kind}")
    predict = _average if kind == 3 else _paeth
    result = bytearray(2) + bytearray(len(line))
    over = bytes(2) + above.tobytes()
    for i, value in enumerate(line.tobytes(), start=2):
        result[i] = (value + predict(result[i - 2], over[i], over[i - 2])) & 0xFF
    return np.frombuffer(bytes(result[2:]), np.uint8)


def _average(left: int, above: int, _: int) -> int:
    return (left + above) // 2


def _paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))


def write_rgb(array: npt.NDArray[Any]) -> bytes:
    """Encodes a uint16 array [height, width, 3] as PNG, with fast compression."""
    height, width, _ = array.shape
    rows = np.zeros((height, 1 + 6 * width), dtype=np.uint8)
    rows[:, 1:] = np.ascontiguousarray(array, dtype=">u2").view(np.uint8).reshape(height, -1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    packed = zlib.compress(rows.tobytes(), 1)
    return _SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
