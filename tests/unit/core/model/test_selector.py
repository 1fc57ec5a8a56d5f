"""Label selectors mean what Kubernetes means by them."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.model.selector import from_mapping, parse_selector

PROD = {"env": "prod", "team": "a", "istio.io/rev": "1-30", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("env=prod", True),
        ("env==prod", True),
        ("env = prod", True),
        ("env=test", False),
        ("env!=test", True),
        ("env != prod", False),
        ("absent!=x", True),  # also true of what has no such label
        ("absent notin (x)", True),
        ("absent=x", False),
        ("env in (prod)", True),
        ("env in (test,prod)", True),
        ("env in ( test , prod )", True),
        ("env in (test)", False),
        ("env notin (test, dev)", True),
        ("env notin (test,prod)", False),
        ("env", True),
        ("absent", False),
        ("!absent", True),
        ("! absent", True),
        ("!env", False),
        ("empty=", True),
        ("env=", False),
        ("empty in (,x)", True),
        ("istio.io/rev=1-30", True),
        ("env=prod,team=a", True),
        ("env=prod,team=b", False),
        ("env in (prod,test),team!=b,!absent", True),
    ],
)
def test_it_matches_as_kubernetes_does(text: str, matches: bool) -> None:
    selector = parse_selector(text)
    assert selector.matches(PROD) is matches
    assert parse_selector(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("env=prod,", "is none of"),
        ("env in prod", "is none of"),
        ("env in (prod", "is none of"),
        ("env > 3", "is none of"),
        ("=prod", "is none of"),
        ("a/b/c=x", "not a label's name"),
        ("Team_/x=y", "not a label's name"),
        ("env=" + "x" * 64, "not a label's value"),
        ("env=-x", "not a label's value"),
        ("a=b=c", "is none of"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_selector(text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"matchLabels": {"env": "prod", "team": "a"}}, "env=prod,team=a"),
        (
            {"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "test"]}]},
            "env in (prod,test)",
        ),
        (
            {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["dev"]}]},
            "env!=dev",
        ),
        (
            {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]},
            "a=b,c",
        ),
        ({"matchExpressions": [{"key": "c", "operator": "DoesNotExist"}]}, "!c"),
    ],
)
def test_it_is_taken_as_istios_discovery_selectors_have_it(
    content: dict[str, Any], text: str
) -> None:
    assert str(from_mapping(content)) == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "is empty"),
        ({"matchLabel": {"a": "b"}}, "'matchLabel' is none of"),
        ({"matchLabels": ["a"]}, "texts by name"),
        ({"matchLabels": {"a": True}}, "not a label's value"),
        ({"matchExpressions": [{"key": "a", "operator": "Is"}]}, "'Is' is none of"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, "In needs values"),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            "Exists needs no values",
        ),
        ({"matchExpressions": ["a"]}, "key, operator, values"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_mapping(content)
