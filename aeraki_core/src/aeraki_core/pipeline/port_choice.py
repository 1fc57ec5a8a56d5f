"""Ports that annotations exclude, or include although their protocol is opt-in.

``aeraki.io/exclude`` and ``aeraki.io/include`` on a Service, a ServiceEntry or a Namespace hold
``true`` for all ports, ``false`` for none, or ports by name or number, separated by commas. A
Service's annotation overrides that of its namespace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from aeraki_core.findings.text import did_you_mean
from aeraki_core.model.service import Port

__all__ = ["PortChoice"]


_BOTH = ("true", "false")
_OTHER_WORDS = frozenset({"yes", "no", "on", "off", "all", "none", "*"})


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
            if words and (_names(words.get(self.INCLUDE), port) or _none(words.get(self.EXCLUDE))):
                return None
        return None

    def includes(self, port: Port) -> bool:
        """Report whether an annotation includes the port."""
        for words in (self.service, self.namespace):
            if words and _names(words.get(self.INCLUDE), port):
                return True
            if words and _none(words.get(self.INCLUDE)):
                return False
        return False

    @classmethod
    def mistakes(
        cls, annotations: Mapping[str, str], port_names: Collection[str] | None
    ) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the annotations of one object: the annotation, and why.

        ``port_names``: names and numbers of a service's ports; None for a Namespace, whose words
        may name ports of any service.
        """
        excluded, included = (_words(annotations.get(name)) for name in (cls.EXCLUDE, cls.INCLUDE))
        for name, words in ((cls.EXCLUDE, excluded), (cls.INCLUDE, included)):
            for word in sorted(words - {"true", "false"}):
                if port_names is None:
                    if _means_all_or_none(word):
                        yield name, f"{word!r} is not true, false or a port"
                elif word not in port_names:
                    yield name, f"{word!r} names no port of the service{did_you_mean(word, _BOTH)}"
        both = included if "true" in excluded else included & excluded
        for word in sorted(both - {"false"}):
            message = f"{word!r} is included and excluded ({cls.EXCLUDE}); it stays excluded"
            yield cls.INCLUDE, message


def _means_all_or_none(word: str) -> bool:
    """Report whether a word is rather a mistyped ``true`` or ``false`` than a port."""
    return word in _OTHER_WORDS or bool(did_you_mean(word, _BOTH))


def _none(text: str | None) -> bool:
    """Report whether an annotation's text is ``false``."""
    return _words(text) == {"false"}


def _words(text: str | None) -> set[str]:
    return {word.strip().lower() for word in (text or "").split(",") if word.strip()}


def _names(text: str | None, port: Port) -> bool:
    """Report whether an annotation's text names the port."""
    return bool(text) and bool(_words(text) & {"true", port.name.lower(), str(port.number)})
