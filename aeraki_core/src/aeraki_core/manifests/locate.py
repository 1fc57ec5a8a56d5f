"""Where in a file an object or one of its fields stands.

Most objects never have a finding, so lines are not kept: the text is read again when somebody asks.
It is read once for all questions about a document, for a document can have a finding in every line.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from aeraki_core.manifests.read import Slice, events

__all__ = ["STDIN", "Document", "FileOrigin", "display", "line_of"]

STDIN = "-"

_INDEX = re.compile(r"\[(\d+)\]\.?")
# Where a key may end within a path. A key can hold dots (annotations do).
_KEY_END = re.compile(r"[.\[]|$")


def display(path: str) -> str:
    """Return a path as it can be printed, whatever bytes its name has."""
    return "<stdin>" if path == STDIN else os.fsencode(path).decode("utf-8", "replace")


class Document:
    """The text of one document of a file.

    ``line`` follows the document when lines come or go above it.
    """

    __slots__ = ("line", "path", "text")

    def __init__(self, path: str, piece: Slice) -> None:
        self.path = path
        self.line = piece.line
        self.text = piece.text

    def __repr__(self) -> str:
        return f"Document({self.path!r}, line {self.line})"

    def locate(self, field: str, items: tuple[int, ...] = ()) -> int:
        """Return the line of a field of the document's object; ``items`` as for `FileOrigin`."""
        return self.line + line_of(self.text, field, items)


class FileOrigin:
    """Where an object was read.

    ``items`` leads to it through lists: ``(3, 0)`` is the first item of the list that is the fourth
    item of the document. Empty: the document is the object.
    """

    __slots__ = ("document", "items")

    def __init__(self, document: Document, items: tuple[int, ...] = ()) -> None:
        self.document = document
        self.items = items

    def __repr__(self) -> str:
        return f"FileOrigin({self.document!r}, {self.items!r})"

    def locate(self, field: str | None) -> tuple[str, int]:
        """Return the file and the line (from 1) of a field, or of its nearest existing parent."""
        return display(self.document.path), self.document.locate(field or "", self.items)


def line_of(text: str, field: str, items: tuple[int, ...] = ()) -> int:
    """The line (from 0) of a field, or of its nearest parent.

    That of the object's first content when the field is empty.
    """
    node = _outline(text)
    for index in items:
        inner = node.child("items")
        node = (inner and inner.item(index)) or node
    while field:
        if isinstance(node.inner, dict):
            node, field = _enter_mapping(node, field)
        elif isinstance(node.inner, list) and (index_match := _INDEX.match(field)) is not None:
            inner = node.item(int(index_match[1]))
            node, field = (inner, field[index_match.end() :]) if inner is not None else (node, "")
        else:
            break
    return node.line


class _Node:
    """A value: the line that it, or its key, starts at, and what it holds."""

    __slots__ = ("inner", "key", "line")

    def __init__(self, line: int, inner: dict[str, _Node] | list[_Node] | None) -> None:
        self.line = line
        self.inner = inner
        self.key: Any = None
        """The event of the key whose value comes next, while a mapping is read."""

    def child(self, key: str) -> _Node | None:
        """Return the value of a key of a mapping."""
        return self.inner.get(key) if isinstance(self.inner, dict) else None

    def item(self, index: int) -> _Node | None:
        """Return one item of a list."""
        if isinstance(self.inner, list) and index < len(self.inner):
            return self.inner[index]
        return None


def _enter_mapping(node: _Node, field: str) -> tuple[_Node, str]:
    """Return the value of the key that the path begins with, and the rest of the path.

    The node itself, and no rest, when it has no such key.
    """
    for end in reversed([key_end.start() for key_end in _KEY_END.finditer(field)]):
        inner = node.child(field[:end])
        if inner is not None:
            return inner, field[end:].removeprefix(".")
    return node, ""


# Findings about one document mostly come in a row; a few documents may take turns.
@lru_cache(maxsize=8)
def _outline(text: str) -> _Node:
    """Return all lines of a document, or those before a syntax error."""
    holder = _Node(0, [])
    stack = [holder]
    try:
        for event in events(text):
            _note(stack, event)
    except (yaml.YAMLError, UnicodeEncodeError):
        pass  # it could be read once; the nearest place is better than none
    return holder.item(0) or holder


def _note(stack: list[_Node], event: Any) -> None:
    """Take one event of the parser into the outline; ``stack`` holds what is open."""
    kind = type(event)
    if kind is MappingEndEvent or kind is SequenceEndEvent:
        stack.pop()
        return
    if kind is ScalarEvent or kind is AliasEvent:
        node = _Node(_line(event), None)
    elif kind is MappingStartEvent:
        node = _Node(_line(event), {})
    elif kind is SequenceStartEvent:
        node = _Node(_line(event), [])
    else:
        return
    parent = stack[-1]
    if isinstance(parent.inner, list):
        parent.inner.append(node)
    elif isinstance(parent.inner, dict):
        # In a mapping, nodes come in turn: a key, then its value.
        if parent.key is None:
            parent.key = event
            if node.inner is not None:
                stack.append(node)
            return
        node.line = _line(parent.key)
        if isinstance(parent.key, ScalarEvent):
            parent.inner.setdefault(parent.key.value, node)
        parent.key = None
    if node.inner is not None:
        stack.append(node)


def _line(event: Any) -> int:
    return int(event.start_mark.line)
