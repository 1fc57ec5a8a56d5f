"""When to try a failed write again: later each time, not all at once, and not each on its own.

Pure: the caller brings the clock and the random numbers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["KeyedBackoff"]

K = TypeVar("K", bound=Hashable)

_MAX_DOUBLINGS = 30  # beyond any longest wait; 2.0 ** attempts would overflow in the end


class KeyedBackoff(Generic[K]):
    """The first try comes after ``first`` seconds, each next after twice as long, at most ``longest``.

    Half of each wait is random, so that what fails for long is not tried all together. It ends at a multiple of ``first`` on the
    caller's clock: thousands that fail are tried in a few goes, not in one for each, which would never end.
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
        """What is to be tried now."""
        return frozenset(key for key, (_, at) in self._failed.items() if at <= now)

    @property
    def next(self) -> float | None:
        """When the next try is; None when nothing failed."""
        return min((at for _, at in self._failed.values()), default=None)
