"""From what should be to what is: which filters to look at, what is done about them, what is tried again.

In: keys of filters that changed. Out: what was written, what is kept and why. The decisions are reconcile.py's.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.filters.live import Live
from aeraki_core.findings.codes import HELD, ORPHAN, OUTSIDE, REFUSED, WRITE_FAILED, WRITE_WARNING
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.backoff import KeyedBackoff
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.pipeline.reconcile import (
    Action,
    Plan,
    Step,
    deletes_too_much,
    keep_unreplaced,
    reconcile,
)
from aeraki_core.sinks.base import Sink, Written, carry_out

__all__ = ["FilterWriter", "Outcome"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a round: every step tried, filters newly kept, filters no longer kept.

    ``doubtful``: so much would have been deleted that the sources must confirm it first. ``skipped``: how many steps the sink did
    not try because this replica may not write now. ``left``: how many steps wait for the next round.
    """

    written: tuple[Written, ...]
    kept: tuple[Step, ...]
    released: tuple[FilterKey, ...]
    doubtful: bool = False
    skipped: int = 0
    left: int = 0


class FilterWriter:
    """Keeps a sink as the pipeline wants it.

    ``most``: steps of one round. More wait for the next one, which follows at once: what changed meanwhile overtakes them, so that
    nobody waits for ten thousand filters to be written before theirs.
    """

    def __init__(
        self, pipeline: Pipeline, sink: Sink, backoff: KeyedBackoff[FilterKey], *, most: int = 500
    ) -> None:
        self._most = most
        self._pipeline = pipeline
        self._sink = sink
        self._backoff = backoff
        self._active = frozenset(plugin.name for plugin in pipeline.registry.active)
        self._kept: dict[FilterKey, Step] = {}
        self._orphans: dict[FilterKey, Step] = {}
        self._scope = pipeline.scope
        self._failed: dict[FilterKey, Finding] = {}
        self._warned: dict[FilterKey, tuple[Finding, ...]] = {}
        self._findings: tuple[Finding, ...] | None = ()
        self._left: set[FilterKey] = set()
        self._confirmed: set[FilterKey] = set()

    @property
    def next_retry(self) -> float | None:
        """When a failed write is to be tried again."""
        return self._backoff.next

    def everything(self) -> set[FilterKey]:
        """All filters, for the first round."""
        return {*self._pipeline.filters, *self._sink.live()}

    def stand_by(self) -> tuple[FilterKey, ...]:
        """Another replica writes now: forget what is kept, failed or to be tried again. Returns what is no longer kept."""
        released = tuple(sorted((*self._kept, *self._orphans)))
        for table in (self._kept, self._orphans, self._failed, self._warned):
            table.clear()
        self._findings = None
        self._left.clear()
        self._confirmed.clear()
        self._backoff.clear_all()
        return released

    def problem(self, key: FilterKey) -> str | None:
        """Why a live filter is not as it should be: it is kept, or could not be written; None when it is."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept.message
        failed = self._failed.get(key)
        return failed.message if failed is not None else None

    def write(
        self,
        changed: Iterable[FilterKey],
        now: float,
        held: str | None,
        why_held: Callable[[ServicePort], str | None],
        *,
        confirmed: bool = False,
    ) -> Outcome:
        """Look at what changed, what is left, what is to be tried again, and what is kept for a reason that may be over; write it.

        ``now`` is of the clock that the backoff goes by; ``held`` and ``why_held`` as for :func:`~aeraki_core.pipeline.reconcile.reconcile`.
        ``confirmed``: the sources have just given fresh full answers, so that even many deletions are meant.
        """
        fresh = set(changed)
        keys = {*fresh, *self._left, *self._backoff.due(now), *self._kept, *self._rescoped()}
        if not keys:
            return Outcome((), (), ())
        for want in (self._pipeline.filters.get(key) for key in fresh):
            if want is not None:
                self._sink.share(want)
        live = self._sink.live()
        plan = self._plan(keys, live, held, why_held)
        deletions = {step.key for step in plan.steps if step.action is Action.DELETE}
        # One that is not wanted any more must be confirmed anew when it is wanted again.
        self._confirmed = deletions if confirmed else self._confirmed - (keys - deletions)
        ours = len(live) - len(self._outside(plan))
        doubtful = deletes_too_much(plan, ours, self._confirmed)
        if doubtful:
            count = plan.count(Action.DELETE)
            reason = f"{count} of {ours} filters would be deleted at once; a fresh full answer must confirm that"
            log.warning("%s", reason)
            plan = self._plan(keys, live, reason, why_held)
        kept, released = self._keep(keys, plan)
        for key in keys - {step.key for step in plan.steps}:
            self._succeeded(key)
        steps = sorted(
            plan.steps, key=lambda step: (step.action is Action.DELETE, step.key not in fresh)
        )
        self._left = {step.key for step in steps[self._most :]}
        tried = tuple(self._apply(steps[: self._most]))
        written = tuple(item for item in tried if not item.skipped)
        for item in written:
            self._confirmed.discard(item.step.key)
            if item.error is None:
                self._succeeded(item.step.key)
                self._warn(item)
            else:
                self._fail(item, now)
        return Outcome(
            written, kept, released, doubtful, len(tried) - len(written), len(self._left)
        )

    def _outside(self, plan: Plan) -> set[FilterKey]:
        """The live filters that are not ours to judge, as far as a plan has deletions that they are to be weighed against."""
        if not plan.count(Action.DELETE):
            return set()
        known = (*self._orphans.values(), *plan.kept)
        judged = {step.key for step in plan.steps}
        return {step.key for step in known if step.action is Action.OUTSIDE} - judged

    def _rescoped(self) -> Iterable[FilterKey]:
        """Filters that were not ours to judge, when other namespaces are watched than before."""
        before, self._scope = self._scope, self._pipeline.scope
        if self._scope == before:
            return ()
        return [key for key, step in self._orphans.items() if step.action is Action.OUTSIDE]

    def _plan(
        self,
        keys: Iterable[FilterKey],
        live: Mapping[FilterKey, Live],
        held: str | None,
        why_held: Callable[[ServicePort], str | None],
    ) -> Plan:
        wanted = self._pipeline.filters
        plan = reconcile(
            keys,
            wanted,
            live,
            active_plugins=self._active,
            why_held=why_held,
            deletions_held=held,
            why_outside=self._pipeline.why_outside,
        )
        # One that is tried again in this round is not given up: `carry_out` sees what becomes of it.
        tried = {step.key for step in plan.steps}
        failed = (wanted.get(key) for key in self._failed if key not in tried)
        return keep_unreplaced(
            plan,
            {
                service_port
                for item in failed
                if item is not None
                for service_port in item.service_ports
            },
        )

    def _keep(
        self, keys: Iterable[FilterKey], plan: Plan
    ) -> tuple[tuple[Step, ...], tuple[FilterKey, ...]]:
        now = {step.key: step for step in plan.kept}
        fresh: list[Step] = []
        released: list[FilterKey] = []
        for key in sorted(keys):
            before = self._kept.pop(key, None) or self._orphans.pop(key, None)
            step = now.get(key)
            if step is None:
                if before is not None:
                    released.append(key)
                continue
            (self._kept if step.action is Action.KEEP else self._orphans)[key] = step
            if before is None or before.message != step.message:
                fresh.append(step)
        if fresh or released:
            self._findings = None
        return tuple(fresh), tuple(released)

    def _apply(self, steps: Sequence[Step]) -> Iterator[Written]:
        left = {step.key: step for step in steps}
        try:
            for written in carry_out(self._sink, steps):
                left.pop(written.step.key, None)
                yield written
        except Exception as error:  # a sink's own mistake must not end the controller
            log.warning("sink %s failed", self._sink.name, exc_info=True)
            for step in left.values():
                yield Written(step, f"{type(error).__name__}: {error}", retry=True)

    def _succeeded(self, key: FilterKey) -> None:
        self._backoff.clear(key)
        if self._failed.pop(key, None) is not None:
            self._findings = None

    def _fail(self, item: Written, now: float) -> None:
        key = item.step.key
        if item.retry:
            self._backoff.fail(key, now)
        else:
            self._backoff.clear(key)
        self._findings = None
        found = item.finding or Finding(
            WRITE_FAILED if item.retry else REFUSED, f"{key}: {item.error}"
        )
        if found.ref is None and found.source is None:
            found = replace(found, ref=self._service(item.step))
        self._failed[key] = found

    def _warn(self, item: Written) -> None:
        key, where = item.step.key, self._service(item.step)
        if item.warnings:
            self._warned[key] = tuple(
                Finding(WRITE_WARNING, f"{key}: {text}", where) for text in item.warnings
            )
            self._findings = None
        elif self._warned.pop(key, None) is not None:
            self._findings = None

    def _service(self, step: Step) -> ObjectRef | None:
        """The service that the filter is for: findings are for the people who own it."""
        item = step.after or step.before
        for service_port in item.service_ports if item is not None else ():
            for service in self._pipeline.store.services_of_host(service_port.host):
                return service.ref
        return None

    def findings(self) -> tuple[Finding, ...]:
        """What is kept, and what could not be written: put together anew only after a round that changed something of it."""
        if self._findings is None:
            self._findings = tuple(self._found())
        return self._findings

    def _found(self) -> Iterator[Finding]:
        for key, step in self._kept.items():
            yield Finding(HELD, f"{key}: {step.message}")
        outside: dict[str, list[FilterKey]] = defaultdict(list)
        for key, step in self._orphans.items():
            if step.action is Action.OUTSIDE:
                outside[step.message].append(key)
            else:
                yield Finding(ORPHAN, f"{key}: {step.message}")
        # There may be thousands, all of them another controller's.
        for reason, keys in sorted(outside.items()):
            yield Finding(OUTSIDE, f"{reason}; its filters are left alone, such as {min(keys)}")
        yield from self._failed.values()
        for warnings in self._warned.values():
            yield from warnings
