"""HTML as values, so that no text reaches a page unescaped.

Names, annotations and messages come from objects that somebody else wrote. The only way to put text
into :class:`Markup` is :func:`element`, which escapes every text and every attribute.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from aeraki_core.findings.text import escape

__all__ = ["Markup", "element", "escaped", "joined"]

_WITHOUT_END = frozenset({"br", "hr", "meta"})


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML that is safe to put into a page."""

    text: str


def escaped(text: str) -> str:
    """Return the text for an element or a quoted attribute; control characters are visible."""
    return html.escape(escape(text), quote=True)


def element(tag: str, *children: Markup | str | None, **attributes: str | int | None) -> Markup:
    """Return an element. Texts are escaped; None is left out.

    ``class_`` stands for ``class``, ``_`` for ``-``.
    """
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    written = "".join(
        f' {names[name]}="{escaped(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _WITHOUT_END:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{joined(children).text}</{tag}>")


def joined(children: Iterable[Markup | str | None]) -> Markup:
    """Several children one after another."""
    return Markup(
        "".join(
            child.text if isinstance(child, Markup) else escaped(child)
            for child in children
            if child is not None
        )
    )
