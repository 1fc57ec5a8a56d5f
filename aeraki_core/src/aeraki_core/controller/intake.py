"""What sources say, taken into the pipeline; and whether what is not there may be taken for gone.

In: events. Out: a pipeline that is up to date with them, each place's problems, and reasons to hold back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from aeraki_core.controller.observer import Observer
from aeraki_core.diagnostics import Finding
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline import Pipeline
from aeraki_core.sources.base import Event, Incomplete, Problems, Removed, Synced, Unsynced, Upserted

__all__ = ["Intake"]

log = logging.getLogger(__name__)


class Intake:
    """Takes the events of several sources. Where two give one object, the latest to speak of it has the say."""

    def __init__(self, pipeline: Pipeline, sources: Sequence[str], observer: Observer) -> None:
        self._pipeline = pipeline
        self._observer = observer
        self._waiting = set(sources)
        self._several = len(sources) > 1
        self._given_by: dict[ObjectRef, str] = {}
        self._incomplete: dict[str, Incomplete] = {}
        self._unsynced: dict[str, str] = {}
        self._problems: dict[tuple[str, str], tuple[Finding, ...]] = {}

    def take(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case Upserted(source, item):
                if self._several:
                    self._given_by[item.ref] = source
                self._pipeline.upsert(item)
            case Removed(source, ref):
                if self._given_by.get(ref, source) == source:
                    self._given_by.pop(ref, None)
                    self._pipeline.remove(ref)
            case Problems(source, place, findings):
                if findings:
                    self._problems[(source, place)] = findings
                else:
                    self._problems.pop((source, place), None)
            case Synced(source, incomplete):
                self._waiting.discard(source)
                self._unsynced.pop(source, None)
                self._incomplete.pop(source, None)
                if incomplete is not None:
                    self._incomplete[source] = incomplete
                self._observer.source_synced(source, incomplete.reason if incomplete else None)
            case Unsynced(source, reason):
                self._unsynced[source] = reason
                self._observer.source_unsynced(source, reason)

    @property
    def ready(self) -> bool:
        """Whether every source has given all that it had at its start."""
        return not self._waiting

    @property
    def held(self) -> str | None:
        """Why nothing may be deleted now; None when it may."""
        for source, reason in sorted(self._unsynced.items()):
            return f"source {source} is not in sync: {reason}"
        for _, incomplete in sorted(self._incomplete.items()):
            return f"not everything could be read: {incomplete.reason}"
        return None

    def why_held(self, host: str) -> str | None:
        """Why the live filters of a host must stay as they are; None when they need not."""
        for _, incomplete in sorted(self._incomplete.items()):
            if incomplete.concerns(host):
                return f"not everything about it could be read: {incomplete.reason}"
        return None

    def problems(self) -> Iterator[Finding]:
        """All that is wrong with what the sources read."""
        for findings in self._problems.values():
            yield from findings
