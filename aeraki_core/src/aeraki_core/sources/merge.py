"""Several sources as one: who has the say about an object that more than one of them gives.

In: the events of each source. Out: events as if there were one. The first source named knows best (Kubernetes, which has labels,
``targetPort`` and status, before istiod, which has other registries too). What the better one removes is gone, though the other still
has it for a moment; it comes back only if that one then speaks of it again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.base import Emit, Event, Removed, Upserted

__all__ = ["Merge"]


class Merge:
    """An ``emit`` for sources, in front of another. Usable by many threads at once. ``order``: names of sources, the best first."""

    def __init__(self, emit: Emit, order: Sequence[str]) -> None:
        self._emit = emit
        self._rank = {name: rank for rank, name in enumerate(order)}
        self._lock = threading.Lock()
        self._given: dict[ObjectRef, set[str]] = {}
        self._ghosts: set[ObjectRef] = set()

    def __call__(self, event: Event) -> None:
        """Take an event in; what of it counts goes on, in order."""
        with self._lock:
            if isinstance(event, Upserted):
                self._upsert(event)
            elif isinstance(event, Removed):
                self._remove(event)
            else:
                self._emit(event)

    def _upsert(self, event: Upserted) -> None:
        ref = event.object.ref
        givers = self._given.setdefault(ref, set())
        givers.add(event.source)
        self._ghosts.discard(ref)
        if self._best(givers) == event.source:
            self._emit(event)

    def _remove(self, event: Removed) -> None:
        ref = event.ref
        givers = self._given.get(ref, set())
        had_say = bool(givers) and self._best(givers) == event.source and ref not in self._ghosts
        givers.discard(event.source)
        if givers:
            if had_say:
                self._ghosts.add(ref)
        else:
            self._given.pop(ref, None)
            self._ghosts.discard(ref)
        if had_say:
            self._emit(event)

    def _best(self, givers: set[str]) -> str:
        return min(givers, key=lambda name: self._rank.get(name, len(self._rank)))
