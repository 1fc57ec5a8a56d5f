"""Waiting steps in a fair order. Pure: the caller brings the clock.

A filter belongs to the namespace of its services, wherever it is written. Each namespace has a
lane, and lanes take turns, so no namespace waits for ten thousand filters of another one. A token
bucket slows down a lane that writes again and again. The steps of a first look at all filters are
free, so that a start takes no longer than the API server does.

The latest change goes first. A filter waits for the companions that it names, and deletions of a
namespace wait for all its writes, which may replace what they delete.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from aeraki_core.controller.bucket import TokenBucket
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey
from aeraki_core.pipeline.reconcile import Action, Step

__all__ = ["WriteQueue", "owner_of"]

_BURST = 500
_PER_SECOND = 50.0
_MANY_LANES = 1_000


def owner_of(step: Step) -> str:
    """Return the namespace that a step counts for: that of the filter's first service."""
    namespaces = _namespaces(step)
    return namespaces[0] if namespaces else step.key.namespace


def _namespaces(step: Step) -> tuple[str, ...]:
    item = step.after or step.before
    return item.namespaces if item is not None else ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A step in its lane. ``free``: it needs no token."""

    step: Step
    free: bool


@dataclass(slots=True)
class _Lane:
    """The steps of one namespace, each kind in the order in which it came."""

    bucket: TokenBucket
    fresh: dict[FilterKey, _Waiting] = field(default_factory=dict)
    writes: dict[FilterKey, _Waiting] = field(default_factory=dict)
    deletions: dict[FilterKey, _Waiting] = field(default_factory=dict)

    def tables(self) -> tuple[dict[FilterKey, _Waiting], ...]:
        return (self.fresh, self.writes, self.deletions)

    @property
    def empty(self) -> bool:
        return not any(self.tables())


class WriteQueue:
    """``burst`` and ``rate`` (a second) are the writes of one namespace that need a token."""

    def __init__(self, *, burst: float = _BURST, rate: float = _PER_SECOND) -> None:
        self._burst = burst
        self._rate = rate
        self._lanes: dict[str, _Lane] = {}
        self._owners: dict[FilterKey, str] = {}
        # Steps that are being picked.
        self._picked: set[FilterKey] = set()
        # By every namespace that a filter is for, how many writes wait.
        self._writes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._owners)

    def __contains__(self, key: object) -> bool:
        return key in self._owners

    def __iter__(self) -> Iterator[Step]:
        for lane in self._lanes.values():
            for table in lane.tables():
                for waiting in table.values():
                    yield waiting.step

    def put(self, step: Step, *, fresh: bool = False, free: bool = False) -> None:
        """Let a step wait, in place of the one that waits for the same filter."""
        self.drop(step.key)
        owner = owner_of(step)
        lane = self._lanes.get(owner)
        if lane is None:
            lane = self._lanes[owner] = _Lane(TokenBucket(self._burst, self._rate))
        if step.action is Action.DELETE:
            table = lane.deletions
        else:
            table = lane.fresh if fresh else lane.writes
            self._writes.update(_namespaces(step))
        table[step.key] = _Waiting(step, free)
        self._owners[step.key] = owner

    def drop(self, key: FilterKey) -> None:
        """Nothing is to be done about a filter."""
        owner = self._owners.pop(key, None)
        if owner is None:
            return
        for table in self._lanes[owner].tables():
            waiting = table.pop(key, None)
            if waiting is not None and waiting.step.action is not Action.DELETE:
                self._writes.subtract(_namespaces(waiting.step))

    def clear(self) -> None:
        """Nothing is to be done any more."""
        self._lanes.clear()
        self._owners.clear()
        self._writes.clear()

    def pick(self, most: int, now: float) -> list[Step]:
        """Up to ``most`` steps to do now, in turns; they wait no longer."""
        picked: list[Step] = []
        for kind in ("fresh", "writes", "deletions"):
            self._take_turns(kind, most, now, picked)
        for lane in self._lanes.values():
            # What was not its turn now is overtaken by what changes meanwhile.
            if lane.fresh:
                lane.writes = {**lane.fresh, **lane.writes}
                lane.fresh = {}
        self._forget_idle(now)
        return picked

    def next(self, now: float) -> float | None:
        """When a step can be picked; None when none waits."""
        if not self._owners:
            return None  # asked after every event, and there may be very many lanes
        times = (
            now if any(waiting.free for waiting in heads) else lane.bucket.next(now)
            for lane in self._lanes.values()
            if (heads := tuple(self._heads(lane)))
        )
        return min(times, default=None)

    def _heads(self, lane: _Lane) -> Iterator[_Waiting]:
        """Yield the first step of each kind that does not wait for others."""
        for table in lane.tables():
            ready = (waiting for waiting in table.values() if self._is_ready(waiting.step))
            yield from islice(ready, 1)

    def _take_turns(self, kind: str, most: int, now: float, picked: list[Step]) -> None:
        turns = deque((lane, iter(getattr(lane, kind).values())) for lane in self._lanes.values())
        while turns and len(picked) < most:
            lane, waiting = turns.popleft()
            step = self._next_of(lane, waiting, now)
            if step is not None:
                picked.append(step)
                self._picked.add(step.key)
                turns.append((lane, waiting))
        # Only now, so that a turn costs no copy of its lane.
        for key in self._picked:
            self.drop(key)
        self._picked.clear()

    def _next_of(self, lane: _Lane, steps: Iterator[_Waiting], now: float) -> Step | None:
        for waiting in steps:
            if not self._is_ready(waiting.step):
                continue
            if not waiting.free and not lane.bucket.take(now):
                return None
            return waiting.step
        return None

    def _is_ready(self, step: Step) -> bool:
        """Report whether nothing that waits must come before the step.

        A filter comes after the companions that it names, and a deletion after each write that may
        replace what it deletes.
        """
        if step.action is not Action.DELETE:
            companions = step.after.companions if isinstance(step.after, EnvoyFilter) else ()
            return not any(self._is_written_soon(key) for key in companions)
        namespaces: Iterable[str] = _namespaces(step)
        # Any write may replace a filter that does not list its namespaces.
        return not any(self._writes[name] for name in namespaces or tuple(self._writes))

    def _is_written_soon(self, key: FilterKey) -> bool:
        owner = self._owners.get(key)
        if owner is None or key in self._picked:
            return False
        lane = self._lanes[owner]
        return key in lane.fresh or key in lane.writes

    def _forget_idle(self, now: float) -> None:
        if len(self._lanes) > _MANY_LANES:
            self._lanes = {
                owner: lane
                for owner, lane in self._lanes.items()
                if not lane.empty or not lane.bucket.full(now)
            }
