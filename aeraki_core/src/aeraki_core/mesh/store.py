"""The mesh as it is known now, indexed by what generators ask for.

In: objects from a source. Out: typed values by query, and for every change the set of :data:`Key` values whose answer is no longer
the same. A generator's reads are recorded as the same keys, so what must run again is a look-up (see pipeline.py).
No I/O; owned by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aeraki_core.errors import HandlingError, InputError, Problem, RejectedError
from aeraki_core.findings.codes import BAD_NAME, REJECTED, UNHANDLED
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.index import Index
from aeraki_core.model.endpoints import Endpoints, EndpointSlice, parse_endpoint_slice, union
from aeraki_core.model.istio import (
    DestinationRule,
    VirtualService,
    full_host,
    parse_destination_rule,
    parse_virtual_service,
)
from aeraki_core.model.listeners import Listener, outbound_listeners
from aeraki_core.model.mesh import Mesh, ProxyFamily
from aeraki_core.model.meta import Age, ObjectRef, is_dns_subdomain
from aeraki_core.model.resource import LoadedKind, Resource
from aeraki_core.model.secret import Secret, parse_secret
from aeraki_core.model.service import Service, parse_service, parse_service_entry
from aeraki_core.model.wire import text_map

__all__ = ["Claim", "Key", "Location", "ServiceId", "SourceObject", "Store", "host_suffixes"]

Key = tuple[str, ...]
"""One question to the store, such as ``("virtualservice", host)``; a change names the questions whose answer changed."""

ServiceId = tuple[ObjectRef, str]


class Location(Protocol):
    """Where an object was read: gives the place of one of its fields."""

    def locate(self, field: str | None) -> tuple[str, int]:
        """The file and the line (from 1) of a field such as ``spec.http[0].route``, or of its nearest parent."""
        ...


@dataclass(frozen=True, slots=True)
class SourceObject:
    """An object as a source found it. ``content`` is the whole object as Kubernetes writes it."""

    ref: ObjectRef
    api_version: str
    content: Mapping[str, Any] = field(repr=False)
    origin: Location | None = None


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A service port that istiod makes a listener for; claims of one listener sort the oldest first."""

    age: Age
    service: ServiceId
    port: int
    ranges: bool = False


def host_suffixes(host: str) -> Iterator[str]:
    """The host, then every wildcard that stands for it, the most specific first: ``a.b.c``, ``*.b.c``, ``*.c``, ``*``."""
    yield host
    rest = host.removeprefix("*.") if host.startswith("*.") else host
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    if host != "*":
        yield "*"


V = TypeVar("V")


_CORE_KINDS: dict[tuple[str, str], str] = {
    ("", "Service"): "service",
    ("discovery.k8s.io", "EndpointSlice"): "endpoints",
    ("", "Secret"): "secret",
    ("networking.istio.io", "ServiceEntry"): "entry",
    ("networking.istio.io", "VirtualService"): "virtualservice",
    ("networking.istio.io", "DestinationRule"): "destinationrule",
}


_IPV4_CLUSTER = frozenset({ProxyFamily.IPV4, ProxyFamily.DUAL})


def _group(api_version: str) -> str:
    return api_version.partition("/")[0] if "/" in api_version else ""


