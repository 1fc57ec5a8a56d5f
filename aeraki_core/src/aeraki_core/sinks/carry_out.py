"""The order of writes: what a filter names is there before it, and goes after it.

No client may lack a filter, or have one that names a cluster without endpoints. So creations and
updates come before deletions, and a failed write holds back whatever rests on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.filters.output import Output
from aeraki_core.pipeline.reconcile import (
    UNREPLACED,
    Action,
    NamespacedPort,
    Step,
    claims_of,
    unreplaced,
)
from aeraki_core.sinks.base import Obstacle, Sink, Written

__all__ = ["carry_out"]


def carry_out(
    sink: Sink,
    steps: Iterable[Step],
    *,
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[Written]:
    """Do the steps: first creations and updates, then deletions, so that no client lacks a filter.

    Companions are written before the filters that name them, and deleted after them. A filter waits
    for a companion that is not there. It stays if another one with the same claim, its replacement,
    could not be written. ``enough`` is called before each step: once it is true, the other steps
    are not tried and have no result. Once the receiver is away, they fail untried.
    """
    todo = list(steps)
    writes = [step for step in todo if step.action is not Action.DELETE]
    deletions = [step for step in todo if step.action is Action.DELETE]
    run = _Run(sink, enough)
    for part in _by_kind(writes, companions_first=True):
        yield from run.write(part)
    if run.ended:
        return
    if run.skipped:
        # Another replica leads: it has not written what takes their place.
        yield from (Written(step, skipped=True) for step in deletions)
        deletions = []
    # Also without deletions: a sink may have something of its own to finish (filters that ours
    # supersede).
    for part in _by_kind(deletions, companions_first=False) or [[]]:
        if not run.ended:
            yield from run.delete(part)


@dataclass(slots=True)
class _Run:
    """What is known while the steps are done.

    ``written``: what was just written, which a dry run does not keep. ``missing``: claims of
    filters that could not be written or deleted. ``away``: the error once the receiver is away.
    ``skipped``: this replica does not lead. ``ended``: ``enough`` was true.
    """

    sink: Sink
    enough: Callable[[], bool]
    written: set[FilterKey] = field(default_factory=set)
    missing: set[NamespacedPort] = field(default_factory=set)
    away: str | None = None
    skipped: bool = False
    ended: bool = False

    def write(self, steps: Sequence[Step]) -> Iterator[Written]:
        waiting: list[Written] = []
        for result in self._apply(self._ready(steps, waiting)):
            if result.error is None:
                self.written.add(result.step.key)
            else:
                self._miss(result.step.after)
            yield result
        yield from waiting

    def _ready(self, steps: Sequence[Step], waiting: list[Written]) -> Iterator[Step]:
        """Yield the steps whose companions are there; the results of the others go to a list."""
        for step in self._until_enough(steps):
            absent = self._absent(step)
            if absent is None:
                yield step
            else:
                self._miss(step.after)
                waiting.append(self._wait(step, f"{absent} must be there first, and is not"))

    def delete(self, steps: Sequence[Step]) -> Iterator[Written]:
        certain: list[Step] = []
        for step in steps:
            if unreplaced(step, self.missing):
                yield self._wait(step, UNREPLACED)
            else:
                certain.append(step)
        for result in self._apply(self._until_enough(certain)):
            if result.error is not None:
                # It still names its companions.
                self._miss(result.step.before)
            yield result

    def _until_enough(self, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            self.ended = self.ended or self.enough()
            if self.ended:
                return
            yield step

    def _apply(self, steps: Iterable[Step]) -> Iterator[Written]:
        if self.away is not None:
            for step in steps:
                yield Written(step, self.away, retry=True, passing=True, obstacle=Obstacle.AWAY)
            return
        for result in self.sink.apply(steps):
            self.skipped |= result.skipped
            if result.obstacle is Obstacle.AWAY:
                self.away = result.error
            yield result

    def _wait(self, step: Step, error: str) -> Written:
        return Written(step, error, retry=True, passing=self.away is not None, skipped=self.skipped)

    def _miss(self, output: Output | Live | None) -> None:
        if output is not None:
            self.missing.update(claims_of(output))

    def _absent(self, step: Step) -> FilterKey | None:
        """Return a companion that a filter names and that is not there; None when all are."""
        if not isinstance(step.after, EnvoyFilter) or not step.after.companions:
            return None
        live = self.sink.live()
        return next(
            (key for key in step.after.companions if key not in self.written and key not in live),
            None,
        )


def _by_kind(steps: Sequence[Step], *, companions_first: bool) -> list[list[Step]]:
    """Return the steps in at most two parts, for filters and for companions."""
    parts = [
        [step for step in steps if step.key.kind.is_named is companions]
        for companions in (companions_first, not companions_first)
    ]
    return [part for part in parts if part]
