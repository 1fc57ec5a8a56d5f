"""How old the live endpoints of weight sets are.

Istio's own endpoints follow the pods without Aeraki; those of weight sets follow only while a
controller reads pods and writes. So it is measured for how long they have not: since when a source
of pods has been out of sync, or since when the live object of a set has differed from the wanted
one. A standby measures it too, at what the leader writes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from aeraki_core.controller.observer import (
    ControllerEvent,
    FilterChanged,
    PassReport,
    SourceSynced,
    SourceUnsynced,
)
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.filters.output import Output, is_up_to_date
from aeraki_core.filters.output_kind import OutputKind

__all__ = ["TOO_OLD", "EndpointsAge", "EndpointsClock"]

TOO_OLD = 60.0
"""Seconds. A takeover by a standby, or an API server that restarts, takes less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsAge:
    """For how long endpoints of weight sets have not followed the pods.

    - sets: how many weight sets there are
    - unwritten: seconds for which a live set has differed from the wanted one
    - unread: seconds for which a source of pods has been out of sync
    - reason: what keeps them from following; empty while they do
    """

    sets: int = 0
    unwritten: float = 0.0
    unread: float = 0.0
    reason: str = ""

    @property
    def seconds(self) -> float:
        """The age of the oldest endpoints; 0 while all follow."""
        return max(self.unwritten, self.unread)


class EndpointsClock:
    """An observer of the controller; :meth:`age` can be called from any thread.

    ``desired``, ``live``: outputs by key; ``live`` is asked from any thread. ``sources``: those
    that give pods.
    """

    def __init__(
        self,
        desired: Callable[[], Mapping[FilterKey, Output]],
        live: Callable[[], Mapping[FilterKey, Live]],
        sources: Collection[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desired = desired
        self._live = live
        self._sources = sources
        self._clock = clock
        self._lock = threading.Lock()
        self._sets: set[FilterKey] = set()
        # Since when a live set differs, and what is wanted.
        self._differing: dict[FilterKey, tuple[float, Output]] = {}
        self._unsynced: dict[str, tuple[float, str]] = {}

    def __call__(self, event: ControllerEvent) -> None:
        """Note what a pass changed, and which sources are in sync."""
        match event:
            case SourceSynced(source, _):
                with self._lock:
                    self._unsynced.pop(source, None)
            case SourceUnsynced(source, reason) if source in self._sources:
                with self._lock:
                    since, _ = self._unsynced.get(source, (self._clock(), ""))
                    self._unsynced[source] = since, reason
            case FilterChanged(key):
                self._compare([key])
            case PassReport() as report if report.first or report.full:
                self._compare([*self._desired()])
            case PassReport() as report:
                self._compare(report.generated.changed)

    def _compare(self, keys: Iterable[FilterKey]) -> None:
        sets = [key for key in keys if key.kind is OutputKind.SERVICE_ENTRY]
        if not sets:
            return
        desired, live, now = self._desired(), self._live(), self._clock()
        with self._lock:
            for key in sets:
                want = desired.get(key)
                since, _ = self._differing.pop(key, (now, None))
                if want is None:
                    self._sets.discard(key)
                    continue
                self._sets.add(key)
                if not _is_live(want, live):
                    self._differing[key] = since, want

    def age(self) -> EndpointsAge:
        """What the live objects say now."""
        live, now = self._live(), self._clock()
        with self._lock:
            for key, (_, want) in list(self._differing.items()):
                if _is_live(want, live):
                    del self._differing[key]
            if not self._sets:
                return EndpointsAge()
            sets = len(self._sets)
            unread = min(self._unsynced.items(), key=lambda item: item[1], default=None)
            unwritten = min(self._differing.items(), key=lambda item: item[1][0], default=None)
        if unread is not None:
            source, (_, why) = unread
            reason = f"source {source} is not in sync: {why}"
        else:
            reason = f"{unwritten[0]} is not as it should be" if unwritten is not None else ""
        return EndpointsAge(
            sets=sets,
            unwritten=now - unwritten[1][0] if unwritten is not None else 0.0,
            unread=now - unread[1][0] if unread is not None else 0.0,
            reason=reason,
        )


def _is_live(want: Output, live: Mapping[FilterKey, Live]) -> bool:
    have = live.get(want.key)
    return have is not None and is_up_to_date(have.filter, want)
