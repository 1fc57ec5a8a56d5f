"""Where in a file an object or one of its fields stands.

In: a document's text and a field's path as findings name it (``spec.http[0].route``). Out: the line. The text is parsed only when
somebody asks: most objects never have a finding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import yaml

from aeraki_core.manifests.read import Slice, events

__all__ = ["STDIN", "Document", "FileOrigin", "display", "line_of"]

STDIN = "-"
_INDEX = re.compile(r"\[(\d+)\]")


def display(path: str) -> str:
    """A path as it can be printed, whatever bytes its name has."""
    return "<stdin>" if path == STDIN else os.fsencode(path).decode("utf-8", "replace")


class Document:
    """The text of one document of a file. ``line`` follows the document when lines come or go above it."""

    __slots__ = ("_items", "_lines", "line", "path", "text")

    def __init__(self, path: str, piece: Slice) -> None:
        self.path = path
        self.line = piece.line
        self.text = piece.text
        self._items: dict[str, list[Slice]] = {}
        self._lines: dict[tuple[str, str | None], int] = {}

    def __repr__(self) -> str:
        return f"Document({self.path!r}, line {self.line})"

    def locate(self, prefix: str, field: str | None) -> int:
        """The line of a field of the object at ``prefix`` (``items[3]``; empty: the document is the object)."""
        found = self._lines.get((prefix, field))
        if found is None:
            piece = self._item(prefix) if prefix else Slice(0, self.text)
            found = piece.line + line_of(piece.text, field or "")
            self._lines[(prefix, field)] = found
        return self.line + found

    def _item(self, prefix: str) -> Slice:
        """The text of one item of a list; all items are found at the first question, for a list can be long."""
        parent, _, rest = prefix.rpartition("items[")
        parent = parent.rstrip(".")
        if parent not in self._items:
            whole = self._item(parent) if parent else Slice(0, self.text)
            self._items[parent] = [
                Slice(whole.line + item.line, item.text) for item in _items(whole.text)
            ]
        items = self._items[parent]
        index = int(rest.rstrip("]"))
        return items[index] if index < len(items) else Slice(0, "")


class FileOrigin:
    """Where an object was read: its document, and which item of it."""

    __slots__ = ("document", "prefix")

    def __init__(self, document: Document, prefix: str = "") -> None:
        self.document = document
        self.prefix = prefix

    def __repr__(self) -> str:
        return f"FileOrigin({self.document!r}, {self.prefix!r})"

    def locate(self, field: str | None) -> tuple[str, int]:
        """The file and the line (from 1) of a field, or of its nearest parent that is there."""
        return display(self.document.path), self.document.locate(self.prefix, field)


def line_of(text: str, field: str) -> int:
    """The line (from 0) of a field, or of its nearest parent; of the document's first content when the field is empty."""
    best = 0
    try:
        stream = _Stream(text)
        event = stream.root()
        best = _line(event)
        while field:
            if isinstance(event, yaml.MappingStartEvent):
                step = stream.key(field)
            elif isinstance(event, yaml.SequenceStartEvent):
                step = stream.item(field)
            else:
                break
            if step is None:
                break
            best, event, field = step
    except (yaml.YAMLError, StopIteration, UnicodeEncodeError):
        return best  # it did parse once; the nearest place is better than none
    return best


def _items(text: str) -> list[Slice]:
    """The items of a list object, each as a text of its own with its first line indented as it was."""
    found: list[Slice] = []
    try:
        stream = _Stream(text)
        stream.root()
        step = stream.key("items")
        if step is None or not isinstance(step[1], yaml.SequenceStartEvent):
            return found
        while not isinstance(event := stream.next(), yaml.SequenceEndEvent):
            start, end = event.start_mark, stream.skip(event)
            found.append(Slice(start.line, " " * start.column + text[start.index : end.index]))
    except (yaml.YAMLError, StopIteration, UnicodeEncodeError):
        return found
    return found


class _Stream:
    """The parser's events, walked along a path."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = events(text)

    def next(self) -> Any:
        return next(self._events)

    def root(self) -> Any:
        while isinstance(event := self.next(), yaml.StreamStartEvent | yaml.DocumentStartEvent):
            continue
        return event

    def skip(self, event: Any) -> Any:
        """Pass over the node that begins with the event; the mark where it ends."""
        depth = 0
        while True:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth <= 0:
                return event.end_mark
            event = self.next()

    def key(self, path: str) -> tuple[int, Any, str] | None:
        """The line of the key that the path begins with, its value's first event, and the rest of the path.

        A key can hold dots (annotations do), so the path is held against each key.
        """
        while isinstance(event := self.next(), yaml.ScalarEvent):
            value = self.next()
            name = event.value
            if path == name or path.startswith((f"{name}.", f"{name}[")):
                return _line(event), value, path[len(name) :].removeprefix(".")
            self.skip(value)
        return None

    def item(self, path: str) -> tuple[int, Any, str] | None:
        """The same for an item of a sequence."""
        given = _INDEX.match(path)
        if given is None:
            return None
        for _ in range(int(given[1])):
            if isinstance(event := self.next(), yaml.SequenceEndEvent):
                return None
            self.skip(event)
        event = self.next()
        if isinstance(event, yaml.SequenceEndEvent):
            return None
        return _line(event), event, path[given.end() :].removeprefix(".")


def _line(event: Any) -> int:
    return int(event.start_mark.line)
