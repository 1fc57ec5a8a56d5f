"""A page taken apart as a browser does it, but strictly: what is open must be closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Page", "read_page"]

_WITHOUT_END = frozenset({"br", "hr", "meta"})


@dataclass
class Page:
    """The elements with their attributes, and all text."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text, one space between words."""
        return " ".join(" ".join(self.texts).split())

    def tags(self) -> set[str]:
        """The names of all elements."""
        return {tag for tag, _ in self.elements}

    def values(self, attribute: str) -> list[str]:
        """The values of an attribute, in order."""
        return [
            value or ""
            for _, all_ in self.elements
            for name, value in all_.items()
            if name == attribute
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} has an attribute twice"
        self.page.elements.append((tag, dict(attrs)))
        if tag not in _WITHOUT_END:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.page.texts.append(data)


def read_page(text: str) -> Page:
    """The page; an assertion fails where an element is not closed."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader.page