class Store:
    """All objects of the mesh that anything here reads.

    An object that its model rejects never takes the place of its last good form; it is remembered in :meth:`rejected` with the
    hosts that it names, so that nobody takes its absence for a wish.
    """

    def __init__(self, mesh: Mesh, kinds: Iterable[LoadedKind[Any]] = ()) -> None:
        self.mesh = mesh
        self.kinds: dict[tuple[str, str], LoadedKind[Any]] = {
            (kind.group, kind.kind): kind for kind in kinds
        }
        self._services: dict[ObjectRef, tuple[Service, ...]] = {}
        self._by_host: Index[str, ServiceId, Service] = Index()
        self._claims: Index[str, ServiceId, Claim] = Index()
        self._claimed: dict[ServiceId, tuple[str, ...]] = {}
        self._slices: dict[ObjectRef, EndpointSlice] = {}
        self._slices_of: Index[tuple[str, str], ObjectRef, EndpointSlice] = Index()
        self._with_ipv6: set[ObjectRef] = set()
        self._virtual_services: dict[ObjectRef, VirtualService] = {}
        self._vs_by_host: Index[str, ObjectRef, VirtualService] = Index()
        self._destination_rules: dict[ObjectRef, DestinationRule] = {}
        self._dr_by_host: Index[str, ObjectRef, DestinationRule] = Index()
        self._resources: dict[ObjectRef, Resource[Any]] = {}
        self._resource_by_host: Index[tuple[str, str], ObjectRef, Resource[Any]] = Index()
        self._secrets: dict[ObjectRef, Secret] = {}
        self._rejected: dict[ObjectRef, tuple[Finding, ...]] = {}
        self._rejected_for: Index[str, ObjectRef, ObjectRef] = Index()
        self._rejected_hosts: dict[ObjectRef, tuple[str, ...]] = {}
        self._origins: dict[ObjectRef, Location] = {}
        self._annotations: dict[ObjectRef, Mapping[str, str]] = {}

    # -- what a source says -------------------------------------------------------------------------------------------

    def reads(self, api_version: str, kind: str) -> bool:
        """Whether objects of that kind are of any use here."""
        group = _group(api_version)
        return (group, kind) in _CORE_KINDS or (group, kind) in self.kinds

    def upsert(self, item: SourceObject) -> set[Key]:
        """Take an object in, new or changed. Returns the keys whose answer changed; empty when nothing that anyone reads did."""
        if item.origin is not None:
            self._origins[item.ref] = item.origin
        group = _group(item.api_version)
        kind = (group, item.ref.kind)
        try:
            if not is_dns_subdomain(item.ref.name):
                raise RejectedError(
                    (
                        Problem(
                            "metadata.name", "not a valid Kubernetes name of at most 253 characters"
                        ),
                    )
                )
            changed = self._take(kind, item)
        except InputError as error:
            return self._reject(kind, item, error)
        return changed | self._accept(item.ref)

    def remove(self, ref: ObjectRef) -> set[Key]:
        """Forget an object. Returns the keys whose answer changed."""
        changed = self._accept(ref)
        self._origins.pop(ref, None)
        if ref in self._services:
            changed |= self._set_services(ref, (), {})
        if ref in self._slices:
            changed |= self._set_slice(ref, None)
        if ref in self._virtual_services:
            changed |= self._set_virtual_service(ref, None)
        if ref in self._destination_rules:
            changed |= self._set_destination_rule(ref, None)
        if ref in self._resources:
            changed |= self._set_resource(ref, None)
        if self._secrets.pop(ref, None) is not None:
            changed.add(("secret", ref.namespace, ref.name))
        return changed

    def _take(self, kind: tuple[str, str], item: SourceObject) -> set[Key]:
        ref, content, domain = item.ref, item.content, self.mesh.domain
        annotations = text_map((content.get("metadata") or {}).get("annotations"))
        match _CORE_KINDS.get(kind):
            case "service":
                service = parse_service(ref, content, domain)
                return self._set_services(ref, (service,) if service else (), annotations)
            case "entry":
                return self._set_services(ref, parse_service_entry(ref, content), annotations)
            case "endpoints":
                return self._set_slice(ref, parse_endpoint_slice(ref, content))
            case "virtualservice":
                return self._set_virtual_service(ref, parse_virtual_service(ref, content, domain))
            case "destinationrule":
                return self._set_destination_rule(ref, parse_destination_rule(ref, content, domain))
            case "secret":
                return self._set_secret(parse_secret(ref, content))
        declared = self.kinds.get(kind)
        return (
            self._set_resource(ref, self._resource(declared, ref, content)) if declared else set()
        )

    def _resource(
        self, kind: LoadedKind[Any], ref: ObjectRef, content: Mapping[str, Any]
    ) -> Resource[Any]:
        spec = kind.read(content.get("spec"))
        created = str((content.get("metadata") or {}).get("creationTimestamp") or "")
        hosts = tuple(
            full_host(host, ref.namespace, self.mesh.domain) for host in kind.hosts_of(spec)
        )
        age = Age(created, ref.name, ref.namespace)
        return Resource(ref, spec, hosts, age, kind.secrets_of(spec))

    # -- rejected objects ---------------------------------------------------------------------------------------------

    def _reject(self, kind: tuple[str, str], item: SourceObject, error: InputError) -> set[Key]:
        problems = (
            error.problems if isinstance(error, RejectedError) else (Problem("", str(error)),)
        )
        plugin = error.plugin if isinstance(error, HandlingError) else None
        code = REJECTED if plugin is None else UNHANDLED
        findings = tuple(
            Finding(
                BAD_NAME if problem.field == "metadata.name" else code,
                problem.message,
                item.ref,
                problem.field or None,
                plugin=plugin,
            )
            for problem in problems
        )
        changed: set[Key] = (
            set()
            if self._rejected.get(item.ref) == findings
            else {("rejected-object", str(item.ref))}
        )
        self._rejected[item.ref] = findings
        hosts = self._hosts_named(kind, item)
        for host in (*self._rejected_hosts.get(item.ref, ()), *hosts):
            changed.add(("rejected", host))
        for host in self._rejected_hosts.get(item.ref, ()):
            self._rejected_for.drop(host, item.ref)
        for host in hosts:
            self._rejected_for.put(host, item.ref, item.ref)
        self._rejected_hosts[item.ref] = hosts
        return changed

    def _accept(self, ref: ObjectRef) -> set[Key]:
        if self._rejected.pop(ref, None) is None:
            return set()
        hosts = self._rejected_hosts.pop(ref, ())
        for host in hosts:
            self._rejected_for.drop(host, ref)
        return {("rejected-object", str(ref)), *(("rejected", host) for host in hosts)}

    def _hosts_named(self, kind: tuple[str, str], item: SourceObject) -> tuple[str, ...]:
        """The hosts that a rejected object seems to speak for; empty for a service: there is nothing yet to protect by host."""
        if self.is_known(item.ref):
            return ()  # its last good form still speaks
        spec = item.content.get("spec")
        given = (spec.get("hosts") or spec.get("host")) if isinstance(spec, Mapping) else None
        names = given if isinstance(given, list | tuple) else [given]
        namespace, domain = item.ref.namespace, self.mesh.domain
        if kind == ("", "Service"):
            names = [item.ref.name]
        return tuple(
            full_host(name, namespace, domain) for name in names if isinstance(name, str) and name
        )

    def is_known(self, ref: ObjectRef) -> bool:
        """Whether a good form of the object is in force."""
        return any(
            ref in table
            for table in (
                self._services,
                self._slices,
                self._virtual_services,
                self._destination_rules,
                self._resources,
                self._secrets,
            )
        )

    def rejected(self) -> Mapping[ObjectRef, tuple[Finding, ...]]:
        """Objects whose newest form is not in force, and why."""
        return self._rejected

    def rejected_for(self, host: str) -> tuple[ObjectRef, ...]:
        """Rejected objects without a last good form that name the host (or a wildcard over it)."""
        return tuple(
            sorted({ref for name in host_suffixes(host) for ref in self._rejected_for.values(name)})
        )

    # -- setters: each returns the keys whose answer changed --------------------------------------------------------------

    def _set_services(
        self, ref: ObjectRef, services: tuple[Service, ...], annotations: Mapping[str, str]
    ) -> set[Key]:
        changed: set[Key] = set()
        old_annotations = self._annotations.get(ref, {})
        if annotations:
            self._annotations[ref] = annotations
        else:
            self._annotations.pop(ref, None)
        before = {service.id: service for service in self._services.get(ref, ())}
        after = {service.id: service for service in services}
        if services:
            self._services[ref] = services
        else:
            self._services.pop(ref, None)
        if ref.kind == "Service":
            changed |= self._note_addresses(
                ref, (address for service in services for address in service.addresses)
            )
        for key in before.keys() | after.keys():
            old, new = before.get(key), after.get(key)
            host = key[1]
            if new is None:
                self._by_host.drop(host, key)
            else:
                self._by_host.put(host, key, new)
            if old is not None and new is not None and annotations != old_annotations:
                changed |= _annotation_changes(ref, host, old_annotations, annotations)
            if old != new:
                changed.add(("service", str(ref), host))
                changed.add(("host", host))
                changed |= self._set_claims(key, new)
        return changed

    def _note_addresses(self, ref: ObjectRef, addresses: Iterable[str]) -> set[Key]:
        """Remember which objects of Kubernetes have an IPv6 address: they tell of proxies with IPv6."""
        before = bool(self._with_ipv6)
        if any(":" in address for address in addresses):
            self._with_ipv6.add(ref)
        else:
            self._with_ipv6.discard(ref)
        return {("proxy-families",)} if bool(self._with_ipv6) != before else set()

    def _set_claims(self, key: ServiceId, service: Service | None) -> set[Key]:
        wanted: dict[Listener, Claim] = {}
        if service is not None:
            endpoints = (
                self.endpoints(service.namespace, service.ref.name) if service.headless else None
            )
            for port in service.ports:
                if port.protocol != "UDP":
                    for listener in outbound_listeners(service, port.number, endpoints):
                        wanted[listener] = Claim(service.age, key, port.number, listener.ranges)
        changed: set[Key] = set()
        names = tuple(dict.fromkeys(listener.name for listener in wanted))
        for name in self._claimed.get(key, ()):
            if name not in names:
                self._claims.drop(name, key)
                changed.add(("listener", name))
        for listener, claim in wanted.items():
            if self._claims.get(listener.name, key) != claim:
                self._claims.put(listener.name, key, claim)
                changed.add(("listener", listener.name))
        if wanted:
            self._claimed[key] = names
        else:
            self._claimed.pop(key, None)
        return changed

    def _set_slice(self, ref: ObjectRef, new: EndpointSlice | None) -> set[Key]:
        old = self._slices.get(ref)
        if old == new:
            return set()
        touched = {(ref.namespace, item.service) for item in (old, new) if item is not None}
        before = {key: self.endpoints(*key) for key in touched}
        if old is not None:
            self._slices_of.drop((ref.namespace, old.service), ref)
            del self._slices[ref]
        if new is not None:
            self._slices[ref] = new
            self._slices_of.put((ref.namespace, new.service), ref, new)
        changed = self._note_addresses(ref, new.addresses if new is not None else ())
        for namespace, name in touched:
            if self.endpoints(namespace, name) == before[(namespace, name)]:
                continue
            changed.add(("endpoints", namespace, name))
            for service in self._services.get(ObjectRef("Service", namespace, name), ()):
                if service.headless:
                    changed |= self._set_claims(service.id, service)
        return changed

    def _set_virtual_service(self, ref: ObjectRef, new: VirtualService | None) -> set[Key]:
        return self._set_by_host(
            "virtualservice",
            self._virtual_services,
            self._vs_by_host,
            ref,
            new,
            lambda item: item.hosts,
        )

    def _set_destination_rule(self, ref: ObjectRef, new: DestinationRule | None) -> set[Key]:
        return self._set_by_host(
            "destinationrule",
            self._destination_rules,
            self._dr_by_host,
            ref,
            new,
            lambda item: (item.host,),
        )

    def _set_by_host(
        self,
        name: str,
        table: dict[ObjectRef, V],
        index: Index[str, ObjectRef, V],
        ref: ObjectRef,
        new: V | None,
        hosts: Callable[[V], Iterable[str]],
    ) -> set[Key]:
        old = table.get(ref)
        if old == new:
            return set()
        changed: set[Key] = {(name + "-object", str(ref))}
        if old is not None:
            del table[ref]
            for host in hosts(old):
                index.drop(host, ref)
                changed.add((name, host))
        if new is not None:
            table[ref] = new
            for host in hosts(new):
                index.put(host, ref, new)
                changed.add((name, host))
        return changed

    def _set_resource(self, ref: ObjectRef, new: Resource[Any] | None) -> set[Key]:
        old = self._resources.get(ref)
        if old == new:
            return set()
        changed: set[Key] = {("resource", str(ref))}
        if old is not None:
            del self._resources[ref]
            for host in old.hosts:
                self._resource_by_host.drop((ref.kind, host), ref)
                changed.add(("resources", ref.kind, host))
        if new is not None:
            self._resources[ref] = new
            for host in new.hosts:
                self._resource_by_host.put((ref.kind, host), ref, new)
                changed.add(("resources", ref.kind, host))
        return changed

    def _set_secret(self, new: Secret) -> set[Key]:
        if self._secrets.get(new.ref) == new:
            return set()
        self._secrets[new.ref] = new
        return {("secret", new.ref.namespace, new.ref.name)}

    # -- what generators ask ------------------------------------------------------------------------------------------

    def services(self) -> Iterator[Service]:
        """Every service, in no order."""
        for services in self._services.values():
            yield from services

    def services_of(self, ref: ObjectRef) -> tuple[Service, ...]:
        """The services of one object: a ServiceEntry has one for each host."""
        return self._services.get(ref, ())

    def service(self, key: ServiceId) -> Service | None:
        """The service of that id. Key: ``("service", ref, host)``."""
        return next((item for item in self._services.get(key[0], ()) if item.host == key[1]), None)

    def annotations(self, ref: ObjectRef) -> Mapping[str, str]:
        """The annotations of a service's object. Key: ``("annotation", ref, host, name)`` for each."""
        return self._annotations.get(ref, {})

    def services_of_host(self, host: str) -> tuple[Service, ...]:
        """The services of that host, the oldest first. Key: ``("host", host)``."""
        return tuple(sorted(self._by_host.values(host), key=lambda item: item.age))

    def endpoints(self, namespace: str, name: str) -> Endpoints:
        """The endpoints of a Kubernetes Service. Key: ``("endpoints", namespace, name)``."""
        return union(self._slices_of.values((namespace, name)))

    def proxy_families(self) -> frozenset[ProxyFamily]:
        """The IP families of the mesh's proxies. Key: ``("proxy-families",)``.

        Where nobody said (``Mesh.proxy_families``): proxies with IPv6 alone are reckoned with as soon as a Kubernetes Service or
        EndpointSlice has an IPv6 address.
        """
        if self.mesh.proxy_families:
            return frozenset(self.mesh.proxy_families)
        return frozenset(ProxyFamily) if self._with_ipv6 else _IPV4_CLUSTER

    def claims(self, listener: str) -> tuple[Claim, ...]:
        """Who claims the listener, the oldest first. Key: ``("listener", name)``."""
        return tuple(sorted(self._claims.values(listener)))

    def virtual_services(self, host: str) -> tuple[VirtualService, ...]:
        """Those whose hosts name exactly this one, the oldest first. Key: ``("virtualservice", host)``."""
        return tuple(sorted(self._vs_by_host.values(host), key=lambda item: item.age))

    def destination_rules(self, host: str) -> tuple[DestinationRule, ...]:
        """Those whose host is exactly this one, the oldest first. Key: ``("destinationrule", host)``."""
        return tuple(sorted(self._dr_by_host.values(host), key=lambda item: item.age))

    def resources(self, kind: str, host: str) -> tuple[Resource[Any], ...]:
        """Objects of a plugin's kind that speak for the host, the oldest first. Key: ``("resources", kind, host)``."""
        return tuple(sorted(self._resource_by_host.values((kind, host)), key=lambda item: item.age))

    def resource(self, ref: ObjectRef) -> Resource[Any] | None:
        """One object of a plugin's kind. Key: ``("resource", ref)``."""
        return self._resources.get(ref)

    def virtual_service(self, ref: ObjectRef) -> VirtualService | None:
        """One VirtualService. Key: ``("virtualservice-object", ref)``."""
        return self._virtual_services.get(ref)

    def secret(self, namespace: str, name: str) -> Secret | None:
        """A Secret. Key: ``("secret", namespace, name)``."""
        return self._secrets.get(ObjectRef("Secret", namespace, name))

    def origin(self, ref: ObjectRef) -> Location | None:
        """Where an object was read, if its source can tell."""
        return self._origins.get(ref)


def _annotation_changes(
    ref: ObjectRef, host: str, before: Mapping[str, str], after: Mapping[str, str]
) -> set[Key]:
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    prefixes = {name.partition("/")[0] for name in names if "/" in name}
    return {
        *(("annotation", str(ref), host, name) for name in names),
        *(("annotations", str(ref), host, prefix) for prefix in prefixes),
    }
