"""The mesh as it is known now, indexed by what generators ask for.

The store parses each object that a source hands over, and answers a change with the
:data:`~aeraki_core.mesh.keys.Key` values whose answer is another one now. Readers go through
:class:`~aeraki_core.mesh.reads.Reads`, which records what they ask as the same keys. One thread
owns the store; it does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from aeraki_core.errors import InputError, Problem, RejectedError
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.claims import Claim
from aeraki_core.mesh.foreign_filters import ForeignFilters
from aeraki_core.mesh.indexing import destination_rule_keys, virtual_service_keys
from aeraki_core.mesh.keys import (
    AttachedRouteKey,
    DestinationRulesKey,
    EndpointsKey,
    HostKey,
    Key,
    ListenerKey,
    NamespaceKey,
    PodKey,
    ReadyEndpointsKey,
    ResourceKey,
    ResourcesKey,
    SecretKey,
    ShortHostRulesKey,
    VirtualServiceKey,
    VirtualServicesKey,
    VirtualServicesUnderKey,
    WildcardsKey,
    WorkloadEntriesKey,
)
from aeraki_core.mesh.kubernetes_services import (
    AddressFamilies,
    ExternalNames,
    MirroredAddresses,
)
from aeraki_core.mesh.record import questions_of
from aeraki_core.mesh.rejected import RejectedObjects, host_suffixes, named_hosts
from aeraki_core.mesh.services import ServiceTable
from aeraki_core.mesh.sidecars import SidecarTable
from aeraki_core.mesh.source_object import Location, SourceObject
from aeraki_core.mesh.table import Table
from aeraki_core.model.endpoints import (
    Endpoints,
    PortEndpoints,
    ReadyEndpoint,
    parse_endpoint_slice,
    parse_ready_slice,
    union,
)
from aeraki_core.model.gateway_api import (
    GATEWAY_API,
    ROUTE_KINDS,
    TCP_ROUTE,
    AttachedRoute,
    parse_attached_route,
    parse_tcp_route,
)
from aeraki_core.model.istio import (
    DestinationRule,
    VirtualService,
    parse_destination_rule,
    parse_virtual_service,
)
from aeraki_core.model.mesh import LiveWeights, Mesh, ProxyFamily
from aeraki_core.model.meta import ObjectRef, is_dns_subdomain
from aeraki_core.model.namespace import Namespace, parse_namespace
from aeraki_core.model.pod import Pod, parse_pod
from aeraki_core.model.resource import LoadedKind, Resource, parse_resource
from aeraki_core.model.secret import Secret, parse_secret
from aeraki_core.model.service import (
    ExternalName,
    Port,
    Service,
    ServiceId,
    parse_external_name,
    parse_service,
    parse_service_entry,
)
from aeraki_core.model.workload_entry import WorkloadEntry, parse_workload_entry

__all__ = ["Location", "SourceObject", "Store", "host_suffixes"]

_NO_ENDPOINTS = Endpoints()


class _Objects(Protocol):
    """A table, as far as :meth:`Store.upsert` and :meth:`Store.remove` use it."""

    def __contains__(self, ref: object) -> bool: ...
    def remove(self, ref: ObjectRef) -> set[Key]: ...
    def copy_from(self, other: Any, /) -> None: ...


class Store:
    """All objects of the mesh that a reader can ask for.

    A rejected object never replaces its last good form. It is remembered with the hosts that it
    names, so that its absence does not count as a deletion.

    ``keep_labels``: whether anybody asks for the labels of services. ``reloads``: whether
    :meth:`replace_kinds` is used, which needs the objects as they came.
    """

    def __init__(
        self,
        mesh: Mesh,
        kinds: Iterable[LoadedKind[Any]] = (),
        *,
        keep_labels: bool = False,
        reloads: bool = False,
    ) -> None:
        self.mesh = mesh
        self._kinds = {(kind.group, kind.kind): kind for kind in kinds}
        self._services = ServiceTable(
            self.endpoints,
            keep_labels=keep_labels,
            headless_filter_chains=mesh.headless_filter_chains,
        )
        self._slices = Table(
            lambda item: parse_endpoint_slice(item.ref, item.content),
            keys=lambda each: [EndpointsKey(each.ref.namespace, each.service)],
        )
        self._ready = Table(
            lambda item: parse_ready_slice(item.ref, item.content),
            keys=lambda each: [ReadyEndpointsKey(each.ref.namespace, each.service)],
        )
        self._pods = Table(lambda item: parse_pod(item.ref, item.content), own_key=PodKey)
        self._virtual_services = Table(
            lambda item: (
                parse_tcp_route(item.ref, item.content, mesh.domain)
                if item.ref.kind == TCP_ROUTE
                else parse_virtual_service(item.ref, item.content, mesh.domain)
            ),
            own_key=VirtualServiceKey,
            keys=virtual_service_keys,
        )
        self._attached_routes = Table(
            lambda item: parse_attached_route(item.ref, item.content), own_key=AttachedRouteKey
        )
        self._destination_rules = Table(
            lambda item: parse_destination_rule(item.ref, item.content, mesh.domain),
            keys=destination_rule_keys,
        )
        self.sidecars = SidecarTable(mesh.root_namespace)
        """Sidecar resources (SidecarsKey, ImportersKey)."""
        self._workload_entries = Table(
            lambda item: parse_workload_entry(item.ref, item.content),
            # Those without a map listen where the service says.
            keys=lambda each: [WorkloadEntriesKey(each.ref.namespace)] if each.ports else [],
        )
        self._resources = Table(
            lambda item: parse_resource(
                item.ref,
                item.content,
                self._kinds[item.api_group, item.ref.kind],
                mesh.domain,
            ),
            own_key=ResourceKey,
            keys=lambda each: [
                ResourcesKey(each.ref.group, each.ref.kind, host) for host in each.hosts
            ],
        )
        self._secrets = Table(lambda item: parse_secret(item.ref, item.content), own_key=SecretKey)
        self._namespaces = Table(
            lambda item: parse_namespace(item.ref, item.content),
            # Most say nothing, and nobody need run for those.
            keys=lambda each: [NamespaceKey(each.ref.name)] if each.annotations else [],
        )
        self.shared_answers: dict[Any, Any] = {}
        """What mesh/reads.py keeps until the next change, because very many readers ask."""
        self.foreign_filters = ForeignFilters()
        """EnvoyFilters of other people (ForeignFiltersKey)."""
        self._tables: tuple[_Objects, ...] = (
            self._namespaces,
            self._services,
            self._slices,
            self._ready,
            self._pods,
            self._virtual_services,
            self._attached_routes,
            self._destination_rules,
            self.sidecars,
            self._workload_entries,
            self._resources,
            self._secrets,
            self.foreign_filters,
        )
        self._upserts: dict[tuple[str, str], Callable[[SourceObject], set[Key]]] = {
            ("", "Namespace"): self._namespaces.upsert,
            ("", "Service"): self._upsert_service,
            ("networking.istio.io", "ServiceEntry"): self._upsert_service_entry,
            ("discovery.k8s.io", "EndpointSlice"): self._upsert_slice,
            ("networking.istio.io", "VirtualService"): self._virtual_services.upsert,
            ("networking.istio.io", "DestinationRule"): self._destination_rules.upsert,
            ("networking.istio.io", "Sidecar"): self.sidecars.upsert,
            ("networking.istio.io", "EnvoyFilter"): self.foreign_filters.upsert,
            ("networking.istio.io", "WorkloadEntry"): self._workload_entries.upsert,
            ("", "Secret"): self._secrets.upsert,
            **{(GATEWAY_API, kind): self._upsert_route for kind in ROUTE_KINDS},
            **dict.fromkeys(self._kinds, self._resources.upsert),
        }
        self._objects: dict[ObjectRef, SourceObject] | None = {} if reloads else None
        self._has_live_weights = mesh.live_weights is not LiveWeights.OFF
        if self._has_live_weights:
            self._upserts["", "Pod"] = self._pods.upsert
        self._rejected = RejectedObjects()
        self._external_names = ExternalNames()
        self._mirrored = MirroredAddresses()
        self._families = AddressFamilies(mesh)
        self._origins: dict[ObjectRef, Location] = {}

    def copy(self) -> Store:
        """Return a store of its own over the same objects. It shares values, which are frozen.

        It costs a few milliseconds for ten thousand services.
        """
        copied = Store(self.mesh, self._kinds.values(), keep_labels=self._services.keeps_labels)
        for mine, theirs in zip(copied._tables, self._tables, strict=True):
            mine.copy_from(theirs)
        copied._rejected.copy_from(self._rejected)
        copied._external_names.copy_from(self._external_names)
        copied._mirrored.copy_from(self._mirrored)
        copied._families.copy_from(self._families)
        return copied

    # -- what a source reads -----------------------------------------------------------------------

    def reads(self, api_version: str, kind: str) -> bool:
        """Whether a reader can ask for objects of that kind."""
        return (api_version.rpartition("/")[0], kind) in self._upserts

    def upsert(self, item: SourceObject) -> set[Key]:
        """Keep an object, new or changed.

        Returns the keys whose answer changed; empty when only unused fields changed.
        """
        self.shared_answers.clear()
        if item.mirrored:
            return self._upsert_mirrored(item)
        if item.origin is not None:
            self._origins[item.ref] = item.origin
        if self._objects is not None and (item.api_group, item.ref.kind) in self._kinds:
            self._objects[item.ref] = item
        upsert = self._upserts.get((item.api_group, item.ref.kind))
        try:
            if not is_dns_subdomain(item.ref.name):
                message = "not a valid Kubernetes name of at most 253 characters"
                raise RejectedError((Problem("metadata.name", message),))
            if item.problem is not None:
                raise RejectedError((Problem("", item.problem),))
            changed = upsert(item) if upsert is not None else set()
        except InputError as error:
            # The last good form of a known object stays in effect, so nothing about its hosts is
            # missing.
            hosts = () if self.is_known(item.ref) else named_hosts(item, self.mesh.domain)
            rejected = self._rejected.reject(item.ref, error, hosts)
            return rejected | self.sidecars.reject(item.ref)
        return changed | self._rejected.accept(item.ref)

    def remove(self, ref: ObjectRef) -> set[Key]:
        """Forget an object. Returns the keys whose answer changed."""
        self.shared_answers.clear()
        changed = self._rejected.accept(ref)
        self._origins.pop(ref, None)
        if self._objects is not None:
            self._objects.pop(ref, None)
        self._mirrored.remove(ref)
        for table in self._tables:
            if ref in table:
                changed |= table.remove(ref)
        changed |= self._families.note(ref, ()) | self._external_names.put(ref, None)
        return changed | self._follow_endpoints(changed)

    def replace_kinds(self, kinds: Iterable[LoadedKind[Any]], plugin: str) -> set[Key]:
        """Read the objects of a plugin's kinds anew, with the models of its new version.

        ``kinds`` are those of all plugins, of the same names as before. Returns the keys whose
        answer may differ.
        """
        self._kinds = {(kind.group, kind.kind): kind for kind in kinds}
        changed: set[Key] = set()
        for item in tuple((self._objects or {}).values()):
            if self._kinds[item.api_group, item.ref.kind].plugin == plugin:
                changed |= {ResourceKey(item.ref), *self.upsert(item)}
        return changed

    def _upsert_service(self, item: SourceObject) -> set[Key]:
        external = parse_external_name(item.ref, item.content, self.mesh.domain)
        changed = self._services.upsert(item, self._parse_service)
        changed |= self._external_names.put(item.ref, external)
        addresses = [
            address for service in self._services.of(item.ref) for address in service.addresses
        ]
        return changed | self._families.note(item.ref, addresses)

    def _parse_service(self, item: SourceObject) -> tuple[Service, ...]:
        service = parse_service(item.ref, item.content, self.mesh.domain)
        return (self._mirrored.added_to(service),) if service is not None else ()

    def _upsert_mirrored(self, item: SourceObject) -> set[Key]:
        """Take in the addresses of a Service that a mirror of its source knows."""
        self._mirrored.note(item)
        services = map(self._mirrored.added_to, self._services.of(item.ref))
        return self._services.replace(item.ref, tuple(services))

    def _upsert_route(self, item: SourceObject) -> set[Key]:
        changed = self._attached_routes.upsert(item)
        if item.ref.kind == TCP_ROUTE:
            changed |= self._virtual_services.upsert(item)
        return changed

    def _upsert_service_entry(self, item: SourceObject) -> set[Key]:
        return self._services.upsert(item, lambda item: parse_service_entry(item.ref, item.content))

    def _upsert_slice(self, item: SourceObject) -> set[Key]:
        changed = self._slices.upsert(item)
        if self._has_live_weights:
            changed |= self._ready.upsert(item)
        endpoint_slice = self._slices.get(item.ref)
        addresses = endpoint_slice.addresses if endpoint_slice is not None else ()
        changed |= self._families.note(item.ref, addresses)
        return changed | self._follow_endpoints(changed)

    def _follow_endpoints(self, changed: set[Key]) -> set[Key]:
        """The listeners that move because endpoints changed.

        Headless services have one for each.
        """
        moved: set[Key] = set()
        for key in changed:
            if isinstance(key, EndpointsKey):
                moved |= self._services.follow_endpoints(key.namespace, key.name)
        return moved

    # -- which objects are good --------------------------------------------------------------------

    def is_known(self, ref: ObjectRef) -> bool:
        """Whether a good form of the object is in effect."""
        return any(ref in table for table in self._tables)

    def rejected(self) -> Mapping[ObjectRef, tuple[Finding, ...]]:
        """Objects whose newest form is not in effect, and why."""
        return self._rejected.findings

    def rejected_for(self, host: str) -> tuple[ObjectRef, ...]:
        """Rejected objects without a last good form that name the host or a wildcard over it."""
        return self._rejected.naming(host)

    def origin(self, ref: ObjectRef) -> Location | None:
        """Where an object was read, if its source can tell."""
        return self._origins.get(ref)

    # -- what readers ask; each answer changes with the key that is named --------------------------

    def services(self) -> Iterator[Service]:
        """Every service, in no order. Not for readers: no key says when the answer changes."""
        return iter(self._services)

    def all_virtual_services(self) -> Iterator[VirtualService]:
        """Every VirtualService, in no order. Not for readers, as :meth:`services`."""
        return iter(self._virtual_services)

    def all_destination_rules(self) -> Iterator[DestinationRule]:
        """Every DestinationRule, in no order. Not for readers, as :meth:`services`."""
        return iter(self._destination_rules)

    def services_of(self, ref: ObjectRef) -> tuple[Service, ...]:
        """The services of one object: a ServiceEntry has one for each host."""
        return self._services.of(ref)

    def service(self, service_id: ServiceId) -> Service | None:
        """The service of that id (ServiceKey)."""
        return self._services.get(service_id)

    @property
    def external_names(self) -> Iterable[ExternalName]:
        """All Services of type ExternalName, which are no services of the mesh."""
        return self._external_names

    def external_name(self, ref: ObjectRef) -> ExternalName | None:
        """The Service of type ExternalName (ServiceKey)."""
        return self._external_names.get(ref)

    def alias(self, host: str) -> ExternalName | None:
        """The Service of type ExternalName whose own host it is (AliasKey)."""
        in_mesh, _, domain = host.partition(".svc.")
        name, _, namespace = in_mesh.partition(".")
        ref = ObjectRef("Service", namespace, name)
        return self._external_names.get(ref) if domain == self.mesh.domain else None

    def annotations(self, ref: ObjectRef) -> Mapping[str, str]:
        """The annotations of a service's object (AnnotationKey, AnnotationsKey)."""
        return self._services.annotations(ref)

    def labels(self, ref: ObjectRef) -> Mapping[str, str]:
        """The labels of a service's object (LabelsKey); empty unless the store keeps labels."""
        return self._services.labels(ref)

    def namespace(self, name: str) -> Namespace | None:
        """A Namespace with annotations for Aeraki (NamespaceKey)."""
        return next(iter(self._namespaces.at(NamespaceKey(name))), None)

    def count(self, key: HostKey | ListenerKey | ResourcesKey) -> int:
        """How many objects answer a question."""
        match key:
            case HostKey():
                return self._services.count_of_host(key.host)
            case ListenerKey():
                return self._services.count_of_claims(key.name)
            case ResourcesKey():
                return self._resources.count(key)

    def services_of_host(self, host: str) -> tuple[Service, ...]:
        """The services of that host, the oldest first (HostKey)."""
        return self._services.of_host(host)

    def endpoints(self, namespace: str, name: str) -> Endpoints:
        """The endpoints of a Kubernetes Service (EndpointsKey)."""
        slices = self._slices.at(EndpointsKey(namespace, name))
        return union(slices) if slices else _NO_ENDPOINTS

    def port_endpoints(self, service: Service, port: Port) -> PortEndpoints:
        """The endpoints of a port of the host, in the service's namespace.

        They depend on the services of the host and their slices (HostKey, EndpointsKey).
        """
        return self._services.port_endpoints(service, port.number)

    def ready_endpoints(self, namespace: str, name: str) -> tuple[ReadyEndpoint, ...] | None:
        """The endpoints of a Kubernetes Service that take calls, sorted (ReadyEndpointsKey).

        None: there is no EndpointSlice. They are only known with live weights.
        """
        slices = self._ready.at(ReadyEndpointsKey(namespace, name))
        if not slices:
            return None
        return tuple(sorted({endpoint for each in slices for endpoint in each.endpoints}))

    def pod(self, namespace: str, name: str) -> Pod | None:
        """A Pod (PodKey)."""
        return self._pods.get(ObjectRef("Pod", namespace, name))

    def proxy_families(self, namespaces: Iterable[str]) -> frozenset[ProxyFamily]:
        """The IP families of the mesh's proxies (ProxyFamiliesKey).

        Those of the settings, or else what addresses in these namespaces let assume.
        """
        return self._families.of(namespaces)

    def claims(self, listener: str) -> tuple[Claim, ...]:
        """Who claims the listener, the oldest first (ListenerKey)."""
        return self._services.claims(listener)

    def virtual_services(self, key: VirtualServicesKey) -> tuple[VirtualService, ...]:
        """Those whose hosts name exactly this one, the oldest first."""
        return self._virtual_services.oldest_first(key)

    def wildcards_with_routes(self, wildcards: WildcardsKey) -> list[VirtualServicesKey]:
        """Those of the wildcards that a VirtualService names."""
        return [
            key
            for key in questions_of(wildcards)
            if isinstance(key, VirtualServicesKey) and self._virtual_services.count(key)
        ]

    def virtual_services_under(self, wildcard: str) -> tuple[VirtualService, ...]:
        """Those that name a host under the wildcard, the oldest first (VirtualServicesUnderKey)."""
        return self._virtual_services.oldest_first(VirtualServicesUnderKey(wildcard))

    def destination_rules(self, key: DestinationRulesKey) -> tuple[DestinationRule, ...]:
        """Those whose host is exactly this one, the oldest first."""
        return self._destination_rules.oldest_first(key)

    def destination_rules_of_short_host(
        self, key: ShortHostRulesKey
    ) -> tuple[DestinationRule, ...]:
        """Those whose host is a Service's without the mesh's domain, the oldest first."""
        return self._destination_rules.oldest_first(key)

    def destination_rules_over(self, wildcards: WildcardsKey) -> list[tuple[DestinationRule, ...]]:
        """Those of each of the wildcards that has some, the oldest first."""
        return [*self._destination_rules.at_any(questions_of(wildcards))]

    def resources(self, group: str, kind: str, host: str) -> tuple[Resource[Any], ...]:
        """The objects of a plugin's kind for the host, the oldest first (ResourcesKey)."""
        return self._resources.oldest_first(ResourcesKey(group, kind, host))

    def resource(self, ref: ObjectRef) -> Resource[Any] | None:
        """One object of a plugin's kind (ResourceKey)."""
        return self._resources.get(ref)

    def virtual_service(self, ref: ObjectRef) -> VirtualService | None:
        """One VirtualService (VirtualServiceKey)."""
        return self._virtual_services.get(ref)

    def workload_entries(self, namespace: str) -> tuple[WorkloadEntry, ...]:
        """The WorkloadEntries of a namespace with ports of their own (WorkloadEntriesKey)."""
        return self._workload_entries.at(WorkloadEntriesKey(namespace))

    def attached_route(self, ref: ObjectRef) -> AttachedRoute | None:
        """One route of the Gateway API (AttachedRouteKey)."""
        return self._attached_routes.get(ref)

    def secret(self, namespace: str, name: str) -> Secret | None:
        """A Secret (SecretKey)."""
        return self._secrets.get(ObjectRef("Secret", namespace, name))
