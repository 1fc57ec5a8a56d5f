"""Ports that annotations exclude, or include although their protocol is opt-in.

``aeraki.io/exclude`` and ``aeraki.io/include`` on a Service, a ServiceEntry or a Namespace hold
``true`` for all ports, or ports by name or number, separated by commas. A Service's annotation
overrides that of its namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from aeraki_core.model.service import Port

__all__ = ["PortChoice"]


@dataclass(frozen=True, slots=True)
class PortChoice:
    """What the annotations of a service and of its namespace say about ports."""

    service: Mapping[str, str] | None = None
    namespace: Mapping[str, str] | None = None

    EXCLUDE: ClassVar[str] = "aeraki.io/exclude"
    INCLUDE: ClassVar[str] = "aeraki.io/include"

    def why_excluded(self, port: Port) -> str | None:
        """Return why the port is left alone; None if it is not."""
        for words, where in ((self.service, "the service"), (self.namespace, "the namespace")):
            if words and _names(words.get(self.EXCLUDE), port):
                return f"{where} excludes it ({self.EXCLUDE})"
            if words and _names(words.get(self.INCLUDE), port):
                return None
        return None

    def includes(self, port: Port) -> bool:
        """Report whether an annotation includes the port."""
        return any(
            _names(words.get(self.INCLUDE), port)
            for words in (self.service, self.namespace)
            if words
        )

    def misses(self, port_names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The annotations of the service, each with a word that names none of these ports."""
        known = {*port_names, "true", "false"}
        for name in (self.EXCLUDE, self.INCLUDE):
            text = (self.service or {}).get(name)
            for word in sorted(_words(text) - known) if text else ():
                yield name, word


def _words(text: str | None) -> set[str]:
    return {word.strip().lower() for word in (text or "").split(",") if word.strip()}


def _names(text: str | None, port: Port) -> bool:
    """Report whether an annotation's text names the port."""
    return bool(text) and bool(_words(text) & {"true", port.name.lower(), str(port.number)})
