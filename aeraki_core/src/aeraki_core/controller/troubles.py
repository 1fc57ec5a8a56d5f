"""Why live filters differ from the desired ones, and the findings about it.

A filter may be kept although nothing needs it, fail to be written, wait for a namespace, or be
accepted with a warning. One namespace may have thousands of these, so each kind names a few filters
of a namespace and counts the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.findings.codes import (
    HELD,
    NAMESPACE_MISSING,
    ORPHAN,
    OUTSIDE,
    REFUSED,
    WRITE_FAILED,
    WRITE_WARNING,
)
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.reconcile import Action, NamespacedPort, Step, claims_of
from aeraki_core.sinks.base import Obstacle, Written

__all__ = ["Troubles"]

_NAMED = 20
"""So many filters of a namespace are named in each kind of finding."""


class Troubles:
    """Tables by filter.

    ``service_of`` gives the service that a filter is for: findings are for its owner.
    """

    def __init__(self, service_of: Callable[[Step], ObjectRef | None]) -> None:
        self._service_of = service_of
        self.kept: dict[FilterKey, Step] = {}
        """Filters that stay for a reason that may be over soon. Every round looks at them."""
        self._left_alone: dict[FilterKey, Step] = {}
        self._failed: dict[FilterKey, Written] = {}
        self._waiting: dict[FilterKey, Written] = {}
        self._warned: dict[FilterKey, tuple[Finding, ...]] = {}
        self._findings: tuple[Finding, ...] | None = ()

    def clear(self) -> tuple[FilterKey, ...]:
        """Forget everything. Returns the filters that were kept."""
        released = tuple(sorted((*self.kept, *self._left_alone)))
        for table in (self.kept, self._left_alone, self._failed, self._waiting, self._warned):
            table.clear()
        self._findings = None
        return released

    # -- what stays -------------------------------------------------------------------------------

    def keep(
        self, keys: Iterable[FilterKey], kept: Iterable[Step]
    ) -> tuple[tuple[Step, ...], tuple[FilterKey, ...]]:
        """Of ``keys``, these and no others are kept.

        Returns what is new of it, and what is over.
        """
        now = {step.key: step for step in kept}
        fresh: list[Step] = []
        released: list[FilterKey] = []
        for key in sorted(keys):
            # Take each key out and put it back, so that what is not put back is over.
            before = self.kept.pop(key, None) or self._left_alone.pop(key, None)
            step = now.get(key)
            if step is None:
                if before is not None:
                    released.append(key)
                continue
            (self.kept if step.action is Action.KEEP else self._left_alone)[key] = step
            if before is None or before.message != step.message:
                fresh.append(step)
        if fresh or released:
            self._findings = None
        return tuple(fresh), tuple(released)

    def left_alone(self, *actions: Action) -> list[FilterKey]:
        """Filters that are not ours to judge (OUTSIDE), or whose plugin is not active (ORPHAN)."""
        return [key for key, step in self._left_alone.items() if step.action in actions]

    # -- what was written -------------------------------------------------------------------------

    def succeeded(self, key: FilterKey) -> None:
        """Nothing is wrong with a filter; a warning of the last write stays until the next."""
        if self._failed.pop(key, None) or self._waiting.pop(key, None):
            self._findings = None

    def wrote(self, written: Written) -> None:
        """A write succeeded, perhaps with warnings."""
        key = written.step.key
        self.succeeded(key)
        where = self._service_of(written.step)
        warnings = tuple(
            Finding(WRITE_WARNING, f"{key}: {text}", where) for text in written.warnings
        )
        if warnings != self._warned.get(key, ()):
            self._findings = None
            self._warned[key] = warnings
        if not warnings:
            self._warned.pop(key, None)

    def failed(self, written: Written) -> None:
        """A write did not succeed."""
        self.succeeded(written.step.key)
        self._failed[written.step.key] = written
        self._findings = None

    def waits(self, written: Written) -> None:
        """A filter waits for its namespace."""
        self.succeeded(written.step.key)
        self._waiting[written.step.key] = written
        self._findings = None

    def unwritten(self, tried: Callable[[FilterKey], bool]) -> frozenset[NamespacedPort]:
        """Return the service ports of unwritten filters, without those under way."""
        return frozenset(
            claim
            for key, written in (*self._failed.items(), *self._waiting.items())
            if written.step.after is not None and not tried(key)
            for claim in claims_of(written.step.after)
        )

    # -- for others -------------------------------------------------------------------------------

    def problem(self, key: FilterKey) -> str | None:
        """Return why a live filter differs from the desired one; None if it does not."""
        kept = self.kept.get(key)
        if kept is not None:
            return kept.message
        written = self._failed.get(key) or self._waiting.get(key)
        return _finding_of(written).message if written is not None else None

    def findings(self) -> tuple[Finding, ...]:
        """Return the current findings; computed only after a change."""
        if self._findings is None:
            self._findings = tuple(self._all())
        return self._findings

    def _all(self) -> Iterator[Finding]:
        yield from _by_filter(HELD, self.kept.values())
        orphans = (step for step in self._left_alone.values() if step.action is Action.ORPHAN)
        yield from _by_filter(ORPHAN, orphans)
        outside = defaultdict[str, list[FilterKey]](list)
        for step in self._left_alone.values():
            if step.action is Action.OUTSIDE:
                outside[step.message].append(step.key)
        for reason, keys in sorted(outside.items()):
            yield Finding(OUTSIDE, f"{reason}; its filters are left alone, such as {min(keys)}")
        yield from self._failures()
        yield from self._missing_namespaces()
        for warnings in self._warned.values():
            yield from warnings

    def _failures(self) -> Iterator[Finding]:
        by_service = defaultdict[tuple[ObjectRef | None, Code], list[Finding]](list)
        for written in self._failed.values():
            finding = _finding_of(written)
            if finding.ref is None and finding.source is None:
                finding = replace(finding, ref=self._service_of(written.step))
            by_service[finding.ref, finding.code].append(finding)
        for (ref, code), findings in by_service.items():
            findings.sort(key=Finding.sort_key)
            yield from findings[:_NAMED]
            if len(findings) > _NAMED:
                yield Finding(code, f"{len(findings) - _NAMED} more filters of this service", ref)

    def _missing_namespaces(self) -> Iterator[Finding]:
        waiting = defaultdict[tuple[str, ObjectRef | None], list[FilterKey]](list)
        for key, written in self._waiting.items():
            # The filters of a terminating namespace are deleted with it: nothing is wrong.
            if written.obstacle is Obstacle.NO_NAMESPACE:
                waiting[key.namespace, self._service_of(written.step)].append(key)
        by_service = defaultdict[ObjectRef | None, list[str]](list)
        for namespace, ref in waiting:
            by_service[ref].append(namespace)
        for ref, namespaces in by_service.items():
            names = ", ".join(sorted(namespaces)[:_NAMED])
            more = f" and {len(namespaces) - _NAMED} more" if len(namespaces) > _NAMED else ""
            count = sum(len(waiting[namespace, ref]) for namespace in namespaces)
            message = f"no namespace {names}{more}; filters that wait for it: {count}"
            yield Finding(NAMESPACE_MISSING, message, ref)


def _finding_of(written: Written) -> Finding:
    code = WRITE_FAILED if written.retry else REFUSED
    return written.finding or Finding(code, f"{written.step.key}: {written.error}")


def _by_filter(code: Code, steps: Iterable[Step]) -> Iterator[Finding]:
    """Yield a finding for each filter; of a namespace with many, the first ones and a summary."""
    by_namespace = defaultdict[str, list[Step]](list)
    for step in steps:
        by_namespace[step.key.namespace].append(step)
    for namespace, refusals in sorted(by_namespace.items()):
        refusals.sort(key=lambda step: step.key)
        for step in refusals[:_NAMED]:
            yield Finding(code, f"{step.key}: {step.message}")
        if len(refusals) > _NAMED:
            yield Finding(code, f"{len(refusals) - _NAMED} more filters in namespace {namespace}")
