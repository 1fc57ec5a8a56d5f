"""Which filters are looked at, what is done about them, and what is tried again.

The decisions are those of reconcile.py. A round looks at the filters that changed, those whose
retry is due and those that are kept for a reason that may be over. What is to be done then waits in
a fair queue, and each round does some of it: what waits is not planned again, only held back if
something came up meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from aeraki_core.controller.holds import holds_for
from aeraki_core.controller.troubles import Troubles
from aeraki_core.controller.write_queue import WriteQueue
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.live import is_as_we_write
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.backoff import KeyedBackoff
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.pipeline.reconcile import (
    Action,
    Plan,
    Step,
    deletes_too_much,
    differences,
    hold_back,
    keep_unreplaced,
)
from aeraki_core.sinks.base import Obstacle, Sink, Written
from aeraki_core.sinks.carry_out import carry_out
from aeraki_core.sources.gaps import Gaps

__all__ = ["FilterWriter", "Outcome"]

log = logging.getLogger(__name__)

_MOST = 500
"""Steps of one round: what changes meanwhile is looked at after it."""
_PART = 2_000
"""Filters of a round when all are looked at: parsing a live one takes a third of a millisecond."""
_AHEAD = 500
"""Filters that a standby compares at a time."""
_SLICE = 0.5
"""Seconds after which a round ends, for the loop to look at what else there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a round.

    ``written``: every step that was tried. ``kept``, ``released``: filters newly kept, and no
    longer kept.
    ``doubtful``: so much would be deleted that the sources must confirm it first.
    ``skipped``: how many steps the sink did not try because this replica may not write now.
    ``left``: whether steps wait that could be done at once.
    """

    written: tuple[Written, ...] = ()
    kept: tuple[Step, ...] = ()
    released: tuple[FilterKey, ...] = ()
    doubtful: bool = False
    skipped: int = 0
    left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """What one round starts from.

    ``fresh``: filters that changed.
    ``part``: those whose turn it is when all filters are looked at; their writes need no token.
    ``probes``: filters that try whether their namespace exists by now.
    """

    fresh: frozenset[FilterKey]
    part: frozenset[FilterKey]
    probes: frozenset[FilterKey]
    now: float
    gaps: Gaps
    confirmed: bool


class FilterWriter:
    """Makes a sink hold what the pipeline wants. ``now`` and ``clock`` are of the same clock.

    ``linger``: seconds for which a companion outlives the filters that name it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sink: Sink,
        *,
        retry_first: float = 1.0,
        retry_longest: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        progress: Callable[[], None] = lambda: None,
        part: int = _PART,
        linger: float = 120.0,
    ) -> None:
        self._pipeline = pipeline
        self._sink = sink
        self._clock = clock
        self._progress = progress
        self._part = part
        # Filters that a look at all has not come to, and deletions that wait for its end: only then
        # it is known whether there are too many.
        self._unseen: list[FilterKey] = []
        self._postponed: set[FilterKey] = set()
        self._scope = pipeline.scope
        self._linger = linger
        # Companions that nothing names any more, and when they go.
        self._lingering: dict[FilterKey, float] = {}
        # Those whose time is over, until they are gone or named again.
        self._lingered: set[FilterKey] = set()
        # Filters that a standby has yet to compare with what is live.
        self._ahead: set[FilterKey] = set()
        self._queue = WriteQueue()
        self._retries: KeyedBackoff[FilterKey] = KeyedBackoff(retry_first, retry_longest)
        self._troubles = Troubles(self._service_of)
        # Deletions that a fresh full answer of the sources confirmed, until they are done.
        self._confirmed: set[FilterKey] = set()
        # Steps that wait for a namespace; one of them tries whether it is there, from time to time.
        self._namespaces: KeyedBackoff[str] = KeyedBackoff(retry_first, retry_longest)
        self._parked: dict[str, dict[FilterKey, Written]] = {}

    @property
    def next_try(self) -> float | None:
        """When something that waits can be done or tried again; None when nothing waits."""
        times = (
            self._retries.next,
            self._namespaces.next,
            self._queue.next(self._clock()),
            *self._lingering.values(),
        )
        return min((at for at in times if at is not None), default=None)

    def everything(self) -> set[FilterKey]:
        """Return all filters, desired and live."""
        return {*self._pipeline.filters, *self._sink.live()}

    def stand_by(self) -> tuple[FilterKey, ...]:
        """Another replica writes now: forget what waits, failed or is kept.

        Returns what was kept.
        """
        self._queue.clear()
        self._unseen.clear()
        self._postponed.clear()
        self._retries.clear_all()
        self._namespaces.clear_all()
        self._parked.clear()
        self._confirmed.clear()
        self._lingering.clear()
        self._lingered.clear()
        return self._troubles.clear()

    def compare_ahead(self, changed: Iterable[FilterKey]) -> bool:
        """Compare some filters with what is live, so that a takeover need not.

        Returns whether more of them wait.
        """
        self._ahead.update(changed)
        for _ in range(min(_AHEAD, len(self._ahead))):
            want = self._pipeline.filters.get(self._ahead.pop())
            if want is not None:
                self._sink.unify(want)
        return bool(self._ahead)

    def problem(self, key: FilterKey) -> str | None:
        """Return why a live filter differs from the desired one: kept, or not written.

        None when it is.
        """
        return self._troubles.problem(key)

    def findings(self) -> tuple[Finding, ...]:
        """Return findings about filters that are kept or could not be written."""
        return self._troubles.findings()

    def write(
        self,
        changed: Iterable[FilterKey],
        now: float,
        gaps: Gaps,
        *,
        confirmed: bool = False,
        full: bool = False,
    ) -> Outcome:
        """Run one round: check filters that may differ, and do some pending steps.

        ``gaps``: what the sources cannot vouch for. ``confirmed``: they have just given fresh full
        answers, so that even many deletions are meant. ``full``: ``changed`` are all filters.
        """
        fresh = frozenset(changed)
        self._ahead.clear()
        if full:
            self._unseen, self._postponed, fresh = sorted(fresh, reverse=True), set(), frozenset()
        round_ = _Round(
            fresh=fresh,
            part=self._next_part(),
            probes=self._probes(now),
            now=now,
            gaps=gaps,
            confirmed=confirmed,
        )
        keys = {*fresh, *round_.part, *self._due(now), *round_.probes}
        if not keys and not self._queue:
            return Outcome()
        plan, doubtful = self._look_at(keys, round_)
        kept, released = self._troubles.keep(keys, plan.kept)
        self._enqueue(keys, plan.steps, round_)
        steps, held = self._pick(round_)
        tried = self._do(steps, now)
        written = tuple(each for each in tried if not each.skipped)
        at = self._queue.next(now)
        return Outcome(
            written=written,
            kept=(*kept, *held),
            released=released,
            doubtful=doubtful,
            skipped=len(tried) - len(written),
            left=bool(self._unseen) or (at is not None and at <= now),
        )

    # -- which filters are looked at --------------------------------------------------------------

    def _next_part(self) -> frozenset[FilterKey]:
        """Return the next filters of a full look; the last ones include the waiting deletions."""
        part = [self._unseen.pop() for _ in range(min(self._part, len(self._unseen)))]
        if self._unseen:
            return frozenset(part)
        postponed, self._postponed = self._postponed, set()
        return frozenset((*part, *postponed))

    def _due(self, now: float) -> Iterator[FilterKey]:
        """Filters that did not change and are looked at all the same."""
        yield from self._retries.due(now)
        yield from [key for key, at in self._lingering.items() if at <= now]
        yield from self._troubles.kept
        before, self._scope = self._scope, self._pipeline.scope
        if self._scope != before:
            # Other namespaces are watched: what was not ours to judge may be now.
            yield from self._troubles.left_alone(Action.OUTSIDE)

    def _probes(self, now: float) -> frozenset[FilterKey]:
        """Yield a pending filter of each namespace that may exist by this time."""
        return frozenset(
            next(iter(self._parked[namespace]))
            for namespace in self._namespaces.due(now)
            if namespace in self._parked
        )

    # -- what is to be done about them ------------------------------------------------------------

    def _look_at(self, keys: set[FilterKey], round_: _Round) -> tuple[Plan, bool]:
        """Return the plan for these filters, and whether its deletions need confirmation.

        Deletions that wait are doubted with the others: their filters join ``keys``.
        """
        live = self._sink.live()
        for key in round_.fresh | round_.part:
            want = self._pipeline.filters.get(key)
            if want is not None:
                self._sink.unify(want)
        differing = differences(keys, self._pipeline.filters, live)
        steps = self._without_lingering(keys, differing, round_.now)
        plan = self._held_back(steps, round_.gaps)
        deletions = {step.key for step in plan.steps if step.action is Action.DELETE}
        if round_.confirmed:
            self._confirmed |= deletions
        # A deletion that lapses must be confirmed again if it comes back.
        self._confirmed -= keys - deletions
        if not deletions:
            return plan, False
        if self._unseen:
            self._postponed |= deletions
            writes = tuple(step for step in plan.steps if step.key not in deletions)
            return Plan(writes, plan.kept), False
        waiting = [step for step in self._queue if step.key not in keys]
        doubted = [
            step
            for step in (*plan.steps, *waiting)
            if step.action is Action.DELETE and self._counts(step)
        ]
        ours = len(live) - self._not_counted(keys, plan)
        if not deletes_too_much(len(doubted), ours):
            return plan, False
        reason = (
            f"{len(doubted)} of {ours} filters would be deleted at once;"
            " a fresh full answer must confirm that"
        )
        log.warning("%s", reason)
        keys.update(step.key for step in doubted)
        gaps = replace(round_.gaps, deletions=reason)
        return self._held_back((*steps, *(s for s in waiting if s.key in keys)), gaps), True

    def _without_lingering(
        self, keys: Collection[FilterKey], steps: Sequence[Step], now: float
    ) -> tuple[Step, ...]:
        """The steps without deletions of companions that open connections may still need."""
        deletions = {
            step.key for step in steps if step.action is Action.DELETE and step.key.kind.is_named
        }
        # It is wanted again, so its time begins anew when it goes the next time.
        for key in [key for key in self._lingering if key in keys and key not in deletions]:
            del self._lingering[key]
        self._lingered -= {*keys} - deletions
        waiting: set[FilterKey] = set()
        # The first look at a deletion starts its time; a later pass after that time deletes.
        for key in deletions - self._lingered:
            if now < self._lingering.setdefault(key, now + self._linger):
                waiting.add(key)
            else:
                del self._lingering[key]
                self._lingered.add(key)
        return tuple(step for step in steps if step.key not in waiting)

    def _held_back(self, steps: Sequence[Step], gaps: Gaps) -> Plan:
        """Return the plan without the steps that must wait."""
        befores = (step.before for step in steps if step.before is not None)
        holds = holds_for(befores, self._pipeline, gaps)
        active = {plugin.name for plugin in self._pipeline.registry.active}
        planned = {step.key for step in steps}
        # A step that is retried is not given up: `carry_out` handles its result.
        unwritten = self._troubles.unwritten(lambda key: key in planned or key in self._queue)
        return keep_unreplaced(hold_back(steps, active, holds), unwritten)

    def _counts(self, deletion: Step) -> bool:
        """Report whether the guard counts a deletion: unconfirmed, and certainly of our filter."""
        return (
            deletion.key not in self._confirmed
            and deletion.before is not None
            and is_as_we_write(deletion.before, self._pipeline.mesh.root_namespace)
        )

    def _not_counted(self, keys: set[FilterKey], plan: Plan) -> int:
        """Return how many live filters do not count: orphans, foreign ones and forged ones."""
        known = set(self._troubles.left_alone(Action.ORPHAN, Action.OUTSIDE)) - keys
        known.update(
            step.key for step in plan.kept if step.action in (Action.ORPHAN, Action.OUTSIDE)
        )
        root = self._pipeline.mesh.root_namespace
        deletions = (
            (step.key, step.before)
            for step in (*plan.steps, *self._queue)
            if step.action is Action.DELETE and step.before is not None
        )
        known.update(key for key, before in deletions if not is_as_we_write(before, root))
        return len(known)

    def _enqueue(self, keys: set[FilterKey], steps: Sequence[Step], round_: _Round) -> None:
        """Let the steps wait for their turn; nothing is to be done about the other filters."""
        for key in keys - {step.key for step in steps}:
            self._queue.drop(key)
            self._unpark(key)
            self._retries.clear(key)
            self._troubles.succeeded(key)
        for step in steps:
            parked = self._parked.get(step.key.namespace)
            if parked and step.action is not Action.DELETE and step.key not in round_.probes:
                self._park(replace(next(iter(parked.values())), step=step))
            else:
                self._queue.put(step, fresh=step.key in round_.fresh, free=step.key in round_.part)

    # -- doing it ---------------------------------------------------------------------------------

    def _pick(self, round_: _Round) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """Steps to do now; and those whose turn it is and that must stay after all."""
        picked = self._queue.pick(_MOST, round_.now)
        kept = self._held_back(picked, round_.gaps).kept
        stays = {step.key for step in kept}
        held, _ = self._troubles.keep(stays, kept)
        return tuple(step for step in picked if step.key not in stays), held

    def _do(self, steps: Sequence[Step], now: float) -> list[Written]:
        """Return the results of the steps that fit into the time; the others wait."""
        waiting = {step.key: step for step in steps}
        tried: list[Written] = []
        end = self._clock() + _SLICE
        results = carry_out(self._sink, steps, enough=lambda: self._clock() > end)
        try:
            for written in results:
                waiting.pop(written.step.key, None)
                tried.append(written)
                self._progress()
        except Exception as error:  # a sink's own mistake must not end the controller
            log.warning("sink %s failed", self._sink.name, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            tried += [Written(step, reason, retry=True) for step in waiting.values()]
            waiting.clear()
        for step in waiting.values():
            self._queue.put(step, free=True)
        for written in tried:
            if not written.skipped:
                self._note(written, now)
        return tried

    def _note(self, written: Written, now: float) -> None:
        key = written.step.key
        self._confirmed.discard(key)
        if written.error is None:
            self._retries.clear(key)
            self._troubles.wrote(written)
            self._reopen(key.namespace)
        elif written.obstacle in (Obstacle.NO_NAMESPACE, Obstacle.TERMINATING):
            self._close(written, now)
        else:
            if written.retry:
                self._retries.fail(key, now)
            else:
                self._retries.clear(key)
            self._troubles.failed(written)

    # -- namespaces that take no filters ----------------------------------------------------------

    def _close(self, written: Written, now: float) -> None:
        """A namespace takes no filters: they wait until one of them, tried now and then, works."""
        namespace = written.step.key.namespace
        if namespace not in self._parked:
            waiting = [step for step in self._queue if step.key.namespace == namespace]
            for step in waiting:
                if step.action is not Action.DELETE:
                    self._queue.drop(step.key)
                    self._park(replace(written, step=step))
        self._park(written)
        if now >= (self._namespaces.at(namespace) or now):
            self._namespaces.fail(namespace, now)

    def _reopen(self, namespace: str) -> None:
        """A filter could be written to the namespace, so the others can."""
        self._namespaces.clear(namespace)
        for written in self._parked.pop(namespace, {}).values():
            self._troubles.succeeded(written.step.key)
            self._queue.put(written.step, free=True)

    def _park(self, written: Written) -> None:
        key = written.step.key
        self._parked.setdefault(key.namespace, {})[key] = written
        self._retries.clear(key)
        self._troubles.waits(written)

    def _unpark(self, key: FilterKey) -> None:
        parked = self._parked.get(key.namespace, {})
        parked.pop(key, None)
        if not parked and self._parked.pop(key.namespace, None) is not None:
            self._namespaces.clear(key.namespace)

    def _service_of(self, step: Step) -> ObjectRef | None:
        """Return the service that a filter is for."""
        item = step.after or step.before
        if item is None:
            return None
        refs = (
            service.ref
            for service_port in item.service_ports
            for service in self._pipeline.store.services_of_host(service_port.host)
            if not item.namespaces or service.ref.namespace in item.namespaces
        )
        return next(refs, None)
