"""Keeps what a source says, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable

from aeraki_core.mesh.store import SourceObject
from aeraki_core.sources.events import (
    Event,
    Incomplete,
    Problems,
    Removed,
    Synced,
    Unsynced,
    Upserted,
)

from tests.waiting import wait_until


class Recorder:
    """An ``emit`` that remembers events, which of them came together, and the resulting state."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events: list[Event] = []
        self.calls: list[tuple[Event, ...]] = []
        self.objects: dict[str, SourceObject] = {}
        self.problems: dict[str, tuple[str, ...]] = {}
        self.state: Event | None = None

    def __call__(self, *events: Event) -> None:
        with self._lock:
            self.calls.append(events)
            for event in events:
                self._take(event)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case Upserted(object=item):
                self.objects[str(item.ref)] = item
            case Removed(ref=ref):
                self.objects.pop(str(ref), None)
            case Problems(place=place, findings=findings):
                self.problems[place] = tuple(finding.message for finding in findings)
            case Synced() | Unsynced():
                self.state = event

    @property
    def synced(self) -> bool:
        return isinstance(self.state, Synced) and self.state.incomplete is None

    @property
    def reason(self) -> str:
        match self.state:
            case Unsynced(reason=reason):
                return reason
            case Synced(incomplete=Incomplete(reason=reason)):
                return reason
        return ""

    def mark(self) -> int:
        return len(self.events)

    def removed_since(self, mark: int) -> list[str]:
        return [str(event.ref) for event in self.events[mark:] if isinstance(event, Removed)]

    def upserted_since(self, mark: int) -> list[str]:
        return [
            str(event.object.ref) for event in self.events[mark:] if isinstance(event, Upserted)
        ]

    def wait(self, look: Callable[[], object], what: str, timeout: float = 15) -> None:
        wait_until(
            look, timeout, what, seen=lambda: (self.state, sorted(self.objects), self.problems)
        )

    def wait_synced(self, timeout: float = 15) -> None:
        self.wait(lambda: self.synced, "the source to be synced", timeout)

    def wait_object(
        self, ref: str, holds: Callable[[SourceObject], bool] = lambda item: True
    ) -> None:
        self.wait(lambda: ref in self.objects and holds(self.objects[ref]), f"{ref} as wanted")

    def wait_no_object(self, ref: str) -> None:
        self.wait(lambda: ref not in self.objects, f"{ref} to be gone")
