"""YAML and JSON text to plain values, one document at a time, with the line of every mistake.

Anybody may have written the text, so a hostile document costs no more than its length, and a
document that is wrong does not hide the ones after it. Messages never repeat a value: it may be a
secret.

Scalars are read as Kubernetes' own reader does (sigs.k8s.io/yaml): times stay text, ``1e3`` is a
number, ``1:30`` is text, a key is always text. Unlike it, a tag that is not YAML's own is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from sys import intern
from typing import Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from aeraki_core.errors import UnreadableError

__all__ = [
    "MAX_ALIASED",
    "MAX_DEPTH",
    "AliasBudget",
    "Slice",
    "decode",
    "events",
    "load_all",
    "looks_like_json",
    "split",
]

MAX_DEPTH = 100
"""How deep a document may be nested; Kubernetes' own objects need about 20."""

_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"

MAX_ALIASED = 100_000
"""How many values the aliases of one file may stand for."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BORDER = re.compile(r"^(?:---|\.\.\.)(?=\s|\Z)", re.MULTILINE)
_END = re.compile(r"^\.\.\.\Z", re.MULTILINE)
_NOTHING = re.compile(
    r"(?:[ \t]*(?:#[^\n]*)?(?:\n|\Z)|%[^\n]*(?:\n|\Z)|---[ \t]*(?:#[^\n]*)?(?:\n|\Z))*"
)
_JSON_START = re.compile(r"\s*\{\s*[\"}]")

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {"!", f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}binary"}
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("int", "float", "bool", "null")}
_TREE_TAGS = {f"{_TAG}map", f"{_TAG}seq", "!"}


@dataclass(slots=True)
class AliasBudget:
    """How many values the aliases of the documents of one file stand for so far.

    A limit for each document would not do: a small file can hold thousands.
    """

    spent: int = 0

    def spend(self, values: int) -> bool:
        """Add to it; whether that is still within ``MAX_ALIASED``."""
        self.spent += values
        return self.spent <= MAX_ALIASED


@dataclass(frozen=True, slots=True)
class Slice:
    """The text of one document; ``line`` is where it starts in its file, from 1."""

    line: int
    text: str = field(repr=False)


def decode(data: bytes) -> str:
    """Decode a file's bytes as text with Unix line ends, without a byte order mark.

    Raises:
        UnreadableError: it is not UTF-8.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(f"not UTF-8 text (byte 0x{data[error.start]:02x})", line) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def split(text: str) -> Iterator[Slice]:
    """Yield the documents of a file; those without any content are left out.

    A line that starts with ``---`` or ``...`` ends a document wherever it stands (YAML 1.2, 9.1.2),
    so this needs no parser.
    """
    borders = _BORDER.finditer(text)
    starts = [
        0,
        *(border.start() if border.group() == "---" else border.end() for border in borders),
    ]
    line = 1
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        content = _END.sub("", part).removeprefix("\ufeff")
        if _NOTHING.fullmatch(content) is None:
            # Without its own border the text is the same wherever the document stands.
            bare = content.startswith("---\n")
            yield Slice(line + 1, content[4:]) if bare else Slice(line, content)
        line += part.count("\n")


def looks_like_json(text: str) -> bool:
    """Report whether the document is an object in JSON's own way of writing."""
    return _JSON_START.match(text) is not None


def load_all(piece: Slice, budget: AliasBudget | None = None) -> list[tuple[Slice, Any]]:
    """Return the values of a document: one; or several where JSON objects follow each other.

    ``budget`` is the file's; None: the document is all there is.

    Raises:
        UnreadableError: it is not YAML or JSON, or too deep, or its aliases stand for too much.
    """
    budget = budget or AliasBudget()
    if looks_like_json(piece.text):
        return _load_json(piece, budget)
    return [(piece, _load_yaml(piece, budget))]


