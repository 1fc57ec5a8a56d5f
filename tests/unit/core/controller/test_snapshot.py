"""However many ask for whatever, making answers takes a tenth of the time at most."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from aeraki_core.controller.snapshot import Snapshots

WAIT = 20.0


class Made:
    """Answers that cost a second each of the test's own clock."""

    def __init__(self, cost: float = 1.0) -> None:
        self.now = 100.0
        self.version = 1
        self.count = 0
        self.cost = cost
        self.snapshots = Snapshots(lambda: self.version, patience=0.0, clock=lambda: self.now)

    def make(self) -> bytes:
        self.count += 1
        self.now += self.cost
        return str(self.count).encode()

    def ask(self, question: str = "status") -> bytes:
        return self.snapshots.get(question, self.make)


def test_the_same_state_is_looked_at_once() -> None:
    made = Made(0.0)
    assert {made.ask() for _ in range(50)} == {b"1"}
    made.now += 4.0
    assert made.ask() == b"1"
    made.now += 2.0
    assert made.ask() == b"2"


def test_after_a_change_there_is_a_new_answer() -> None:
    made = Made(0.0)
    made.ask()
    made.version += 1
    assert made.ask() == b"1"
    made.now += 0.2
    assert made.ask() == b"2"


def test_a_costly_answer_is_made_again_only_after_ten_times_as_long() -> None:
    made = Made()
    made.ask()
    for _ in range(90):
        made.now += 0.1
        made.version += 1
        assert made.ask() == b"1"
    made.now += 1.1
    assert made.ask() == b"2"


def test_other_questions_wait_for_their_turn_too() -> None:
    made = Made()
    made.ask("a")
    with pytest.raises(TimeoutError):
        made.ask("b")
    made.now += 10.0
    assert made.ask("b") == b"2"


def test_while_one_is_being_made_the_others_get_the_last_one() -> None:
    version, begun, release = [1], threading.Event(), threading.Event()
    snapshots = Snapshots(lambda: version[0], fresh=0.0)
    assert snapshots.get("status", lambda: b"old") == b"old"

    def slow() -> bytes:
        begun.set()
        release.wait(WAIT)
        return b"new"

    version[0] = 2
    answers: list[bytes] = []
    ask: Callable[[], None] = lambda: answers.append(snapshots.get("status", slow))  # noqa: E731
    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(WAIT)
    assert {snapshots.get("status", slow) for _ in range(50)} == {b"old"}
    release.set()
    thread.join(WAIT)
    assert answers == [b"new"]


def test_an_answer_that_cannot_be_made_is_tried_again() -> None:
    made = Made(0.0)

    def fail() -> bytes:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        made.snapshots.get("status", fail)
    assert made.ask() == b"1"
