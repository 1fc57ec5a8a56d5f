"""Several sources as one: who has the say about an object that more than one of them gives.

In: the events of each source. Out: events as if there were one. The first source named has the say; when it removes an object that
another still gives, that one's takes its place.

istiod is a mirror of Kubernetes (and of other registries): it gives the same objects without labels, ``targetPort`` and status.
What Kubernetes removes is gone, though the mirror shows it for a moment longer; it comes back only if the mirror speaks of it
anew.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.events import Emit, Event, Removed, Upserted

__all__ = ["MIRRORS", "Merge"]

MIRRORS: Mapping[str, str] = {"istiod": "kubernetes"}
"""Sources that show what another one has."""


class Merge:
    """An ``emit`` for sources, in front of another. Usable by many threads at once. ``order``: names of sources, the best first."""

    def __init__(self, emit: Emit, order: Sequence[str]) -> None:
        self._emit = emit
        self._rank = {name: rank for rank, name in enumerate(order)}
        # An object is remembered only where it may be needed again.
        self._remembers = sum(name not in MIRRORS for name in order) > 1
        self._lock = threading.Lock()
        self._given: dict[ObjectRef, dict[str, Upserted | None]] = {}
        self._ghosts: set[ObjectRef] = set()

    def __call__(self, *events: Event) -> None:
        """Take events in; what of them counts goes on together, in order."""
        with self._lock:
            counting = [left for event in events if (left := self._left(event)) is not None]
            if counting:
                self._emit(*counting)

    def _left(self, event: Event) -> Event | None:
        """What goes on in place of an event."""
        if isinstance(event, Upserted):
            return self._upsert(event)
        if isinstance(event, Removed):
            return self._remove(event)
        return event

    def _upsert(self, event: Upserted) -> Event | None:
        ref = event.object.ref
        given = self._given.setdefault(ref, {})
        given[event.source] = event if self._remembers else None
        self._ghosts.discard(ref)
        return event if self._best(given) == event.source else None

    def _remove(self, event: Removed) -> Event | None:
        ref = event.ref
        given = self._given.get(ref, {})
        if event.source not in given:
            return None
        had_say = self._best(given) == event.source and ref not in self._ghosts
        del given[event.source]
        if not given:
            del self._given[ref]
            self._ghosts.discard(ref)
        if not had_say:
            return None
        left = {name: kept for name, kept in given.items() if MIRRORS.get(name) != event.source}
        heir = left[self._best(left)] if left else None
        if heir is not None:
            return heir
        if given:
            self._ghosts.add(ref)
        return event

    def _best(self, given: Mapping[str, Upserted | None]) -> str:
        return min(given, key=lambda name: self._rank.get(name, len(self._rank)))