def events(text: str) -> Iterator[Any]:
    """Yield the parser's events of a document, for those who need only the place of something.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    next_event = _parser(text).get_event
    while type(event := next_event()) is not StreamEndEvent:
        yield event


def _parser(text: str) -> Any:
    # Between JSON's tokens a tab may stand; within its texts it may not.
    return _LOADER(text.replace("\t", " ") if looks_like_json(text) else text)


# -- YAML ----------------------------------------------------------------------------------------


def _load_yaml(piece: Slice, budget: AliasBudget) -> Any:
    try:
        return _Builder(piece, budget).build()
    except yaml.reader.ReaderError as error:
        before = piece.text.encode()[: error.position]
        line = piece.line + before.count(b"\n")
        raise UnreadableError(f"character {error.character!r} is not allowed", line) from None
    except yaml.MarkedYAMLError as error:
        last = piece.text.rstrip().count("\n")
        lines = [mark.line for mark in (error.problem_mark, error.context_mark) if mark]
        # Of what is still open at the end, the line where it began.
        line = next((line for line in lines if line <= last), min([*lines, last]))
        words = ", ".join(part for part in (error.context, error.problem) if part)
        raise UnreadableError(_hint(words), piece.line + line) from None
    except (yaml.YAMLError, UnicodeEncodeError):
        raise UnreadableError("characters that YAML does not allow", piece.line) from None


def _hint(words: str) -> str:
    if "cannot start any token" in words:
        return f"{words}; indent with spaces, not tabs, and quote text that starts with @, ` or %"
    # The parser reads ahead, so it may reach its own limit before _Builder reaches our lower one.
    if "maximum nesting depth" in words:
        return _TOO_DEEP
    return words


_NO_KEY = (
    "a key must be text, not a mapping or a list; "
    "quote {{ }}, or render the template first, as with `helm template`"
)
_OF_EACH_OBJECT = ("apiVersion", "kind", "metadata")
_MERGE = "<<"
_ODD_KEYS = frozenset([_MERGE, "", "~", "null"])
"""What is no key of that name, without quotes."""


class _Anchored(NamedTuple):
    """What an alias stands for, and how many values that are."""

    value: Any
    size: int


class _Builder:
    """Values from the parser's events.

    It calls itself for what is nested, ``MAX_DEPTH`` times at most.
    """

    def __init__(self, piece: Slice, budget: AliasBudget) -> None:
        self._first_line = piece.line
        self._budget = budget
        self._next = _parser(piece.text).get_event
        self._depth = 0
        self._anchors: dict[str, _Anchored] = {}
        # With those that aliases stand for.
        self._values = 0

    def build(self) -> Any:
        """Return the value of the document; None when there is none."""
        root, documents = None, 0
        while type(event := self._next()) is not StreamEndEvent:
            if type(event) is DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise self._error("a second document starts here; put --- before it", event)
                root = self._value(self._next())
        return root

    def _error(self, message: str, event: Any) -> UnreadableError:
        return UnreadableError(message, self._first_line + event.start_mark.line)

    def _value(self, event: Any) -> Any:
        kind = type(event)
        if kind is ScalarEvent:
            return self._scalar(event)
        if kind is MappingStartEvent:
            return self._nested(event, self._mapping)
        if kind is SequenceStartEvent:
            return self._nested(event, self._sequence)
        return self._aliased(event)

    def _scalar(self, event: Any) -> Any:
        text, tag = event.value, event.tag
        if tag is None:
            value = _plain(text) if event.implicit[0] else text
        elif tag in _TEXT_TAGS:
            value = text
        elif tag in _PLAIN_TAGS:
            value = _plain(text)
        else:
            raise self._error(f"tag {tag} is not known", event)
        self._values += 1
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, 1)
        return value

    def _nested(self, start: Any, read: Callable[[], Any]) -> Any:
        """Return the mapping or the list that starts here."""
        if start.tag is not None and start.tag not in _TREE_TAGS:
            raise self._error(f"tag {start.tag} is not known", start)
        if self._depth >= MAX_DEPTH:
            raise self._error(_TOO_DEEP, start)
        if start.anchor:
            # Its own aliases stand for nothing: it would hold itself.
            self._anchors.pop(start.anchor, None)
        before = self._values
        self._depth += 1
        value = read()
        self._depth -= 1
        self._values += 1
        if start.anchor:
            self._anchors[start.anchor] = _Anchored(value, self._values - before)
        return value

    def _sequence(self) -> list[Any]:
        items: list[Any] = []
        while type(event := self._next()) is not SequenceEndEvent:
            items.append(self._value(event))
        return items

    def _mapping(self) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        next_event = self._next
        while type(event := next_event()) is not MappingEndEvent:
            if type(event) is not ScalarEvent:
                raise self._no_key(event)
            # Objects have few different keys, so each of them is kept once.
            key = intern(event.value)
            if event.anchor:
                self._anchors[event.anchor] = _Anchored(key, 1)
            if key in _ODD_KEYS and event.implicit[0] and event.tag is None:
                if key != _MERGE:
                    raise self._error("a key is missing before the colon", event)
                merged += self._merged(next_event())
                continue
            if key in mapping:
                raise self._given_twice(key, event)
            event = next_event()
            # Most values are scalars; asking here saves a call for each.
            is_scalar = type(event) is ScalarEvent
            mapping[key] = self._scalar(event) if is_scalar else self._value(event)
        for each in merged:
            for key, value in each.items():
                mapping.setdefault(key, value)
        return mapping

    def _no_key(self, event: Any) -> UnreadableError:
        is_alias = type(event) is AliasEvent
        return self._error("an alias cannot be a key" if is_alias else _NO_KEY, event)

    def _given_twice(self, key: str, event: Any) -> UnreadableError:
        is_of_object = self._depth == 1 and key in _OF_EACH_OBJECT
        hint = "; put --- between two documents" if is_of_object else ""
        return self._error(f"key {key[:80]!r} is given twice{hint}", event)

    def _merged(self, event: Any) -> list[dict[str, Any]]:
        """Return the mappings that ``<<`` names."""
        value = self._value(event)
        mappings = value if type(value) is list else [value]
        if any(type(each) is not dict for each in mappings):
            raise self._error("<< takes a mapping or a list of mappings", event)
        self._spend(sum(len(each) for each in mappings), event)
        return mappings

    def _aliased(self, event: Any) -> Any:
        """Return what an alias stands for."""
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            raise self._error(
                f"alias *{event.anchor} stands for nothing that was given before it", event
            )
        self._spend(anchored.size, event)
        return anchored.value

    def _spend(self, values: int, event: Any) -> None:
        """Count what an alias stands for."""
        self._values += values
        if not self._budget.spend(values):
            message = f"the aliases of the file stand for more than {MAX_ALIASED} values"
            raise self._error(message, event)


def _plain(text: str) -> Any:
    """Return the value of a scalar without quotes."""
    if len(text) <= 5 and text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    try:
        if _INT.fullmatch(text):
            digits = text.lstrip("+-")
            base = 8 if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567_" else 0
            return int(text, 10 if digits == "0" else base)
        if _FLOAT.fullmatch(text):
            return float(text)
    except ValueError:  # misplaced underscores, or more digits than a number has
        return text
    return text


# -- JSON ----------------------------------------------------------------------------------------


class _GivenTwiceError(ValueError):
    """A key of a JSON object is given twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise _GivenTwiceError
    return mapping


def _constant(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def _load_json(piece: Slice, budget: AliasBudget) -> list[tuple[Slice, Any]]:
    text, values, position = piece.text, [], 0
    try:
        while rest := text[position:].lstrip():
            start = len(text) - len(rest)
            value, position = _DECODER.raw_decode(text, start)
            values.append(
                (Slice(piece.line + text.count("\n", 0, start), text[start:position]), value)
            )
    except RecursionError:
        raise UnreadableError(_TOO_DEEP, piece.line) from None
    except ValueError as error:
        # Perhaps it is YAML that starts with a brace; and YAML's parser knows the line of a key
        # that is given twice.
        try:
            return [(piece, _load_yaml(piece, budget))]
        except UnreadableError:
            if isinstance(error, json.JSONDecodeError):
                raise UnreadableError(f"JSON: {error.msg}", piece.line + error.lineno - 1) from None
            raise
    for part, value in values:
        if _depth(value) > MAX_DEPTH:
            raise UnreadableError(_TOO_DEEP, part.line)
    return [(piece, values[0][1])] if len(values) == 1 else values


def _depth(value: Any) -> int:
    """Return how deep the value is nested, up to one more than is allowed."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        depth += 1
    return depth
