"""When to act on a stream of events: after a quiet while, but not later than a longest wait. Pure: the caller brings the clock."""

from __future__ import annotations

__all__ = ["Debounce"]


class Debounce:
    """``quiet`` and ``longest`` in seconds; times are of one monotonic clock."""

    def __init__(self, quiet: float, longest: float) -> None:
        self._quiet = quiet
        self._longest = longest
        self._first: float | None = None
        self._last = 0.0

    def touch(self, now: float) -> None:
        """Something happened."""
        if self._first is None:
            self._first = now
        self._last = now

    @property
    def due(self) -> float | None:
        """When to act; None when nothing happened since the last :meth:`reset`."""
        if self._first is None:
            return None
        return min(self._last + self._quiet, self._first + self._longest)

    def reset(self) -> None:
        """It was acted upon."""
        self._first = None
