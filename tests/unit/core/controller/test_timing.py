"""When a pass comes, and when a failed write is tried again: no clock but the test's."""

from __future__ import annotations

from aeraki_core.controller.debounce import Debounce
from aeraki_core.kube.backoff import KeyedBackoff
from hypothesis import given
from hypothesis import strategies as st


def due(debounce: Debounce) -> float | None:
    return debounce.due


def test_a_burst_is_acted_upon_when_it_is_over() -> None:
    debounce = Debounce(0.5, 10.0)
    assert due(debounce) is None
    debounce.touch(100.0)
    assert due(debounce) == 100.5
    debounce.touch(100.4)
    assert due(debounce) == 100.9
    debounce.reset()
    assert due(debounce) is None


def test_a_burst_without_end_is_acted_upon_all_the_same() -> None:
    debounce = Debounce(0.5, 10.0)
    now = 0.0
    while now < 9.9:
        debounce.touch(now)
        now += 0.1
    assert debounce.due == 10.0


def test_tries_come_later_each_time_and_end_with_success() -> None:
    backoff: KeyedBackoff[str] = KeyedBackoff(1.0, 8.0, lambda: 1.0)
    assert backoff.next is None
    now, waits = 0.0, []
    for _ in range(6):
        at = backoff.fail("a", now)
        waits.append(at - now)
        assert backoff.due(at - 0.01) == frozenset()
        assert backoff.due(at) == {"a"}
        now = at
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    backoff.clear("a")
    assert backoff.next is None
    assert backoff.fail("a", 0.0) == 1.0


@given(st.integers(1, 200), st.floats(0, 1))
def test_the_wait_is_never_nothing_and_never_too_long(attempts: int, number: float) -> None:
    backoff: KeyedBackoff[int] = KeyedBackoff(1.0, 60.0, lambda: number)
    for _ in range(attempts):
        at = backoff.fail(1, 0.0)
        assert 0.5 <= at <= 60.0


def test_what_fails_for_long_is_tried_in_a_few_goes() -> None:
    backoff: KeyedBackoff[int] = KeyedBackoff(1.0, 60.0)
    goes: set[float] = set()
    for _ in range(10):
        goes = {backoff.fail(number, 100.3) for number in range(1000)}
    assert 10 < len(goes) <= 31  # seconds from 130.3 to 160.3
