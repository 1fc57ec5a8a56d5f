"""Several sources as one: which of them decides about an object that more than one has.

The first source in the order decides. When it removes an object that another source still has,
that one's form takes its place.

istiod is a mirror of Kubernetes (and of other registries): it has the same objects without labels,
``targetPort`` and status. What Kubernetes removed is gone although the mirror still shows it for a
moment; it comes back only if the mirror reports it again. But a mirror knows more addresses: where
istiod joins several clusters, a Service has one in each. They are passed on beside the object.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.istio import is_made_of_route
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.chain import Stage, passing
from aeraki_core.sources.events import Emit, Event, Removed, Upserted

__all__ = ["MIRRORS", "merged"]

MIRRORS: Mapping[str, str] = {"istiod": "kubernetes"}
"""Sources that show what another one has."""


def merged(order: Sequence[str]) -> Stage:
    """Return a stage for the events of several sources, usable by all their threads at once.

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


class _MergedForm(NamedTuple):
    """What is kept of one source's form of an object."""

    event: Upserted | None
    addresses: tuple[str, ...] = ()


class _Merge:
    """Remembers which sources have an object. Not for several threads at once."""

    def __init__(self, order: Sequence[str]) -> None:
        self._rank = {name: rank for rank, name in enumerate(order)}
        # A mirror's form never takes the place of its original's, so it need not be kept.
        self._keeps_forms = sum(name not in MIRRORS for name in order) > 1
        self._forms: dict[ObjectRef, dict[str, _MergedForm]] = {}
        self._ghosts: set[ObjectRef] = set()

    def choose(self, events: Iterable[Event]) -> list[Event]:
        """Return the events that count, or their replacements."""
        return [left for event in events for left in self._decide(event)]

    def _decide(self, event: Event) -> list[Event]:
        if isinstance(event, Upserted):
            return self._upsert(event)
        if isinstance(event, Removed):
            return self._remove(event)
        return [event]

    def _upsert(self, event: Upserted) -> list[Event]:
        ref, source = event.object.ref, event.source
        if MIRRORS.get(source) in self._rank and is_made_of_route(ref):
            return []  # the original has the route itself
        forms = self._forms.setdefault(ref, {})
        before = forms.get(source, _NO_FORM)
        addresses = _addresses(event) if source in MIRRORS else ()
        form = forms[source] = _MergedForm(event if self._keeps_forms else None, addresses)
        self._ghosts.discard(ref)
        best = self._best(forms)
        if best == source:
            return [event, *self._mirrored(ref, source)]
        if MIRRORS.get(source) == best and form.addresses != before.addresses:
            return [_mirrored(source, ref, form.addresses)]
        return []

    def _remove(self, event: Removed) -> list[Event]:
        ref, source = event.ref, event.source
        forms = self._forms.get(ref, {})
        if source not in forms:
            return []
        best = self._best(forms)
        # Only the source whose form is in effect can take the object away.
        decided = best == source and ref not in self._ghosts
        removed = forms.pop(source)
        if not forms:
            del self._forms[ref]
            self._ghosts.discard(ref)
        if not decided:
            is_mirror = MIRRORS.get(source) == best and removed.addresses
            return [_mirrored(source, ref, ())] if is_mirror else []
        # A mirror only repeats what this source has, a moment later. It is no heir.
        heirs = {name: form for name, form in forms.items() if MIRRORS.get(name) != source}
        heir = heirs[self._best(heirs)].event if heirs else None
        if heir is not None:
            return [heir, *self._mirrored(ref, heir.source)]
        # The mirror still shows the object; what it shows of it must not bring it back.
        if forms:
            self._ghosts.add(ref)
        return [event]

    def _mirrored(self, ref: ObjectRef, original: str) -> list[Event]:
        """Return the addresses of the object in the sources' mirrors."""
        return [
            _mirrored(name, ref, form.addresses)
            for name, form in self._forms[ref].items()
            if MIRRORS.get(name) == original and form.addresses
        ]

    def _best(self, forms: Mapping[str, _MergedForm]) -> str:
        return min(forms, key=lambda name: self._rank.get(name, len(self._rank)))


_NO_FORM = _MergedForm(None)


def _addresses(event: Upserted) -> tuple[str, ...]:
    """Return the addresses of a Service; none of any other object."""
    if event.object.ref.kind != "Service":
        return ()
    spec = event.object.content.get("spec") or {}
    return tuple(address for address in spec.get("clusterIPs") or () if address != "None")


def _mirrored(source: str, ref: ObjectRef, addresses: tuple[str, ...]) -> Upserted:
    content = {"spec": {"clusterIPs": list(addresses)}}
    return Upserted(source, SourceObject(ref, "v1", content, mirrored=True))
