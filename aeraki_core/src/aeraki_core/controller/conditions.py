"""The two conditions in the status of an object of a plugin's kind.

The words are those that Gateway API made usual: Accepted says whether the object can be used,
Programmed whether what it asks for is in the filters. Pure: findings and reports go in,
:class:`Condition` values come out.
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
    """One condition.

    ``good``: its status is True. ``reason`` is for machines, ``message`` for people.
    """

    type: str
    good: bool
    reason: str
    message: str


def conditions(
    findings: Sequence[Finding],
    *,
    rejected: bool,
    last_good: bool,
    reports: Sequence[PortReport],
    problem: Callable[[FilterKey], str | None],
) -> tuple[Condition, Condition]:
    """Accepted and Programmed.

    ``findings``: those about the object.
    ``rejected``: its model or its name was refused.
    ``last_good``: an older form of it is still used.
    ``reports``: the service ports that read it.
    ``problem``: gives why a live filter is not the desired one, or None.
    """
    return _accepted(findings, rejected), _programmed(rejected, last_good, reports, problem)


def _accepted(findings: Sequence[Finding], rejected: bool) -> Condition:
    message = _message(_text(finding) for finding in findings)
    if rejected or any(finding.severity is Severity.ERROR for finding in findings):
        return Condition("Accepted", False, "Invalid", message)
    return Condition("Accepted", True, "Accepted", message)


def _programmed(
    rejected: bool,
    last_good: bool,
    reports: Sequence[PortReport],
    problem: Callable[[FilterKey], str | None],
) -> Condition:
    def no(reason: str, *messages: str) -> Condition:
        return Condition("Programmed", False, reason, _message(messages))

    if rejected:
        kept = "its last good form is used" if last_good else "nothing of it is used"
        return no("NotAccepted", f"the object is not accepted; {kept}")
    if not reports:
        return no("NoService", "no port of a service that it names speaks its protocol")
    # The worst state goes first: one condition has room for one reason.
    held = [report for report in reports if report.state == PortState.HELD]
    if held:
        return no(
            "Held",
            *(f"{_port(report)} keeps its last good filters: {_causes(report)}" for report in held),
        )
    # The filters are made. What remains is whether the sink could write them.
    keys = sorted({key for report in reports for key in report.filters})
    problems = [text for key in keys if (text := problem(key)) is not None]
    if problems:
        return no("NotWritten", *problems)
    empty = [report for report in reports if not report.filters]
    if empty:
        texts = (f"{_port(report)} has no filter: {_causes(report)}" for report in empty)
        return no("NoFilter", *texts)
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
    return "; ".join(_text(finding) for finding in report.findings) or "see `aeraki explain`"


def _text(finding: Finding) -> str:
    return f"{finding.code.id}{f' {finding.field}' if finding.field else ''}: {finding.message}"


def _message(parts: Iterable[str]) -> str:
    different = list(dict.fromkeys(parts))
    more = f"; and {len(different) - _MOST} more" if len(different) > _MOST else ""
    text = "; ".join(different[:_MOST]) + more
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
