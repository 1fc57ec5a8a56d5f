"""The log of ``aeraki run``: each port's protocol, each write, and every finding, with reasons.

An observer of the controller. The first pass names every port; later ones only what changed. Each
line goes to the logger of its component, so that ``--log-level sinks:debug`` selects those of the
sinks.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from aeraki_core.console.finding_forms import as_dict
from aeraki_core.console.page.content import WriteRecord
from aeraki_core.controller.bucket import TokenBucket, without_idle
from aeraki_core.controller.observer import (
    ControllerEvent,
    FilterChanged,
    ObjectDropped,
    ObjectTaken,
    PassReport,
    SourceSynced,
    SourceUnsynced,
)
from aeraki_core.findings.finding import Finding, Severity
from aeraki_core.findings.text import and_more, count, finding_line
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.wiring.weight_changes import weight_changes

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import FilterKey
    from aeraki_core.model.meta import ObjectRef
    from aeraki_core.pipeline.pipeline import Pipeline, PortReport
    from aeraki_core.pipeline.reconcile import Step
    from aeraki_core.sinks.base import Written

__all__ = ["RunLog", "log_finding"]

_SOURCES = logging.getLogger("aeraki_core.sources")
_MESH = logging.getLogger("aeraki_core.mesh")
_PIPELINE = logging.getLogger("aeraki_core.pipeline")
_SINKS = logging.getLogger("aeraki_core.sinks")
_CONTROLLER = logging.getLogger("aeraki_core.controller")

_MANY = (
    100  # more lines than this nobody reads: they are counted, and each is logged at level debug
)
# Findings of one namespace that have a line each: at once, and a second after that.
_BURST, _PER_SECOND = 50, 1.0
_REMEMBERED = 100  # writes that the page shows
_CAUSES = 3  # objects that are named as the cause of one write
_LEVELS = {
    Severity.ERROR: logging.ERROR,
    Severity.WARNING: logging.WARNING,
    Severity.INFO: logging.INFO,
}
_DONE = {Action.CREATE: "created", Action.UPDATE: "updated", Action.DELETE: "deleted"}


class RunLog:
    """An observer of the controller.

    ``where``: where filters are written, such as a directory. ``watched``: what is watched; empty
    for a single pass.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        where: str,
        watched: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._where = where
        self._watched = watched
        self._causes = _Causes(pipeline)
        self._new = _Budget("more findings in {}; `aeraki status` lists them", clock)
        self._over = _Budget("more are resolved in {}", clock)
        self._first = True
        self._incomplete: set[str] = set()
        self._writes: deque[WriteRecord] = deque(maxlen=_REMEMBERED)

    @property
    def writes(self) -> tuple[WriteRecord, ...]:
        """The latest writes with their causes, oldest first."""
        return tuple(self._writes)

    def __call__(self, event: ControllerEvent) -> None:
        """Log an event; the election logs its own."""
        match event:
            case ObjectTaken(source_object):
                self._log_change(source_object.ref, gone=False)
            case ObjectDropped(ref):
                self._log_change(ref, gone=True)
            case FilterChanged(key):
                # The sink logs who it was.
                self._causes.drifted(key)
            case SourceSynced(source, None, objects):
                read = f"read {count(objects, 'object')}"
                if source in self._incomplete:
                    self._incomplete.discard(source)
                    read = "everything can be read again"
                _log(_SOURCES, logging.INFO, f"source {source}: {read}", source=source)
            case SourceSynced(source):
                # A finding says what cannot be read; a fault has one line of its own.
                if source not in self._incomplete:
                    self._incomplete.add(source)
                    text = f"source {source}: nothing is deleted until everything can be read"
                    _log(_SOURCES, logging.INFO, text, source=source)
            case SourceUnsynced(source, reason):
                text = f"source {source} is incomplete: {reason}; nothing is deleted meanwhile"
                _log(_SOURCES, logging.WARNING, text, source=source)
            case PassReport() as report:
                self._log_pass(report)

    def _log_change(self, ref: ObjectRef, *, gone: bool) -> None:
        what = "is gone" if gone else "is new or changed"
        _log(_MESH, logging.DEBUG, f"{ref} {what}", object=str(ref))
        if self._first:
            return  # everything is new in the first pass
        if gone:
            self._causes.gone(ref)
        else:
            self._causes.changed(ref)

    def _log_pass(self, report: PassReport) -> None:
        """What a pass found and what it did."""
        if report.first:
            self._log_ports()
        else:
            for (_, host), port in report.generated.generated:
                _log(_PIPELINE, logging.DEBUG, f"generated {host}:{port}", host=host, port=port)
        many = len(report.written) > _MANY
        for written in report.written:
            self._log_written(written, logging.DEBUG if many else logging.INFO)
        for step in report.kept:
            # A finding says so too.
            text = f"kept {step.key} ({step.action}): {step.message}"
            fields = {"filter": str(step.key), "action": str(step.action)}
            _log(_SINKS, logging.DEBUG, text, **fields)
        for key in report.released:
            _log(_SINKS, logging.DEBUG, f"no longer kept: {key}", filter=str(key))
        for finding in self._new.within(report.new_findings):
            log_finding(finding)
        for finding in self._over.within(report.resolved_findings):
            text = f"resolved: {finding_line(finding, action=False)}"
            _log(_CONTROLLER, logging.INFO, text, finding=as_dict(finding))
        if report.standby:
            if report.first:
                text = "ready as standby: another replica leads and writes"
                _log(_CONTROLLER, logging.INFO, text)
        elif (
            report.first
            or report.full
            or report.written
            or report.new_findings
            or report.resolved_findings
        ):
            self._log_summary(report)
            if report.first and self._watched:
                text = f"watching {self._watched}; filters go to {self._where}"
                _log(_CONTROLLER, logging.INFO, text)
        self._first = False
        self._causes.clear()

    def _log_ports(self) -> None:
        """Every port with a protocol, or only their number where they are many."""
        reports = [report for report in self._pipeline.reports() if report.detection.protocol]
        many = len(reports) > _MANY
        for report in reports:
            # Thousands of lines at the start would bury what went wrong.
            level = logging.DEBUG if many else logging.INFO
            _log(_PIPELINE, level, _port_text(report), **_port_fields(report))
        if many:
            counts = Counter(
                report.detection.protocol.name for report in reports if report.detection.protocol
            )
            names = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
            text = f"{len(reports)} ports with a protocol: {names} (--log-level debug names each)"
            _log(_PIPELINE, logging.INFO, text)
        if not reports:
            protocols = self._pipeline.registry.protocols
            tokens = [f"tcp-{token}" for protocol in protocols for token in protocol.tokens]
            hint = (
                f"name a port {', '.join(tokens)}"
                if tokens
                else "no plugin is active; see `aeraki plugins`"
            )
            text = f"no service port speaks a protocol of an active plugin; {hint}"
            _log(_PIPELINE, logging.WARNING, text)

    def _log_written(self, written: Written, level: int) -> None:
        """One filter: what was done and why, or that it failed."""
        step = written.step
        fields = {"filter": str(step.key), "action": str(step.action)}
        cause = self._causes.of(step)
        # To compare two filters takes a millisecond, and a burst is logged for debugging only.
        if level >= logging.INFO and step.before is not None and step.after is not None:
            live = step.before.filter
            weights = weight_changes(live, step.after) if live is not None else ""
            cause = f"{cause} ({weights})" if cause and weights else cause
        record = WriteRecord(
            at=time.time(),
            action=_DONE[step.action],
            filter=str(step.key),
            cause=cause,
            error=None if written.error is None else str(written.error),
        )
        self._writes.append(record)
        if written.error is not None:
            # A finding reports it once, this line at each try.
            again = "; it is tried again" if written.retry else ""
            text = f"{step.key} could not be written: {written.error}{again}"
            _log(_SINKS, logging.DEBUG, text, **fields)
            return
        _log(_SINKS, level, f"{_DONE[step.action]} {step.key}{cause and f': {cause}'}", **fields)
        for warning in written.warnings:
            _log(_SINKS, logging.DEBUG, f"{step.key}: {warning}", filter=str(step.key))

    def _log_summary(self, report: PassReport) -> None:
        counts = Counter(
            _DONE[written.step.action] for written in report.written if written.error is None
        )
        parts = [f"{counts[word]} {word}" for word in _DONE.values() if counts[word]]
        if not parts:
            parts = ["nothing to write"]
        if report.failures:
            parts.append(f"{len(report.failures)} failed")
        total = len(self._pipeline.filters)
        # Why has a line of its own.
        held = "; deletions wait" if report.held else ""
        done = f"{', '.join(parts)}, in {report.seconds:.2f} s{held}"
        _log(
            _CONTROLLER,
            logging.INFO,
            f"{count(total, 'filter')} in {self._where}: {done}",
            filters=total,
            seconds=round(report.seconds, 3),
            **{word: counts[word] for word in _DONE.values()},
        )


