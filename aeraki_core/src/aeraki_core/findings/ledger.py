"""FindingsByPlace over time: new and resolved findings.

Each part of the controller reports what came and went; the pipeline reports it without file and
line, and this module locates it. A finding that only moved to another line or file is the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aeraki_core.findings.by_place import FindingsByPlace
from aeraki_core.findings.finding import Finding, in_order

__all__ = ["Ledger"]


class Ledger:
    """Adds up the findings of several parts.

    ``locate`` gives a finding its file and line, if its object has any.
    """

    def __init__(
        self,
        *parts: FindingsByPlace,
        locate: Callable[[Finding], Finding] = lambda finding: finding,
    ) -> None:
        self._parts = parts
        self._locate = locate
        # By the identity of a finding: all current ones, and the reported one.
        self._given: dict[Finding, tuple[Finding, ...]] = {}
        self._said: dict[Finding, Finding] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the last pass, each where it is now, in order."""
        return in_order(self._locate(item) for items in self._given.values() for item in items)

    def update(self) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Return the findings that are new since the last update, and those that are over."""
        touched: set[Finding] = set()
        for part in self._parts:
            came, went = part.changes()
            for item in came:
                key = _identity(item)
                self._given[key] = (*self._given.get(key, ()), item)
                touched.add(key)
            for item in went:
                key = _identity(item)
                self._take(key, item)
                touched.add(key)
        # Locate only new findings: that reads files, and most findings are old.
        new = {
            key: self._locate(self._given[key][-1])
            for key in touched
            if key in self._given and key not in self._said
        }
        over = [
            self._said.pop(key) for key in touched if key not in self._given and key in self._said
        ]
        self._said |= new
        return in_order(new.values()), in_order(over)

    def _take(self, key: Finding, item: Finding) -> None:
        left = list(self._given[key])
        left.remove(item)
        if left:
            self._given[key] = tuple(left)
        else:
            del self._given[key]


def _identity(finding: Finding) -> Finding:
    # Without an object only the line distinguishes two mistakes in one file.
    return (
        replace(finding, line=None)
        if finding.ref is not None and finding.line is not None
        else finding
    )
