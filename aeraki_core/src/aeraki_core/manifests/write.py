"""Kubernetes objects as text: YAML documents or a JSON List, for files and for what is printed.

The text of an object is always the same, byte for byte: no anchors, no folded lines. Text that any
reader of YAML 1.1 or 1.2 could take for something else (``on``, ``n``, ``1e3``, ``012``, ``1:30``,
``0o7``, ``~``) is quoted.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import yaml

from aeraki_core.filters.output import Output, in_order, to_dict

__all__ = ["render_each", "render_list", "render_objects", "render_yaml"]

# In any case: the words of YAML 1.1, YAML 1.2 and their readers.
_WORDS = frozenset(
    [
        "y",
        "yes",
        "n",
        "no",
        "on",
        "off",
        "true",
        "false",
        "t",
        "f",
        "null",
        "nil",
        "none",
        "nan",
        "inf",
        "infinity",
    ]
)
# Numbers, times and sexagesimals of any reader. With two dots and no colon it is none: 10.0.0.1.
_NUMBER = re.compile(
    r"[-+]?[.0-9][0-9A-Fa-fXxOoBbEeTtZz_.,:+ -]*|[-+]?\.(?:inf|nan)", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


_SPECIAL = frozenset(["", "~", "=", "<<"])
"""What else is no text to YAML 1.1: nothing, a default value, a merge."""

# Text that no reader takes for syntax. It needs no quotes if it is not a word or a number.
_HARMLESS = re.compile(r"(?!\.\.\.)[A-Za-z0-9_/.][A-Za-z0-9_/.|:*+,~=@-]*(?<!:)")

_LONGEST_KEY = 128  # characters; libyaml reads 1,024 before the colon

_EMITTER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_OTHERS = yaml.SafeDumper(io.StringIO())


def _looks_numeric(value: str) -> bool:
    if _NUMBER.fullmatch(value) is None:
        return False
    return value.count(".") < 2 or ":" in value


class _Lines:
    """The lines of a YAML document: every value in full where it stands, nothing folded.

    Text by text, as events for libyaml's emitter cost three times as much. It writes only the texts
    that need more than quotes.
    """

    def __init__(self, *, sort_keys: bool, is_unicode: bool) -> None:
        self._sort_keys = sort_keys
        self._is_unicode = is_unicode
        self._lines: list[str] = []

    def document(self, value: Any) -> str:
        """Return the value as a document."""
        self._add("", "", value)
        return "\n".join([*self._lines, ""])

    def _add(self, head: str, indent: str, value: Any) -> None:
        """Write a value of a list, or the whole document: after ``head``, then below ``indent``."""
        if isinstance(value, dict) and value:
            self._add_mapping(head, indent, value)
        elif isinstance(value, list | tuple) and value:
            self._add_items(head, indent, value)
        else:
            self._lines.append(head + self._scalar(value))

    def _add_mapping(self, head: str, indent: str, mapping: dict[str, Any]) -> None:
        lines, is_unicode = self._lines, self._is_unicode
        for key in sorted(mapping) if self._sort_keys else mapping:
            value = mapping[key]
            name = _key(key, is_unicode)
            if len(name) > _LONGEST_KEY:
                lines.append(f"{head}? {name}")
                head, name = indent, ""
            if isinstance(value, dict) and value:
                lines.append(f"{head}{name}:")
                inner = f"{indent}  "
                self._add_mapping(inner, inner, value)
            elif isinstance(value, list | tuple) and value:
                lines.append(f"{head}{name}:")
                self._add_items(indent, indent, value)
            else:
                lines.append(f"{head}{name}: {self._scalar(value)}")
            head = indent

    def _add_items(self, head: str, indent: str, values: Sequence[Any]) -> None:
        for value in values:
            self._add(f"{head}- ", f"{indent}  ", value)
            head = indent

    def _scalar(self, value: Any) -> str:
        """Return a value that has no parts."""
        if isinstance(value, str):
            return _text(value, self._is_unicode)
        if isinstance(value, dict | list | tuple):
            return "{}" if isinstance(value, dict) else "[]"
        return str(_OTHERS.represent_data(value).value)


def _text(text: str, is_unicode: bool) -> str:
    """A text in a style in which every reader reads text."""
    is_plain = text.lower() not in _WORDS and text not in _SPECIAL and not _looks_numeric(text)
    if _HARMLESS.fullmatch(text):
        return str(text) if is_plain else f"'{text}'"
    style = '"' if _CONTROL.search(text) else None if is_plain else "'"
    events = [
        yaml.StreamStartEvent(),
        yaml.DocumentStartEvent(explicit=False),
        yaml.SequenceStartEvent(None, None, True, flow_style=False),
        yaml.ScalarEvent(None, None, (True, True), str(text), style=style),
        yaml.SequenceEndEvent(),
        yaml.DocumentEndEvent(explicit=False),
        yaml.StreamEndEvent(),
    ]
    line: str = yaml.emit(events, Dumper=_EMITTER, allow_unicode=is_unicode, width=1 << 30)
    return line.removeprefix("- ").removesuffix("\n")


# The same few fields in every object. Not for values, among which are passwords.
_key = lru_cache(maxsize=1024)(_text)


def render_yaml(filters: Iterable[Output]) -> str:
    """The filters as YAML documents with ``---`` between them; empty text for none."""
    return render_objects(to_dict(item) for item in in_order(filters))


def render_objects(objects: Iterable[Any], *, sort_keys: bool = True) -> str:
    """Kubernetes objects as YAML documents, in the order given; empty text for none.

    ``sort_keys``: fields by name, as ``kubectl`` prints them; False: in the order of the object.
    """
    return "".join(render_each(objects, sort_keys=sort_keys))


def render_each(objects: Iterable[Any], *, sort_keys: bool = True) -> Iterator[str]:
    """Yield the parts of what :func:`render_objects` returns, one for each object."""

    def render(item: Any, is_unicode: bool) -> str:
        return _Lines(sort_keys=sort_keys, is_unicode=is_unicode).document(item)

    border = ""
    for item in objects:
        yield f"{border}{_visible(partial(render, item))}"
        border = "---\n"


def render_list(objects: Iterable[Any], *, sort_keys: bool = True) -> str:
    """Kubernetes objects as one List in JSON, in the order given."""
    content = {"apiVersion": "v1", "kind": "List", "items": list(objects)}

    def render(is_unicode: bool) -> str:
        text = json.dumps(content, indent=2, sort_keys=sort_keys, ensure_ascii=not is_unicode)
        return f"{text}\n"

    return _visible(render)


def _visible(render: Callable[[bool], str]) -> str:
    """The text that ``render`` makes: with letters of all scripts, or in ASCII with escapes.

    In ASCII if it holds marks that nobody sees and that show text as another, such as bidirectional
    ones.
    """
    text = render(True)
    if text.isascii():
        return text
    marks = {char for char in text if not char.isprintable()} - {"\n"}
    is_visible = all(unicodedata.category(char) == "Zs" for char in marks)
    return text if is_visible else render(False)