class _Causes:
    """What happened between two passes, to say of each write why it was made."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._changed: set[ObjectRef] = set()
        self._gone: set[ObjectRef] = set()
        self._drifted: set[FilterKey] = set()

    def changed(self, ref: ObjectRef) -> None:
        """An object is new or changed."""
        self._changed.add(ref)

    def gone(self, ref: ObjectRef) -> None:
        """An object is gone."""
        self._gone.add(ref)

    def drifted(self, key: FilterKey) -> None:
        """Somebody else changed or deleted a filter."""
        self._drifted.add(key)

    def of(self, step: Step) -> str:
        """Why a filter is written; empty for one that is created."""
        if step.action is Action.DELETE:
            return step.message
        if step.key in self._drifted:
            return "somebody else changed or deleted it"
        changed = sorted(self._inputs(step) & self._changed)
        if changed:
            return f"{and_more(changed, _CAUSES)} changed"
        if step.action is Action.CREATE:
            return ""
        # No input changed, so an object is missing; deleted objects are in no inputs.
        gone = sorted(self._gone)
        return (
            f"{and_more(gone, _CAUSES)} {'is' if len(gone) == 1 else 'are'} gone"
            if gone
            else step.message
        )

    def clear(self) -> None:
        """The pass is over."""
        self._changed.clear()
        self._gone.clear()
        self._drifted.clear()

    def _inputs(self, step: Step) -> set[ObjectRef]:
        """The objects that the filter was made from."""
        pipeline = self._pipeline
        inputs: set[ObjectRef] = set()
        for host, number in step.after.service_ports if step.after else ():
            for service in pipeline.store.services_of_host(host):
                port = service.port(number)
                run = pipeline.report(service, port).run if port is not None else None
                inputs.update(run.objects if run else ())
        return inputs


class _Budget:
    """How many lines the findings of one namespace may have, so that nobody fills the log.

    ``more``: what is said of the others, with a place for the namespace.
    """

    def __init__(self, more: str, clock: Callable[[], float]) -> None:
        self._more = more
        self._clock = clock
        self._namespaces: dict[str, TokenBucket] = {}

    def within(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings that have a line each; then a line says how many more there are."""
        now = self._clock()
        self._namespaces = without_idle(self._namespaces, now)
        left_out: Counter[str] = Counter()
        for finding in findings:
            namespace = finding.ref.namespace if finding.ref is not None else ""
            bucket = self._namespaces.setdefault(namespace, TokenBucket(_BURST, _PER_SECOND))
            if bucket.take(now):
                yield finding
            else:
                left_out[namespace] += 1
        for namespace, number in sorted(left_out.items()):
            where = f"namespace {namespace}" if namespace else "no namespace"
            _log(_CONTROLLER, logging.WARNING, f"{number} {self._more.format(where)}")


def log_finding(finding: Finding) -> None:
    """A finding as a log line, at the level of its severity."""
    level = _LEVELS[finding.severity]
    _log(_CONTROLLER, level, finding_line(finding), finding=as_dict(finding))


def _log(logger: logging.Logger, level: int, message: str, **fields: Any) -> None:
    logger.log(level, "%s", message, extra={"fields": fields})


def _port_text(report: PortReport) -> str:
    protocol = report.detection.protocol.name if report.detection.protocol else "-"
    plugin = report.run.plugin if report.run else protocol
    by = f", plugin {plugin}" if plugin != protocol else ""
    made = count(report.filters, "filter") if report.filters else "no filter"
    where = f"{report.service.host}:{report.port.number}"
    return f"{where} speaks {protocol} ({report.detection.reason}{by}): {made}"


def _port_fields(report: PortReport) -> dict[str, Any]:
    protocol = report.detection.protocol
    return {
        "host": report.service.host,
        "port": report.port.number,
        "protocol": protocol.name if protocol else None,
        "filters": [str(key) for key in report.filters],
    }
