"""When a failed call may be made again."""

from __future__ import annotations

import dataclasses

import grpc

from proad.errors import ProadError


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """Times in seconds; the first attempt counts, so max_attempts=1 never retries."""

    max_attempts: int = 4
    initial_backoff: float = 0.05
    max_backoff: float = 2.0
    multiplier: float = 2.0


def retry_delay(
    policy: RetryPolicy, error: ProadError, attempts_made: int, remaining: float, jitter: float
) -> float | None:
    """Seconds to wait before the next attempt; None: give up.

    UNAVAILABLE is always worth another try: to inspect twice is to inspect once. RESOURCE_EXHAUSTED only when the
    server said when to come back, and not before. Everything else never. Never waits past `remaining`, the time left
    until the call's deadline. `jitter` in 0..1 spreads clients that failed together.
    """
    if attempts_made >= policy.max_attempts:
        return None
    overloaded = error.code == grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None
    if error.code != grpc.StatusCode.UNAVAILABLE and not overloaded:
        return None
    backoff = min(policy.initial_backoff * policy.multiplier ** (attempts_made - 1), policy.max_backoff)
    delay = (error.retry_after or 0.0) + backoff * (0.5 + 0.5 * jitter)
    return delay if delay < remaining else None
