"""Which names of interfaces and arguments are accepted, and why others are not."""

from __future__ import annotations

import pytest
from aeraki_plugins_dubbo.called import interface_problem
from aeraki_plugins_dubbo.plan import argument_problem
from hypothesis import given
from hypothesis import strategies as st

from aeraki_core import StringMatch

EXACT = StringMatch(exact="book")


@pytest.mark.parametrize(
    "name",
    [
        "com.example.Greeter",
        "com.example.Outer$Inner",
        "org.apache.dubbo-go.Greet",
        "Größe",
        "*",
        "*Health",
        "com.example.*",
    ],
)
def test_an_interface_that_envoy_can_match_is_taken(name: str) -> None:
    assert interface_problem(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("com.example Greeter", "space"),
        ("com.example.Greeter\u0000", "control"),
        ("com.example.Greeter:1.0.0", "three options"),
        ("eu/com.example.Greeter", "three options"),
        ("com.*.Greeter", "letter"),
        ("*example*", "letter"),
        ("**", "letter"),
    ],
)
def test_an_interface_that_no_call_has_is_refused_with_the_reason(name: str, reason: str) -> None:
    assert reason in (interface_problem(name) or "")


@pytest.mark.parametrize("index", ["0", "1", "12", "4294967295"])
def test_an_argument_is_matched_by_its_index(index: str) -> None:
    assert argument_problem(index, EXACT) is None


@pytest.mark.parametrize(
    "index", ["", "item", "-1", "+1", "01", "1.0", "4294967296", "٣", "²", " 1", "9" * 5000]
)
def test_any_other_name_of_an_argument_is_refused(index: str) -> None:
    assert "index" in (argument_problem(index, EXACT) or "")


@pytest.mark.parametrize("value", [StringMatch(), StringMatch(prefix="b"), StringMatch(regex=".*")])
def test_an_argument_is_matched_exactly_or_not_at_all(value: StringMatch) -> None:
    assert "exact" in (argument_problem("0", value) or "")


def test_an_empty_argument_would_match_any() -> None:
    assert "any" in (argument_problem("0", StringMatch(exact="")) or "")


@given(st.text())
def test_two_names_never_mean_one_argument(name: str) -> None:
    if argument_problem(name, EXACT) is None:
        assert str(int(name)) == name
