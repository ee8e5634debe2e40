"""The connection to a server, which the clients of its services share."""

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

_HEALTH_POLL = 0.1  # seconds

_Self = TypeVar("_Self", bound="Connection")


class Connection:
    """A connection to a server. Thread-safe; connects with the first call and again by itself.

    address            host:port, or several servers that take turns: "host1:port,host2:port" or "dns:///name:port";
                       default: the environment's PROAD_SERVER, or localhost:50051; or another client, whose connection
                       is then used as well: close that one, not this one
    timeout            seconds for a call with all its attempts; None: none
    retry              how often a call is repeated where that is safe
    security           TLS and token, see Security; default: what the environment says, plain text where it says nothing
    credentials        of grpc.ssl_channel_credentials(), instead of security's certificates
    max_receive_bytes  largest answer that is accepted

    Raises OSError or ValueError for files of `security` that cannot be used.
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
    ) -> None:
        self._timeout = timeout
        self._retry = retry
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
            # Proxies of the environment are meant for the web.
            ("grpc.enable_http_proxy", 0),
            ("grpc.service_config_disable_resolution", 1),
            # A server that restarts should be found again at once.
            ("grpc.initial_reconnect_backoff_ms", 100),
            # How long one attempt may take, whatever its name says: a handshake of TLS takes longer than the pause.
            ("grpc.min_reconnect_backoff_ms", 5000),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # One that is gone without a word is noticed. Pings more often than every five minutes look like an attack.
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
        """Ends the connection; calls in progress are cancelled. Does nothing on one that belongs to another client."""
        if not self._shared:
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

    def _call(
        self, method: Callable[..., Any], request: Any, timeout: float | None = None, *, repeat: bool = True
    ) -> Any:
        """One call with its attempts, all before one deadline; a single attempt without `repeat`."""
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
            if delay is None or not repeat:
                raise error
            time.sleep(delay)
