"""The services of the mesh by object and by host, and the outbound listeners that they claim.

istiod makes one listener for each address and port, so two services that want the same one compete
for it. A headless service has a listener for each of its endpoints:
:meth:`ServiceTable.follow_endpoints` keeps its claims up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

from aeraki_core.mesh.claims import Claim
from aeraki_core.mesh.keys import (
    AnnotationKey,
    AnnotationsKey,
    HostKey,
    Key,
    LabelsKey,
    ListenerKey,
    ServiceKey,
)
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.mesh.table import oldest_first
from aeraki_core.model.endpoints import Endpoints, PortEndpoints
from aeraki_core.model.listeners import (
    Listener,
    needs_endpoints,
    outbound_listeners,
    wildcards,
)
from aeraki_core.model.memory import Index
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.service import Port, Service, ServiceId
from aeraki_core.model.wire import text_map

__all__ = ["ServiceTable"]

Parse = Callable[[SourceObject], tuple[Service, ...]]
EndpointsOf = Callable[[str, str], Endpoints]

K = TypeVar("K")
V = TypeVar("V")


class _HostIn(NamedTuple):
    """A host in a namespace, whose services share endpoints."""

    host: str
    namespace: str


class ServiceTable:
    """All services.

    ``endpoints_of`` takes the namespace and name of a Kubernetes Service. ``keep_labels``: only
    where somebody asks for labels do they take memory.
    """

    def __init__(
        self,
        endpoints_of: EndpointsOf,
        *,
        keep_labels: bool = False,
        headless_filter_chains: bool = False,
    ) -> None:
        self._endpoints_of = endpoints_of
        self.keeps_labels = keep_labels
        self._headless_filter_chains = headless_filter_chains
        self._labels: dict[ObjectRef, Mapping[str, str]] = {}
        self._services: dict[ObjectRef, tuple[Service, ...]] = {}
        self._by_host: Index[str, ServiceId, Service] = Index()
        self._hosts_in_order: dict[str, tuple[Service, ...]] = {}
        self._annotations: dict[ObjectRef, Mapping[str, str]] = {}
        self._claims: Index[str, ServiceId, Claim] = Index()
        self._claimed: dict[ServiceId, tuple[str, ...]] = {}
        self._in_order: dict[str, tuple[Claim, ...]] = {}
        self._shared: dict[_HostIn, dict[int, PortEndpoints]] = {}
        """By port: endpoints that somebody asked for."""

    def __contains__(self, ref: object) -> bool:
        return ref in self._services

    def __iter__(self) -> Iterator[Service]:
        for services in self._services.values():
            yield from services

    def copy_from(self, other: ServiceTable) -> None:
        """Hold what another table holds now."""
        self._labels = dict(other._labels)
        self._services = dict(other._services)
        self._by_host = other._by_host.copy()
        self._annotations = dict(other._annotations)
        self._claims = other._claims.copy()
        self._claimed = dict(other._claimed)
        self._hosts_in_order, self._in_order = {}, {}
        self._shared = {key: dict(ports) for key, ports in other._shared.items()}

    def of(self, ref: ObjectRef) -> tuple[Service, ...]:
        """Return the services of one object: a ServiceEntry has one for each host."""
        return self._services.get(ref, ())

    def get(self, service_id: ServiceId) -> Service | None:
        """Return the service of that id."""
        for service in self._services.get(service_id.ref, ()):
            if service.host == service_id.host:
                return service
        return None

    def of_host(self, host: str) -> tuple[Service, ...]:
        """Return the services of a host, the oldest first."""
        services = self._hosts_in_order.get(host)
        if services is None:
            services = self._by_host.values(host)
            # One host may have a thousand entries, and each of them asks whose it is.
            if len(services) > 1:
                services = self._hosts_in_order[host] = oldest_first(services)
        return services

    def count_of_host(self, host: str) -> int:
        """Return how many services a host has."""
        return self._by_host.count(host)

    def count_of_claims(self, listener: str) -> int:
        """Return how many claims a listener has."""
        return self._claims.count(listener)

    def annotations(self, ref: ObjectRef) -> Mapping[str, str]:
        """Return the annotations of a service's object."""
        return self._annotations.get(ref, {})

    def labels(self, ref: ObjectRef) -> Mapping[str, str]:
        """Return the labels of a service's object; empty where labels are not kept."""
        return self._labels.get(ref, {})

    def claims(self, listener: str) -> tuple[Claim, ...]:
        """Return the claims of a listener, in any proxy, the oldest first."""
        claims = self._in_order.get(listener)
        if claims is None:
            claims = self._claims.values(listener)
            # One address may have thousands of services, and each asks who has its listener.
            if len(claims) > 1:
                claims = tuple(sorted(claims, key=lambda claim: (claim.age, claim.service)))
                self._in_order[listener] = claims
        return claims

    def upsert(self, item: SourceObject, parse: Parse) -> set[Key]:
        """Parse and keep the services of an object. Returns the keys whose answer changed.

        Raises:
            InputError: the object does not fit its kind. What was kept before stays.
        """
        annotations = text_map(item.metadata.get("annotations"))
        labels = text_map(item.metadata.get("labels")) if self.keeps_labels else {}
        changed = self._put(item.ref, parse(item), annotations)
        if labels != self.labels(item.ref):
            _set_or_drop(self._labels, item.ref, labels)
            changed.add(LabelsKey(item.ref))
        return changed

    def replace(self, ref: ObjectRef, services: tuple[Service, ...]) -> set[Key]:
        """Put others in the place of an object's services, under the same annotations."""
        return self._put(ref, services, self.annotations(ref)) if ref in self._services else set()

    def remove(self, ref: ObjectRef) -> set[Key]:
        """Forget the services of an object. Returns the keys whose answer changed."""
        self._labels.pop(ref, None)
        return self._put(ref, (), {}) if ref in self._services else set()

    def follow_endpoints(self, namespace: str, name: str) -> set[Key]:
        """Follow a change of the endpoints of a Kubernetes Service.

        Returns the listeners whose claims changed.
        """
        changed: set[Key] = set()
        for service in self.of(ObjectRef("Service", namespace, name)):
            changed |= self._follow_shared(_HostIn(service.host, namespace))
        return changed

    def port_endpoints(self, service: Service, number: int) -> PortEndpoints:
        """Return the endpoints of a port, which all services of the host and namespace share.

        istiod finds those of ServiceEntries by the port's number. It finds those of Kubernetes by
        the name that the youngest service with endpoints there gives the port (push_context.go,
        initServiceRegistry).
        """
        place = _HostIn(service.host, service.namespace)
        ports = self._shared.setdefault(place, {})
        if number not in ports:
            ports[number] = self._find_endpoints(place, number)
        return ports[number]

    def _find_endpoints(self, place: _HostIn, number: int) -> PortEndpoints:
        services = self._services_at(place)
        named = [(each, port) for each in services if (port := each.port(number)) is not None]
        of_entries = any(each.has_endpoints for each, _ in named)
        owner = next((each.ref.name for each in services if each.ref.kind == "Service"), None)
        pods: tuple[str, ...] = ()
        for _, port in reversed(named):
            if owner is not None:
                pods = self._endpoints_of(place.namespace, owner).of_port(port.name)
            if pods or of_entries or owner is None:
                break
        return PortEndpoints(pods, of_entries)

    def _services_at(self, place: _HostIn) -> list[Service]:
        return [each for each in self.of_host(place.host) if each.namespace == place.namespace]

    def _follow_shared(self, place: _HostIn) -> set[Key]:
        """Claim anew for the services of a host and namespace whose endpoints changed."""
        before = self._shared.pop(place, None)
        if before is None:
            return set()
        services = self._services_at(place)
        if not services or before == {
            number: self.port_endpoints(services[0], number) for number in before
        }:
            return set()
        changed: set[Key] = set()
        for service in services:
            if needs_endpoints(service):
                changed |= self._claim(service.id, service)
        return changed

    def _put(
        self, ref: ObjectRef, services: tuple[Service, ...], annotations: Mapping[str, str]
    ) -> set[Key]:
        changed: set[Key] = set()
        before = {service.id: service for service in self._services.get(ref, ())}
        after = {service.id: service for service in services}
        if before and after:
            changed |= _annotation_changes(ref, self.annotations(ref), annotations)
        _set_or_drop(self._annotations, ref, annotations)
        _set_or_drop(self._services, ref, services)
        for service_id in before.keys() | after.keys():
            old, new = before.get(service_id), after.get(service_id)
            self._hosts_in_order.pop(service_id.host, None)
            if new is None:
                self._by_host.drop(service_id.host, service_id)
            else:
                self._by_host.put(service_id.host, service_id, new)
            if old != new:
                changed |= {ServiceKey(ref, service_id.host), HostKey(service_id.host)}
                place = _HostIn(service_id.host, ref.namespace)
                if ref.kind == "Service" or any(each and each.has_endpoints for each in (old, new)):
                    changed |= self._follow_shared(place)
                elif not self._by_host.count(service_id.host):
                    self._shared.pop(place, None)
                changed |= self._claim(service_id, new)
        return changed

    def _claim(self, service_id: ServiceId, service: Service | None) -> set[Key]:
        """Bring the claims of a service up to date. Returns the listeners whose claims changed."""
        wanted = self._wanted_claims(service) if service is not None else {}
        changed: set[Key] = set()
        for name in self._claimed.get(service_id, ()):
            if name not in wanted:
                self._claims.drop(name, service_id)
                self._in_order.pop(name, None)
                changed.add(ListenerKey(name))
        for name, claim in wanted.items():
            if self._claims.get(name, service_id) != claim:
                self._claims.put(name, service_id, claim)
                self._in_order.pop(name, None)
                changed.add(ListenerKey(name))
        _set_or_drop(self._claimed, service_id, tuple(wanted))
        return changed

    def _wanted_claims(self, service: Service) -> dict[str, Claim]:
        """Return the claims of a service by the listener's name."""
        is_shared = needs_endpoints(service)
        claims: dict[str, Claim] = {}
        for port in service.ports:
            # istiod makes no listener for UDP. HTTP of all services is on the wildcard listener,
            # beside whose chains stands that of one TCP service.
            listeners: tuple[Listener, ...] = ()
            protocol = _protocol(service, port)
            if protocol not in (PortProtocol.UDP, PortProtocol.HTTP):
                listeners = outbound_listeners(
                    service,
                    port,
                    self.port_endpoints(service, port.number) if is_shared else None,
                    headless_filter_chains=self._headless_filter_chains,
                )
            claim = Claim(service.age, service.id, port.number, export_to=service.export_to)
            for listener in listeners:
                claims[listener.name] = replace(claim, ranges=_has_matches(listener, protocol))
            if service.headless and port.protocol != "UDP":
                for name in wildcards(port.number):
                    claims.setdefault(name, replace(claim, by_sidecar=True))
        return claims


def _protocol(service: Service, port: Port) -> PortProtocol:
    """Return the protocol that istiod assumes: that of a ServiceEntry's port is what it says."""
    is_written = service.ref.kind != "Service" and port.protocol == "TCP"
    return PortProtocol.TCP if is_written else port_protocol(port)


def _has_matches(listener: Listener, protocol: PortProtocol) -> bool:
    """Report whether the port's chain has a match, so that chains of others stand beside it.

    On wildcard listeners istiod matches ports of TLS by the server name (tls.go).
    """
    return listener.ranges or (listener.has_passthrough and protocol is PortProtocol.TLS)


def _annotation_changes(
    ref: ObjectRef, before: Mapping[str, str], after: Mapping[str, str]
) -> set[Key]:
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    prefixes = {name.partition("/")[0] for name in names if "/" in name}
    return {
        *(AnnotationKey(ref, name) for name in names),
        *(AnnotationsKey(ref, prefix) for prefix in prefixes),
    }


def _set_or_drop(table: dict[K, V], key: K, value: V) -> None:
    """Keep a value that holds something; an empty one takes no place."""
    if value:
        table[key] = value
    else:
        table.pop(key, None)
