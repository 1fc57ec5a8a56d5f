"""What the status of an object of a plugin's kind says: two conditions.

In: what is wrong with the object, the service ports whose filters rest on it, and what became of these filters. Out:
:class:`Condition` values. Pure. The words are those that Gateway API made usual: Accepted says whether the object can be used,
Programmed whether what it asks for is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.findings.finding import Finding, Severity
from aeraki_core.pipeline.pipeline import PortReport, PortState

__all__ = ["Condition", "conditions"]

_LONGEST = 1024
_MOST = 5


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; ``reason`` is a word for machines, ``message`` for people."""

    type: str
    good: bool
    reason: str
    message: str


def conditions(
    findings: Sequence[Finding],
    *,
    rejected: bool,
    in_force: bool,
    reports: Sequence[PortReport],
    problem: Callable[[FilterKey], str | None],
) -> tuple[Condition, Condition]:
    """Accepted and Programmed.

    ``findings``: about the object. ``rejected``: its model or its name was refused; ``in_force``: an older form of it still counts.
    ``reports``: the service ports that read it; ``problem``: why a live filter is not as it should be.
    """
    return _accepted(findings, rejected), _programmed(rejected, in_force, reports, problem)


def _accepted(findings: Sequence[Finding], rejected: bool) -> Condition:
    message = _message(_text(item) for item in findings)
    if rejected or any(item.severity is Severity.ERROR for item in findings):
        return Condition("Accepted", False, "Invalid", message)
    return Condition("Accepted", True, "Accepted", message)


def _programmed(
    rejected: bool,
    in_force: bool,
    reports: Sequence[PortReport],
    problem: Callable[[FilterKey], str | None],
) -> Condition:
    def no(reason: str, *messages: str) -> Condition:
        return Condition("Programmed", False, reason, _message(messages))

    if rejected:
        kept = "its last good form stays in force" if in_force else "nothing of it is in force"
        return no("NotAccepted", f"the object is not accepted; {kept}")
    if not reports:
        return no("NoService", "no port of a service that it names speaks its protocol")
    held = [report for report in reports if report.state == PortState.HELD]
    if held:
        return no(
            "Held",
            *(f"{_port(item)} keeps its last good filters: {_causes(item)}" for item in held),
        )
    keys = sorted({key for report in reports for key in report.filters})
    wrong = [text for key in keys if (text := problem(key)) is not None]
    if wrong:
        return no("NotWritten", *wrong)
    empty = [report for report in reports if not report.filters]
    if empty:
        return no("NoFilter", *(f"{_port(item)} has no filter: {_causes(item)}" for item in empty))
    partial = [report for report in reports if report.state is PortState.PARTIAL]
    if partial:
        texts = (f"{_port(report)} lacks a filter: {_causes(report)}" for report in partial)
        return no("Partial", *texts)
    ports = ", ".join(_port(report) for report in reports[:_MOST])
    more = f" and {len(reports) - _MOST} more" if len(reports) > _MOST else ""
    return Condition("Programmed", True, "Programmed", f"in the filters of {ports}{more}")


def _port(report: PortReport) -> str:
    return f"{report.service.host}:{report.port.number}"


def _causes(report: PortReport) -> str:
    return "; ".join(_text(item) for item in report.findings) or "see `aeraki explain`"


def _text(finding: Finding) -> str:
    return f"{finding.code.id}{f' {finding.field}' if finding.field else ''}: {finding.message}"


def _message(parts: Iterable[str]) -> str:
    found = list(dict.fromkeys(parts))
    text = "; ".join(found[:_MOST]) + (
        f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    )
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
