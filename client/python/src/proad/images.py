"""Forms of images: files, encoded bytes, numpy arrays and camera frames."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

from proad import png16
from proad.v1 import detection_pb2


@dataclasses.dataclass(frozen=True)
class Frame:
    """Uncompressed pixels as a camera delivers them.

    pixel_format  a value of the protos' PixelFormat without its prefix: "MONO12P", "BAYER_RG8", "YUV422_8"
    stride        bytes from one row to the next; 0: the rows follow each other without gaps
    """

    data: bytes
    width: int
    height: int
    pixel_format: str
    stride: int = 0


# A path; the content of an image file (JPEG, PNG, BMP, TIFF, WebP); or pixels: [height, width] grey or
# [height, width, 3] colour, uint8 or uint16 (white is 65535); or a Frame.
Image: TypeAlias = Union[str, "os.PathLike[str]", bytes, npt.NDArray[Any], Frame]


def fill(request: detection_pb2.DetectRequest, image: Image, *, bgr: bool = False) -> None:
    """Sets the image of the request. Raises OSError, TypeError or ValueError for an invalid image."""
    if isinstance(image, np.ndarray):
        _fill_array(request, image, bgr)
    elif isinstance(image, Frame):
        _fill_frame(request.frame, image)
    elif isinstance(image, (bytes, bytearray, memoryview)):
        request.encoded = bytes(image)
    elif isinstance(image, (str, os.PathLike)):
        request.encoded = pathlib.Path(image).read_bytes()
    else:
        raise TypeError(f"an image must be a path, bytes, a numpy array or a Frame, not {type(image).__name__}")


def _fill_frame(message: detection_pb2.Frame, frame: Frame) -> None:
    formats = detection_pb2.PixelFormat.keys()[1:]
    if f"PIXEL_FORMAT_{frame.pixel_format}" not in formats:
        names = ", ".join(name.removeprefix("PIXEL_FORMAT_") for name in formats)
        raise ValueError(f"pixel_format is {frame.pixel_format!r}; known: {names}")
    message.width, message.height, message.stride = frame.width, frame.height, frame.stride
    message.pixel_format = detection_pb2.PixelFormat.Value(f"PIXEL_FORMAT_{frame.pixel_format}")
    message.data = bytes(frame.data)


def _fill_array(request: detection_pb2.DetectRequest, array: npt.NDArray[Any], bgr: bool) -> None:
    if array.dtype.newbyteorder("=") not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise TypeError(f"an image array must have the type uint8 or uint16, not {array.dtype}")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or array.size == 0:
        raise ValueError(f"an image array must be [height, width] or [height, width, 3], not {list(array.shape)}")
    wide = array.dtype.itemsize == 2
    if array.ndim == 3 and wide:
        # No pixel format of the protos has colour with 16 bits; PNG has.
        request.encoded = png16.write_rgb(array[:, :, ::-1] if bgr else array)
        return
    frame = request.frame
    frame.height, frame.width = array.shape[:2]
    if array.ndim == 2:
        frame.pixel_format = detection_pb2.PIXEL_FORMAT_MONO16 if wide else detection_pb2.PIXEL_FORMAT_MONO8
    else:
        frame.pixel_format = detection_pb2.PIXEL_FORMAT_BGR8 if bgr else detection_pb2.PIXEL_FORMAT_RGB8
    frame.data = array.astype("<u2" if wide else "u1", copy=False).tobytes()
