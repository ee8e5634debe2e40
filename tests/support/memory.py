"""Resident memory of processes."""

from __future__ import annotations

import pathlib
import re
import threading


def resident(pid: int) -> int:
    """Bytes of resident memory."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) * 1024


class Peak:
    """Within a with statement: `bytes` is the highest resident memory of a process, read every `interval` seconds."""

    def __init__(self, pid: int, interval: float = 0.01) -> None:
        self.bytes = resident(pid)
        self._pid = pid
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._interval):
            self.bytes = max(self.bytes, resident(self._pid))
