"""Filters kept in memory: for one pass without a cluster, and for tests.

``writes`` counts the steps done, for "nothing is written without a change".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.filters.output import Output
from aeraki_core.findings.finding import Finding
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.sinks.base import Sink, Written

__all__ = ["MemorySink"]


class MemorySink(Sink):
    """A sink without a place.

    ``refuse``: filters whose writes fail, and whether another try may help.
    """

    def __init__(self, filters: Iterable[Output] = ()) -> None:
        self.name = "memory"
        self.writes = 0
        self.refuse: dict[FilterKey, bool] = {}
        self._live = {item.key: _live(item) for item in filters}
        self._changed: Callable[[FilterKey], None] | None = None

    @property
    def filters(self) -> dict[FilterKey, Output]:
        """The filters that are live and whole."""
        return {key: item.filter for key, item in self._live.items() if item.filter is not None}

    def start(self, changed: Callable[[FilterKey], None]) -> None:
        """Nothing to read."""
        self._changed = changed

    def live(self) -> Mapping[FilterKey, Live]:
        """The filters."""
        return MappingProxyType(self._live)

    def apply(self, steps: Iterable[Step]) -> Iterator[Written]:
        """Do each step at once."""
        for step in steps:
            if step.key in self.refuse:
                yield Written(step, "refused", retry=self.refuse[step.key])
                continue
            self.writes += 1
            if step.after is None:
                self._live.pop(step.key, None)
            else:
                self._live[step.key] = _live(step.after)
            yield Written(step)

    def tamper(self, key: FilterKey, item: Output | None) -> None:
        """Change (or delete, with None) a filter as another writer would."""
        if item is None:
            self._live.pop(key, None)
        else:
            self._live[key] = Live.of(item)
        if self._changed is not None:
            self._changed(key)

    def findings(self) -> tuple[Finding, ...]:
        """None."""
        return ()

    def stop(self) -> None:
        """Nothing to let go of."""
        self._changed = None


def _live(item: Output) -> Live:
    return Live.of(item)
