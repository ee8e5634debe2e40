"""Forms of images: files, encoded bytes and numpy arrays."""

from __future__ import annotations

import os
import pathlib
from typing import Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

from proad import png16
from proad.v1 import detection_pb2

# A path; the content of an image file (JPEG, PNG, BMP, TIFF, WebP); or pixels: [height, width] grey or
# [height, width, 3] colour, uint8 or uint16 (white is 65535).
Image: TypeAlias = Union[str, "os.PathLike[str]", bytes, npt.NDArray[Any]]


def fill(request: detection_pb2.DetectRequest, image: Image, *, bgr: bool = False) -> None:
    """Sets the image of the request. Raises OSError, TypeError or ValueError for an invalid image."""
    if isinstance(image, np.ndarray):
        _fill_array(request, image, bgr)
    elif isinstance(image, (bytes, bytearray, memoryview)):
        request.encoded = bytes(image)
    elif isinstance(image, (str, os.PathLike)):
        request.encoded = pathlib.Path(image).read_bytes()
    else:
        raise TypeError(f"an image must be a path, bytes or a numpy array, not {type(image).__name__}")


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
