"""Errors of calls."""

from __future__ import annotations

import re
from typing import Any

import grpc

from proad._rpc import error_details_pb2, status_pb2

# HTTP/2 error ENHANCE_YOUR_CALM. gRPC ends calls with it when the connections of the server use too much memory; it can
# hit any call, not only those that use much memory.
_OUT_OF_MEMORY_RESET = "RST_STREAM with error code 11"
# Milliseconds. A longer number is invalid: it may not fit into a float.
_PUSHBACK = re.compile(r"[0-9]{1,18}")
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ProadError(Exception):
    """An error of the server, of the connection, or of an image that could not be sent. Never carries a verdict.

    code         grpc.StatusCode
    message      description of the error
    reason       stable code, for example "QUEUE_FULL"; None: the error does not come from the service
    field        path of the request's invalid field, for example "frame.stride"; None: the request is valid
    retry_after  seconds after which the same call may succeed; None: unknown
    metadata     limits and known names that belong to the error
    """

    def __init__(
        self,
        code: Any,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        retry_after: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field
        self.retry_after = retry_after
        self.metadata = metadata or {}


def from_status(status: status_pb2.Status) -> ProadError:
    """Converts the error of one image of a stream."""
    details: dict[str, Any] = {}
    for packed in status.details:
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            details["reason"] = info.reason or None
            details["metadata"] = dict(info.metadata)
        elif packed.Unpack(bad_request):
            if bad_request.field_violations:
                details["field"] = bad_request.field_violations[0].field
        elif packed.Unpack(retry):
            details["retry_after"] = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    # An error with the code OK must not be read as success.
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    if code == grpc.StatusCode.OK:
        code = grpc.StatusCode.INTERNAL
    return ProadError(code, status.message, **details)


def from_rpc_error(error: Any) -> ProadError:
    """Converts the error of a call."""
    trailers = {item[0]: item[1] for item in error.trailing_metadata() or ()}
    status = status_pb2.Status()
    try:
        status.ParseFromString(trailers.get("grpc-status-details-bin", b""))
    except Exception:  # without valid details, code and message still describe the error
        status.Clear()
    status.code = error.code().value[0]
    status.message = error.details() or ""
    result = from_status(status)
    pushback = trailers.get("grpc-retry-pushback-ms", "")
    # A negative value means "do not retry", as a missing value does.
    if result.retry_after is None and isinstance(pushback, str) and _PUSHBACK.fullmatch(pushback):
        result.retry_after = int(pushback) / 1000
    ended_for_memory = result.code == grpc.StatusCode.RESOURCE_EXHAUSTED and _OUT_OF_MEMORY_RESET in result.message
    if ended_for_memory and not status.details:
        result.retry_after = 0.0
    return result
