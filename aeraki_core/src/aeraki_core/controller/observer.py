"""Events about the controller's work, for logs, metrics and statuses.

An observer is called with one event at a time, in the controller's own thread and between passes,
so it must be quick. Every event is a frozen value: an observer may keep it or hand it to another
thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pass
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.sinks.base import Written

__all__ = [
    "ControllerEvent",
    "FilterChanged",
    "LeadershipChanged",
    "ObjectDropped",
    "ObjectTaken",
    "Observer",
    "Observers",
    "PassReport",
    "SourceSynced",
    "SourceUnsynced",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ObjectTaken:
    """An object is new or changed."""

    object: SourceObject


@dataclass(frozen=True, slots=True)
class ObjectDropped:
    """An object is gone from its source."""

    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class SourceSynced:
    """A source has given everything that it can read; ``incomplete`` names what it cannot read.

    ``objects``: how many were new or changed since it was last in sync.
    """

    source: str
    incomplete: str | None
    objects: int = 0


@dataclass(frozen=True, slots=True)
class SourceUnsynced:
    """A source can no longer say what exists."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class FilterChanged:
    """Somebody else changed or deleted one of our filters; the next pass restores it."""

    key: FilterKey


@dataclass(frozen=True, slots=True)
class LeadershipChanged:
    """This replica starts or stops leading. Without an election there is no such event."""

    leads: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport:
    """A pass ended: from what changed to what was written.

    ``first``: nothing was written before it.
    ``generated``: what the pipeline did.
    ``written``: every step that was tried, its reason and its result.
    ``kept``: filters that stay although nothing makes them (KEEP, ORPHAN, OUTSIDE) and did not
    before, or for another reason.
    ``released``: filters that were kept and are not any more.
    ``new_findings``, ``resolved_findings``: those that are new, and findings that are over.
    ``held``: why nothing is deleted now; None when deletions are done.
    ``seconds``: wall time.
    ``standby``: another replica leads, so nothing was written.
    ``full``: every filter was looked at (the first pass, and the first one as the leader).
    """

    first: bool
    generated: Pass
    written: tuple[Written, ...]
    kept: tuple[Step, ...]
    released: tuple[FilterKey, ...]
    new_findings: tuple[Finding, ...]
    resolved_findings: tuple[Finding, ...]
    held: str | None
    seconds: float
    standby: bool = False
    full: bool = False

    @property
    def failures(self) -> tuple[Written, ...]:
        """The steps that did not succeed."""
        return tuple(written for written in self.written if written.error is not None)


ControllerEvent = (
    ObjectTaken
    | ObjectDropped
    | SourceSynced
    | SourceUnsynced
    | FilterChanged
    | LeadershipChanged
    | PassReport
)
"""Everything that an observer is called with."""

Observer = Callable[[ControllerEvent], None]
"""Called with each event; it ignores those that do not matter to it."""


class Observers:
    """Several observers as one, called in order.

    The error of one is logged, and the others go on.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)

    def add(self, observer: Observer) -> None:
        """Add an observer after the others. Call before the controller runs."""
        self._observers.append(observer)

    def __call__(self, event: ControllerEvent) -> None:
        """Hand the event to each."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                name = getattr(observer, "__qualname__", type(observer).__name__)
                log.warning("%s failed", name, exc_info=True)
