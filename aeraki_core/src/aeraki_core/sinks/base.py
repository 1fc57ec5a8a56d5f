"""What every sink does.

A sink knows which of our filters are live, and does steps. It decides nothing: which steps there
are, and in which order, is decided before (pipeline/reconcile.py, sinks/carry_out.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.filters.output import Output
from aeraki_core.findings.finding import Finding
from aeraki_core.pipeline.reconcile import Step

__all__ = ["Obstacle", "Sink", "Written"]


class Obstacle(StrEnum):
    """Why several filters cannot be written: the receiver is AWAY, or a namespace takes none."""

    AWAY = "away"
    NO_NAMESPACE = "no namespace"
    TERMINATING = "terminating"


@dataclass(frozen=True, slots=True)
class Written:
    """The result of one step.

    ``error``: the failure; None when the step is done.
    ``retry``: the same step may succeed later.
    ``passing``: most likely within seconds, because the receiver was away or busy.
    ``warnings``: the receiver's warnings about a filter that it accepted.
    ``finding``: the mistake, more precise than "could not be written". Without a place it is about
        the service that the filter is for.
    ``skipped``: it was not tried, because this replica does not lead (any more).
    ``obstacle``: a problem that blocks other filters too.
    """

    step: Step
    error: str | None = None
    retry: bool = False
    passing: bool = False
    warnings: tuple[str, ...] = ()
    finding: Finding | None = None
    skipped: bool = False
    obstacle: Obstacle | None = None


class Sink(Protocol):
    """A place that filters are written to."""

    name: str

    def start(self, changed: Callable[[FilterKey], None]) -> None:
        """Read what is live.

        ``changed`` is called, from any thread, when somebody else, such as another replica, changes
        or deletes one of ours.

        Raises:
            AerakiError: the live filters cannot be read, so nothing may be written.
        """
        ...

    def live(self) -> Mapping[FilterKey, Live]:
        """All live filters of ours, kept current by the sink's own writes and its watch."""
        ...

    def apply(self, steps: Iterable[Step]) -> Iterable[Written]:
        """Do the steps, several at once and in any order, and take each only when it is its turn.

        A failed one does not stop the others. See sinks/carry_out.py.
        """
        ...

    def unify(self, want: Output) -> None:
        """This filter is desired now.

        A sink that holds an equal one may hold this one instead, to save memory.
        """
        return

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong in the sink itself, such as a live filter that cannot be read.

        Not the results of steps.
        """
        ...

    def stop(self) -> None:
        """Release what the sink holds."""
        ...
