"""Waiting in end-to-end tests: every wait has a deadline and names what it waits for."""

import threading
import time

LIMIT = 120  # seconds; far above what any wait takes on a busy machine, and below the time limit of a test


def await_true(what, condition, limit=LIMIT, pause=0.01):
    """Returns the first true result of `condition()`; raises AssertionError with `what` after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit} s for {what}")
        time.sleep(pause)
    return result


def first_line(process, prefix, limit=LIMIT):
    """The first line that starts with `prefix` on the standard output of a process, None when the output ends before.

    A process that does not print it within `limit` seconds is killed, so that its output ends.
    """
    watchdog = threading.Timer(limit, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        return next((line for line in process.stdout if line.startswith(prefix)), None)
    finally:
        watchdog.cancel()
