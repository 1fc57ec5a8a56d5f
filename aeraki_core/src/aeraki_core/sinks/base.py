"""What every sink does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort
from aeraki_core.filters.live import Live
from aeraki_core.findings.finding import Finding
from aeraki_core.pipeline.reconcile import UNREPLACED, Action, Step, unreplaced

__all__ = ["Sink", "Written", "carry_out"]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one step.

    ``error`` None: it is done. ``retry``: the same step may succeed later; ``passing``: most likely within seconds, as the receiver
    was away or busy.

    ``warnings`` are what the receiver had to say about a filter that it took. ``finding`` says more precisely than "could not be
    written" what is wrong, if the sink can; without a place it is about the service that the filter is for. ``skipped``: it was
    not tried, because this replica does not lead (any more).
    """

    step: Step
    error: str | None = None
    retry: bool = False
    passing: bool = False
    warnings: tuple[str, ...] = ()
    finding: Finding | None = None
    skipped: bool = False


class Sink(Protocol):
    """A place where filters go."""

    name: str

    def start(self, changed: Callable[[FilterKey], None]) -> None:
        """Read what is live; ``changed`` is called (from any thread) when somebody else changes or deletes one of ours.

        Raises:
            AerakiError: what is live cannot be told; nothing must be written then.
        """
        ...

    def live(self) -> Mapping[FilterKey, Live]:
        """All filters of ours that are there now, as far as the sink knows; kept current by its own writes and its watch."""
        ...

    def apply(self, steps: Iterable[Step]) -> Iterable[Written]:
        """Do the steps, in one burst and in any order; a failed one does not stop the others. See :func:`carry_out`."""
        ...

    def share(self, item: EnvoyFilter) -> None:
        """This is wanted now: a sink that holds an equal one may hold this one instead, so that there are not two of each."""
        return

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong in the sink itself, such as a live filter that cannot be read; not what became of a step."""
        ...

    def stop(self) -> None:
        """Let go of what it holds."""
        ...


def carry_out(sink: Sink, steps: Collection[Step]) -> Iterator[Written]:
    """Do the steps: first what is created and changed, then what is deleted, so that nobody is without a filter in between.

    A filter stays when one that is for the same service port could not be written: it would have taken its place.
    """
    missing: set[ServicePort] = set()
    skipped = passing = False
    for written in sink.apply([step for step in steps if step.action is not Action.DELETE]):
        skipped |= written.skipped
        passing |= written.passing
        if written.error is not None and written.step.after is not None:
            missing.update(written.step.after.service_ports)
        yield written
    # Also without deletions: a sink may have something of its own to finish (filters that ours supersede).
    sure: list[Step] = []
    for step in (step for step in steps if step.action is Action.DELETE):
        if skipped:
            yield Written(step, skipped=True)
        elif unreplaced(step, missing):
            yield Written(step, UNREPLACED, retry=True, passing=passing)
        else:
            sure.append(step)
    yield from sink.apply(sure)
