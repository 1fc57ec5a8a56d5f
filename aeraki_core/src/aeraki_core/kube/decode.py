"""The API server's JSON as objects, decoded one by one.

A tenant can write an object that no JSON reader takes: nested ten thousand deep, or with a number
of ten thousand digits. If a list were decoded as a whole, that object would hide all others. So
each object is decoded alone, and one that cannot be read keeps its name and says why. An answer
that is no list at all is an error: read as an empty list, it would delete the mesh.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from aeraki_core.kube.errors import AnswerError

__all__ = [
    "MAX_DEPTH",
    "DecodedObject",
    "ListPage",
    "Object",
    "WatchEvent",
    "WatchEventType",
    "decode_list",
    "decode_object",
    "decode_watch_event",
]

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

MAX_DEPTH = 100
"""How deep an object may be nested. Kubernetes' own objects need about 20."""

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
# A JSON token, with the commas, colons and spaces before it.
_TOKEN = re.compile(r'[ \t\r\n,:]*("[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|[^ \t\r\n,:{}\[\]"]+)')


class DecodedObject(NamedTuple):
    """An object of an answer.

    Its name, namespace and resourceVersion are text; labels and annotations map text to text, or
    are absent. ``problem`` says why the object cannot be used; ``content`` then holds what could be
    read. None: the object is whole.
    """

    content: Object
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """One page of a list. ``next_page`` is the token of the next page; empty at the end."""

    objects: tuple[DecodedObject, ...]
    resource_version: str
    next_page: str = ""


class WatchEventType(StrEnum):
    """What a watch reports."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch. Of an ERROR, ``object`` is the Status; of a BOOKMARK, it has no name."""

    type: WatchEventType
    object: DecodedObject = field(repr=False)

    @property
    def resource_version(self) -> str:
        """Where a new watch goes on after this event; empty for an ERROR."""
        metadata = self.object.content.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        return version if isinstance(version, str) else ""


def decode_object(data: bytes) -> Object:
    """Return the whole answer as an object, cut off below ``MAX_DEPTH`` levels.

    Raises:
        AnswerError: the answer is not a JSON object.
    """
    content = _Reader(_text(data)).value().value if data else {}
    if not isinstance(content, dict):
        raise AnswerError("the answer is not a JSON object")
    return content


def decode_list(data: bytes) -> ListPage:
    """Return one page of a list.

    Raises:
        AnswerError: the answer is not a list of objects with names, or has no resourceVersion.
    """
    reader = _Reader(_text(data))
    members: dict[str, Any] = {}
    objects: tuple[DecodedObject, ...] = ()
    for key in reader.members():
        if key == "items" and reader.next_is("["):
            objects = tuple(_identified(value) for value in reader.items())
        else:
            members[key] = reader.value().value
    kind, metadata = members.get("kind"), members.get("metadata")
    if not isinstance(kind, str) or not kind.endswith("List"):
        raise AnswerError(f"the answer is a {_shown(kind)}, not a list")
    # Go writes an empty list as null.
    if members.get("items") is not None:
        raise AnswerError("the answer's items are not a list")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(version, str) or not version:
        raise AnswerError("the list has no resourceVersion")
    return ListPage(
        objects=objects, resource_version=version, next_page=str(metadata.get("continue") or "")
    )


def decode_watch_event(line: bytes) -> WatchEvent:
    """Return one line of a watch.

    Raises:
        AnswerError: the line is not a watch event, or its object has no name.
    """
    reader = _Reader(_text(line))
    members = {key: reader.value() for key in reader.members()}
    try:
        event_type = WatchEventType(members["type"].value)
        value = members["object"]
    except (KeyError, ValueError):
        raise AnswerError("the watch sent something that is not a watch event") from None
    if event_type in (WatchEventType.ERROR, WatchEventType.BOOKMARK):
        content = value.value if isinstance(value.value, dict) else {}
        return WatchEvent(event_type, DecodedObject(content))
    return WatchEvent(event_type, _identified(value))


class _Value(NamedTuple):
    """A JSON value, and why it is not whole."""

    value: Any
    problem: str | None = None


