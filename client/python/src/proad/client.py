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
    """The answer to one image of a stream: a detection or an error.

    index  position of the image in the stream, from 0
    """

    index: int
    detection: Detection | None = None
    error: ProadError | None = None

    def result(self) -> Detection:
        """Returns the detection, or raises the error."""
        if self.detection is not None:
            return self.detection
        assert self.error is not None
        raise self.error


class Client(Connection):
    """Inspects images. Thread-safe. See Connection for the arguments of the constructor."""

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
        category    product class, which selects the threshold
        threshold   threshold for the score; default: the threshold of the version
        heatmap     format in which the anomaly map is sent; Detection.heatmap is float32 in any case
        overlay     return the image with its map drawn over it, as PNG
        resolution  pixel grid of heatmap and overlay: the grid of the model, or of the image
        labels      labels of the part, for the server's log
        bgr         colour arrays have the channel order blue, green, red, as in OpenCV
        timeout     in seconds; default: the timeout of the client

        Raises ProadError, also for an image of more than max_request_bytes. Raises OSError, TypeError or ValueError for
        an image that cannot be sent.
        """
        request = _options(model, category, threshold, heatmap, overlay, resolution, labels)
        request.request_id = request_id or ""
        images.fill(request, image, bgr=bgr)
        _check_size(request, self._max_request_bytes)
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
        """Inspects many images, several at a time. Answers can have another order than the images.

        Another thread takes the images from `stream`, as fast as the server reads them. Each image gets exactly one
        answer. An image that cannot be read or sent gets an error, and the stream continues. If the connection breaks
        or the server ends the stream before the end of `stream`, ProadError is raised after the answers. An exception
        of `stream` is raised after the answers, too.
        """
        template = _options(model, category, threshold, heatmap, overlay, resolution, labels)
        sender = _Sender(stream, template, bgr, self._max_request_bytes)
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
        sender.check_exhausted()

    def models(self, name: str = "") -> list[Model]:
        """Returns all versions of the model `name`; default: of all models."""
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
    """Returns a request with all options and without an image."""
    if heatmap is not None and heatmap not in _HEATMAPS:
        raise ValueError(f"heatmap {heatmap!r} is not one of {', '.join(_HEATMAPS)}")
    if resolution not in _RESOLUTIONS:
        raise ValueError(f"resolution {resolution!r} is not one of {', '.join(_RESOLUTIONS)}")
    request = detection_pb2.DetectRequest(model=model or "", category=category or "", labels=labels or {})
    if threshold is not None:
        request.threshold = threshold
    if heatmap is not None:
        request.outputs.heatmap = _HEATMAPS[heatmap]
    if overlay:
        request.outputs.overlay = detection_pb2.OVERLAY_FORMAT_PNG
    request.outputs.resolution = _RESOLUTIONS[resolution]
    return request


def _check_size(request: detection_pb2.DetectRequest, limit: int) -> None:
    """Raises ProadError for a request that the server would not read: gRPC would end the whole stream."""
    envelope = 16  # bytes of a DetectStreamRequest around its DetectRequest, at most
    size = request.ByteSize() + envelope
    if size > limit:
        message = (
            f"the request has {size} bytes and was not sent; the limit is {limit} bytes (max_request_bytes of this "
            "client, server.max_message_bytes of the server)"
        )
        raise ProadError(
            grpc.StatusCode.INVALID_ARGUMENT,
            message,
            reason="MESSAGE_TOO_LARGE",
            field="image",
            metadata={"max_bytes": str(limit)},
        )


def _answer(index: int, response: detection_pb2.DetectStreamResponse) -> StreamAnswer:
    if response.HasField("error"):
        return StreamAnswer(index, error=from_status(response.error))
    try:
        return StreamAnswer(index, detection=from_response(response.detection))
    except ProadError as error:
        return StreamAnswer(index, error=error)


class _Sender:
    """Converts images to the requests of a stream and tracks the unanswered ones.

    A thread of gRPC runs requests(). The caller's thread calls the other methods.
    """

    def __init__(
        self, stream: Iterable[Image], template: detection_pb2.DetectRequest, bgr: bool, max_request_bytes: int
    ) -> None:
        self._stream = stream
        self._template = template
        self._bgr = bgr
        self._max_request_bytes = max_request_bytes
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._unsent: list[StreamAnswer] = []
        self._exhausted = False
        self._failure: Exception | None = None

    def requests(self) -> Iterator[detection_pb2.DetectStreamRequest]:
        try:
            for index, image in enumerate(self._stream):
                message = detection_pb2.DetectStreamRequest(request=self._template)
                message.request.request_id = str(index)
                try:
                    images.fill(message.request, image, bgr=self._bgr)
                    _check_size(message.request, self._max_request_bytes)
                except (OSError, TypeError, ValueError) as error:
                    self._add_unsent(index, ProadError(grpc.StatusCode.INVALID_ARGUMENT, str(error), field="image"))
                    continue
                except ProadError as error:
                    self._add_unsent(index, error)
                    continue
                with self._lock:
                    self._open.add(index)
                yield message
        except Exception as error:  # raised by the caller's iterable; check_exhausted raises it in the caller
            self._failure = error
        self._exhausted = True

    def _add_unsent(self, index: int, error: ProadError) -> None:
        with self._lock:
            self._unsent.append(StreamAnswer(index, error=error))

    def answered(self, index: int) -> None:
        with self._lock:
            self._open.discard(index)

    def unsent(self) -> list[StreamAnswer]:
        """Returns the errors of images that could not be sent, each of them once."""
        with self._lock:
            taken, self._unsent = self._unsent, []
        return taken

    def check_exhausted(self) -> None:
        """Raises the exception of the caller's iterable, or ProadError if images remain in it."""
        if self._failure is not None:
            raise self._failure
        if not self._exhausted:
            message = "the server ended the stream because it is shutting down; the remaining images were not sent"
            raise ProadError(grpc.StatusCode.UNAVAILABLE, message)

    def unanswered(self) -> list[StreamAnswer]:
        """Returns errors for images that the server did not read: at its shutdown, it ends the stream with OK."""
        with self._lock:
            return [
                StreamAnswer(
                    index,
                    error=ProadError(grpc.StatusCode.UNAVAILABLE, "the server ended the stream before this image"),
                )
                for index in sorted(self._open)
            ]
