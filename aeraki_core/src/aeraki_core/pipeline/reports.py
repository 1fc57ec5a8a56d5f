"""Why each service port is as it is.

The questions that commands, status pages and the writer ask after a pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.findings.by_place import FindingsByPlace, Place, Subject
from aeraki_core.findings.codes import (
    LISTENER_TAKEN,
    MISSING_EXTENSION,
    NO_ADDRESS,
    NO_LISTENER,
    SHARED_CIDR,
)
from aeraki_core.findings.finding import Finding, in_order
from aeraki_core.mesh.store import Store
from aeraki_core.mesh.weight_sets import WeightSet
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Service
from aeraki_core.pipeline.detect import Detection, Detector
from aeraki_core.pipeline.filters import FilterTable
from aeraki_core.pipeline.port_output import PortId, PortRun
from aeraki_core.pipeline.ports import PortState, PortTable

__all__ = ["PortReport", "Reports"]


_LACKS_A_FILTER = frozenset(
    {LISTENER_TAKEN, MISSING_EXTENSION, NO_ADDRESS, NO_LISTENER, SHARED_CIDR}
)
"""Findings of a port that cannot have one of its filters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortReport:
    """Why a service port is as it is. ``run`` None: it speaks no protocol, so no generator ran."""

    service: Service
    port: Port
    detection: Detection
    state: PortState
    run: PortRun | None
    filters: tuple[FilterKey, ...]
    findings: tuple[Finding, ...]
    weight_sets: tuple[WeightSet, ...] = ()


class Reports:
    """Answers from what the pipeline knows; nothing here changes it."""

    def __init__(
        self,
        *,
        store: Store,
        detector: Detector,
        ports: PortTable,
        filters: FilterTable,
        findings: FindingsByPlace,
    ) -> None:
        self._store = store
        self._detector = detector
        self._ports = ports
        self._filters = filters
        self._findings = findings
        self._root = store.mesh.root_namespace

    def all(self) -> tuple[PortReport, ...]:
        """Return every port of every service, sorted by host and port."""
        services = sorted(self._store.services(), key=lambda service: (service.host, service.ref))
        return tuple(self.port(service, port) for service in services for port in service.ports)

    def port(self, service: Service, port: Port) -> PortReport:
        """Return one port of a service."""
        port_id = PortId(service.id, port.number)
        run = self._ports.run_of(port_id)
        filters = self._filters.of_port(ServicePort(service.host, port.number))
        # A service that no pass has seen yet is detected for this answer alone.
        detection = self._ports.detection(service, port.number) or self._detector.detect(
            service, port
        )
        return PortReport(
            service=service,
            port=port,
            detection=detection,
            state=self.state(port_id) or PortState.NONE,
            run=run,
            filters=filters,
            findings=in_order(self.locate(finding) for finding in self._findings_of(port_id, run)),
            weight_sets=tuple(
                {
                    weight_set.host: weight_set
                    for placement in self._ports.placements(port_id)
                    for weight_set in placement.weight_sets
                }.values()
            ),
        )

    def _findings_of(self, port_id: PortId, run: PortRun | None) -> Iterator[Finding]:
        """Yield its generator's findings, and those about patches that reach no filter."""
        if run is None:
            return
        yield from run.findings
        yield from self._findings.at(Place(Subject.FOREIGN_FILTERS, port_id))
        for placement in self._ports.placements(port_id):
            at_group = self._findings.at(Place(Subject.GROUP, placement.group))
            yield from (finding for finding in at_group if finding.ref == run.service.ref)

    def state(self, port_id: PortId) -> PortState | None:
        """Return the state of a port; None if it has no protocol."""
        run = self._ports.run_of(port_id)
        if run is None:
            return None
        service_port = ServicePort(run.service.host, port_id.number)
        if not self._filters.has_any(service_port):
            return PortState.NONE
        if run.failed or run.failed_in:
            return PortState.HELD
        # It has filters, though not for all clients or listeners.
        if any(finding.code in _LACKS_A_FILTER for finding in run.findings):
            return PortState.PARTIAL
        groups = (placement.group for placement in self._ports.placements(port_id))
        if all(self._filters.covers(group, service_port) for group in groups):
            return PortState.CURRENT
        return PortState.PARTIAL

    def reading(self, ref: ObjectRef) -> tuple[PortReport, ...]:
        """Return the service ports that read an object of a plugin's kind, by host and port."""
        reports = []
        for port_id in self._ports.reading(ref):
            service = self._store.service(port_id.service)
            port = service.port(port_id.number) if service else None
            if service is not None and port is not None:
                reports.append(self.port(service, port))
        return tuple(sorted(reports, key=lambda report: (report.service.host, report.port.number)))

    def resources_read_for(self, service_port: ServicePort) -> Iterator[ObjectRef]:
        """Yield the objects of plugins' kinds that the filters of a service port read."""
        for service in self._store.services_of_host(service_port.host):
            yield from self._ports.resources_of(PortId(service.id, service_port.port))

    def why_held(self, service_port: ServicePort, namespaces: Collection[str]) -> str | None:
        """Return why a live filter of a service port must stay; None if it need not.

        ``namespaces``: those of the filter's services; empty when they are not known.
        """
        services = self._store.services_of_host(service_port.host)
        owners = {*(namespaces or {service.namespace for service in services}), self._root}
        for ref in self._store.rejected_for(service_port.host):
            # If the owner of the host is unknown, the object may be the owner's.
            if ref.namespace in owners or not (namespaces or services):
                return f"{ref} names {service_port.host} and cannot be used"
        for service in services:
            port_id = PortId(service.id, service_port.port)
            run = self._ports.run_of(port_id)
            is_owner = not namespaces or service.namespace in namespaces
            detection = self._ports.detection(service, service_port.port)
            if detection is not None and detection.is_unsure and is_owner:
                return f"{service_port}: {detection.reason}"
            if run is None or not is_owner or self._ports.has_good_output(port_id):
                continue
            if run.failed or run.failed_in:
                return f"the generator of {service_port} did not succeed"
        return None

    def findings(self) -> tuple[Finding, ...]:
        """Return all findings in order, each at its file and line where the source knows them."""
        return in_order(self.locate(finding) for finding in self._findings)

    def findings_about(self, ref: ObjectRef) -> tuple[Finding, ...]:
        """Return the findings about an object of a plugin's kind.

        By its model, its plugin, or a generator that read it.
        """
        findings = {
            *self._store.rejected().get(ref, ()),
            *self._findings.at(Place(Subject.OBJECT, ref)),
        }
        for port in self._ports.reading(ref):
            at_port = self._findings.at(Place(Subject.PORT, port))
            findings.update(finding for finding in at_port if finding.ref == ref)
        return in_order(findings)

    def locate(self, finding: Finding) -> Finding:
        """Return the finding with its file and line, if its object came from a file."""
        if finding.source is not None or finding.ref is None:
            return finding
        origin = self._store.origin(finding.ref)
        if origin is None:
            return finding
        source, line = origin.locate(finding.field)
        return replace(finding, source=source, line=line)
