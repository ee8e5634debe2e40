"""TLS and authentication of a channel."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

# File of the system's CAs on Debian and similar distributions.
_SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"
_LOOPBACK = re.compile(r"(localhost|\[::1\]|127(\.\d{1,3}){3})(:\d+)?")
_TOKEN = re.compile(rb"[!-~]{1,512}")


@dataclasses.dataclass(frozen=True)
class Security:
    """TLS and token of a connection. A field that is None has the value of its environment variable, if set.

    tls          use TLS; implied by `ca`, `cert` and `key`
    ca           PEM file of the CAs that sign servers (PROAD_TLS_CA); default: the system's CAs
    cert         PEM file of the client's certificate and its intermediates (PROAD_TLS_CERT)
    key          PEM file of the certificate's private key (PROAD_TLS_KEY)
    server_name  name in the server's certificate, if not the one in the address (PROAD_TLS_SERVER_NAME)
    token_file   file with one token, read again after it is replaced (PROAD_TOKEN_FILE)
    """

    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None
    token_file: str | None = None

    def resolved(self) -> Security:
        """Returns a copy with the values of the environment variables."""

        def given(value: str | None, variable: str) -> str | None:
            return value if value is not None else os.environ.get(variable) or None

        return Security(
            self.tls,
            given(self.ca, "PROAD_TLS_CA"),
            given(self.cert, "PROAD_TLS_CERT"),
            given(self.key, "PROAD_TLS_KEY"),
            given(self.server_name, "PROAD_TLS_SERVER_NAME"),
            given(self.token_file, "PROAD_TOKEN_FILE"),
        )


def open_channel(address: str, options: list[tuple[str, Any]], credentials: Any, security: Security) -> Any:
    """Opens a channel with `credentials`, or else with those of `security`.

    Raises OSError for a file that cannot be read. Raises ValueError for a file with the wrong content, and for a token
    that would be sent to another machine without encryption.
    """
    security = security.resolved()
    if credentials is None and (security.tls or security.ca or security.cert or security.key):
        credentials = _tls(security)
    if credentials is None:
        if security.server_name is not None:
            raise ValueError("a server name for the certificate is set, but TLS is not enabled")
        channel = grpc.insecure_channel(address, options)
    else:
        if security.server_name is not None:
            options = [*options, ("grpc.ssl_target_name_override", security.server_name)]
        channel = grpc.secure_channel(address, credentials, options)
    if security.token_file is None:
        return channel
    if credentials is None and not _is_loopback(address):
        raise ValueError(f"refusing to send the token to {address} in plain text, where others could read it: use TLS")
    return grpc.intercept_channel(channel, _TokenSender(_TokenFile(security.token_file)))


def _tls(security: Security) -> Any:
    if (security.cert is None) != (security.key is None):
        raise ValueError("a client certificate and its key go together: give both or neither")
    roots = _read(security.ca or os.environ.get("SSL_CERT_FILE") or _SYSTEM_CAS)
    if security.cert is None or security.key is None:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(roots, _read(security.key), _read(security.cert))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        pem = file.read()
    if b"-----BEGIN " not in pem:
        raise ValueError(f"{path}: holds no certificate or key in PEM format")
    return pem


def _is_loopback(target: str) -> bool:
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    addresses = re.sub(r"^(dns:///|dns:|ipv4:|ipv6:)", "", target)
    return all(_LOOPBACK.fullmatch(address) for address in addresses.split(","))


class _TokenFile:
    """A file with one token. While the file cannot be read or holds no token, keeps the previous token. Thread-safe."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._token = self._load()

    def authorization(self) -> str:
        with self._lock:
            try:
                stamp = self._look()
                if stamp != self._stamp:
                    self._token = self._load()
                    self._stamp = stamp
            except (OSError, ValueError):
                pass
            return f"Bearer {self._token}"

    def _look(self) -> tuple[int, ...]:
        found = os.stat(self._path)
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def _load(self) -> str:
        with open(self._path, "rb") as file:
            token = file.read(1024).strip()
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"{self._path}: holds no token: it must have one line, as 'proad token new' prints it")
        return token.decode("ascii")


class _CallDetails(NamedTuple):
    """The fields of grpc.ClientCallDetails, which interceptors pass on."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _CallDetailsWithToken(_CallDetails, grpc.ClientCallDetails):  # type: ignore[misc]  # grpcio has no types
    pass


class _TokenSender(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """Adds the token to every call."""

    def __init__(self, token: _TokenFile) -> None:
        self._token = token

    def _send(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), ("authorization", self._token.authorization())]
        return proceed(
            _CallDetailsWithToken(
                details.method,
                details.timeout,
                metadata,
                details.credentials,
                getattr(details, "wait_for_ready", None),
                getattr(details, "compression", None),
            ),
            request,
        )

    intercept_unary_unary = _send
    intercept_unary_stream = _send
    intercept_stream_unary = _send
    intercept_stream_stream = _send
