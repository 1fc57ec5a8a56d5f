"""Findings: what is wrong with the mesh's configuration, with a stable code.

A :class:`Code` is one kind of finding: the core declares its own in codes.py, a plugin in
``Protocol.codes``. A code keeps its meaning and is used for nothing else, ever: people filter and
suppress findings by code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from aeraki_core.deprecations import keywords_only_later
from aeraki_core.model.meta import ObjectRef

__all__ = ["Code", "Finding", "Severity", "in_order"]


class Severity(IntEnum):
    """How bad it is. ERROR: something the user asked for does not happen.

    WARNING: it happens, but perhaps not as meant.
    """

    INFO = 1
    WARNING = 2
    ERROR = 3

    @property
    def label(self) -> str:
        """The word that is printed: ``info``, ``warning`` or ``error``."""
        return self.name.lower()


@keywords_only_later
@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding.

    ``id`` is letters and four digits (``AER0101``); ``title`` says what it means in a few words;
    ``action`` says what to do.
    """

    id: str
    severity: Severity
    title: str
    action: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know, at an object's field or at a file.

    ``line`` counts from 1. ``source`` is the file, or None when the object did not come from one.
    """

    code: Code
    message: str
    ref: ObjectRef | None = None
    field: str | None = None
    source: str | None = None
    line: int | None = None
    plugin: str | None = None

    @property
    def severity(self) -> Severity:
        """The severity of its code."""
        return self.code.severity

    def sort_key(self) -> tuple[str, int, str, str, str, str, str]:
        """Files first in order, then objects, then codes.

        The same findings always print in the same order.
        """
        ref, plugin = str(self.ref or ""), self.plugin or ""
        return (
            self.source or "",
            self.line or 0,
            ref,
            self.field or "",
            self.code.id,
            self.message,
            plugin,
        )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings sorted, each once."""
    return tuple(sorted(set(findings), key=Finding.sort_key))
