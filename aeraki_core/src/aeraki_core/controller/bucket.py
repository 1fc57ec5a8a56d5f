"""A token bucket: so much at once, and so much a second. Pure: the caller brings the clock."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

__all__ = ["TokenBucket", "without_idle"]

K = TypeVar("K", bound=Hashable)

_KNOWN = 1_000  # buckets that are kept


class TokenBucket:
    """Lets ``burst`` through at once, then ``rate`` a second.

    A full bucket is as good as a new one.
    """

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._left = burst
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        self._fill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def next(self, now: float) -> float:
        """When there is a token again."""
        self._fill(now)
        return now if self._left >= 1 else now + (1 - self._left) / self._rate

    def full(self, now: float) -> bool:
        """Report whether nothing was withdrawn for a long time."""
        self._fill(now)
        return self._left >= self._burst

    def _fill(self, now: float) -> None:
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now


def without_idle(buckets: dict[K, TokenBucket], now: float) -> dict[K, TokenBucket]:
    """The buckets without those that are as good as new, once there are many."""
    if len(buckets) <= _KNOWN:
        return buckets
    return {key: bucket for key, bucket in buckets.items() if not bucket.full(now)}
