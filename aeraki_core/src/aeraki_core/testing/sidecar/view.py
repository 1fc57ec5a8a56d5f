"""What one proxy sees of the mesh: the services, routes and rules that istiod shows its namespace.

Istio source: pilot/pkg/model/push_context.go (servicesExportedToNamespace, getSidecarScope),
pilot/pkg/model/sidecar.go (selectServices, collectImportedServices, appendSidecarServices),
pilot/pkg/model/virtualservice.go (SelectVirtualServices).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from aeraki_core.errors import InputError
from aeraki_core.model.istio import Destination, HTTPRoute, TCPRoute, VirtualService, full_host
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.service import Service
from aeraki_core.model.wire import check
from aeraki_core.testing.sidecar.objects import MeshObjects, is_kubernetes, part
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

    def virtual_services_of(self, host: str) -> Iterator[VirtualService]:
        """Yield the VirtualServices for a host, in istiod's order."""
        for virtual_service in self.virtual_services:
            if any(hosts_match(name, host) for name in virtual_service.hosts):
                yield virtual_service


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
            if sidecar.ref.namespace == root and not sidecar.has_selector:
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

    @property
    def services(self) -> Iterable[Service]:
        """The services that the proxy has clusters for: one for each host."""
        return self._by_host.values()

    def service(self, host: str) -> Service | None:
        """Return the service of a host that the proxy has clusters for."""
        return self._by_host.get(host)

    @cached_property
    def _by_host(self) -> Mapping[str, Service]:
        by_host: dict[str, Service] = {}
        for egress in self.egress:
            for service in (*egress.services, *self._destinations(egress)):
                self._add(by_host, service)
        return by_host

    def _add(self, by_host: dict[str, Service], service: Service) -> None:
        """Add a service as istiod does: Kubernetes' own wins, those of a namespace are merged."""
        known = by_host.get(service.host)
        if known is None or (is_kubernetes(service) and not is_kubernetes(known)):
            by_host[service.host] = service
        elif self._merging(known) == self._merging(service):
            more = tuple(port for port in service.ports if known.port(port.number) is None)
            by_host[service.host] = replace(known, ports=known.ports + more)

    def _merging(self, service: Service) -> tuple[object, ...]:
        """Return what two services of a host have in common where they are merged."""
        content = self.objects.contents[service.ref]
        labels = dict(part(content, "metadata", "labels"))
        # Fields are compared as they are written: no exportTo is not the same as one for all.
        exported = part(content, "spec").get("exportTo") or ()
        return (
            service.namespace,
            service.ref.kind,
            service.resolution,
            service.selector,
            labels,
            service.export_to if is_kubernetes(service) else set(exported),
        )

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
            and service.ref not in self.objects.aliases
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
        for service in self._candidates(listener):
            if listener.imports_service(service.host, service.namespace):
                of_port = _with_ports(service, {listener.port}) if listener.port else service
                if of_port is not None:
                    imported.append(of_port)
        # Of one host in several namespaces only one counts: the client's own, then Kubernetes'.
        chosen: dict[str, Service] = {}
        for service in imported:
            best = chosen.get(service.host)
            if (
                best is None
                or service.namespace == self.proxy.namespace
                or (
                    is_kubernetes(service)
                    and not is_kubernetes(best)
                    and best.namespace != self.proxy.namespace
                )
            ):
                chosen[service.host] = service
        return tuple(item for item in imported if chosen[item.host].namespace == item.namespace)

    def _candidates(self, listener: EgressListener) -> tuple[Service, ...]:
        if not listener.is_exact:
            return self._visible_services
        # What is imported by full name is looked up: only one service of a host and namespace.
        return tuple(
            service
            for service in self._visible_services
            if self.objects.services_of(service.host)[service.namespace] is service
        )

    def _virtual_services_of(self, listener: EgressListener) -> tuple[VirtualService, ...]:
        """Private ones first, then those exported to the namespace, then those for everybody."""

        def rank(item: VirtualService) -> tuple[int, bool]:
            own = item.namespace == self.proxy.namespace
            exported = 2 if "*" in item.export_to else 0 if own else 1
            return exported, not (own and item.is_attached)

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
        for virtual_service in egress.virtual_services:
            ports: dict[str, set[int]] = {}
            for destination, namespace in self._targets(virtual_service):
                host = full_host(destination.host, namespace, self.mesh.domain)
                number = destination.port.number if destination.port else 0
                ports.setdefault(host, set()).add(number)
            for host, numbers in ports.items():
                service = self._destination(host)
                if service is not None and egress.listener.port:
                    service = _with_ports(service, {egress.listener.port})
                elif service is not None and 0 not in numbers:
                    service = _with_ports(service, numbers)
                if service is not None:
                    yield service

    def _targets(self, virtual_service: VirtualService) -> Iterator[tuple[Destination, str]]:
        """Yield the destinations that the proxy may follow, and where their names resolve."""
        written = self.objects.spec(virtual_service.ref).get("http") or ()
        for number, route in enumerate(virtual_service.http):
            if not self._may_follow(route):
                continue
            delegate = part(written[number], "delegate") if number < len(written) else {}
            if not delegate:
                for destination in _destinations(route):
                    yield destination, virtual_service.namespace
            for other in self._delegates(virtual_service, delegate) if delegate else ():
                for further in filter(self._may_follow, other.http):
                    for destination in _destinations(further):
                        yield destination, other.namespace
        for tcp in virtual_service.tcp:
            for target in tcp.route or ():
                yield target.destination, virtual_service.namespace
        for entry in self.objects.spec(virtual_service.ref).get("tls") or ():
            with suppress(InputError):
                for target in check(TCPRoute, entry).route or ():
                    yield target.destination, virtual_service.namespace

    def _may_follow(self, route: HTTPRoute) -> bool:
        sources = [match.source_namespace for match in route.match or () if match.source_namespace]
        return not sources or self.proxy.namespace in sources

    def _delegates(
        self, virtual_service: VirtualService, delegate: Mapping[str, Any]
    ) -> Iterator[VirtualService]:
        """Yield the VirtualService that a route leaves its calls to, if it is exported there."""
        namespace = delegate.get("namespace") or virtual_service.namespace
        for other in self.objects.virtual_services:
            named = (other.ref.name, other.namespace) == (delegate.get("name"), namespace)
            if named and not other.hosts and {"*", virtual_service.namespace} & other.export_to:
                yield other

    def _destination(self, host: str) -> Service | None:
        """Return the service of a route's destination.

        That is the one of the proxy's own namespace, whoever it is exported to, then a visible one
        of Kubernetes, then the oldest visible one.
        """
        by_namespace = self.objects.services_of(host)
        if self.proxy.namespace in by_namespace:
            return by_namespace[self.proxy.namespace]
        visible = [
            service
            for service in by_namespace.values()
            if {"*", self.proxy.namespace} & service.export_to
        ]
        return min(
            visible, key=lambda item: (not is_kubernetes(item), item.age.created), default=None
        )


def _with_ports(service: Service, numbers: Set[int]) -> Service | None:
    """Return the service with only these ports; None if it has none of them."""
    ports = tuple(port for port in service.ports if port.number in numbers)
    if len(ports) == len(service.ports):
        return service
    return replace(service, ports=ports) if ports else None


def _destinations(route: HTTPRoute) -> Iterator[Destination]:
    for target in route.route or ():
        yield target.destination
    for mirror in (route.mirror, *(item.destination for item in route.mirrors)):
        if mirror is not None:
            yield mirror
