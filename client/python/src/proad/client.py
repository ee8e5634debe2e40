"""Inspects images."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import grpc

from proad import images
from proad.connection import Connection
from proad.detection import Detection, from_response
from proad.errors import ProadError, from_rpc_error, from_status
from proad.images import Image
from proad.models import Model, ModelClient
from proad.v1 import detection_pb2, detection_pb2_grpc

HeatmapFormat: TypeAlias = Literal["float32", "u16", "u8", "png16"]
Resolution: TypeAlias = Literal["model", "original"]

_HEATMAPS = {
    "float32": detection_pb2.HEATMAP_FORMAT_FLOAT32,
    "u16": detection_pb2.HEATMAP_FORMAT_U16_SCALED,
    "u8": detection_pb2.HEATMAP_FORMAT_U8_SCALED,
    "png16": detection_pb2.HEATMAP_FORMAT_PNG16,
}
_RESOLUTIONS = {"model": detection_pb2.RESOLUTION_MODEL, "original": detection_pb2.RESOLUTION_ORIGINAL}


@dataclasses.dataclass(frozen=True)
class StreamAnswer:
    """The answer to one image of a stream: a detection or an error, never both.

    index is the image's place in what was sent, from 0.
    """

    index: int
    detection: Detection | None = None
    error: ProadError | None = None

    def result(self) -> Detection:
        """The detection, or raises the error."""
        if self.detection is not None:
            return self.detection
        assert self.error is not None
        raise self.error


class Client(Connection):
    """Inspects images. Thread-safe; see Connection for what it is made with."""

    @functools.cached_property
    def _detection(self) -> Any:
        return detection_pb2_grpc.DetectionServiceStub(self._channel)

    def detect(
        self,
        image: Image,
        *,
        model: str | None = None,
        category: str | None = None,
        threshold: float | None = None,
        heatmap: HeatmapFormat | None = None,
        overlay: bool = False,
        resolution: Resolution = "model",
        labels: Mapping[str, str] | None = None,
        bgr: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Detection:
        """Inspects one image.

        model       "name" or "name@version"; default: the server's default model
        category    product class, picks the threshold
        threshold   decide with this score instead of the calibrated one
        heatmap     return the anomaly map, sent in this format; always float32 here
        overlay     return the picture with its map drawn over it, as PNG
        resolution  pixel grid of both: the model's own, or the picture's
        labels      of the part, kept in the server's log
        bgr         colour arrays are blue, green, red, as OpenCV has them
        timeout     seconds, instead of the client's

        Raises ProadError; OSError, TypeError or ValueError for an image that cannot be sent.
        """
        request = _options(model, category, threshold, heatmap, overlay, resolution, labels)
        request.request_id = request_id or ""
        images.fill(request, image, bgr=bgr)
        return from_response(self._call(self._detection.Detect, request, timeout))

    def detect_stream(
        self,
        stream: Iterable[Image],
        *,
        model: str | None = None,
        category: str | None = None,
        threshold: float | None = None,
        heatmap: HeatmapFormat | None = None,
        overlay: bool = False,
        resolution: Resolution = "model",
        labels: Mapping[str, str] | None = None,
        bgr: bool = False,
    ) -> Iterator[StreamAnswer]:
        """Inspects many images, several in flight; answers come as they are ready, not in order.

        Images are taken from `stream` in another thread, as fast as the server takes them. Each one taken gets
        exactly one answer; one that cannot be read or sent gets its error and the stream goes on. When the
        connection breaks or the server ends the stream before `stream` is through, ProadError is raised after the
        answers. What `stream` raises is raised here, after them as well.
        """
        template = _options(model, category, threshold, heatmap, overlay, resolution, labels)
        sender = _Sender(stream, template, bgr)
        call = self._detection.DetectStream(sender.requests())
        try:
            for response in call:
                index = int(response.request_id)
                sender.answered(index)
                yield _answer(index, response)
                yield from sender.unsent()
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None
        finally:
            call.cancel()
        yield from sender.unsent()
        yield from sender.unanswered()
        sender.check_through()

    def models(self, name: str = "") -> list[Model]:
        """Every version of the model `name`, or of all models."""
        return [*ModelClient(self, timeout=self._timeout, retry=self._retry).list(name)]


def _options(
    model: str | None,
    category: str | None,
    threshold: float | None,
    heatmap: HeatmapFormat | None,
    overlay: bool,
    resolution: Resolution,
    labels: Mapping[str, str] | None,
) -> detection_pb2.DetectRequest:
    """A request without image."""
    if heatmap is not None and heatmap not in _HEATMAPS:
        raise ValueError(f"heatmap {heatmap!r} is none of {', '.join(_HEATMAPS)}")
    if resolution not in _RESOLUTIONS:
        raise ValueError(f"resolution {resolution!r} is none of {', '.join(_RESOLUTIONS)}")
    request = detection_pb2.DetectRequest(model=model or "", category=category or "", labels=labels or {})
    if threshold is not None:
        request.threshold = threshold
    if heatmap is not None:
        request.outputs.heatmap = _HEATMAPS[heatmap]
    if overlay:
        request.outputs.overlay = detection_pb2.OVERLAY_FORMAT_PNG
    request.outputs.resolution = _RESOLUTIONS[resolution]
    return request


def _answer(index: int, response: detection_pb2.DetectStreamResponse) -> StreamAnswer:
    if response.HasField("error"):
        return StreamAnswer(index, error=from_status(response.error))
    try:
        return StreamAnswer(index, detection=from_response(response.detection))
    except ProadError as error:
        return StreamAnswer(index, error=error)


class _Sender:
    """Turns images into the requests of a stream, and remembers what has no answer yet.

    requests() runs in a thread of gRPC's, the rest in the caller's.
    """

    def __init__(self, stream: Iterable[Image], template: detection_pb2.DetectRequest, bgr: bool) -> None:
        self._stream = stream
        self._template = template
        self._bgr = bgr
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._unsent: list[StreamAnswer] = []
        self._through = False
        self._failure: Exception | None = None

    def requests(self) -> Iterator[detection_pb2.DetectStreamRequest]:
        try:
            for index, image in enumerate(self._stream):
                message = detection_pb2.DetectStreamRequest(request=self._template)
                message.request.request_id = str(index)
                try:
                    images.fill(message.request, image, bgr=self._bgr)
                except (OSError, TypeError, ValueError) as error:
                    problem = ProadError(grpc.StatusCode.INVALID_ARGUMENT, str(error), field="image")
                    with self._lock:
                        self._unsent.append(StreamAnswer(index, error=problem))
                    continue
                with self._lock:
                    self._open.add(index)
                yield message
        except Exception as error:  # of the caller's iterable: it is raised to the caller, after the answers
            self._failure = error
        self._through = True

    def answered(self, index: int) -> None:
        with self._lock:
            self._open.discard(index)

    def unsent(self) -> list[StreamAnswer]:
        """Images that could not be sent, each once."""
        with self._lock:
            taken, self._unsent = self._unsent, []
        return taken

    def check_through(self) -> None:
        """Raises what the caller's iterable raised, or that it was not taken to its end."""
        if self._failure is not None:
            raise self._failure
        if not self._through:
            message = "the server ended the stream: it is shutting down, and what was to come was not taken"
            raise ProadError(grpc.StatusCode.UNAVAILABLE, message)

    def unanswered(self) -> list[StreamAnswer]:
        """What a server that shuts down has not read: it ends the stream with OK all the same."""
        with self._lock:
            return [
                StreamAnswer(
                    index,
                    error=ProadError(grpc.StatusCode.UNAVAILABLE, "the server ended the stream before this image"),
                )
                for index in sorted(self._open)
            ]
