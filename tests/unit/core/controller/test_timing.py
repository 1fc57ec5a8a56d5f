"""When a pass comes, and when a failed write is tried again: no clock but the test's."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from aeraki_core.controller.bucket import TokenBucket
from aeraki_core.controller.debounce import Debounce
from aeraki_core.kube.backoff import KeyedBackoff
from hypothesis import given
from hypothesis import strategies as st


def due(debounce: Debounce) -> float | None:
    return debounce.due


def test_a_burst_is_acted_upon_when_it_is_over() -> None:
    debounce = Debounce(0.5, 10.0)
    debounce.reset(100.0)
    assert due(debounce) is None
    debounce.touch(100.1)
    assert due(debounce) == 100.6
    debounce.touch(100.5)
    assert due(debounce) == 101.0
    debounce.reset(101.0)
    assert due(debounce) is None


def test_a_burst_without_end_is_acted_upon_all_the_same() -> None:
    debounce = Debounce(0.5, 10.0)
    debounce.reset(0.0)
    now = 0.1
    while now < 9.9:
        debounce.touch(now)
        now += 0.1
    assert due(debounce) == 10.1


def actions(debounce: Debounce, events: Iterable[float], end: float) -> list[float]:
    """When it is acted on, if every event comes at its time and every action at once."""
    acted = []
    for at in (*events, end):
        while (due := debounce.due) is not None and due <= at:
            acted.append(round(due, 3))
            debounce.reset(due)
        if at != end:
            debounce.touch(at)
    return acted


def test_a_change_after_a_quiet_time_is_acted_on_at_once() -> None:
    assert actions(Debounce(0.5, 10.0, 0.05), [100.0, 200.0, 201.0], 300.0) == [
        100.05,
        200.05,
        201.05,
    ]


@pytest.mark.parametrize(("apart", "passes"), [(0.0, 1), (0.01, 1), (0.04, 1), (0.1, 2), (0.4, 2)])
def test_a_burst_is_one_action_or_its_first_change_and_one_for_the_rest(
    apart: float, passes: int
) -> None:
    events = [100.0 + number * apart for number in range(20)]
    acted = actions(Debounce(0.5, 100.0, 0.05), events, 300.0)
    assert len(acted) == passes
    assert acted[-1] >= events[-1]
    assert acted[-1] <= events[-1] + 0.5


def test_a_second_burst_within_the_quiet_time_is_not_a_first_change() -> None:
    assert actions(Debounce(0.5, 10.0, 0.05), [100.0, 100.3, 100.31], 300.0) == [100.05, 100.81]


def test_workloads_that_change_all_day_are_acted_on_at_most_once_in_a_quiet_time() -> None:
    debounce, acted = Debounce(0.5, 10.0, 0.05), []
    for tick in range(100):
        now = 100.0 + tick * 0.02
        if (due := debounce.due) is not None and due <= now:
            acted.append(round(now, 2))
            debounce.reset(now)
        debounce.touch_soon(now)
    assert acted == [100.06, 100.56, 101.06, 101.56]


def test_workloads_neither_delay_a_first_change_nor_prolong_a_burst() -> None:
    debounce = Debounce(0.5, 10.0, 0.05)
    debounce.touch_soon(100.0)
    debounce.reset(100.05)
    debounce.touch_soon(100.06)
    debounce.touch(100.1)
    debounce.touch_soon(100.12)
    assert due(debounce) == pytest.approx(100.15)
    debounce.touch(100.13)
    assert due(debounce) == pytest.approx(100.18)
    debounce.reset(100.18)
    assert due(debounce) is None


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


def test_a_bucket_lets_a_burst_through_and_then_some_a_second() -> None:
    bucket = TokenBucket(3, 0.5)
    assert [bucket.take(10.0) for _ in range(5)] == [True, True, True, False, False]
    assert bucket.next(10.0) == 12.0
    assert [bucket.take(12.0), bucket.take(12.0)] == [True, False]
    assert not bucket.full(12.0)
    assert bucket.full(100.0)
