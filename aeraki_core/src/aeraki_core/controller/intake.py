"""Takes the events of sources into the pipeline.

The pipeline knows only objects. This module decides whether a missing object counts as deleted: not
while a source is out of sync, and not while something could not be read.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import IntEnum

from aeraki_core.controller.observer import (
    ObjectDropped,
    ObjectTaken,
    Observer,
    SourceSynced,
    SourceUnsynced,
)
from aeraki_core.findings.by_place import FindingsByPlace
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.sources.events import (
    Event,
    Incomplete,
    Problems,
    Removed,
    Scoped,
    Synced,
    Unsynced,
    Upserted,
)
from aeraki_core.sources.gaps import Gaps

__all__ = ["Follow", "Intake"]

log = logging.getLogger(__name__)

_RESTLESS = frozenset(
    {"EndpointSlice", "Pod", "ServiceEntry", "DestinationRule", "Namespace", "Secret"}
)
"""Kinds that change without a user's doing, also by our own writes.

What nobody asks about them must not make the changes of users wait for the end of a burst.
"""
_WORKLOADS = frozenset({"EndpointSlice", "Pod"})
"""Kinds that may change all day. No burst of theirs ends, so none of a user's waits for it."""


class Follow(IntEnum):
    """Which pass must follow events.

    - NONE: nobody asks what changed
    - SOON: the workloads of a service are others, which belongs to no burst
    - AFTER_BURST: the pass at the end of the burst that the events belong to
    """

    NONE = 0
    SOON = 1
    AFTER_BURST = 2


class Intake:
    """Takes the events of all sources.

    Where two give one object, sources/merge.py has chosen before.
    """

    def __init__(self, pipeline: Pipeline, sources: Sequence[str], observer: Observer) -> None:
        self._pipeline = pipeline
        self._observer = observer
        self._waiting = set(sources)
        self._incomplete: dict[str, Incomplete] = {}
        self._unsynced: dict[str, str] = {}
        self._read = Counter[str]()
        self.problems = FindingsByPlace()
        """What is wrong with what the sources read, by source and place."""
        self._expected: set[str] | None = None

    def accept(self, event: Event) -> Follow:
        """Take one event in. Returns which pass must follow."""
        match event:
            case Upserted(source, source_object):
                self._read[source] += 1
                is_asked = self._pipeline.upsert(source_object)
                self._observer(ObjectTaken(source_object))
                return _follow(source_object.ref, is_asked=is_asked)
            case Removed(_, ref):
                is_asked = self._pipeline.remove(ref)
                self._observer(ObjectDropped(ref))
                return _follow(ref, is_asked=is_asked)
            case Problems(source, place, findings):
                self.problems.put((source, place), findings)
            case Scoped(_, scope):
                self._pipeline.rescope(scope)
            case Synced(source, incomplete):
                self._waiting.discard(source)
                # Only an answer to this request counts: Synced after Unsynced, not a repeated
                # Synced.
                if self._expected is not None and source in self._unsynced:
                    self._expected.discard(source)
                self._unsynced.pop(source, None)
                self._incomplete.pop(source, None)
                if incomplete is not None:
                    self._incomplete[source] = incomplete
                reason = incomplete.reason if incomplete is not None else None
                self._observer(SourceSynced(source, reason, self._read.pop(source, 0)))
            case Unsynced(source, reason):
                self._unsynced[source] = reason
                self._observer(SourceUnsynced(source, reason))
        return Follow.AFTER_BURST

    def expect(self, sources: Iterable[str]) -> None:
        """These sources were asked for a fresh full answer.

        Until all have given it, nothing is confirmed.
        """
        self._expected = set(sources)

    @property
    def doubting(self) -> bool:
        """Whether sources were asked for a fresh full answer that has not been acted on yet."""
        return self._expected is not None

    @property
    def answered(self) -> bool:
        """Whether all sources that were asked have given their fresh full answer."""
        return self._expected is not None and not self._expected

    def confirmed(self) -> bool:
        """Report whether the state comes from a fresh full answer to a request.

        True once for each time.
        """
        if not self.answered:
            return False
        self._expected = None
        return True

    @property
    def ready(self) -> bool:
        """Whether every source has given all that it had at its start."""
        return not self._waiting

    @property
    def waiting(self) -> tuple[str, ...]:
        """The sources that have not yet given all that they had at their start."""
        return tuple(sorted(self._waiting))

    @property
    def gaps(self) -> Gaps:
        """What the sources cannot vouch for now."""
        unread = tuple(incomplete for _, incomplete in sorted(self._incomplete.items()))
        return Gaps(self.held, unread)

    @property
    def held(self) -> str | None:
        """Why nothing is deleted now; None when deletions are done."""
        for source, reason in sorted(self._unsynced.items()):
            return f"source {source} is not in sync: {reason}"
        for _, incomplete in sorted(self._incomplete.items()):
            return f"not everything could be read: {incomplete.reason}"
        return None


def _follow(ref: ObjectRef, *, is_asked: bool) -> Follow:
    """Which pass must follow a change of an object, about which somebody asks or nobody."""
    if not is_asked and ref.kind in _RESTLESS:
        return Follow.NONE
    return Follow.SOON if ref.kind in _WORKLOADS else Follow.AFTER_BURST
