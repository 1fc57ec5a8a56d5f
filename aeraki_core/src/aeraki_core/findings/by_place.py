"""All current findings by place, and the changes among them.

Each update has the findings of one place (a service port, an object, a file). Readers get all
findings, or those that came and went since the last call. An unchanged finding costs nothing: a
mesh may have thousands, and one change touches few.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from enum import StrEnum
from typing import NamedTuple

from aeraki_core.findings.finding import Finding

__all__ = ["FindingsByPlace", "Place", "Subject"]


class Subject(StrEnum):
    """What a place of the pipeline is.

    The newest form of an object, an object, a service, a service port, EnvoyFilters of other people
    at a service port, a group of placements, or a word in the names of ports.
    """

    REJECTED = "rejected"
    OBJECT = "object"
    SERVICE = "service"
    PORT = "port"
    FOREIGN_FILTERS = "foreign filters"
    GROUP = "group"
    WORD = "word"


class Place(NamedTuple):
    """Where the pipeline finds something wrong."""

    subject: Subject
    name: Hashable


class FindingsByPlace:
    """Findings by place. The same finding at two places is one, and over when no place has it."""

    def __init__(self) -> None:
        self._at: dict[Hashable, tuple[Finding, ...]] = {}
        self._counts: dict[Finding, int] = {}
        # Those that came or went since somebody last asked, and whether they were there then.
        self._touched: dict[Finding, bool] = {}

    def __iter__(self) -> Iterator[Finding]:
        """Return each finding once, in no order."""
        return iter(self._counts)

    def at(self, place: Hashable) -> tuple[Finding, ...]:
        """Return the findings at one place."""
        return self._at.get(place, ())

    def put(self, place: Hashable, findings: tuple[Finding, ...]) -> None:
        """Replace the findings of a place."""
        before = self._at.get(place, ())
        if findings is before or findings == before:
            return
        if findings:
            self._at[place] = findings
        else:
            del self._at[place]
        for finding in findings:
            count = self._counts.get(finding, 0)
            self._counts[finding] = count + 1
            if not count:
                self._touched.setdefault(finding, False)
        for finding in before:
            self._counts[finding] -= 1
            if not self._counts[finding]:
                del self._counts[finding]
                self._touched.setdefault(finding, True)

    def changes(self) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Return the findings that came and went since the last call, in no order."""
        touched, self._touched = self._touched, {}
        new = tuple(
            item for item, was_there in touched.items() if not was_there and item in self._counts
        )
        over = tuple(
            item for item, was_there in touched.items() if was_there and item not in self._counts
        )
        return new, over
