"""When to act on a stream of events. Pure: the caller brings the clock.

A change after a quiet time is acted on at once: no other change is likely to follow. A new quiet
time follows it. A burst is acted on when it ends, because writes in a row delay each other at
istiod (docs/internals/live-routes.md), or when it has lasted too long.

Workloads come and go all day, in a stream that has no end. What they change is acted on together
at most once in a quiet time, and neither makes a burst longer nor a first change late.
"""

from __future__ import annotations

__all__ = ["Debounce"]


class Debounce:
    """Times are seconds of one monotonic clock.

    ``quiet``: so long without an event ends a burst. ``longest``: what a burst may delay at most.
    ``lead``: how long the first change waits for what belongs to it, such as the other objects of
    one ``kubectl apply``.
    """

    def __init__(self, quiet: float, longest: float, lead: float = 0.0) -> None:
        self._quiet = quiet
        self._longest = longest
        self._lead = min(lead, quiet)
        self._first: float | None = None
        self._last: float | None = None
        self._leading = False
        self._acted: float | None = None
        self._soon: float | None = None
        self._acted_soon: float | None = None

    def touch(self, now: float) -> None:
        """Something happened."""
        if self._first is None:
            self._first = now
            self._leading = self._is_quiet(now)
        self._last = now

    def touch_soon(self, now: float) -> None:
        """Something happened that belongs to no burst."""
        if self._soon is None:
            is_quiet = self._acted_soon is None or now - self._acted_soon >= self._quiet
            self._soon = now + (self._lead if is_quiet else self._quiet)

    def _is_quiet(self, now: float) -> bool:
        """Report whether the quiet time before had neither an event nor an action."""
        return all(at is None or now - at >= self._quiet for at in (self._last, self._acted))

    @property
    def due(self) -> float | None:
        """When to act; None when nothing happened since the last :meth:`reset`."""
        if self._first is None or self._last is None:
            return self._soon
        if self._leading and self._last - self._first < self._quiet:
            return self._last + self._lead
        return min(self._last + self._quiet, self._first + self._longest)

    def reset(self, now: float) -> None:
        """It was acted upon."""
        if self._first is not None or self._soon is None:
            self._acted = now
        self._acted_soon = now
        self._first = self._soon = None
