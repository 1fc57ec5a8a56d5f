"""What one proxy sees of the mesh: the services, routes and rules that istiod shows its namespace.

Istio source: pilot/pkg/model/push_context.go (servicesExportedToNamespace, getSidecarScope),
pilot/pkg/model/sidecar.go (selectServices, collectImportedServices, appendSidecarServices),
pilot/pkg/model/virtualservice.go (SelectVirtualServices).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from aeraki_core.model.istio import Destination, TCPRoute, VirtualService, full_host
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.service import Service
from aeraki_core.testing.sidecar.objects import MeshObjects
from aeraki_core.testing.sidecar.proxy import Proxy
from aeraki_core.testing.sidecar.rules import ClientRule, client_rule
from aeraki_core.testing.sidecar.scope import (
    EVERYTHING,
    EgressListener,
    SidecarResource,
    hosts_match,
)

__all__ = ["Egress", "View"]


@dataclass(frozen=True, slots=True)
class Egress:
    """An egress listener with the services and VirtualServices that it imports."""

    listener: EgressListener
    services: tuple[Service, ...]
    virtual_services: tuple[VirtualService, ...]

    def tcp_routes(self, host: str) -> Iterator[tuple[VirtualService, TCPRoute]]:
        """Yield the ``tcp`` routes for a host, in istiod's order."""
        for virtual_service in self.virtual_services:
            if any(hosts_match(name, host) for name in virtual_service.hosts):
                for route in virtual_service.tcp:
                    yield virtual_service, route


