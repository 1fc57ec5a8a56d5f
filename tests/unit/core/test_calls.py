"""Which route takes a call: the first whose conditions all hold."""

from __future__ import annotations

import pytest
from aeraki_core.mesh.calls import Call, CallLimit, broken_limits, choose_route, conditions
from aeraki_core.mesh.routes import RouteMatch
from aeraki_core.model.istio import StringMatch

ANY = RouteMatch()


def method(**wanted: str) -> RouteMatch:
    return RouteMatch(method=StringMatch(**wanted))


def header(**wanted: str) -> RouteMatch:
    return RouteMatch(headers=(("User", StringMatch(**wanted)),))


@pytest.mark.parametrize(
    ("match", "call", "is_taken"),
    [
        (ANY, Call(), True),
        (method(exact="get"), Call(method="get"), True),
        (method(exact="get"), Call(method="getAll"), False),
        (method(exact="get"), Call(), False),
        (method(prefix="get"), Call(method="getAll"), True),
        (method(regex="get.*"), Call(method="getAll"), True),
        (method(regex="et"), Call(method="get"), False),  # an expression matches the whole text
        (method(), Call(), True),  # every call has some method
        (method(prefix=""), Call(), True),
        (header(exact="alice"), Call(headers=(("user", "alice"),)), True),
        (header(exact="alice"), Call(headers=(("user", "bob"),)), False),
        (header(), Call(headers=(("user", ""),)), True),
        (header(), Call(), False),
        (RouteMatch(without_headers=(("user", StringMatch(exact="bob")),)), Call(), True),
        (
            RouteMatch(without_headers=(("user", StringMatch(exact="bob")),)),
            Call(headers=(("user", "bob"),)),
            False,
        ),
        (
            RouteMatch(query_params=(("0", StringMatch(exact="x")),)),
            Call(query_params=(("0", "x"),)),
            True,
        ),
    ],
)
def test_a_route_takes_a_call(match: RouteMatch, call: Call, is_taken: bool) -> None:
    choice = choose_route([match], call)
    assert choice.taken == (0 if is_taken else None)
    assert bool(choice.passed) is not is_taken


def test_an_expression_that_backtracks_elsewhere_costs_nothing() -> None:
    choice = choose_route([method(regex="(a+)+b")], Call(method="a" * 5_000))
    assert choice.taken is None


def test_the_first_that_matches_takes_it_and_the_others_say_why_not() -> None:
    both = RouteMatch(
        method=StringMatch(exact="get"), headers=(("user", StringMatch(exact="alice")),)
    )
    choice = choose_route([both, None, ANY, method(exact="put")], Call(method="put"))
    assert choice.taken == 2
    assert [list(map(str, reasons)) for reasons in choice.passed] == [
        ["the call's method is put", "the call has no header user"],
        [],
    ]


def test_conditions_in_words() -> None:
    match = RouteMatch(
        method=StringMatch(prefix="get"),
        headers=(("user", StringMatch()),),
        without_headers=(("test", StringMatch(exact="")),),
        query_params=(("0", StringMatch(regex="a|b")),),
    )
    assert list(map(str, conditions(match))) == [
        "method starts with get",
        "header user is there",
        "not header test is ''",
        "parameter 0 matches a|b",
    ]


@pytest.mark.parametrize(
    ("values", "actual", "is_taken"),
    [
        ((), "anything", True),
        (("com.a.B",), "com.a.B", True),
        (("com.a.B",), "com.a.Bc", False),
        (("com.a.*",), "com.a.B", True),
        (("*.B",), "com.a.B", True),
        (("*.B", "x"), "com.a.C", False),
    ],
)
def test_a_service_limits_its_calls(values: tuple[str, ...], actual: str, is_taken: bool) -> None:
    limit = CallLimit("interface", values)
    call = Call(fields=(("interface", actual),))
    assert broken_limits([limit], call) == (() if is_taken else (limit,))
    assert broken_limits([limit], Call()) == ()  # a part that is not named is not judged
