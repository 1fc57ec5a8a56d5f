"""A view of the store that remembers every question asked, so that a change re-runs exactly those who asked about it.

In: the store. Out: answers; and ``keys``, the questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from aeraki_core.mesh.keys import (
    AnnotationKey,
    AnnotationsKey,
    DestinationRulesKey,
    EndpointsKey,
    HostKey,
    Key,
    ListenerKey,
    ProxyFamiliesKey,
    ResourceKey,
    ResourcesKey,
    SecretKey,
    ServiceKey,
    SidecarsKey,
    VirtualServiceKey,
    VirtualServicesKey,
)
from aeraki_core.mesh.rejected import host_suffixes
from aeraki_core.mesh.services import Claim
from aeraki_core.mesh.store import Store
from aeraki_core.model.endpoints import Endpoints
from aeraki_core.model.istio import DestinationRule, VirtualService
from aeraki_core.model.mesh import Mesh, ProxyFamily
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import Resource
from aeraki_core.model.secret import Secret
from aeraki_core.model.service import Service, ServiceId
from aeraki_core.model.sidecar import SidecarScope

__all__ = ["Reads"]


HostQuestion = VirtualServicesKey | DestinationRulesKey


class Reads:
    """Questions to the store on behalf of one reader.

    ``objects`` are those that an answer rested on, for ``explain``; ``secrets`` those that were handed out, for redact.py.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.keys: set[Key] = set()
        self.objects: set[ObjectRef] = set()
        self.secrets: dict[ObjectRef, Secret] = {}
        self._referred: set[tuple[str, str]] = set()
        self._virtual_services: dict[str, tuple[VirtualService, ...]] = {}

    @property
    def mesh(self) -> Mesh:
        """The mesh's own settings; a change of them re-runs everything, so they are not recorded."""
        return self._store.mesh

    def service(self, service_id: ServiceId) -> Service | None:
        """The service of that id."""
        self.keys.add(ServiceKey(*service_id))
        service = self._store.service(service_id)
        if service is not None:
            self.objects.add(service.ref)
        return service

    def annotation(self, service: Service, name: str) -> str | None:
        """One annotation of a service's object."""
        prefix, slash, _ = name.partition("/")
        # One key for all of a prefix: a plugin reads ten options of each service, and looks for unknown ones too.
        self.keys.add(
            AnnotationsKey(service.ref, prefix) if slash else AnnotationKey(service.ref, name)
        )
        return self._store.annotations(service.ref).get(name)

    def annotations(self, service: Service, prefix: str) -> tuple[str, ...]:
        """The names of all annotations ``<prefix>/...`` of a service's object, sorted."""
        self.keys.add(AnnotationsKey(service.ref, prefix))
        return tuple(
            sorted(
                name
                for name in self._store.annotations(service.ref)
                if name.startswith(f"{prefix}/")
            )
        )

    def services_of_host(self, host: str) -> tuple[Service, ...]:
        """The services of that host, the oldest first."""
        self.keys.add(HostKey(host))
        services = self._store.services_of_host(host)
        self.objects.update(service.ref for service in services)
        return services

    def endpoints(self, service: Service) -> Endpoints:
        """The endpoints of a Kubernetes Service; none for a ServiceEntry, whose endpoints are in no object that we read."""
        if service.ref.kind != "Service":
            return Endpoints()
        self.keys.add(EndpointsKey(service.namespace, service.ref.name))
        return self._store.endpoints(service.namespace, service.ref.name)

    def proxy_families(self) -> frozenset[ProxyFamily]:
        """The IP families of the mesh's proxies, as the settings say or else as the mesh's addresses tell."""
        self.keys.add(ProxyFamiliesKey())
        return self._store.proxy_families()

    def claims(self, listener: str) -> tuple[Claim, ...]:
        """Who claims the listener, the oldest first."""
        self.keys.add(ListenerKey(listener))
        return self._store.claims(listener)

    def virtual_services(self, host: str) -> tuple[VirtualService, ...]:
        """All that apply to the host for sidecars: the most specific host first, then the oldest."""
        if host not in self._virtual_services:
            found: dict[ObjectRef, VirtualService] = {}
            for name in self._each(VirtualServicesKey, host):
                for item in self._store.virtual_services(name):
                    if item.for_mesh:
                        found.setdefault(item.ref, item)
            self._virtual_services[host] = tuple(found.values())
            self.objects.update(list(found)[:1])
        return self._virtual_services[host]

    def destination_rules(self, host: str) -> tuple[DestinationRule, ...]:
        """Those of the most specific host that matches, the oldest first (facts/istio.md)."""
        for name in self._each(DestinationRulesKey, host):
            found = self._store.destination_rules(name)
            if found:
                self.objects.update(item.ref for item in found)
                return found
        return ()

    def sidecars(self, namespace: str) -> tuple[SidecarScope, ...]:
        """The Sidecars of a namespace, the oldest first."""
        self.keys.add(SidecarsKey(namespace))
        sidecars = self._store.sidecars(namespace)
        self.objects.update(sidecar.ref for sidecar in sidecars)
        return sidecars

    def resources(self, kind: str, host: str) -> tuple[Resource[Any], ...]:
        """Objects of a plugin's kind that speak for the host, the oldest first."""
        self.keys.add(ResourcesKey(kind, host))
        found = self._store.resources(kind, host)
        self.objects.update(item.ref for item in found)
        for resource in found:
            self._refer(resource)
        return found

    def resource(self, ref: ObjectRef) -> Resource[Any] | None:
        """One object of a plugin's kind."""
        self.keys.add(ResourceKey(ref))
        resource = self._store.resource(ref)
        if resource is not None:
            self._refer(resource)
        return resource

    def refers(self, namespace: str, name: str) -> bool:
        """Whether a resource among the answers refers to that Secret."""
        return (namespace, name) in self._referred

    def _refer(self, resource: Resource[Any]) -> None:
        self._referred.update((resource.namespace, name) for name in resource.secrets)

    def virtual_service(self, ref: ObjectRef) -> VirtualService | None:
        """One VirtualService."""
        self.keys.add(VirtualServiceKey(ref))
        return self._store.virtual_service(ref)

    def secret(self, namespace: str, name: str) -> Secret | None:
        """A Secret."""
        self.keys.add(SecretKey(ObjectRef("Secret", namespace, name)))
        found = self._store.secret(namespace, name)
        if found is not None:
            self.objects.add(found.ref)
            self.secrets[found.ref] = found
        return found

    def _each(self, key: Callable[[str], HostQuestion], host: str) -> Iterator[str]:
        """The host and the wildcards over it. Each is recorded: an object for it may be created later."""
        self.keys.add(key(host))
        yield host
        for wildcard in _wildcards(key, host.removeprefix("*.").partition(".")[2]):
            self.keys.add(wildcard)
            yield wildcard.host


@lru_cache(maxsize=65536)
def _wildcards(key: Callable[[str], HostQuestion], domain: str) -> tuple[HostQuestion, ...]:
    """The questions about the wildcards over a host in that domain.

    The hosts of a namespace share the values: each takes part in thousands of sets.
    """
    return tuple(
        key(name)
        for name in host_suffixes(f"x.{domain}" if domain else "x")
        if name.startswith("*")
    )
