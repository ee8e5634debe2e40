"""Decides whether and when a failed call is repeated."""

from __future__ import annotations

import dataclasses

import grpc

from proad.errors import ProadError

_LONGEST_DELAY = 86_400.0  # seconds; a server that states a longer retry time is not waited for


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """Limits of repeating a call. Times are in seconds. max_attempts includes the first attempt; 1: never repeat."""

    max_attempts: int = 4
    initial_backoff: float = 0.05
    max_backoff: float = 2.0
    multiplier: float = 2.0


def retry_delay(
    policy: RetryPolicy, error: ProadError, attempts_made: int, remaining: float, jitter: float
) -> float | None:
    """Returns the seconds to wait before the next attempt, or None to give up.

    UNAVAILABLE is repeated: inspecting an image twice does no harm. RESOURCE_EXHAUSTED is repeated if the server stated
    a retry time, and not before that time. Other codes are not repeated. `remaining` is the time until the call's
    deadline, in seconds; the function gives up if the wait would exceed it or one day. `jitter` in 0..1 is a random
    number that spreads the retries of clients that failed at the same time.
    """
    if attempts_made >= policy.max_attempts:
        return None
    overloaded = error.code == grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None
    if error.code != grpc.StatusCode.UNAVAILABLE and not overloaded:
        return None
    # A power of the multiplier would overflow after about a thousand attempts.
    backoff = policy.initial_backoff
    for _ in range(attempts_made - 1):
        if backoff >= policy.max_backoff:
            break
        backoff *= policy.multiplier
    delay = max(error.retry_after or 0.0, 0.0) + min(backoff, policy.max_backoff) * (0.5 + 0.5 * jitter)
    return delay if delay < min(remaining, _LONGEST_DELAY) else None