class _Reader:
    """Walks through a JSON text: member by member, item by item."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def members(self) -> Iterator[str]:
        """Yield the keys of the object at the position; the caller reads the value of each."""
        self._expect("{")
        if self._skip("}"):
            return
        while True:
            key = self.value().value
            if not isinstance(key, str):
                raise AnswerError("the answer is not valid JSON")
            self._expect(":")
            yield key
            if self._skip("}"):
                return
            self._expect(",")

    def items(self) -> Iterator[_Value]:
        """Yield the values of the array at the position."""
        self._expect("[")
        if self._skip("]"):
            return
        while True:
            yield self.value()
            if self._skip("]"):
                return
            self._expect(",")

    def value(self) -> _Value:
        """Return the value at the position."""
        start = self._start()
        try:
            value, self._position = _DECODER.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            raise AnswerError(f"the answer is not valid JSON: {error.msg}") from None
        except RecursionError:
            return self._salvage(start, _TOO_DEEP)
        except ValueError:  # int() refuses it
            return self._salvage(start, "it holds a number of too many digits")
        # A text without many brackets is not deep; counting them costs little.
        brackets = self._text.count("{", start, self._position)
        brackets += self._text.count("[", start, self._position)
        if brackets > MAX_DEPTH and _is_deep(value):
            return self._salvage(start, _TOO_DEEP)
        return _Value(value)

    def next_is(self, character: str) -> bool:
        """Report whether the next value begins with the character."""
        return self._text.startswith(character, self._start())

    def _salvage(self, start: int, problem: str) -> _Value:
        value, self._position = _salvage(self._text, start)
        return _Value(value, problem)

    def _start(self) -> int:
        space = _SPACE.match(self._text, self._position)
        return space.end() if space is not None else self._position

    def _skip(self, character: str) -> bool:
        start = self._start()
        if not self._text.startswith(character, start):
            return False
        self._position = start + 1
        return True

    def _expect(self, character: str) -> None:
        if not self._skip(character):
            raise AnswerError("the answer is not valid JSON")


_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"


def _is_deep(value: Any) -> bool:
    """Report whether a value is nested more than ``MAX_DEPTH`` deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _salvage(text: str, start: int) -> tuple[Any, int]:
    """Return the upper levels of an object or array, read without recursion, and the end position.

    Deeper levels are empty; a number that Python cannot hold is None.

    Raises:
        AnswerError: the text ends before the value does.
    """
    position, depth = start, 0
    root: Any = None
    stack: list[Any] = []
    key: str | None = None
    while True:
        token = _TOKEN.match(text, position)
        if token is None:
            raise AnswerError("the answer is not valid JSON")
        word, position = token[1], token.end()
        if word in ("}", "]"):
            # Levels below MAX_DEPTH are counted, but never put on the stack.
            if depth <= MAX_DEPTH:
                stack.pop()
            depth -= 1
            if depth == 0:
                return root, position
            continue
        if word in ("{", "["):
            depth += 1
            if depth > MAX_DEPTH:
                continue
            value: Any = {} if word == "{" else []
        elif depth > MAX_DEPTH:
            continue
        else:
            value = _scalar(word)
        # Put the value where it belongs: a key waits for its value, which may be an array.
        parent = stack[-1] if stack else None
        if isinstance(parent, dict) and key is None and word[0] == '"':
            key = value
            continue
        if isinstance(parent, dict):
            parent[key] = value
            key = None
        elif isinstance(parent, list):
            parent.append(value)
        else:
            root = value
        if word in ("{", "["):
            stack.append(value)


def _scalar(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return None


def _identified(value: _Value) -> DecodedObject:
    """Return the value as an object with a name.

    Raises:
        AnswerError: it has none. No API server sends that.
    """
    content = value.value
    metadata = content.get("metadata") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(metadata, dict):
        raise AnswerError("the answer holds something that is not an object")
    name, namespace = metadata.get("name"), metadata.get("namespace")
    version = metadata.get("resourceVersion")
    if not isinstance(name, str) or not name or not isinstance(version, str):
        raise AnswerError("the answer holds an object without name or resourceVersion")
    if namespace is not None and not isinstance(namespace, str):
        raise AnswerError("the answer holds an object whose namespace is not text")
    # Odd labels cost the object its labels, with a finding, and not its place in the list.
    problem = value.problem
    for part in ("labels", "annotations"):
        if not _is_text_map(metadata.get(part)):
            problem = problem or f"metadata.{part} does not map text to text"
            del metadata[part]
    return DecodedObject(content, problem)


def _is_text_map(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())


def _shown(kind: Any) -> str:
    return kind[:60] if isinstance(kind, str) and kind else "document without a kind"


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise AnswerError("the answer is not UTF-8 text") from None
