"""What is wrong with an object on its own, whoever reads it.

A check asks its questions like a generator. So it runs again only when an answer changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aeraki_core.findings.by_place import FindingsByPlace, Place, Subject
from aeraki_core.findings.codes import UNKNOWN_HOST
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.mesh_client import MeshClient
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.resolve import have_common_client
from aeraki_core.mesh.store import Store
from aeraki_core.model.gateway_api import ROUTE_KINDS, TCP_ROUTE, AttachedRoute
from aeraki_core.model.istio import VirtualService
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.namespace import ANNOTATION_PREFIX
from aeraki_core.model.service import Service, is_wildcard
from aeraki_core.pipeline.detect import Detector
from aeraki_core.pipeline.hints import (
    Detections,
    annotation_hints,
    attached_route_hints,
    external_name_hints,
    rule_hints,
    service_hints,
    virtual_service_hints,
)
from aeraki_core.pipeline.ports import PortTable
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import Registry

__all__ = ["SERVICE_KINDS", "ObjectChecks"]

SERVICE_KINDS = ("Service", "ServiceEntry")


class ObjectChecks:
    """The checks of all kinds of objects. Their findings go to ``findings``."""

    def __init__(
        self,
        *,
        store: Store,
        detector: Detector,
        ports: PortTable,
        dispatcher: Dispatcher,
        findings: FindingsByPlace,
    ) -> None:
        self._store = store
        self._detector = detector
        self._ports = ports
        self._dispatcher = dispatcher
        self._findings = findings
        self.learn(dispatcher.registry)

    def learn(self, registry: Registry) -> None:
        """Use these plugins' options from here on."""
        names = [protocol.name for protocol in registry.protocols]
        self._protocols_by_prefix = {f"{name}.{ANNOTATION_PREFIX}": name for name in names}
        self._option_owners = (
            *names,
            *(addon.name for plugin in registry.active for addon in plugin.addons),
        )

    def check_namespace(self, name: str) -> None:
        """Report annotations of a Namespace that no plugin knows."""
        namespace = self._store.namespace(name)
        findings: tuple[Finding, ...] = ()
        if namespace is not None:
            findings = annotation_hints(
                namespace.ref, dict(namespace.annotations), self._option_owners
            )
        place = Place(Subject.OBJECT, ObjectRef("Namespace", "", name))
        self._findings.put(place, findings)

    def check(self, ref: ObjectRef) -> None:
        """Report what is wrong with an object.

        A plugin's resource is checked by its plugin, Istio's and Kubernetes' objects here.
        """
        # As the clients in its own namespace see the mesh: only they are sure to see the object.
        reads = Reads(self._store, MeshClient(ref.namespace))
        findings: tuple[Finding, ...] = ()
        if ref.kind == "VirtualService":
            virtual_service = reads.virtual_service(ref)
            exists = virtual_service is not None
            if virtual_service is not None:
                findings = self._of_virtual_service(virtual_service, reads)
        elif ref.kind in ROUTE_KINDS:
            route = reads.attached_route(ref)
            exists = route is not None
            if route is not None:
                findings = tuple(self._of_attached_route(route, reads))
        elif ref.kind in SERVICE_KINDS:
            services = self._store.services_of(ref)
            external = self._store.external_name(ref)
            exists = bool(services)
            if external is not None:
                findings = external_name_hints(external, self._detector)
            findings += tuple(
                finding for service in services for finding in self._of_service(service, reads)
            )
        else:
            resource = reads.resource(ref)
            exists = resource is not None
            if resource is not None:
                findings = self._dispatcher.validate(resource, reads, self._ports.spoken)
        self._ports.record_validation(ref, reads.keys if exists else ())
        self._findings.put(Place(Subject.OBJECT, ref), findings)

    def _of_virtual_service(
        self, virtual_service: VirtualService, reads: Reads
    ) -> tuple[Finding, ...]:
        def services_of(host: str) -> Iterator[tuple[Service, Detections]]:
            for service in reads.services_of_host(host):
                reads.annotations(service, ANNOTATION_PREFIX)  # they decide what is detected
                yield service, self._ports.detections(service.id)

        unknown = tuple(_unknown_hosts(virtual_service, reads)) if virtual_service.for_mesh else ()
        hints = virtual_service_hints(virtual_service, services_of, self._store.mesh.domain)
        return (*unknown, *hints)

    def _of_attached_route(self, route: AttachedRoute, reads: Reads) -> Iterator[Finding]:
        virtual_service = reads.virtual_service(route.ref) if route.ref.kind == TCP_ROUTE else None
        if virtual_service is not None:
            for finding in _unknown_hosts(virtual_service, reads):
                yield replace(finding, field="spec.parentRefs")
        for parent in route.parents:
            for service in reads.services_of_object(parent.ref):
                reads.annotations(service, ANNOTATION_PREFIX)
                detections = self._ports.detections(service.id)
                yield from attached_route_hints(route, parent, service, detections)

    def _of_service(self, service: Service, reads: Reads) -> tuple[Finding, ...]:
        # Not asked through ``reads``: a change of an object's own annotations checks it anyway.
        annotations = self._store.annotations(service.ref)
        options: dict[str, list[str]] = {}
        for annotation in annotations:
            protocol = self._protocols_by_prefix.get(annotation.partition("/")[0])
            if protocol is not None:
                options.setdefault(protocol, []).append(annotation)
        detections = self._ports.detections(service.id)
        hints = (
            *service_hints(service, detections, options),
            *annotation_hints(service.ref, annotations, self._option_owners, service),
        )
        if any(detection.protocol is not None for detection in detections.values()):
            rules = reads.rules_of_any_client(service.host)
            hints = (*hints, *rule_hints(service, detections, rules), *_short_hosts(service, reads))
        return hints


def _short_hosts(service: Service, reads: Reads) -> Iterator[Finding]:
    """Yield a finding for each DestinationRule whose host is the service's without its end."""
    if service.ref.kind == "Service":
        for rule in reads.rules_of_short_host(service):
            message = f"no service {rule.host} in the mesh; did you mean {service.host}?"
            yield Finding(UNKNOWN_HOST, message, rule.ref, "spec.host")


def _meant_host(host: str, reads: Reads) -> str:
    """Return the question for a host that lacks the end of a Service's name; else nothing."""
    for end in (f".svc.{reads.mesh.domain}", f".{reads.mesh.domain}"):
        if reads.services_of_host(host + end):
            return f"; did you mean {host}{end}?"
    return ""


def _unknown_hosts(virtual_service: VirtualService, reads: Reads) -> Iterator[Finding]:
    for host in virtual_service.hosts:
        if is_wildcard(host):
            continue
        services = reads.services_of_any_client(host)
        if not services:
            problem = f"no service {host} in the mesh"
        elif not any(have_common_client(virtual_service, service) for service in services):
            problem = f"no client sees both this object and {services[0].ref}, by their exportTo"
        else:
            continue
        message = f"{problem}; the routes have no effect{_meant_host(host, reads)}"
        yield Finding(UNKNOWN_HOST, message, virtual_service.ref, "spec.hosts")
