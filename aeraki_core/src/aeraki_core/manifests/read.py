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
from typing import Any

import yaml

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
    """Return the parser's events of a document, for those who need only the place of something.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    # Between JSON's tokens a tab may stand; within its texts it may not.
    return iter(
        yaml.parse(text.replace("\t", " ") if looks_like_json(text) else text, Loader=_LOADER)
    )


# -- YAML ----------------------------------------------------------------------------------------


def _load_yaml(piece: Slice, budget: AliasBudget) -> Any:
    try:
        return _Builder(piece.line, budget).build(events(piece.text))
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


class _Frame:
    """A mapping or sequence that is being filled."""

    __slots__ = ("anchor", "before", "key", "merged", "value")

    def __init__(self, value: Any, anchor: str | None, before: int) -> None:
        self.value = value
        self.anchor = anchor
        self.before = before
        self.key: str | None = None
        self.merged: list[dict[str, Any]] = []


_NO_KEY = (
    "a key must be text, not a mapping or a list; "
    "quote {{ }}, or render the template first, as with `helm template`"
)
_OF_EACH_OBJECT = ("apiVersion", "kind", "metadata")


class _Builder:
    """Values from the parser's events, without recursion."""

    def __init__(self, first_line: int, budget: AliasBudget) -> None:
        self._first_line = first_line
        self._budget = budget
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._aliased = 0
        self._root: Any = None

    def build(self, stream: Iterator[Any]) -> Any:
        steps: dict[type[Any], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
        }
        documents = 0
        for event in stream:
            step = steps.get(type(event))
            if step is not None:
                step(event)
            elif type(event) is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise self._error("a second document starts here; put --- before it", event)
        return self._root

    def _error(self, message: str, event: Any) -> UnreadableError:
        return UnreadableError(message, self._first_line + event.start_mark.line)

    def _scalar(self, event: Any) -> None:
        text, tag = event.value, event.tag
        if self._stack:
            frame = self._stack[-1]
            if type(frame.value) is dict and frame.key is None:
                self._take_key(frame, text, event)
                return
        if tag is None:
            value = _plain(text) if event.implicit[0] else text
        elif tag in _TEXT_TAGS:
            value = text
        elif tag in _PLAIN_TAGS:
            value = _plain(text)
        else:
            raise self._error(f"tag {tag} is not known", event)
        self._nodes += 1
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, event)

    def _take_key(self, frame: _Frame, text: str, event: Any) -> None:
        plain = event.implicit[0] and event.tag is None
        if plain and text in ("", "~", "null"):
            raise self._error("a key is missing before the colon", event)
        if event.anchor:
            self._anchors[event.anchor] = (text, 1)
        if plain and text == "<<":
            frame.key = _MERGE
            return
        if text in frame.value:
            hint = (
                "; put --- between two documents"
                if len(self._stack) == 1 and text in _OF_EACH_OBJECT
                else ""
            )
            raise self._error(f"key {text[:80]!r} is given twice{hint}", event)
        frame.key = text
        frame.value[text] = None  # keeps the key's place, and reveals a second one

    def _start(self, event: Any) -> None:
        if event.tag is not None and event.tag not in _TREE_TAGS:
            raise self._error(f"tag {event.tag} is not known", event)
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(_TOO_DEEP, event)
        if self._stack and type(self._stack[-1].value) is dict and self._stack[-1].key is None:
            raise self._error(_NO_KEY, event)
        value: Any = {} if type(event) is yaml.MappingStartEvent else []
        self._nodes += 1
        if event.anchor:
            self._anchors.pop(event.anchor, None)
        self._stack.append(_Frame(value, event.anchor, self._nodes + self._aliased))

    def _end(self, event: Any) -> None:
        frame = self._stack.pop()
        for merged in frame.merged:
            for key, value in merged.items():
                frame.value.setdefault(key, value)
        if frame.anchor:
            self._anchors[frame.anchor] = (
                frame.value,
                self._nodes + self._aliased - frame.before + 1,
            )
        self._put(frame.value, event)

    def _alias(self, event: Any) -> None:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            raise self._error(
                f"alias *{event.anchor} stands for nothing that was given before it", event
            )
        value, size = anchored
        self._spend(size, event)
        if self._stack and type(self._stack[-1].value) is dict and self._stack[-1].key is None:
            raise self._error("an alias cannot be a key", event)
        self._put(value, event)

    def _spend(self, values: int, event: Any) -> None:
        """Count what an alias stands for."""
        self._aliased += values
        if not self._budget.spend(values):
            message = f"the aliases of the file stand for more than {MAX_ALIASED} values"
            raise self._error(message, event)

    def _put(self, value: Any, event: Any) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if type(frame.value) is list:
            frame.value.append(value)
        elif frame.key is _MERGE:
            values = value if type(value) is list else [value]
            if any(type(item) is not dict for item in values):
                raise self._error("<< takes a mapping or a list of mappings", event)
            self._spend(sum(len(item) for item in values), event)
            frame.merged += values
            frame.key = None
        elif frame.key is not None:
            frame.value[frame.key] = value
            frame.key = None


_MERGE = "<<\0"


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
