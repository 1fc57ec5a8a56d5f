"""What ``aeraki run`` tells: which services it found, what each port speaks and why, what was written where, and every finding.

In: what the controller tells its observer. Out: log lines on stderr. A first pass names every port; later ones only what changed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aeraki_core.console.finding_forms import as_dict
from aeraki_core.controller.observer import (
    ControllerEvent,
    PassReport,
    SourceSynced,
    SourceUnsynced,
)
from aeraki_core.findings.finding import Finding, Severity

if TYPE_CHECKING:
    from aeraki_core.pipeline.pipeline import Pipeline, PortReport
    from aeraki_core.pipeline.reconcile import Step

__all__ = ["RunLog", "say_finding"]

log = logging.getLogger("aeraki_core.controller")

_MANY = 100  # more lines than this nobody reads: they are counted, and each is said at level debug
_LEVELS = {
    Severity.ERROR: logging.ERROR,
    Severity.WARNING: logging.WARNING,
    Severity.INFO: logging.INFO,
}
_DONE = {"create": "created", "update": "updated", "delete": "deleted"}


class RunLog:
    """An observer of the controller. ``where`` says of a filter where it is written, such as a directory."""

    def __init__(self, pipeline: Pipeline, where: str) -> None:
        self._pipeline = pipeline
        self._where = where

    def __call__(self, event: ControllerEvent) -> None:
        """Log sources and passes; the election and the sink log their own events."""
        match event:
            case SourceSynced(source, incomplete):
                self._synced(source, incomplete)
            case SourceUnsynced(source, reason):
                self._unsynced(source, reason)
            case PassReport() as report:
                self._passed(report)

    def _synced(self, source: str, incomplete: str | None) -> None:
        """A source has given all that it can read."""
        if incomplete:
            _say(
                logging.WARNING,
                f"source {source}: {incomplete}; nothing is deleted until it can be read",
                source=source,
            )
        else:
            _say(logging.INFO, f"source {source} is complete", source=source)

    def _unsynced(self, source: str, reason: str) -> None:
        """A source cannot tell any more what is there."""
        _say(
            logging.WARNING,
            f"source {source} is not complete any more: {reason}; nothing is deleted now",
            source=source,
        )

    def _passed(self, report: PassReport) -> None:
        """A pass is over: what it found and what it did."""
        if report.first:
            self._ports()
        else:
            self._generated(report)
        self._written(report)
        for step in report.kept:
            self._kept(step)
        for key in report.released:
            _say(logging.DEBUG, f"{key} is not kept any longer", filter=str(key))
        for finding in report.came:
            say_finding(finding)
        for finding in report.went:
            _say(
                logging.INFO,
                f"settled: {_finding_text(finding, action=False)}",
                finding=as_dict(finding),
            )
        if report.standby:
            if report.first:
                _say(logging.INFO, "ready, and stands by: another replica leads and writes")
        elif report.first or report.full or report.written or report.came or report.went:
            self._summary(report)

    def _ports(self) -> None:
        reports = [item for item in self._pipeline.reports() if item.detection.protocol]
        many = len(reports) > _MANY
        for report in reports:
            _say(
                logging.DEBUG if many else logging.INFO, _port_text(report), **_port_fields(report)
            )
        if many:
            counts = Counter(
                report.detection.protocol.name for report in reports if report.detection.protocol
            )
            names = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
            _say(
                logging.INFO,
                f"{len(reports)} ports with a protocol: {names} (--log-level debug names each)",
            )
        if not reports:
            tokens = [
                f"tcp-{token}"
                for item in self._pipeline.registry.protocols
                for token in item.tokens
            ]
            hint = (
                f"name a port {', '.join(tokens)}"
                if tokens
                else "no plugin is active; see `aeraki plugins`"
            )
            _say(logging.WARNING, f"no service port speaks a protocol of an active plugin; {hint}")

    def _generated(self, report: PassReport) -> None:
        for service, number in report.generated.generated:
            _say(
                logging.DEBUG,
                f"generated anew: {service[1]}:{number}",
                host=service[1],
                port=number,
            )

    def _written(self, report: PassReport) -> None:
        many = len(report.written) > _MANY
        for item in report.written:
            key, action = str(item.step.key), str(item.step.action)
            if item.error is not None:
                again = "; it is tried again" if item.retry else ""
                _say(
                    logging.ERROR,
                    f"{key} could not be written: {item.error}{again}",
                    filter=key,
                    action=action,
                )
                continue
            level = logging.DEBUG if many else logging.INFO
            _say(
                level,
                f"{_DONE.get(action, action)} {key}: {item.step.message}",
                filter=key,
                action=action,
            )
            for warning in item.warnings:
                _say(logging.DEBUG, f"{key}: {warning}", filter=key)

    def _kept(self, step: Step) -> None:
        # A finding says so too.
        _say(
            logging.DEBUG,
            f"kept {step.key} ({step.action}): {step.message}",
            filter=str(step.key),
            action=str(step.action),
        )

    def _summary(self, report: PassReport) -> None:
        counts = Counter(
            _DONE.get(str(item.step.action), "") for item in report.written if item.error is None
        )
        parts = [f"{counts[word]} {word}" for word in _DONE.values() if counts[word]] or [
            "nothing to write"
        ]
        if report.failures:
            parts.append(f"{len(report.failures)} failed")
        total = len(self._pipeline.filters)
        held = f"; deletions wait: {report.held}" if report.held else ""
        text = (
            f"{total} filters in {self._where}: {', '.join(parts)}, in {report.seconds:.2f} s{held}"
        )
        _say(
            logging.INFO,
            text,
            filters=total,
            seconds=round(report.seconds, 3),
            **{word: counts[word] for word in _DONE.values()},
        )


def say_finding(finding: Finding) -> None:
    """A finding as a log line, at the level of its severity."""
    _say(_LEVELS[finding.severity], _finding_text(finding), finding=as_dict(finding))


def _say(level: int, message: str, **fields: Any) -> None:
    log.log(level, "%s", message, extra={"fields": fields})


def _port_text(report: PortReport) -> str:
    protocol = report.detection.protocol.name if report.detection.protocol else "-"
    plugin = f", plugin {report.run.plugin}" if report.run and report.run.plugin != protocol else ""
    count = len(report.filters)
    made = f"{count} filter{'' if count == 1 else 's'}" if count else "no filter"
    return f"{report.service.host}:{report.port.number} speaks {protocol} ({report.detection.reason}{plugin}): {made}"


def _port_fields(report: PortReport) -> dict[str, Any]:
    protocol = report.detection.protocol
    return {
        "host": report.service.host,
        "port": report.port.number,
        "protocol": protocol.name if protocol else None,
        "filters": [str(key) for key in report.filters],
    }


def _finding_text(finding: Finding, *, action: bool = True) -> str:
    place = (
        f"{finding.source}{f':{finding.line}' if finding.line else ''}: " if finding.source else ""
    )
    about: Iterable[str] = (str(finding.ref or ""), finding.field or "")
    subject = " ".join(part for part in about if part)
    text = f"{place}{finding.code.id}: {finding.message}{f' ({subject})' if subject else ''}"
    return f"{text}. {finding.code.action}" if action else text
