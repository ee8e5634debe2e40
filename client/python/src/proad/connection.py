"""The connection to a server, which the clients of the services share."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import grpc

from proad.endpoints import parse_endpoints
from proad.errors import ProadError, from_rpc_error
from proad.retry import RetryPolicy, retry_delay
from proad.security import Security, open_channel

_HEALTH_POLL_INTERVAL = 0.1  # seconds

_LONGEST_TIMEOUT = 365 * 86_400.0  # seconds

_Self = TypeVar("_Self", bound="Connection")


def rpc_timeout(seconds: float | None) -> float | None:
    """Converts a timeout to one that gRPC accepts: 0 to one year. gRPC ends a call with a longer timeout at once."""
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_TIMEOUT)


class Connection:
    """A connection to a server. Thread-safe. Connects with the first call and reconnects by itself.

    address            host:port; or several servers that share the calls: "host1:port,host2:port" or
                       "dns:///name:port"; or another client, whose connection is shared and which must be closed
                       instead of this one; default: the variable PROAD_SERVER, or else localhost:50051
    timeout            longest duration of a call with all its attempts, in seconds; None: no limit
    retry              limits of repeating a call
    security           TLS and token, see Security; default: from the environment, or else no encryption
    credentials        result of grpc.ssl_channel_credentials(), instead of the certificates of `security`
    max_receive_bytes  size of the largest accepted response, in bytes
    max_request_bytes  size of the largest request with an image, in bytes; larger images are errors before they are
                       sent. Raise it with server.max_message_bytes, whose default it has

    Raises OSError or ValueError for invalid files in `security`.
    """

    def __init__(
        self,
        address: str | Connection | None = None,
        *,
        timeout: float | None = 30.0,
        retry: RetryPolicy = RetryPolicy(),
        security: Security = Security(),
        credentials: Any = None,
        max_receive_bytes: int = 256 << 20,
        max_request_bytes: int = 64 << 20,
    ) -> None:
        self._timeout = timeout
        self._retry = retry
        self._max_request_bytes = max_request_bytes
        self._shared = isinstance(address, Connection)
        if isinstance(address, Connection):
            self.address: str = address.address
            self._channel: Any = address._channel
            return
        self.address = address or os.environ.get("PROAD_SERVER") or "localhost:50051"
        endpoints = parse_endpoints(self.address)
        options = [
            *endpoints.options,
            ("grpc.max_receive_message_length", max_receive_bytes),
            ("grpc.max_send_message_length", -1),
            # Proxies that the environment names are meant for web traffic.
            ("grpc.enable_http_proxy", 0),
            ("grpc.service_config_disable_resolution", 1),
            # gRPC's default pauses are too long to wait for a server that restarts.
            ("grpc.initial_reconnect_backoff_ms", 100),
            # Also limits the duration of one attempt. A TLS handshake takes longer than the pause between attempts.
            ("grpc.min_reconnect_backoff_ms", 5000),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # Detects a server whose host has disappeared. Servers reject pings more often than every five minutes.
            ("grpc.keepalive_time_ms", 330_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        self._channel = open_channel(endpoints.target, options, credentials, security)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and cancels running calls. Does nothing on the connection of another client."""
        if not self._shared:
            self._channel.close()

    def wait_until_serving(self, timeout: float = 60.0) -> None:
        """Blocks until the server as a whole is serving: after its start, a server loads its model first.

        Raises ProadError with the code UNAVAILABLE after `timeout` seconds.
        """
        # In grpc.health.v1, the empty request stands for the server as a whole; field 1 of the response is the status.
        check = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        serving = b"\x08\x01"
        deadline = time.monotonic() + timeout
        while True:
            try:
                if check(b"", timeout=rpc_timeout(deadline - time.monotonic())) == serving:
                    return
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                    return
            if time.monotonic() + _HEALTH_POLL_INTERVAL >= deadline:
                message = f"{self.address} was not serving within {timeout} s: it is unreachable or has no model ready"
                raise ProadError(grpc.StatusCode.UNAVAILABLE, message)
            time.sleep(_HEALTH_POLL_INTERVAL)

    def _call(
        self, method: Callable[..., Any], request: Any, timeout: float | None = None, *, repeat: bool = True
    ) -> Any:
        """Makes a call, with all attempts before one deadline. Makes a single attempt if `repeat` is false."""
        seconds = self._timeout if timeout is None else timeout
        deadline = float("inf") if seconds is None else time.monotonic() + seconds
        attempts = 0
        while True:
            remaining = deadline - time.monotonic()
            try:
                return method(request, timeout=rpc_timeout(None if seconds is None else remaining))
            except grpc.RpcError as rpc_error:
                error = from_rpc_error(rpc_error)
            attempts += 1
            delay = retry_delay(self._retry, error, attempts, deadline - time.monotonic(), random.random())
            if delay is None or not repeat:
                raise error
            time.sleep(delay)
