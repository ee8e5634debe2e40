"""The result of inspecting one image."""

from __future__ import annotations

import dataclasses
import enum
from typing import TypeVar

import grpc
import numpy as np
import numpy.typing as npt

from proad import png16
from proad.errors import ProadError
from proad.v1 import detection_pb2

_Known = TypeVar("_Known", bound=enum.Enum)


class Verdict(enum.Enum):
    """The decision on a part. UNDECIDED: there is no threshold, so there is no decision; it does not mean good."""

    NORMAL = detection_pb2.VERDICT_NORMAL
    ANOMALOUS = detection_pb2.VERDICT_ANOMALOUS
    UNDECIDED = detection_pb2.VERDICT_UNDECIDED


class ThresholdSource(enum.Enum):
    """Origin of a threshold."""

    NONE = detection_pb2.THRESHOLD_SOURCE_NONE
    REQUEST = detection_pb2.THRESHOLD_SOURCE_REQUEST
    CATEGORY = detection_pb2.THRESHOLD_SOURCE_CATEGORY
    MODEL = detection_pb2.THRESHOLD_SOURCE_MODEL


@dataclasses.dataclass(frozen=True)
class ModelVersion:
    """One immutable version of a model."""

    name: str
    version: str
    hash: str


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle, in pixels of the original image."""

    x: int
    y: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Timing:
    """Durations of the steps on the server, in seconds. batch_size is the number of images in the batch."""

    queue: float
    preprocess: float
    batch_wait: float
    inference: float
    postprocess: float
    batch_size: int


@dataclasses.dataclass(frozen=True)
class Detection:
    """The result of inspecting one image.

    score             0 (like good parts) to 2
    threshold         the applied threshold, in units of score; None: there is none
    normalized_score  score / (2 * threshold), at most 1: 0.5 corresponds to the threshold; None without a threshold
    heatmap           float32 [height, width] in units of score; None if not requested
    overlay           a PNG file; None if not requested
    inspected_area    the part of the image that the network receives: a defect outside it cannot be detected
    """

    request_id: str
    model: ModelVersion
    category: str
    score: float
    verdict: Verdict
    threshold: float | None
    threshold_source: ThresholdSource
    normalized_score: float | None
    heatmap: npt.NDArray[np.float32] | None
    overlay: bytes | None
    inspected_area: Box
    image_width: int
    image_height: int
    timing: Timing


def _known(kind: type[_Known], value: int) -> _Known:
    try:
        return kind(value)
    except ValueError:
        raise ProadError(
            grpc.StatusCode.INTERNAL,
            f"the server sent {kind.__name__} {value}, which this client does not know: update the client",
        ) from None


def decode_heatmap(heatmap: detection_pb2.Heatmap) -> npt.NDArray[np.float32]:
    """Returns the values raw * scale + offset, [height, width]. Raises ValueError if the data do not fit the format."""
    raw_types = {
        detection_pb2.HEATMAP_FORMAT_FLOAT32: "<f4",
        detection_pb2.HEATMAP_FORMAT_U16_SCALED: "<u2",
        detection_pb2.HEATMAP_FORMAT_U8_SCALED: "u1",
    }
    raw: npt.NDArray[np.generic]
    if heatmap.format == detection_pb2.HEATMAP_FORMAT_PNG16:
        raw = png16.read_grey(heatmap.data)
    elif heatmap.format in raw_types:
        dtype = np.dtype(raw_types[heatmap.format])
        if len(heatmap.data) != heatmap.width * heatmap.height * dtype.itemsize:
            raise ValueError(
                f"{len(heatmap.data)} bytes do not hold {heatmap.width} x {heatmap.height} samples of "
                f"{dtype.itemsize} bytes"
            )
        raw = np.frombuffer(heatmap.data, dtype).reshape(heatmap.height, heatmap.width)
    else:
        raise ValueError(f"heatmap format {heatmap.format} is unknown to this client: update the client")
    if raw.shape != (heatmap.height, heatmap.width):
        size = f"{heatmap.width} x {heatmap.height}"
        raise ValueError(f"the PNG has {raw.shape[1]} x {raw.shape[0]} pixels instead of {size}")
    return raw.astype(np.float32) * np.float32(heatmap.scale) + np.float32(heatmap.offset)


def from_response(response: detection_pb2.DetectResponse) -> Detection:
    """Converts a response to Python and numpy types. Raises ProadError for values unknown to this client."""
    heatmap = None
    if response.HasField("heatmap"):
        try:
            heatmap = decode_heatmap(response.heatmap)
        except ValueError as error:
            raise ProadError(grpc.StatusCode.INTERNAL, f"heatmap: {error}", field="heatmap") from error
    timing, area, version = response.timing, response.inspected_area, response.model_version
    return Detection(
        request_id=response.request_id,
        model=ModelVersion(version.name, version.version, version.hash),
        category=response.category,
        score=response.score,
        verdict=_known(Verdict, response.verdict),
        threshold=response.threshold if response.HasField("threshold") else None,
        threshold_source=_known(ThresholdSource, response.threshold_source),
        normalized_score=response.normalized_score if response.HasField("normalized_score") else None,
        heatmap=heatmap,
        overlay=response.overlay.data if response.HasField("overlay") else None,
        inspected_area=Box(area.x, area.y, area.width, area.height),
        image_width=response.image_width,
        image_height=response.image_height,
        timing=Timing(
            queue=timing.queue.ToNanoseconds() / 1e9,
            preprocess=timing.preprocess.ToNanoseconds() / 1e9,
            batch_wait=timing.batch_wait.ToNanoseconds() / 1e9,
            inference=timing.inference.ToNanoseconds() / 1e9,
            postprocess=timing.postprocess.ToNanoseconds() / 1e9,
            batch_size=timing.batch_size,
        ),
    )
