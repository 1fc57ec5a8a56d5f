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
        self._current: dict[Finding, tuple[Finding, ...]] = {}
        self._reported: dict[Finding, Finding] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the last pass, each where it is now, in order."""
        return in_order(self._locate(item) for items in self._current.values() for item in items)

    def update(self) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Return the findings that are new since the last update, and those that are over."""
        touched: set[Finding] = set()
        for part in self._parts:
            new_items, over_items = part.changes()
            for item in new_items:
                key = _identity(item)
                self._current[key] = (*self._current.get(key, ()), item)
                touched.add(key)
            for item in over_items:
                key = _identity(item)
                self._drop(key, item)
                touched.add(key)
        # Locate only new findings: that reads files, and most findings are old.
        new = {
            key: self._locate(self._current[key][-1])
            for key in touched
            if key in self._current and key not in self._reported
        }
        over = [
            self._reported.pop(key)
            for key in touched
            if key not in self._current and key in self._reported
        ]
        self._reported |= new
        return in_order(new.values()), in_order(over)

    def _drop(self, key: Finding, item: Finding) -> None:
        left = list(self._current[key])
        left.remove(item)
        if left:
            self._current[key] = tuple(left)
        else:
            del self._current[key]


def _identity(finding: Finding) -> Finding:
    # Without an object only the line distinguishes two mistakes in one file.
    return (
        replace(finding, line=None)
        if finding.ref is not None and finding.line is not None
        else finding
    )
