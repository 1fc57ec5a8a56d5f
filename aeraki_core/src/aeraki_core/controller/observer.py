"""What the controller tells of its doings, to whoever prints, counts or publishes it.

The controller calls an :class:`Observer` in its own thread, between passes: it must be quick. All values are frozen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pass
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.sinks.base import Written

__all__ = ["NoObserver", "Observer", "Observers", "PassReport"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PassReport:
    """One pass: from what changed to what was written.

    ``written``: every step that was tried, with its reason and what became of it. ``kept``: filters that are newly kept although
    nothing makes them now (KEEP, ORPHAN), each with its reason; ``released``: those that were kept before and are no longer.
    ``came`` and ``went``: findings that are new, and those that are over. ``held``: why nothing is deleted now.
    ``seconds``: wall time. ``standby``: another replica leads, so nothing was written. ``full``: every filter was looked at
    (the first pass, and the first after this replica became the leader).
    """

    first: bool
    generated: Pass
    written: tuple[Written, ...]
    kept: tuple[Step, ...]
    released: tuple[FilterKey, ...]
    came: tuple[Finding, ...]
    went: tuple[Finding, ...]
    held: str | None
    seconds: float
    standby: bool = False
    full: bool = False

    @property
    def failures(self) -> tuple[Written, ...]:
        """The steps that did not succeed."""
        return tuple(item for item in self.written if item.error is not None)


class Observer(Protocol):
    """Told of what happens."""

    def took(self, item: SourceObject) -> None:
        """An object is new or changed."""
        ...

    def dropped(self, ref: ObjectRef) -> None:
        """An object is gone from its source."""
        ...

    def source_synced(self, source: str, incomplete: str | None) -> None:
        """A source has given all that it can read; ``incomplete``: what it cannot."""
        ...

    def source_unsynced(self, source: str, reason: str) -> None:
        """A source cannot tell any more what is there."""
        ...

    def live_changed(self, key: FilterKey) -> None:
        """Somebody else changed or deleted one of our filters; the next pass restores it."""
        ...

    def leads(self, leads: bool) -> None:
        """This replica became the leader, or is it no longer. Without an election nothing is said."""
        ...

    def passed(self, report: PassReport) -> None:
        """A pass is over."""
        ...


class NoObserver:
    """Hears everything and does nothing; a base for those who want to know only some of it."""

    def took(self, item: SourceObject) -> None:
        """Nothing."""

    def dropped(self, ref: ObjectRef) -> None:
        """Nothing."""

    def source_synced(self, source: str, incomplete: str | None) -> None:
        """Nothing."""

    def source_unsynced(self, source: str, reason: str) -> None:
        """Nothing."""

    def live_changed(self, key: FilterKey) -> None:
        """Nothing."""

    def leads(self, leads: bool) -> None:
        """Nothing."""

    def passed(self, report: PassReport) -> None:
        """Nothing."""


class Observers:
    """Tells several, in order. One that raises is a defect of ours: it is logged, and nobody else suffers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def took(self, item: SourceObject) -> None:
        """An object is new or changed."""
        self._each(lambda observer: observer.took(item))

    def dropped(self, ref: ObjectRef) -> None:
        """An object is gone."""
        self._each(lambda observer: observer.dropped(ref))

    def source_synced(self, source: str, incomplete: str | None) -> None:
        """A source has given all that it can read."""
        self._each(lambda observer: observer.source_synced(source, incomplete))

    def source_unsynced(self, source: str, reason: str) -> None:
        """A source cannot tell any more what is there."""
        self._each(lambda observer: observer.source_unsynced(source, reason))

    def live_changed(self, key: FilterKey) -> None:
        """Somebody else changed one of our filters."""
        self._each(lambda observer: observer.live_changed(key))

    def leads(self, leads: bool) -> None:
        """This replica leads, or no longer."""
        self._each(lambda observer: observer.leads(leads))

    def passed(self, report: PassReport) -> None:
        """A pass is over."""
        self._each(lambda observer: observer.passed(report))

    def _each(self, tell: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                tell(observer)
            except Exception:
                log.warning("%s failed", type(observer).__name__, exc_info=True)
