"""How long to wait before the next try."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Seconds to wait: doubling from ``first`` to ``limit``, each spread so that many clients do not come back at once."""

    def __init__(self, first: float = 0.1, limit: float = 5.0) -> None:
        self._first = first
        self._limit = limit
        self._tries = 0

    def next(self, at_least: float | None = None) -> float:
        """Seconds before the next try, between half and all of the doubled time, and no less than the server asked for."""
        bound = min(self._limit, self._first * 2 ** min(self._tries, 30))
        self._tries += 1
        # Not for secrets: any spread will do.
        spread: float = random.uniform(0.5, 1.0)  # noqa: S311
        return max(at_least or 0.0, float(bound * spread))

    def reset(self) -> None:
        """It worked: begin anew."""
        self._tries = 0