class View:
    """The mesh as one proxy sees it."""

    def __init__(self, objects: MeshObjects, proxy: Proxy) -> None:
        self.objects = objects
        self.proxy = proxy
        self._rules: dict[tuple[str, str], ClientRule | None] = {}

    @property
    def mesh(self) -> Mesh:
        """The mesh's own settings."""
        return self.objects.mesh

    @cached_property
    def sidecar(self) -> SidecarResource | None:
        """The Sidecar resource that counts for the proxy.

        That is the first of its namespace that selects its labels; without one, the root
        namespace's first one without a selector.
        """
        namespace, root = self.proxy.namespace, self.mesh.root_namespace
        for sidecar in self.objects.sidecars:
            if sidecar.ref.namespace == namespace and self.proxy.has_labels(sidecar.labels):
                return sidecar
        for sidecar in self.objects.sidecars:
            if sidecar.ref.namespace == root and not sidecar.labels:
                return sidecar
        return None

    @property
    def registry_only(self) -> bool:
        """Whether calls to unknown addresses are refused."""
        own = None if self.sidecar is None else self.sidecar.registry_only
        return self.mesh.registry_only if own is None else own

    @cached_property
    def egress(self) -> tuple[Egress, ...]:
        """The proxy's egress listeners; one that imports everything without a Sidecar resource."""
        egress = (EVERYTHING,) if self.sidecar is None else self.sidecar.egress
        listeners = (listener.of_client(self.proxy.namespace) for listener in egress)
        return tuple(
            Egress(listener, self._services_of(listener), self._virtual_services_of(listener))
            for listener in listeners
        )

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """The services that the proxy has clusters for: one for each host."""
        by_host: dict[str, Service] = {}
        for egress in self.egress:
            for service in egress.services:
                _add(by_host, service)
            for service in self._destinations(egress):
                _add(by_host, service)
        return tuple(by_host.values())

    def service(self, host: str) -> Service | None:
        """Return the service of a host that the proxy has clusters for."""
        return next((service for service in self.services if service.host == host), None)

    def destination_rule(self, service: Service) -> ClientRule | None:
        """Return the DestinationRule for the proxy's calls to a service."""
        key = (service.host, service.namespace)
        if key not in self._rules:
            self._rules[key] = client_rule(self.objects, self.proxy, service)
        return self._rules[key]

    def selecting(self) -> tuple[Service, ...]:
        """Return the services whose selector selects the proxy's workload, the oldest first."""
        return tuple(
            service
            for service in self.objects.services
            if service.selector
            and service.namespace == self.proxy.namespace
            and self.proxy.has_labels(dict(service.selector))
        )

    @cached_property
    def _visible_services(self) -> tuple[Service, ...]:
        """Services exported to the namespace itself come before those exported to all."""
        services = self.objects.services
        mine = tuple(item for item in services if self.proxy.namespace in item.export_to)
        return mine + tuple(item for item in services if "*" in item.export_to)

    def _services_of(self, listener: EgressListener) -> tuple[Service, ...]:
        imported = []
        for service in self._visible_services:
            if not listener.imports_service(service.host, service.namespace):
                continue
            if listener.port:
                port = service.port(listener.port)
                if port is None:
                    continue
                service = replace(service, ports=(port,))
            imported.append(service)
        # Of one host in several namespaces only one counts: the client's own, then Kubernetes'.
        chosen: dict[str, Service] = {}
        for service in imported:
            best = chosen.get(service.host)
            if (
                best is None
                or service.namespace == self.proxy.namespace
                or (
                    _is_kubernetes(service)
                    and not _is_kubernetes(best)
                    and best.namespace != self.proxy.namespace
                )
            ):
                chosen[service.host] = service
        return tuple(item for item in imported if chosen[item.host].namespace == item.namespace)

    def _virtual_services_of(self, listener: EgressListener) -> tuple[VirtualService, ...]:
        """Private ones first, then those exported to the namespace, then those for everybody."""

        def rank(item: VirtualService) -> int:
            if "*" in item.export_to:
                return 2
            return 0 if item.namespace == self.proxy.namespace else 1

        imported = [
            item
            for item in self.objects.virtual_services
            if item.for_mesh
            and {"*", self.proxy.namespace} & item.export_to
            and listener.imports_virtual_service(item.hosts, item.namespace)
        ]
        return tuple(sorted(imported, key=rank))

    def _destinations(self, egress: Egress) -> Iterator[Service]:
        """Services that imported VirtualServices lead to are imported too."""
        by_host: dict[str, list[Service]] = {}
        for service in self._visible_services:
            by_host.setdefault(service.host, []).append(service)
        for virtual_service in egress.virtual_services:
            for destination in _destinations(virtual_service):
                host = full_host(destination.host, virtual_service.namespace, self.mesh.domain)
                services = by_host.get(host, [])
                own = [item for item in services if item.namespace == self.proxy.namespace]
                kubernetes = [item for item in services if _is_kubernetes(item)]
                for service in (own or kubernetes or services)[:1]:
                    port = destination.port.number if destination.port else 0
                    known = service.port(port)
                    if egress.listener.port:
                        known = service.port(egress.listener.port)
                        if known is None:
                            continue
                    if known is not None:
                        service = replace(service, ports=(known,))
                    yield service


def _is_kubernetes(service: Service) -> bool:
    return service.ref.kind == "Service"


def _add(by_host: dict[str, Service], service: Service) -> None:
    """Take a service in as istiod does: Kubernetes' own wins, entries of a namespace are merged."""
    known = by_host.get(service.host)
    if known is None or (_is_kubernetes(service) and not _is_kubernetes(known)):
        by_host[service.host] = service
    elif (known.namespace, known.resolution, known.selector, known.export_to) == (
        service.namespace,
        service.resolution,
        service.selector,
        service.export_to,
    ):
        more = tuple(port for port in service.ports if known.port(port.number) is None)
        by_host[service.host] = replace(known, ports=known.ports + more)


def _destinations(virtual_service: VirtualService) -> Iterator[Destination]:
    for route in virtual_service.http:
        for target in route.route or ():
            yield target.destination
        for mirror in (route.mirror, *(item.destination for item in route.mirrors)):
            if mirror is not None:
                yield mirror
    for tcp in virtual_service.tcp:
        for target in tcp.route or ():
            yield target.destination
