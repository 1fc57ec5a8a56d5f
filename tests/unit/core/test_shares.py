"""Weights of destinations as weights of endpoints: exact shares, whatever the numbers of pods."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from aeraki_core.mesh.shares import TOTAL, divide, endpoint_weights
from hypothesis import given
from hypothesis import strategies as st

WEIGHTS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=8)


@given(total=st.integers(0, TOTAL), weights=WEIGHTS)
def test_the_parts_are_the_whole(total: int, weights: list[int]) -> None:
    parts = divide(total, weights)
    assert sum(parts) == (total if any(weights) else 0)
    assert all((part == 0) or weight for part, weight in zip(parts, weights, strict=True))


@given(weights=WEIGHTS)
def test_a_part_is_off_by_less_than_one_or_lifted_to_one(weights: list[int]) -> None:
    whole = sum(weights)
    for part, weight in zip(divide(TOTAL, weights), weights, strict=True):
        if weight:
            assert part >= 1
            assert abs(part - Fraction(TOTAL * weight, whole)) < len(weights) + 1


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (10, (1, 1, 1), (4, 3, 3)),
        (10, (2, 1), (7, 3)),
        (10, (0, 5), (0, 10)),
        (10, (0, 0), (0, 0)),
        (10, (1_000_000, 1), (9, 1)),
        (1, (1, 1), (1, 0)),
        (7, (), ()),
    ],
)
def test_the_largest_remainders_get_what_is_left(
    total: int, weights: tuple[int, ...], parts: tuple[int, ...]
) -> None:
    assert divide(total, weights) == parts


def test_a_negative_weight_is_an_error() -> None:
    with pytest.raises(ValueError, match="negative"):
        divide(10, (1, -1))


def test_every_share_holds_for_every_number_of_pods() -> None:
    for second, first_pods, second_pods in product(range(101), (1, 2, 3, 7, 50), (1, 2, 9, 100)):
        first, other = endpoint_weights([100 - second, second], [first_pods, second_pods])
        assert (len(first), len(other)) == (first_pods, second_pods)
        assert sum(other) == TOTAL * second // 100
        assert sum(first) + sum(other) == TOTAL
        for weights in (first, other):
            assert max(weights) - min(weights) <= 1


def test_weight_zero_gets_nothing_and_comes_back() -> None:
    assert endpoint_weights([100, 0], [2, 1]) == ((TOTAL // 2, TOTAL // 2), (0,))
    assert endpoint_weights([99, 1], [2, 1])[1] == (TOTAL // 100,)


def test_calls_of_a_destination_without_endpoints_go_to_the_others() -> None:
    assert endpoint_weights([50, 25, 25], [1, 0, 1]) == ((6_666_667,), (), (3_333_333,))
    assert endpoint_weights([50, 50], [0, 0]) == ((), ())


def test_a_pod_that_comes_changes_no_weight_of_others() -> None:
    before, after = (endpoint_weights([80, 20], [3, count]) for count in (1, 2))
    assert before[0] == after[0]


def test_a_thousand_pods_of_one_percent_get_calls_alike() -> None:
    weights = endpoint_weights([99, 1], [1, 999])[1]
    assert min(weights) >= 100
    assert max(weights) - min(weights) <= 1
