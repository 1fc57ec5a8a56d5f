"""Findings over time: which are new, which are over.

In: all findings of now. Out: those that came and those that went. A finding that only moved to another line is the same one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from aeraki_core.diagnostics import Finding, in_order

__all__ = ["Ledger"]


class Ledger:
    """Remembers the findings of the last pass."""

    def __init__(self) -> None:
        self._known: dict[Finding, Finding] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the last pass, in order."""
        return in_order(self._known.values())

    def update(self, findings: Iterable[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Those that are new, and those that are over."""
        now = {_identity(item): item for item in findings}
        came = in_order(item for key, item in now.items() if key not in self._known)
        went = in_order(item for key, item in self._known.items() if key not in now)
        self._known = now
        return came, went


def _identity(finding: Finding) -> Finding:
    # Without an object only the line tells two mistakes of one file from each other.
    return replace(finding, line=None) if finding.ref is not None and finding.line is not None else finding
