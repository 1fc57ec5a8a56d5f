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
from collections.abc import Callable, Iterable, Iterator
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

_EMITTER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_OTHERS = yaml.SafeDumper(io.StringIO())


def _looks_numeric(value: str) -> bool:
    if _NUMBER.fullmatch(value) is None:
        return False
    return value.count(".") < 2 or ":" in value


def _add(item: Any, events: list[Any], *, sort_keys: bool) -> None:
    """Append the parser's events of a value: every value in full where it stands.

    Events and not nodes, which would cost half as much again for thousands of filters.
    """
    if isinstance(item, str):
        events.append(_text_event(item))
    elif isinstance(item, dict):
        events.append(yaml.MappingStartEvent(None, None, True, flow_style=False))
        for key in sorted(item) if sort_keys else item:
            events.append(_key_event(key))
            _add(item[key], events, sort_keys=sort_keys)
        events.append(yaml.MappingEndEvent())
    elif isinstance(item, list | tuple):
        events.append(yaml.SequenceStartEvent(None, None, True, flow_style=False))
        for each in item:
            _add(each, events, sort_keys=sort_keys)
        events.append(yaml.SequenceEndEvent())
    else:
        text = _OTHERS.represent_data(item).value
        events.append(yaml.ScalarEvent(None, None, (True, False), text))


def _text_event(text: str) -> Any:
    """The event of a text in a style in which every reader reads text."""
    style = None
    if _CONTROL.search(text):
        style = '"'
    elif text.lower() in _WORDS or text in _SPECIAL or _looks_numeric(text):
        style = "'"
    return yaml.ScalarEvent(None, None, (True, True), str(text), style=style)


# The same few fields in every object. Not for values, among which are passwords.
_key_event = lru_cache(maxsize=1024)(_text_event)


def _document(item: Any, *, sort_keys: bool) -> list[Any]:
    events = [yaml.StreamStartEvent(), yaml.DocumentStartEvent(explicit=False)]
    _add(item, events, sort_keys=sort_keys)
    return [*events, yaml.DocumentEndEvent(explicit=False), yaml.StreamEndEvent()]


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
        events = _document(item, sort_keys=sort_keys)
        text: str = yaml.emit(events, Dumper=_EMITTER, allow_unicode=is_unicode, width=1 << 30)
        return text

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
