"""What every sink does.

A sink knows which of our filters are live, and does steps. It decides nothing: which steps there
are, and in which order, is decided before (pipeline/reconcile.py, :func:`carry_out`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.filters.output import Output
from aeraki_core.findings.finding import Finding
from aeraki_core.pipeline.reconcile import (
    UNREPLACED,
    Action,
    NamespacedPort,
    Step,
    claims_of,
    unreplaced,
)

__all__ = ["Obstacle", "Sink", "Written", "carry_out"]


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

        ``changed`` is called, from any thread, when somebody else changes or deletes one of ours.

        Raises:
            AerakiError: the live filters cannot be read, so nothing may be written.
        """
        ...

    def live(self) -> Mapping[FilterKey, Live]:
        """All live filters of ours, kept current by the sink's own writes and its watch."""
        ...

    def apply(self, steps: Iterable[Step]) -> Iterable[Written]:
        """Do the steps, at once and in any order.

        A failed one does not stop the others. See :func:`carry_out`.
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


def carry_out(
    sink: Sink,
    steps: Iterable[Step],
    *,
    at_once: int = 1_000_000,
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[Written]:
    """Do the steps: first creations and updates, then deletions, so that no client lacks a filter.

    Companions are written before the filters that name them, and deleted after them. A filter waits
    for a companion that is not there. It stays if another one with the same claim, its replacement,
    could not be written. The
    sink gets ``at_once`` steps at a time, and ``enough`` is called in between: once it is true, the
    other steps are not tried and have no result. Once the receiver is away, they fail untried.
    """
    todo = list(steps)
    writes = [step for step in todo if step.action is not Action.DELETE]
    deletions = [step for step in todo if step.action is Action.DELETE]
    missing: set[NamespacedPort] = set()
    skipped, away = False, None
    there: set[FilterKey] = set()
    for steps in _by_kind(writes, companions_first=True):
        for slice_ in _slices(steps, at_once):
            if enough():
                return
            ready: list[Step] = []
            for step in slice_:
                absent = _absent(step, sink, there)
                if absent is None:
                    ready.append(step)
                    continue
                missing.update(claims_of(step.after) if step.after is not None else ())
                yield Written(
                    step,
                    f"{absent} must be there first, and is not",
                    retry=True,
                    passing=away is not None,
                    skipped=skipped,
                )
            for written in _applied(sink, ready, away):
                skipped |= written.skipped
                away = written.error if written.obstacle is Obstacle.AWAY else away
                if written.error is None:
                    there.add(written.step.key)
                elif written.step.after is not None:
                    missing.update(claims_of(written.step.after))
                yield written
    if skipped:
        yield from (Written(step, skipped=True) for step in deletions)
        deletions = []
    # Also without deletions: a sink may have something of its own to finish (filters that ours
    # supersede).
    for steps in _by_kind(deletions, companions_first=False) if deletions else [()]:
        sure: list[Step] = []
        for step in steps:
            if unreplaced(step, missing):
                yield Written(step, UNREPLACED, retry=True, passing=away is not None)
            else:
                sure.append(step)
        for slice_ in _slices(sure, at_once) if sure else [()]:
            if enough():
                return
            for written in _applied(sink, slice_, away):
                away = written.error if written.obstacle is Obstacle.AWAY else away
                if written.error is not None and written.step.before is not None:
                    # It still names its companions.
                    missing.update(claims_of(written.step.before))
                yield written


def _by_kind(steps: Sequence[Step], *, companions_first: bool) -> list[list[Step]]:
    """The steps in at most two parts, for filters and for companions."""
    parts = [
        [step for step in steps if step.key.kind.is_named is companions]
        for companions in (companions_first, not companions_first)
    ]
    return [part for part in parts if part]


def _absent(step: Step, sink: Sink, there: Collection[FilterKey]) -> FilterKey | None:
    """A companion that a filter names and that is not there; None when all are.

    ``there``: what was just written, which a dry run does not keep.
    """
    if not isinstance(step.after, EnvoyFilter) or not step.after.companions:
        return None
    live = sink.live()
    return next(
        (key for key in step.after.companions if key not in there and key not in live), None
    )


def _slices(steps: Sequence[Step], size: int) -> Iterator[Sequence[Step]]:
    for start in range(0, len(steps), size):
        yield steps[start : start + size]


def _applied(sink: Sink, steps: Sequence[Step], away: str | None) -> Iterable[Written]:
    if away is None:
        return sink.apply(steps)
    return (Written(step, away, retry=True, passing=True, obstacle=Obstacle.AWAY) for step in steps)
