"""How long to wait before the next try: longer each time, and not all at the same moment.

:class:`Backoff` is for one thing that is tried again and again, such as a connection.
:class:`KeyedBackoff` is for many, such as filters; it is pure, and its caller brings the clock.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Backoff", "KeyedBackoff"]

K = TypeVar("K", bound=Hashable)

_MAX_DOUBLINGS = 30  # beyond any longest wait; 2.0 ** attempts would overflow in the end


class Backoff:
    """Seconds to wait, doubling from ``first`` to ``limit``.

    They are spread so that not all clients come back at once.
    """

    def __init__(self, first: float = 0.1, limit: float = 5.0) -> None:
        self._first = first
        self._limit = limit
        self._tries = 0

    def next(self, at_least: float | None = None) -> float:
        """Seconds before the next try, no less than ``at_least``.

        Between half and all of the doubled time.
        """
        bound = min(self._limit, self._first * 2 ** min(self._tries, _MAX_DOUBLINGS))
        self._tries += 1
        # Not for secrets: any spread will do.
        spread: float = random.uniform(0.5, 1.0)  # noqa: S311
        return max(at_least or 0.0, float(bound * spread))

    def reset(self) -> None:
        """It worked: begin with the shortest wait."""
        self._tries = 0


class KeyedBackoff(Generic[K]):
    """Seconds to wait: ``first`` before the first retry, then twice as long, at most ``longest``.

    Half of each wait is random, so that retries spread. A wait ends at a multiple of ``first`` on
    the caller's clock, so that thousands of keys are retried in a few rounds instead of one by one.
    """

    def __init__(
        self,
        first: float = 1.0,
        longest: float = 60.0,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._longest = longest
        self._random = random_number
        self._failed: dict[K, tuple[int, float]] = {}

    def fail(self, key: K, now: float) -> float:
        """It failed (again); when to try it."""
        attempts, _ = self._failed.get(key, (0, 0.0))
        wait = min(self._longest, self._first * 2.0 ** min(attempts, _MAX_DOUBLINGS))
        at = math.ceil((now + wait * (0.5 + 0.5 * self._random())) / self._first) * self._first
        self._failed[key] = (attempts + 1, at)
        return at

    def clear(self, key: K) -> None:
        """It succeeded, or is no longer wanted."""
        self._failed.pop(key, None)

    def clear_all(self) -> None:
        """Nothing is to be tried again."""
        self._failed.clear()

    def due(self, now: float) -> frozenset[K]:
        """Return the keys whose retry is due."""
        return frozenset(key for key, (_, at) in self._failed.items() if at <= now)

    def at(self, key: K) -> float | None:
        """When to try this one; None when it did not fail."""
        failed = self._failed.get(key)
        return failed[1] if failed is not None else None

    @property
    def next(self) -> float | None:
        """When the next try is; None when nothing failed."""
        return min((at for _, at in self._failed.values()), default=None)
