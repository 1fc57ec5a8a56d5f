"""Questions to the store whose answers are the same for every client, remembered for a reader."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from aeraki_core.mesh.keys import (
    AnnotationKey,
    AnnotationsKey,
    AttachedRouteKey,
    DestinationRulesKey,
    DetectionKey,
    EndpointsKey,
    HostKey,
    ImportersKey,
    PodKey,
    ProxyFamiliesKey,
    ReadyEndpointsKey,
    ResourceKey,
    SecretKey,
    ServiceKey,
    ShortHostRulesKey,
    SidecarsKey,
    VirtualServiceKey,
    VirtualServicesKey,
    WildcardsKey,
    WorkloadEntriesKey,
)
from aeraki_core.mesh.record import Record, wildcards_over
from aeraki_core.mesh.sidecars import listener_keys
from aeraki_core.mesh.store import Store
from aeraki_core.model.endpoints import Endpoints, PortEndpoints, ReadyEndpoint
from aeraki_core.model.gateway_api import AttachedRoute
from aeraki_core.model.istio import DestinationRule, VirtualService
from aeraki_core.model.mesh import ProxyFamily
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.pod import Pod
from aeraki_core.model.resource import Resource
from aeraki_core.model.secret import Secret
from aeraki_core.model.service import Port, Service, ServiceId, service_host
from aeraki_core.model.sidecar import SidecarScope
from aeraki_core.model.workload_entry import mapped_ports

__all__ = ["CommonReads"]

T = TypeVar("T")
Q = TypeVar("Q", VirtualServicesKey, DestinationRulesKey)


class CommonReads:
    """Questions on behalf of one reader, whichever client it asks for."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store = store
        self.record = record
        self.keys = record.keys
        """All questions that were asked."""
        self.objects = record.objects
        """The objects that an answer rested on."""
        self.mesh = store.mesh
        """The mesh's own settings. A change of them re-runs everything: they are not recorded."""
        self._referred: set[tuple[str, str]] = set()

    @property
    def secrets(self) -> dict[ObjectRef, Secret]:
        """The Secrets that were handed out."""
        return self.record.secrets

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
        # One key for all of a prefix: a plugin reads ten options of each service.
        self.keys.add(
            AnnotationsKey(service.ref, prefix) if slash else AnnotationKey(service.ref, name)
        )
        return self._store.annotations(service.ref).get(name)

    def annotations(self, service: Service, prefix: str) -> Mapping[str, str]:
        """All annotations ``<prefix>/...`` of a service's object, sorted by name."""
        self.keys.add(AnnotationsKey(service.ref, prefix))
        texts = self._store.annotations(service.ref)
        start = f"{prefix}/"
        return {name: texts[name] for name in sorted(texts) if name.startswith(start)}

    def detection(self, service: Service) -> None:
        """Note that an answer rests on what the service's ports speak."""
        self.keys.add(DetectionKey(*service.id))

    def endpoints(self, service: Service) -> Endpoints:
        """The endpoints of a Kubernetes Service.

        None for a ServiceEntry, which has no EndpointSlices.
        """
        if service.ref.kind != "Service":
            return Endpoints()
        self.keys.add(EndpointsKey(service.namespace, service.ref.name))
        return self._store.endpoints(service.namespace, service.ref.name)

    def port_endpoints(self, service: Service, port: Port) -> PortEndpoints:
        """The endpoints of a port, which all services of the host and namespace share."""
        for each in self.services_of_any_client(service.host):
            if each.ref.kind == "Service" and each.namespace == service.namespace:
                self.keys.add(EndpointsKey(each.namespace, each.ref.name))
        return self._store.port_endpoints(service, port)

    def mapped_ports(self, service: Service, port: Port) -> tuple[int, ...]:
        """The numbers of a service port at WorkloadEntries that map it to another one, sorted."""
        if not service.selector:
            return ()
        self.keys.add(WorkloadEntriesKey(service.namespace))
        entries = self._store.workload_entries(service.namespace)
        return mapped_ports(entries, service.selector, port.name) if entries else ()

    def proxy_families(self, service: Service) -> frozenset[ProxyFamily]:
        """The IP families of the mesh's proxies, by the settings or else by addresses.

        Only those of the service's own namespace and of the mesh itself: nobody else's object adds
        a patch to a filter of this service.
        """
        namespaces = {service.namespace, self.mesh.root_namespace}
        self.keys.update(map(ProxyFamiliesKey, namespaces))
        return self._store.proxy_families(namespaces)

    def ready_endpoints(self, service: Service) -> tuple[ReadyEndpoint, ...] | None:
        """The endpoints of a Kubernetes Service that take calls; None without an EndpointSlice.

        They are only known with live weights (``Mesh.live_weights``).
        """
        self.keys.add(ReadyEndpointsKey(service.namespace, service.ref.name))
        return self._store.ready_endpoints(service.namespace, service.ref.name)

    def pod(self, service: Service, name: str) -> Pod | None:
        """A Pod of a service's namespace. Only known with live weights, too."""
        self.keys.add(PodKey(ObjectRef("Pod", service.namespace, name)))
        return self._store.pod(service.namespace, name)

    def sidecars(self, namespace: str) -> tuple[SidecarScope, ...]:
        """The Sidecars of a namespace, the oldest first."""
        self.keys.add(SidecarsKey(namespace))
        sidecars = self._store.sidecars.of(namespace)
        self.objects.update(sidecar.ref for sidecar in sidecars)
        return sidecars

    def importers(self, service: Service) -> frozenset[str] | None:
        """The namespaces that may import a service, its own among them; None: any namespace."""
        self.keys.update((ImportersKey(service.namespace), ImportersKey("*")))
        return self._store.sidecars.importers(service)

    def sidecar_listeners(self, port: int) -> tuple[SidecarScope, ...]:
        """The Sidecars with an egress listener of their own for a port, the oldest first."""
        keys = listener_keys(port)
        self.keys.update(keys)
        return self._store.sidecars.with_listener(keys)

    def services_of_any_client(self, host: str) -> tuple[Service, ...]:
        """The services of a host, whoever sees them, the oldest first."""
        self.keys.add(HostKey(host))
        return self._store.services_of_host(host)

    def rules_of_short_host(self, service: Service) -> tuple[DestinationRule, ...]:
        """The DestinationRules of a Kubernetes Service's host without the mesh's domain."""
        key = ShortHostRulesKey(service.ref.name, service.namespace)
        self.keys.add(key)
        return self._store.destination_rules_of_short_host(key)

    def rules_of_any_client(self, host: str) -> tuple[DestinationRule, ...]:
        """The DestinationRules that some client may obey for the host.

        In each namespace those of the most specific host, as istiod looks them up.
        """
        rules: list[DestinationRule] = []
        for of_host in self._rules_by_host(host):
            namespaces = {rule.namespace for rule in rules}
            rules += (rule for rule in of_host if rule.namespace not in namespaces)
        return tuple(rules)

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

    def attached_route(self, ref: ObjectRef) -> AttachedRoute | None:
        """One route of the Gateway API."""
        self.keys.add(AttachedRouteKey(ref))
        return self._store.attached_route(ref)

    def services_of_object(self, ref: ObjectRef) -> tuple[Service, ...]:
        """The services of one object, whoever sees them."""
        if ref.kind == "Service":  # it may come later
            self.keys.add(HostKey(service_host(ref.name, ref.namespace, self.mesh.domain)))
        services = self._store.services_of(ref)
        self.keys.update(HostKey(service.host) for service in services)
        return services

    def secret(self, namespace: str, name: str) -> Secret | None:
        """A Secret."""
        self.keys.add(SecretKey(ObjectRef("Secret", namespace, name)))
        secret = self._store.secret(namespace, name)
        if secret is not None:
            self.objects.add(secret.ref)
            self.secrets[secret.ref] = secret
        return secret

    def _rules_by_host(self, host: str) -> list[tuple[DestinationRule, ...]]:
        """The DestinationRules of the host, then those of each wildcard over it that has some."""
        key, wildcards = self._ask_over(DestinationRulesKey, host)
        over = self._shared(wildcards, lambda: self._store.destination_rules_over(wildcards))
        return [self._store.destination_rules(key), *over]

    def _ask_over(self, question: Callable[[str], Q], host: str) -> tuple[Q, WildcardsKey]:
        """Ask for the host and for the wildcards over it: objects for them may be created later."""
        key = question(host)
        wildcards = wildcards_over(question, host.removeprefix("*.").partition(".")[2])
        self.keys.update((key, wildcards))
        return key, wildcards

    def _shared(self, key: Hashable, work_out: Callable[[], T]) -> T:
        """What is the same for very many readers, worked out once until the next change."""
        shared = self._store.shared_answers
        if key not in shared:
            shared[key] = work_out()
        value: T = shared[key]
        return value
