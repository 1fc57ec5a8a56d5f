"""Several sources as one: which of them decides about an object that more than one has.

The first source in the order decides. When it removes an object that another source still has,
that one's form takes its place.

istiod is a mirror of Kubernetes (and of other registries): it has the same objects without labels,
``targetPort`` and status. What Kubernetes removed is gone although the mirror still shows it for a
moment; it comes back only if the mirror reports it again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.chain import Stage, passing
from aeraki_core.sources.events import Emit, Event, Removed, Upserted

__all__ = ["MIRRORS", "merged"]

MIRRORS: Mapping[str, str] = {"istiod": "kubernetes"}
"""Sources that show what another one has."""


def merged(order: Sequence[str]) -> Stage:
    """A stage for the events of several sources, usable by all their threads at once.

    ``order`` names the sources, the one that decides first. One source needs no merging.
    """
    if len(order) < 2:
        return lambda emit: emit
    deciding = _Merge(order)
    lock = threading.Lock()

    def stage(emit: Emit) -> Emit:
        inner = passing(deciding.choose)(emit)

        def pass_on(*events: Event) -> None:
            # What one thread's events decide must leave before another's are looked at.
            with lock:
                inner(*events)

        return pass_on

    return stage


class _Merge:
    """Remembers which sources have an object. Not for several threads at once."""

    def __init__(self, order: Sequence[str]) -> None:
        self._rank = {name: rank for rank, name in enumerate(order)}
        # A mirror's form never takes the place of its original's, so it need not be kept.
        self._keeps_forms = sum(name not in MIRRORS for name in order) > 1
        self._forms: dict[ObjectRef, dict[str, Upserted | None]] = {}
        self._ghosts: set[ObjectRef] = set()

    def choose(self, events: Iterable[Event]) -> list[Event]:
        """The events that count, or what takes their place."""
        return [left for event in events if (left := self._decide(event)) is not None]

    def _decide(self, event: Event) -> Event | None:
        if isinstance(event, Upserted):
            return self._upsert(event)
        if isinstance(event, Removed):
            return self._remove(event)
        return event

    def _upsert(self, event: Upserted) -> Event | None:
        ref = event.object.ref
        forms = self._forms.setdefault(ref, {})
        forms[event.source] = event if self._keeps_forms else None
        self._ghosts.discard(ref)
        return event if self._best(forms) == event.source else None

    def _remove(self, event: Removed) -> Event | None:
        ref = event.ref
        forms = self._forms.get(ref, {})
        if event.source not in forms:
            return None
        decided = self._best(forms) == event.source and ref not in self._ghosts
        del forms[event.source]
        if not forms:
            del self._forms[ref]
            self._ghosts.discard(ref)
        if not decided:
            return None
        heirs = {name: form for name, form in forms.items() if MIRRORS.get(name) != event.source}
        heir = heirs[self._best(heirs)] if heirs else None
        if heir is not None:
            return heir
        if forms:
            self._ghosts.add(ref)
        return event

    def _best(self, forms: Mapping[str, Upserted | None]) -> str:
        return min(forms, key=lambda name: self._rank.get(name, len(self._rank)))
