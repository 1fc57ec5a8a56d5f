"""The mesh's objects as istiod reads them: parsed once, then seen by many proxies.

The whole objects stand beside the parsed ones, because istiod obeys fields that no plugin needs.
The core's store takes no part: what the core derives from the same objects is compared with this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from aeraki_core.errors import InputError
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.endpoints import Endpoints, EndpointSlice, parse_endpoint_slice, union
from aeraki_core.model.gateway_api import GATEWAY_API, TCP_ROUTE, parse_tcp_route
from aeraki_core.model.istio import (
    DestinationRule,
    VirtualService,
    parse_destination_rule,
    parse_virtual_service,
)
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef, group_of_plugin, is_dns_subdomain
from aeraki_core.model.service import (
    Port,
    Resolution,
    Service,
    parse_external_name,
    parse_service,
    parse_service_entry,
)
from aeraki_core.model.workload_entry import WorkloadEntry, parse_workload_entry
from aeraki_core.testing.sidecar.chains import is_ip
from aeraki_core.testing.sidecar.proxy import MutualTls
from aeraki_core.testing.sidecar.scope import SidecarResource, parse_sidecar

__all__ = ["MeshObjects", "PortEndpoint", "is_kubernetes", "part", "read_objects", "source_object"]

T = TypeVar("T")


class PortEndpoint(NamedTuple):
    """An endpoint of one port of a service.

    ``labels``: those that a ServiceEntry writes; labels of pods are in no object that we read.
    """

    address: str
    port: int
    labels: Mapping[str, Any] = MappingProxyType({})
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshObjects:
    """Everything that istiod reads, each kind the oldest first.

    ``contents``: each object as it is written.
    ``aliases``: the hosts that Services of type ExternalName are other names of.
    ``by_host``: the services of each host.
    ``mutual_tls``: the mode of the PeerAuthentication of each namespace.
    ``slices``: EndpointSlices.
    ``sidecars``: Sidecar resources; those with a selector come first.
    """

    mesh: Mesh
    contents: Mapping[ObjectRef, Mapping[str, Any]]
    services: tuple[Service, ...]
    aliases: Mapping[ObjectRef, str]
    by_host: Mapping[str, Sequence[Service]]
    mutual_tls: Mapping[str, MutualTls]
    slices: tuple[EndpointSlice, ...]
    virtual_services: tuple[VirtualService, ...]
    destination_rules: tuple[DestinationRule, ...]
    workload_entries: tuple[WorkloadEntry, ...]
    sidecars: tuple[SidecarResource, ...]

    def spec(self, ref: ObjectRef) -> Mapping[str, Any]:
        """Return the spec of an object; empty when it has none."""
        return part(self.contents.get(ref), "spec")

    def endpoints(self, service: Service) -> Endpoints:
        """Return the endpoints of a Kubernetes Service."""
        owner = (service.namespace, service.ref.name)
        return union(item for item in self.slices if (item.ref.namespace, item.service) == owner)

    def services_of(self, host: str) -> Mapping[str, Service]:
        """Return a host's service of each namespace: Kubernetes' own, else the oldest."""
        services: dict[str, Service] = {}
        for service in self.by_host.get(host, ()):
            known = services.setdefault(service.namespace, service)
            if is_kubernetes(service) and not is_kubernetes(known):
                services[service.namespace] = service
        return services

    def port_endpoints(self, service: Service, port: int) -> list[PortEndpoint]:
        """Return the endpoints of a service's port.

        Services of one namespace and host share them. Those of ServiceEntries are found by the
        port's number, those of Kubernetes by its name in the youngest service that has the number.
        """
        services = [
            item for item in self.by_host[service.host] if item.namespace == service.namespace
        ]
        endpoints: list[PortEndpoint] = []
        for other in services:
            named = other.port(port)
            if named is not None:
                endpoints = self._endpoints_together(services, named) or endpoints
        return endpoints

    def _endpoints_together(self, services: Iterable[Service], port: Port) -> list[PortEndpoint]:
        """Return what the services of one namespace and host have for a port, the oldest first.

        Envoy takes one endpoint for a host of DNS_ROUND_ROBIN, so its entries add none to others
        (serviceentry/conversion.go, mergeServicesInstancesByNamespaceHost).
        """
        of_kubernetes: list[PortEndpoint] = []
        of_entries: list[PortEndpoint] = []
        for service in services:
            found = of_kubernetes if is_kubernetes(service) else of_entries
            for endpoint in self._endpoints_of(service, port):
                if service.resolution is not Resolution.DNS_ROUND_ROBIN or not found:
                    found.append(endpoint)
        return of_kubernetes + of_entries

    def _endpoints_of(self, service: Service, port: Port) -> Iterator[PortEndpoint]:
        if is_kubernetes(service):
            endpoints = self.endpoints(service)
            for number in endpoints.target_ports(port.name):
                for address in endpoints.addresses:
                    yield PortEndpoint(address, number)
            yield from self._selected_workloads(service, port)
        elif (own := service.port(port.number)) is not None:
            # Istio makes a service of each address, and counts the endpoints of each.
            for _ in service.addresses or ("",):
                yield from self._entry_endpoints(service, own)

    def _selected_workloads(self, service: Service, port: Port) -> Iterator[PortEndpoint]:
        """Yield the WorkloadEntries behind a Service of Kubernetes, unless it is headless."""
        own = next((each for each in service.ports if each.name == port.name), None)
        if own is None or service.headless or not service.selector:
            return
        for entry in self.workload_entries:
            is_selected = {*entry.labels} >= {*service.selector} and is_ip(entry.address)
            number = dict(entry.ports).get(port.name, own.target)
            if is_selected and entry.ref.namespace == service.namespace and isinstance(number, int):
                weight = self.spec(entry.ref).get("weight") or 1
                yield PortEndpoint(entry.address, number, dict(entry.labels), weight)

    def _entry_endpoints(self, service: Service, port: Port) -> Iterator[PortEndpoint]:
        number = port.target if isinstance(port.target, int) else port.number
        endpoints = self.spec(service.ref).get("endpoints")
        for item in endpoints if isinstance(endpoints, list) else ():
            address, weight = str(part(item).get("address")), part(item).get("weight") or 1
            own = part(item, "ports").get(port.name, number)
            yield PortEndpoint(address, own, part(item, "labels"), weight)
        for entry in self.workload_entries if service.selector else ():
            labels = dict(entry.labels)
            if entry.ref.namespace == service.namespace and labels.items() >= {*service.selector}:
                own = dict(entry.ports).get(port.name, number)
                weight = self.spec(entry.ref).get("weight") or 1
                yield PortEndpoint(entry.address, own, labels, weight)
        if not endpoints and service.resolution in _LOOKED_UP and not service.selector:
            yield PortEndpoint(service.host, number)

    def mutual_tls_of(self, namespace: str) -> MutualTls:
        """Return how the workloads of a namespace take mutual TLS."""
        root = self.mutual_tls.get(self.mesh.root_namespace, MutualTls.PERMISSIVE)
        return self.mutual_tls.get(namespace, root)


_LOOKED_UP = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)


def read_objects(
    objects: Iterable[Mapping[str, Any]] | MeshObjects, mesh: Mesh | None = None
) -> MeshObjects:
    """Parse Kubernetes objects; what a model rejects is left out, as istiod's admission would.

    ``mesh``: domain and root namespace, when they are not the defaults.
    """
    if isinstance(objects, MeshObjects):
        return objects
    mesh = mesh or Mesh()
    contents: dict[ObjectRef, Mapping[str, Any]] = {}
    by_kind: defaultdict[tuple[str, str], list[ObjectRef]] = defaultdict(list)
    for item in filter(None, map(source_object, objects)):
        if not is_dns_subdomain(item.ref.name):
            continue
        if item.ref not in contents:
            group = item.api_version.rpartition("/")[0]
            by_kind[group, item.ref.kind].append(item.ref)
        contents[item.ref] = item.content

    def parsed(
        group: str, kind: str, parse: Callable[[ObjectRef, Mapping[str, Any]], T]
    ) -> list[T]:
        values = []
        for ref in by_kind[group, kind]:
            with suppress(InputError):
                values.append(parse(ref, contents[ref]))
        return values

    istio = "networking.istio.io"
    kubernetes = parsed(
        "", "Service", lambda ref, content: parse_service(ref, content, mesh.domain)
    )
    entries = parsed(istio, "ServiceEntry", parse_service_entry)
    named = parsed(
        "", "Service", lambda ref, content: parse_external_name(ref, content, mesh.domain)
    )
    aliases = [item for item in named if item is not None]
    services = [item for item in kubernetes if item is not None]
    services += [item.service for item in aliases]
    services += [item for entry in entries for item in entry]
    virtual_services = parsed(
        istio,
        "VirtualService",
        lambda ref, content: parse_virtual_service(ref, content, mesh.domain),
    )
    virtual_services += parsed(
        GATEWAY_API,
        TCP_ROUTE,
        lambda ref, content: parse_tcp_route(ref, content, mesh.domain),
    )
    rules = parsed(
        istio,
        "DestinationRule",
        lambda ref, content: parse_destination_rule(ref, content, mesh.domain),
    )
    sidecars = parsed(istio, "Sidecar", parse_sidecar)
    workload_entries = parsed(istio, "WorkloadEntry", parse_workload_entry)
    services.sort(key=lambda item: item.age)
    by_host: defaultdict[str, list[Service]] = defaultdict(list)
    for service in services:
        by_host[service.host].append(service)
    policies = by_kind["security.istio.io", "PeerAuthentication"]
    return MeshObjects(
        mesh=mesh,
        contents=contents,
        services=tuple(services),
        aliases={item.service.ref: item.target for item in aliases},
        by_host=by_host,
        mutual_tls=dict(_mutual_tls(contents[ref] for ref in policies)),
        slices=tuple(parsed("discovery.k8s.io", "EndpointSlice", parse_endpoint_slice)),
        virtual_services=tuple(sorted(virtual_services, key=lambda item: item.age)),
        workload_entries=tuple(workload_entries),
        destination_rules=tuple(sorted(rules, key=lambda item: item.age)),
        sidecars=tuple(sorted(sidecars, key=lambda item: (not item.has_selector, item.age))),
    )


def _mutual_tls(policies: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, MutualTls]]:
    """Yield the mode of each namespace: that of its oldest PeerAuthentication for all workloads."""

    def created(policy: Mapping[str, Any]) -> str:
        return str(part(policy, "metadata").get("creationTimestamp") or "")

    # The oldest one comes last, and stays.
    for policy in sorted(policies, key=created, reverse=True):
        mode = part(policy, "spec", "mtls").get("mode")
        if mode in set(MutualTls) and not part(policy, "spec", "selector", "matchLabels"):
            yield str(part(policy, "metadata").get("namespace") or "default"), MutualTls(mode)


def is_kubernetes(service: Service) -> bool:
    """Report whether it is a Service of Kubernetes, and not of a ServiceEntry."""
    return service.ref.kind == "Service"


def part(value: Any, *names: str) -> Mapping[str, Any]:
    """Return a mapping inside mappings; empty if there is none, or another type."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def source_object(content: Mapping[str, Any]) -> SourceObject | None:
    """Return the object as a source hands it on; None without apiVersion, kind or name."""
    metadata = content.get("metadata")
    if not isinstance(metadata, Mapping):
        return None
    api_version, kind, name = content.get("apiVersion"), content.get("kind"), metadata.get("name")
    namespace = metadata.get("namespace") or "default"
    if not all(isinstance(text, str) and text for text in (api_version, kind, name, namespace)):
        return None
    group = group_of_plugin(str(api_version).rpartition("/")[0])
    ref = ObjectRef(str(kind), str(namespace), str(name), group)
    return SourceObject(ref, str(api_version), content)
