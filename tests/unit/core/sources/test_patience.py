"""A file system that gives no answer: everything else goes on, and a finding says which it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.manifests import plain_file
from aeraki_core.manifests.patience import Asking, UnansweredError
from aeraki_core.sources.events import Problems, Synced, Upserted
from aeraki_core.sources.files import reading
from aeraki_core.sources.files.source import FilesSource

from tests.unit.core.sources.manifests import reads, service
from tests.unit.core.sources.test_watching import Watched

PATIENCE = 0.3  # seconds


@pytest.fixture
def away() -> Iterator[threading.Event]:
    """Set when the file system's server is back."""
    back = threading.Event()
    yield back
    back.set()


def test_a_question_without_an_answer_ends_in_time_and_the_next_has_one(
    away: threading.Event,
) -> None:
    asking = Asking(PATIENCE)
    with pytest.raises(UnansweredError, match=r"no answer for 0\.3 s"):
        asking.call("/away", away.wait)
    assert asking.call("/here", lambda: "here") == "here"
    with pytest.raises(PermissionError):
        asking.call("/mine", lambda: _raise(PermissionError()))
    asking.close()


def _raise(error: Exception) -> None:
    raise error


def test_one_thread_waits_for_each_path(away: threading.Event) -> None:
    asking = Asking(PATIENCE)
    before = set(threading.enumerate())
    for _ in range(5):
        for path in ("/a", "/b"):
            with pytest.raises(UnansweredError):
                asking.call(path, away.wait)
    waiting = set(threading.enumerate()) - before
    assert len(waiting) == 2
    assert asking.call("/c", lambda: "here") == "here"
    away.set()
    for thread in waiting:
        thread.join(60)
    assert asking.call("/a", lambda: "back") == "back"
    asking.close()


def test_a_path_without_an_answer_costs_none_of_those_asked_with_it(away: threading.Event) -> None:
    asking = Asking(PATIENCE)
    before = set(threading.enumerate())

    def ask(path: str) -> str:
        if path == "/away":
            away.wait()
        if path == "/mine":
            raise PermissionError
        return path

    for _ in range(2):
        answers = asking.each(["/a", "/mine", "/away", "/b"], ask)
        assert [type(each) for each in answers] == [str, PermissionError, UnansweredError, str]
    waiting = {each for each in threading.enumerate() if each not in before}
    assert len(waiting) == 2  # one for the path that is away, one for the others
    away.set()
    asking.close()
    for thread in waiting:
        thread.join(60)
    assert asking.each(["/away", "/b"], ask) == ["/away", "/b"]
    asking.close()


def test_what_gets_on_has_more_time() -> None:
    place = [0]
    rests = threading.Event()

    def slowly() -> str:
        for _ in range(4):
            rests.wait(PATIENCE / 2)
            place[0] += 1
        return "done"

    assert Asking(PATIENCE).call("/slow", slowly, lambda: place[0]) == "done"


def test_a_file_that_cannot_be_read_to_its_end_costs_no_other(
    tmp_path: Path, away: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: str, limit: int) -> Any:
        if path.endswith("dead.yaml"):
            away.wait()
        return plain_file.read_plain_file(path, limit)

    monkeypatch.setattr(reading, "read_plain_file", read)
    for name in ("a", "dead", "z"):
        (tmp_path / f"{name}.yaml").write_text(service(name))
    watched = Watched(tmp_path)
    watched.source = FilesSource([tmp_path], reads, patience=PATIENCE)
    try:
        events = watched.start()
        names = [event.object.ref.name for event in events if isinstance(event, Upserted)]
        assert names == ["a", "z"]
        [problems] = [event for event in events if isinstance(event, Problems)]
        assert problems.place.endswith("dead.yaml")
        assert "its file system gives no answer for 0.3 s" in problems.findings[0].message
        [synced] = [event for event in events if isinstance(event, Synced)]
        assert synced.incomplete is not None  # so nothing is deleted
        away.set()
        [back] = [each for each in watched.until(Synced) if isinstance(each, Upserted)]
        assert back.object.ref.name == "dead"
    finally:
        watched.source.stop()


def test_a_folder_that_gives_no_answer_keeps_what_it_held_and_costs_no_other(
    tmp_path: Path, away: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, dead = tmp_path / "good", tmp_path / "dead"
    for folder, name in ((dead, "a"), (good, "a"), (good, "b")):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(service(name))
    watched = Watched()
    watched.source = FilesSource([dead, good], reads, patience=PATIENCE)
    stat, is_dead = Path.stat, threading.Event()

    def answer(path: Path, **options: Any) -> Any:
        if is_dead.is_set() and str(path).startswith(str(dead)):
            away.wait()
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", answer)
    try:
        watched.start()
        is_dead.set()
        events = watched.until(Synced)
        assert not [event for event in events if not isinstance(event, Problems | Synced)]
        assert [event.place for event in events if isinstance(event, Problems)] == [str(dead)]
        (good / "c.yaml").write_text(service("c"))
        [event] = watched.until(Upserted)
        assert isinstance(event, Upserted)
        assert event.object.ref.name == "c"
        (dead / "d.yaml").write_text(service("d"))
        is_dead.clear()
        away.set()
        events = watched.until(Synced)
        assert [each.object.ref.name for each in events if isinstance(each, Upserted)] == ["d"]
        assert events[-1] == Synced("files", None)
    finally:
        is_dead.clear()
        away.set()
        watched.source.stop()
