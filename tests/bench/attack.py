"""A client that opens dropped and silent connections, sends invalid bytes, and messages that never end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading


class Attack(threading.Thread):
    """Opens CONNECTIONS connections and drops them, while 200 stay silent and 30 send endless messages."""

    CONNECTIONS = 10_000
    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"

    def __init__(self, port: int) -> None:
        super().__init__()
        self.dropped = self.nonsense = self.sent = 0
        self.silent: list[socket.socket] = []
        self._port = port

    def run(self) -> None:
        self.silent = [self._connect() for _ in range(200)]
        endless = [self._endless() for _ in range(30)]
        while self.dropped < self.CONNECTIONS:
            with contextlib.suppress(OSError), self._connect() as connection:
                if self.dropped % 2:
                    connection.sendall(os.urandom(512))
                    self.nonsense += 1
            self.dropped += 1
        for connection in self.silent + endless:
            connection.close()

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=5)

    def _endless(self) -> socket.socket:
        """A connection with ten calls, each a message of 32 MiB whose last byte is never sent."""
        connection = self._connect()
        frames = self.PREFACE
        calls = range(1, 21, 2)
        for call in calls:
            frames += self._frame(1, 4, call, b"".join(
                b"\0" + bytes([len(key)]) + key + bytes([len(value)]) + value for key, value in (
                    (b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"localhost"),
                    (b":path", b"/proad.v1.DetectionService/Detect"), (b"te", b"trailers"),
                    (b"content-type", b"application/grpc"))))
            frames += self._frame(0, 0, call, b"\0" + (32 << 20).to_bytes(4, "big"))
        connection.settimeout(0.2)
        # The server's flow-control windows: of each call, and (0) of the connection.
        window = {0: 65_535 - 50, **{call: 65_535 - 5 for call in calls}}
        received = b""
        with contextlib.suppress(OSError):
            connection.sendall(frames)
            while True:
                for call in calls:
                    size = min(16_000, window[0], window.get(call, 0))
                    if size > 0:
                        connection.sendall(self._frame(0, 0, call, bytes(size)))
                        window[0] -= size
                        window[call] -= size
                        self.sent += size
                if window[0] > 0 and any(window.get(call, 0) > 0 for call in calls):
                    continue
                more = connection.recv(1 << 16)
                if not more:
                    break
                received = self._take_frames(connection, received + more, window)
        return connection

    @classmethod
    def _take_frames(cls, connection: socket.socket, received: bytes, window: dict[int, int]) -> bytes:
        """Answers the server's frames as HTTP/2 requires, so that it opens its windows; returns the incomplete rest."""
        while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
            end = 9 + int.from_bytes(received[:3], "big")
            kind, stream, payload = received[3], int.from_bytes(received[5:9], "big"), received[9:end]
            if kind == 8 and stream in window:  # WINDOW_UPDATE
                window[stream] += int.from_bytes(payload, "big")
            elif kind == 3:  # RST_STREAM
                window.pop(stream, None)
            elif kind == 6 and not received[4]:  # PING
                connection.sendall(cls._frame(6, 1, 0, payload))
            elif kind == 4 and not received[4]:  # SETTINGS
                connection.sendall(cls._frame(4, 1, 0, b""))
                for at in range(0, len(payload), 6):
                    if payload[at:at + 2] == b"\0\4":  # INITIAL_WINDOW_SIZE
                        more = int.from_bytes(payload[at + 2:at + 6], "big") - 65_535
                        for call in window:
                            window[call] += more if call else 0
            received = received[end:]
        return received

    @staticmethod
    def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
