"""What the controller tells of its doings, to whoever prints, counts or publishes it.

The controller calls an :class:`Observer` in its own thread, between passes: it must be quick. All values are frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aeraki_core.diagnostics import Finding
from aeraki_core.envoyfilter import FilterKey
from aeraki_core.pipeline import Pass
from aeraki_core.reconcile import Step
from aeraki_core.sinks.base import Written

__all__ = ["NoObserver", "Observer", "PassReport"]


@dataclass(frozen=True, slots=True)
class PassReport:
    """One pass: from what changed to what was written.

    ``written``: every step that was tried, with its reason and what became of it. ``kept``: filters that are newly kept although
    nothing makes them now (KEEP, ORPHAN), each with its reason; ``released``: those that were kept before and are no longer.
    ``came`` and ``went``: findings that are new, and those that are over. ``held``: why nothing is deleted now.
    ``seconds``: wall time.
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

    @property
    def failures(self) -> tuple[Written, ...]:
        """The steps that did not succeed."""
        return tuple(item for item in self.written if item.error is not None)


class Observer(Protocol):
    """Told of what happens."""

    def source_synced(self, source: str, incomplete: str | None) -> None:
        """A source has given all that it can read; ``incomplete``: what it cannot."""
        ...

    def source_unsynced(self, source: str, reason: str) -> None:
        """A source cannot tell any more what is there."""
        ...

    def live_changed(self, key: FilterKey) -> None:
        """Somebody else changed or deleted one of our filters; the next pass restores it."""
        ...

    def passed(self, report: PassReport) -> None:
        """A pass is over."""
        ...


class NoObserver:
    """Hears everything and does nothing; a base for those who want to know only some of it."""

    def source_synced(self, source: str, incomplete: str | None) -> None:
        """Nothing."""

    def source_unsynced(self, source: str, reason: str) -> None:
        """Nothing."""

    def live_changed(self, key: FilterKey) -> None:
        """Nothing."""

    def passed(self, report: PassReport) -> None:
        """Nothing."""
