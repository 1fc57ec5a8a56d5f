"""Findings over time: which are new, which are over.

In: all findings of now; those of the pipeline without file and line. Out: those that came and those that went, located. A finding
that only moved to another line is the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from aeraki_core.diagnostics import Finding, in_order

__all__ = ["Ledger"]


class Ledger:
    """Remembers the findings of the last pass. ``locate`` gives a finding its file and line, if its object has any."""

    def __init__(self, locate: Callable[[Finding], Finding] = lambda finding: finding) -> None:
        self._locate = locate
        self._given: dict[Finding, Finding] = {}
        self._said: dict[Finding, Finding] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the last pass, each where it is now, in order."""
        return in_order(self._locate(item) for item in self._given.values())

    def update(self, findings: Iterable[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Those that are new, and those that are over."""
        given = {_identity(item): item for item in findings}
        # Only what is new is located: that looks into files, and most findings were there before.
        came = {key: self._locate(item) for key, item in given.items() if key not in self._said}
        went = [self._said.pop(key) for key in self._given if key not in given]
        self._given = given
        self._said |= came
        return in_order(came.values()), in_order(went)


def _identity(finding: Finding) -> Finding:
    # Without an object only the line tells two mistakes of one file from each other.
    return replace(finding, line=None) if finding.ref is not None and finding.line is not None else finding
