"""The connection to a server."""

from __future__ import annotations

import dataclasses
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, TypeAlias

import grpc

from proad import images
from proad.detection import Detection, from_response
from proad.errors import ProadError, from_rpc_error, from_status
from proad.images import Image
from proad.models import Model, from_summary
from proad.retry import RetryPolicy, retry_delay
from proad.v1 import detection_pb2, detection_pb2_grpc, model_pb2, model_pb2_grpc

HeatmapFormat: TypeAlias = Literal["float32", "u16", "u8", "png16"]
Resolution: TypeAlias = Literal["model", "original"]

_HEATMAPS = {
    "float32": detection_pb2.HEATMAP_FORMAT_FLOAT32,
    "u16": detection_pb2.HEATMAP_FORMAT_U16_SCALED,
    "u8": detection_pb2.HEATMAP_FORMAT_U8_SCALED,
    "png16": detection_pb2.HEATMAP_FORMAT_PNG16,
}
_RESOLUTIONS = {"model": detection_pb2.RESOLUTION_MODEL, "original": detection_pb2.RESOLUTION_ORIGINAL}

_HEALTH_POLL = 0.1  # seconds


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


class Client:
    """A connection to a server. Thread-safe; connects with the first call and again by itself.

    address            host:port; default: the environment's PROAD_SERVER, or localhost:50051
    timeout            seconds for a call with all its attempts; None: none
    retry              how often a call is repeated where that is safe
    credentials        of grpc.ssl_channel_credentials(); default: plain text
    max_receive_bytes  largest answer that is accepted
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout: float | None = 30.0,
        retry: RetryPolicy = RetryPolicy(),
        credentials: Any = None,
        max_receive_bytes: int = 256 << 20,
    ) -> None:
        self.address = address or os.environ.get("PROAD_SERVER") or "localhost:50051"
        self._timeout = timeout
        self._retry = retry
        options = [
            ("grpc.max_receive_message_length", max_receive_bytes),
            ("grpc.max_send_message_length", -1),
            # Proxies of the environment are meant for the web.
            ("grpc.enable_http_proxy", 0),
            ("grpc.service_config_disable_resolution", 1),
            # A server that restarts should be found again at once.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if credentials is None:
            self._channel = grpc.insecure_channel(self.address, options)
        else:
            self._channel = grpc.secure_channel(self.address, credentials, options)
        self._detection = detection_pb2_grpc.DetectionServiceStub(self._channel)
        self._models = model_pb2_grpc.ModelServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; calls in progress are cancelled."""
        self._channel.close()

    def wait_until_serving(self, timeout: float = 60.0) -> None:
        """Returns when the server as a whole serves: one that was just started loads its model first.

        Raises ProadError UNAVAILABLE when it does not within `timeout` seconds.
        """
        # Of grpc.health.v1 the empty request asks for the server as a whole; in the answer, status is field 1.
        check = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        serving = b"\x08\x01"
        deadline = time.monotonic() + timeout
        while True:
            try:
                if check(b"", timeout=max(deadline - time.monotonic(), 0.0)) == serving:
                    return
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                    return
            if time.monotonic() + _HEALTH_POLL >= deadline:
                message = f"{self.address} did not serve within {timeout} s: it is not there, or has no model ready"
                raise ProadError(grpc.StatusCode.UNAVAILABLE, message)
            time.sleep(_HEALTH_POLL)

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
        request = model_pb2.ListModelsRequest(name=name)
        found: list[Model] = []
        while True:
            response = self._call(self._models.ListModels, request, None)
            found += (from_summary(summary) for summary in response.models)
            if not response.next_page_token:
                return found
            request.page_token = response.next_page_token

    def _call(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Any:
        """One call with its attempts, all before one deadline."""
        seconds = self._timeout if timeout is None else timeout
        deadline = float("inf") if seconds is None else time.monotonic() + seconds
        attempts = 0
        while True:
            remaining = deadline - time.monotonic()
            try:
                return method(request, timeout=None if seconds is None else max(remaining, 0.0))
            except grpc.RpcError as rpc_error:
                error = from_rpc_error(rpc_error)
            attempts += 1
            delay = retry_delay(self._retry, error, attempts, deadline - time.monotonic(), random.random())
            if delay is None:
                raise error
            time.sleep(delay)


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
