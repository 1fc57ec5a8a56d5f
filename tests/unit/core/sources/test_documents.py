"""Text from any user, read as Kubernetes reads it: one document never hides another."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from aeraki_core.errors import UnreadableError
from aeraki_core.manifests.read import MAX_ALIASED, MAX_DEPTH, Slice, decode, load_all, split
from hypothesis import given
from hypothesis import strategies as st

from tests.counting import calls


def load(text: str) -> Any:
    [(_, value)] = load_all(Slice(1, text))
    return value


def refused(text: str) -> tuple[str, int | None]:
    with pytest.raises(UnreadableError) as caught:
        load_all(Slice(1, text))
    return str(caught.value), caught.value.line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("y", "y"),
        ("n", "n"),
        ("on", True),
        ("No", False),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("012", 10),
        ("0o12", 10),
        ("0x1F", 31),
        ("0b11", 3),
        ("-7", -7),
        ("0", 0),
        ("1_000", 1000),
        ("10.0.0.1", "10.0.0.1"),
        ("1.2.3", "1.2.3"),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!int '1'", 1),
        ("! 1", "1"),
        ("9" * 5000, "9" * 5000),
        ("-", [None]),
    ],
)
def test_scalars_are_read_as_kubernetes_reads_them(text: str, value: Any) -> None:
    found = load(text)
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_text() -> None:
    assert load("1: a\non: b\n'x': c\n2026-01-01: d\n") == {
        "1": "a",
        "on": "b",
        "x": "c",
        "2026-01-01": "d",
    }


def test_aliases_and_merges_are_followed() -> None:
    text = (
        "base: &b {a: 1, b: 2}\nover:\n  <<: *b\n  b: "
        "3\nlist:\n  <<: [*b, {c: 4, a: 9}]\nsame: *b\n"
    )
    found = load(text)
    assert found["over"] == {"a": 1, "b": 3}
    assert found["list"] == {"a": 1, "b": 2, "c": 4}
    assert found["same"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\na: 2\n", 2, "twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "twice"),
        ('{"a": 1,\n "a": 2}', 2, "twice"),
        ("a: !!python/object:os.system x", 1, "tag"),
        ("a: 1\nb: !secret x", 2, "tag"),
        ("a:\n\t- b\n", 2, "tabs"),
        ("a: [1, 2\n", 1, "flow"),
        ('a: "x\n', 1, "quoted"),
        ("a: b: c\n", 1, "mapping values"),
        ("a: {{ .Values.x }}\n", 1, "render the template first"),
        ("a: \x01\n", 1, "not allowed"),
        ("a: b\nc: \x07\n", 2, "not allowed"),
        ("a: *b\n", 1, "alias"),
        ("a: &a [*a]\n", 1, "alias"),
        ("- [a]: b\n", 1, "key"),
        (": b\n", 1, "key"),
        ('{"a": 1}\n{"b"', 2, "JSON"),
        ('{"a": NaN2}{', 1, ""),
        ("a: \ud800\n", 1, "characters"),
        ("a: 1\n<<: 3\n", 2, "<<"),
        ("--- a\n--- b\n", 2, "second document"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, word: str) -> None:
    message, found = refused(text)
    assert found == line, message
    assert word in message


def test_a_message_never_repeats_a_value() -> None:
    for text in (
        'password: "hunter2\n',
        "password: hunter2: hunter2\n",
        '{"password": "hunter2" "hunter2"}',
    ):
        message, _ = refused(text)
        assert "hunter2" not in message


def test_bombs_cost_nothing() -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 30):
        laughs += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    cost, (message, _) = calls(lambda: refused(laughs))
    assert str(MAX_ALIASED) in message
    assert cost < 100 * len(laughs)
    merges = "a0: &a0 {k0: 1}\n"
    for level in range(1, 3000):
        merges += f"a{level}: &a{level}\n  <<: *a{level - 1}\n  k{level}: 1\n"
    cost, (message, _) = calls(lambda: refused(merges))
    assert str(MAX_ALIASED) in message
    assert cost < 100 * len(merges)
    # The first of three rejects it: our reader, the YAML parser below it, or the JSON parser.
    for deep in (
        "[" * 1_000_000,
        '{"a":' * 100_000,
        '{"a":' + "[" * 500 + "]" * 500 + "}",
        "- " * 5000 + "x",
    ):
        cost, answer = calls(lambda deep=deep: refused(deep))  # type: ignore[misc]
        assert answer == (f"nested more than {MAX_DEPTH} deep", 1)
        assert cost < 100 * len(deep)


def test_documents_are_split_with_their_lines() -> None:
    text = (
        "# only a comment\n---\na: 1\n---\n---\n# nothing\n---  # c\nb: 2\n...\nc: 3\n--- {d: 4}\n"
        "...\n%YAML 1.1\n---\ne: |\n  ---\n  x\n"
    )
    found = [(piece.line, load(piece.text)) for piece in split(text)]
    assert found == [
        (3, {"a": 1}),
        (7, {"b": 2}),
        (9, {"c": 3}),
        (11, {"d": 4}),
        (15, {"e": "---\nx\n"}),
    ]


def test_windows_lines_marks_and_old_lines_change_nothing() -> None:
    assert decode("\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n".encode()) == "a: 1\nb: |\n  x\n  y\n"
    assert decode(b"a: 1\rb: 2") == "a: 1\nb: 2"
    with pytest.raises(UnreadableError, match="UTF-8") as caught:
        decode("a: 1\nb: ü".encode("latin-1"))
    assert caught.value.line == 2


def test_json_is_read_with_tabs_and_one_object_after_another() -> None:
    assert load('{\n\t"a": "x\\/\\ud83d\\ude00",\t"b": [1.0, true, null]}') == {
        "a": "x/😀",
        "b": [1.0, True, None],
    }
    found = load_all(Slice(5, '{"a": 1}\n{"b":\n 2}\n\n{"c": 3}\n'))
    assert [(piece.line, value) for piece, value in found] == [
        (5, {"a": 1}),
        (6, {"b": 2}),
        (9, {"c": 3}),
    ]
    assert load("{a: b}") == {"a": "b"}
    assert load('{"a": b}') == {"a": "b"}


def test_a_broken_document_hides_no_other() -> None:
    good: list[Any] = []
    bad: list[int | None] = []
    for piece in split("a: 1\n---\nb: [\n---\nc: 3\n---\n{\n---\nd: 4\n"):
        try:
            good += [value for _, value in load_all(piece)]
        except UnreadableError as error:
            bad.append(error.line)
    assert good == [{"a": 1}, {"c": 3}, {"d": 4}]
    assert bad == [3, 7]


@given(st.text())
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    for piece in split(text):
        with suppress(UnreadableError):
            load_all(piece)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1), values))
def test_json_comes_back_as_it_was(value: dict[str, Any]) -> None:
    for indent in (None, 2, "\t"):
        text = json.dumps(value, indent=indent)
        [piece] = split(decode(text.encode()))
        assert load(piece.text) == value
