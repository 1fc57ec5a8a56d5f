"""Files as a source: events in order, as files really change."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aeraki_core.errors import UnreadableError
from aeraki_core.sources.events import Event, Problems, Removed, Synced, Unsynced, Upserted
from aeraki_core.sources.files.source import FilesSource

from tests.unit.core.sources.manifests import reads, service

WAIT = 20.0  # seconds that an event may take on a busy machine
QUIET = 1.0  # seconds after which no event is taken for none at all


class Watched:
    """A source that runs, and its events."""

    def __init__(self, *paths: Path, **kwargs: bool) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.source = FilesSource(paths, reads, **kwargs)  # type: ignore[arg-type]

    def start(self) -> list[Event]:
        self.source.start(self._take)
        return self.until(Synced)

    def _take(self, *events: Event) -> None:
        for event in events:
            self.events.put(event)

    def until(self, kind: type[Event]) -> list[Event]:
        """The events up to the first of that kind."""
        found: list[Event] = []
        while not found or not isinstance(found[-1], kind):
            found.append(self.events.get(timeout=WAIT))
        return found

    def nothing_comes(self) -> bool:
        try:
            self.events.get(timeout=QUIET)
        except queue.Empty:
            return True
        return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "mesh"
    found.mkdir()
    (found / "a.yaml").write_text(service("a"))
    return found


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    found = Watched(folder)
    yield found
    found.source.stop()


def names(events: list[Event]) -> list[str]:
    return [
        f"+{event.object.ref.name}" if isinstance(event, Upserted) else f"-{event.ref.name}"
        for event in events
        if isinstance(event, Upserted | Removed)
    ]


def save(path: Path, text: str) -> None:
    """As editors save: a file beside it, then its name."""
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(text)
    beside.replace(path)


def test_everything_is_given_and_then_what_changes(watched: Watched, folder: Path) -> None:
    first = watched.start()
    assert names(first) == ["+a"]
    assert first[-1] == Synced("files", None)
    (folder / "b.yaml").write_text(service("b"))
    assert names(watched.until(Upserted)) == ["+b"]
    save(folder / "a.yaml", service("a", port=2))
    assert names(watched.until(Upserted)) == ["+a"]
    (folder / "b.yaml").unlink()
    assert names(watched.until(Removed)) == ["-b"]
    (folder / "sub").mkdir()
    (folder / "sub" / "c.yaml").write_text(service("c"))
    assert names(watched.until(Upserted)) == ["+c"]


def test_a_save_that_empties_the_file_for_a_moment_removes_nothing(
    watched: Watched, folder: Path
) -> None:
    watched.start()
    for _ in range(3):
        with (folder / "a.yaml").open("w") as file:
            file.flush()
            time.sleep(0.2)  # the moment
            file.write(service("a"))
    (folder / "a.yaml").unlink()
    time.sleep(0.2)
    (folder / "a.yaml").write_text(service("a"))
    assert watched.nothing_comes()


def test_a_broken_file_keeps_its_objects_until_it_is_mended(watched: Watched, folder: Path) -> None:
    watched.start()
    save(folder / "a.yaml", "a: [\n")
    events = watched.until(Synced)
    assert names(events) == []
    [problems] = [event for event in events if isinstance(event, Problems)]
    assert [(finding.code.id, finding.line) for finding in problems.findings] == [("AER0101", 1)]
    assert isinstance(events[-1], Synced)
    assert events[-1].incomplete is not None
    assert not events[-1].incomplete.concerns(
        "a.shop.svc.cluster.local"
    )  # its last good form is in force
    save(folder / "a.yaml", service("a"))
    events = watched.until(Synced)
    assert names(events) == ["+a"]
    assert events[-1] == Synced("files", None)
    assert [event.findings for event in events if isinstance(event, Problems)] == [()]


def test_a_cold_start_over_a_broken_file_says_so(folder: Path) -> None:
    (folder / "b.yaml").write_text("kind: Service\nmetadata: {name: b\n")
    watched = Watched(folder)
    try:
        last = watched.start()[-1]
        assert isinstance(last, Synced)
        assert last.incomplete is not None
        assert str(folder / "b.yaml") in last.incomplete.reason
        assert last.incomplete.concerns("b.shop.svc.cluster.local")
    finally:
        watched.source.stop()


def test_a_folder_that_goes_and_comes_back(watched: Watched, folder: Path) -> None:
    watched.start()
    folder.rename(folder.with_name("away"))
    events = watched.until(Synced)
    assert names(events) == []
    last = events[-1]
    assert isinstance(last, Synced)
    assert last.incomplete is not None
    (folder.with_name("away") / "b.yaml").write_text(service("b"))
    folder.with_name("away").rename(folder)
    events = watched.until(Synced)
    assert names(events) == ["+a", "+b"]
    assert events[-1] == Synced("files", None)


def test_a_file_named_outright_is_watched_too(folder: Path) -> None:
    watched = Watched(folder / "a.yaml")
    try:
        watched.start()
        (folder / "other.yaml").write_text(service("other"))
        save(folder / "a.yaml", service("a", port=2))
        assert names(watched.until(Upserted)) == ["+a"]
    finally:
        watched.source.stop()


def test_what_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, word in (
        ("-", "standard input"),
        (tmp_path / "nowhere", "no such"),
        (tmp_path / "pipe", "watched"),
    ):
        with pytest.raises(UnreadableError, match=word):
            FilesSource([path], reads).start(lambda *events: None)


def test_without_a_watch_everything_is_given_once(folder: Path) -> None:
    watched = Watched(folder, watch=False)
    assert names(watched.start()) == ["+a"]
    assert watched.nothing_comes()
    assert not any(thread.name == "source-files" for thread in threading.enumerate())
    watched.source.stop()


def test_it_stops(watched: Watched) -> None:
    watched.start()
    watched.source.stop()
    assert not any(thread.name == "source-files" for thread in threading.enumerate())


def test_a_mistake_in_the_source_is_said_and_the_watch_goes_on(
    watched: Watched, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.start()

    def fail(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr("aeraki_core.sources.files.reading.split", fail)
        save(folder / "a.yaml", service("a", port=2))
        last = watched.until(Unsynced)[-1]
        assert isinstance(last, Unsynced)
        assert "a mistake of ours" in last.reason
    events = watched.until(Synced)
    assert names(events) == ["+a"]
    assert events[-1] == Synced("files", None)
