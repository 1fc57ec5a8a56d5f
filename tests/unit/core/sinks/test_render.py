"""Filters as text that every reader understands alike, the same bytes wherever they go."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from aeraki_core.filters.output import from_dict, to_dict
from aeraki_core.manifests.read import Slice, load_all, split
from aeraki_core.manifests.write import render_list, render_objects, render_yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.echo import Mesher

# YAML 1.2's core schema, which no library here reads: https://yaml.org/spec/1.2.2/#103-core-schema
CORE_12 = re.compile(
    r"null|Null|NULL|~||true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN"
)
# YAML 1.1's types, without the words: https://yaml.org/type/
TYPES_11 = re.compile(
    r"[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+"
    r"|[-+]?([0-9][0-9_]*)?\.[0-9_]*([eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9:.]+([ \t]*(Z|[-+][0-9:]+))?"
)
WORDS_11 = {
    "y",
    "n",
    "yes",
    "no",
    "on",
    "off",
    "true",
    "false",
    "null",
    "~",
    "=",
    "<<",
    ".inf",
    "-.inf",
    "+.inf",
    ".nan",
}

tricky = st.sampled_from(
    [
        *(
            "n",
            "Y",
            "on",
            "Off",
            "1e3",
            "0o17",
            "012",
            "0x1F",
            "1:30",
            "1_000",
            "2026-01-01",
            ".5",
            "-.inf",
            "~",
            "",
            "=",
        ),
        *(
            "a: b",
            "a #b",
            "- a",
            "@type",
            "*x",
            "&x",
            "!x",
            "%a",
            "|",
            ">",
            "'",
            '"',
            "{a}",
            "[a]",
            "?",
            "-",
            "---",
            "...",
        ),
        *(
            "a\nb",
            "a\n",
            "\n",
            " a",
            "a ",
            "\ta",
            "a\tb",
            "\u2028",
            "\x85",
            "\ufeff",
            "\x07",
            "é",
            "😀",
            "10.0.0.1",
        ),
        *("1.2.3", "<<"),
    ]
)
texts = (
    tricky
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.from_regex(r"[-+0-9._:eExobTZ]{1,8}", fullmatch=True)
)


@given(st.lists(texts))
def test_text_is_text_for_every_reader(values: list[str]) -> None:
    text = render_objects([{"values": values, "keys": dict.fromkeys(values, 1)}])
    [(_, mine)] = load_all(Slice(1, text))
    for found in (mine, yaml.safe_load(text)):
        assert found["values"] == values
        assert set(found["keys"]) == set(values)
    for line in text.splitlines():
        plain = line.removeprefix("- ")
        if line.startswith("- ") and plain[:1] not in "'\"":
            assert CORE_12.fullmatch(plain) is None
            assert TYPES_11.fullmatch(plain) is None
            assert plain.lower() not in WORDS_11


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(texts, trees, min_size=1), min_size=1, max_size=3))
def test_any_tree_comes_back_as_it_was(objects: list[dict[str, Any]]) -> None:
    text = render_objects(objects)
    assert [value for piece in split(text) for _, value in load_all(piece)] == objects
    assert render_objects(objects) == text


def test_no_mark_hides_what_is_written() -> None:
    hidden, letters = {"name": "a\u202eb\x9b2J"}, {"name": "Grüße, 世界"}
    text = render_objects([hidden, letters])
    assert [*yaml.safe_load_all(text)] == [hidden, letters]
    assert "\u202e" not in text
    assert "Grüße, 世界" in text
    listed = render_list([hidden])
    assert json.loads(listed)["items"] == [hidden]
    assert listed.isascii()


def test_a_key_of_any_length_can_be_read_back() -> None:
    values: list[Any] = ["x", {"a": 1}, [1, {"b": [2]}], {}]
    keys = ["k" * length for length in (128, 129, 1025, 2000)]
    tree = {"list": [dict(zip(keys, values, strict=True))], **dict(zip(keys, values, strict=True))}
    text = render_objects([tree])
    [(_, mine)] = load_all(Slice(1, text))
    assert mine == yaml.safe_load(text) == tree


def test_what_stands_twice_is_written_twice() -> None:
    twice = {"a": ["b" * 200]}
    text = render_objects([{"x": twice, "y": twice}])
    assert "&" not in text
    assert text.count("b" * 200) == 2


def mesh() -> Mesher:
    found = Mesher()
    found.service("cart")
    found.service("order", "10.0.0.2", 7001, annotations={"echo.aeraki.io/cluster": "true"})
    found.run()
    return found


def test_filters_come_in_one_order_and_can_be_read_back() -> None:
    filters = mesh().pipeline.filters
    text = render_yaml(filters.values())
    assert text == render_yaml(reversed(filters.values()))
    found = [value for piece in split(text) for _, value in load_all(piece)]
    assert found == [to_dict(filters[key]) for key in sorted(filters)]
    assert [from_dict(item) for item in found] == [filters[key] for key in sorted(filters)]
    assert text.count("\n---\n") == len(filters) - 1
    assert text.startswith(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata:\n"
    )
    assert "'@type': type.googleapis.com/" in text
    assert render_yaml([]) == ""


def test_json_is_one_list() -> None:
    filters = mesh().pipeline.filters
    found = json.loads(render_list(to_dict(filters[key]) for key in sorted(filters)))
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert found["items"] == [to_dict(filters[key]) for key in sorted(filters)]
