"""Which filters are being written, and which names others have claimed.

The watch brings our own writes back. An event of the watch during a write is most likely our own,
and is handled when the write is over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.sinks.kubernetes.live import LiveFilters, Whose
from aeraki_core.sinks.kubernetes.watch import FilterNews

__all__ = ["Flight"]


class Flight:
    """Usable by many threads at once."""

    def __init__(self, filters: LiveFilters) -> None:
        self._filters = filters
        self._lock = threading.Lock()
        self._writing: set[FilterKey] = set()
        self._seen: set[FilterKey] = set()
        self._foreign: set[FilterKey] = set()

    def begin(self, step: Step) -> None:
        """This filter is being written."""
        with self._lock:
            self._writing.add(step.key)

    def set_foreign(self, key: FilterKey, *, is_foreign: bool) -> None:
        """Whether a write found that the name belongs to others."""
        with self._lock:
            if is_foreign:
                self._foreign.add(key)
            else:
                self._foreign.discard(key)

    def is_for_the_controller(self, news: FilterNews) -> bool:
        """Report whether another writer changed a filter of ours, or freed a name that we want."""
        after = self._filters.entry(news.key)
        with self._lock:
            if news.key in self._writing:
                self._seen.add(news.key)
                return False
            freed = news.key in self._foreign and after is None
            if freed:
                self._foreign.remove(news.key)
        now_ours = after is not None and after.whose is Whose.OURS
        return freed or now_ours or news.before.whose is Whose.OURS

    def end(self, steps: Iterable[Step]) -> Iterator[FilterKey]:
        """End the writes. Yields the filters that others changed meanwhile."""
        with self._lock:
            self._writing.clear()
            seen, self._seen = self._seen, set()
        for step in steps:
            if step.key in seen and not self._is_foreign(step.key):
                live = self._filters.live(step.key)
                if (live.filter if live is not None else None) != step.after:
                    yield step.key

    def _is_foreign(self, key: FilterKey) -> bool:
        """Report whether the name still belongs to others, as our last write reported."""
        entry = self._filters.entry(key)
        with self._lock:
            return key in self._foreign and entry is not None and entry.whose is not Whose.OURS
