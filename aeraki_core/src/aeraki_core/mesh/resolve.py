"""Which of several objects counts for a client, as istiod decides it.

istiod shows each client namespace a mesh of its own. So every question about the mesh is for a
client: a namespace, or None for *everybody else*, a client whose namespace no object mentions. The
functions here are pure: candidates in, the ones that count out. docs/internals/views.md has the
rules with their places in Istio's source.

An object counts for other namespaces only if istiod gives it that power. So plugins get answers
only through here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from aeraki_core.mesh.mesh_client import MeshClient
from aeraki_core.model.istio import DestinationRule, VirtualService
from aeraki_core.model.meta import Age, ObjectRef
from aeraki_core.model.resource import Resource
from aeraki_core.model.service import Service
from aeraki_core.model.sidecar import SidecarScope

__all__ = [
    "ClientNamespace",
    "RoutedPort",
    "connection_order",
    "destination_rules_for",
    "export_of",
    "have_common_client",
    "in_export_order",
    "is_visible",
    "merged_services",
    "mesh_default",
    "not_imported",
    "objects_for",
    "services_for",
    "sidecar_for",
    "virtual_services_for",
]

ClientNamespace = str | None
"""The namespace of clients; None: everybody else."""


class RoutedPort(NamedTuple):
    """A service port whose routes are looked up."""

    namespace: str
    """Where the service is, as the client sees the host."""
    host: str
    port: int
    """0 for a headless service: egress entries with a port do not open its listeners."""


class _Exported(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def export_to(self) -> frozenset[str]: ...
    @property
    def age(self) -> Age: ...


class _Owned(Protocol):
    @property
    def namespace(self) -> str: ...


E = TypeVar("E", bound=_Exported)
O = TypeVar("O", bound=_Owned)  # noqa: E741


def is_visible(item: _Exported, client: ClientNamespace) -> bool:
    """Report whether the client sees an object, by its ``exportTo``."""
    return "*" in item.export_to or client in item.export_to


def have_common_client(item: _Exported, other: _Exported) -> bool:
    """Report whether some client sees both objects."""
    if "*" in item.export_to:
        return bool(other.export_to)
    return bool(item.export_to if "*" in other.export_to else item.export_to & other.export_to)


def in_export_order(items: Sequence[E], client: ClientNamespace) -> Iterator[E]:
    """Yield the visible objects in istiod's order; ``items`` are sorted by age.

    Those exported to the client by name come first, then public ones.
    """
    yield from (item for item in items if client in item.export_to and "*" not in item.export_to)
    yield from (item for item in items if "*" in item.export_to)


def services_for(services: Sequence[Service], client: ClientNamespace) -> tuple[Service, ...]:
    """Return the services of a host for a client; several only as ServiceEntries of one namespace.

    ``services`` are sorted by age. A service of the client's own namespace wins; then a Kubernetes
    Service; then the first that is exported. So a ServiceEntry replaces a Kubernetes Service's host
    only for clients of its own namespace.
    """
    if len(services) == 1:
        return tuple(services) if is_visible(services[0], client) else ()
    visible = [*in_export_order(services, client)]
    if not visible:
        return ()
    winner = min(
        visible,
        key=lambda service: (service.namespace != client, service.ref.kind != "Service"),
    )
    if winner.ref.kind == "Service":
        return (winner,)
    return tuple(service for service in visible if service.namespace == winner.namespace)


def merged_services(services: Sequence[Service]) -> tuple[Service, ...]:
    """Return those of a host's services that istiod makes one of, with clusters for all ports.

    The others have listeners, but no clusters. Source: sidecar.go, canMergeServices.
    """
    return tuple(
        service
        for service in services
        if service.resolution is services[0].resolution
        and service.selector == services[0].selector
        and service.export_to == services[0].export_to
    )


def destination_rules_for(
    rules_by_host: Sequence[Sequence[DestinationRule]],
    client: MeshClient,
    *,
    service_namespace: str | None,
    root_namespace: str,
) -> tuple[DestinationRule, ...]:
    """Return the DestinationRules of a service for a client, merged by istiod.

    Subsets united, the first trafficPolicy counts.

    ``rules_by_host``: all rules of the host, then those of each wildcard over it, the most specific
    first. ``service_namespace``: where the host's service for this client is; None when there is
    none.
    """
    # 1. The client's own namespace. Of the root namespace's rules, only the private ones are meant
    # for its own proxies alone.
    own = [
        [
            rule
            for rule in rules
            if rule.namespace == client.namespace
            and is_visible(rule, client.namespace)
            and (client.namespace != root_namespace or _is_private(rule))
        ]
        for rules in rules_by_host
    ]
    # 2. The service's namespace. 3. The root namespace. There, private rules do not count for
    #    others.
    exported = [
        [
            [rule for rule in rules if rule.namespace == namespace and not _is_private(rule)]
            for rules in rules_by_host
        ]
        for namespace in (service_namespace, root_namespace)
    ]
    for candidates in (own, *exported):
        # Only the most specific host of a namespace counts, whether its rules are visible or not.
        rules = next((rules for rules in candidates if rules), [])
        merged = _merged(rules, client) if rules else ()
        if merged or (rules and candidates is own):
            return merged
    return ()


def _is_private(rule: DestinationRule) -> bool:
    return rule.export_to == {rule.namespace}


def _merged(rules: Collection[DestinationRule], client: MeshClient) -> tuple[DestinationRule, ...]:
    """Return the rule that counts for the client, with those that istiod merges into it.

    ``rules``: of one host and namespace. Of those with a workloadSelector, the oldest that selects
    the client counts before all others (sidecar.go, DestinationRule). istiod merges into it those
    of the same selector, and those without one that are exported to ``.``
    (destination_rule.go, mergeDestinationRule).
    """
    by_age = sorted(rules, key=lambda rule: rule.age) if len(rules) > 1 else rules
    selecting = [rule for rule in by_age if rule.selector is not None]
    general = [rule for rule in by_age if rule.selector is None]
    for rule in selecting:
        if client.is_selected_by(rule.selector or ()):
            alike = (each for each in selecting if each.selector == rule.selector)
            return (*alike, *(each for each in general if "." in each.export_to_as_written))
    return _merged_general(general, client, beside_selecting=bool(selecting))


def _merged_general(
    rules: Sequence[DestinationRule], client: MeshClient, *, beside_selecting: bool
) -> tuple[DestinationRule, ...]:
    """Return the merged rules without a workloadSelector that count for the client.

    istiod keeps a rule of its own for each that the last one cannot take in, and the last that the
    client sees counts. Rules with a selector stand before them.
    """
    firsts: list[DestinationRule] = []
    for rule in rules:
        if firsts:
            is_taken_in = _takes_in(firsts[-1], rule)
        else:
            # It counts for the selected workloads alone then.
            is_taken_in = beside_selecting and rule.export_to_as_written == {"."}
        if not is_taken_in:
            firsts.append(rule)
    first = next((each for each in reversed(firsts) if is_visible(each, client.namespace)), None)
    if first is None:
        return ()
    later = rules[rules.index(first) + 1 :]
    return (first, *(rule for rule in later if _takes_in(first, rule)))


def _takes_in(first: DestinationRule, rule: DestinationRule) -> bool:
    """Report whether a rule merges into an older one, neither with a selector."""
    older, younger = first.export_to_as_written, rule.export_to_as_written
    return older == younger or bool(older and older < younger)


def virtual_services_for(
    virtual_services: Iterable[Sequence[VirtualService]], client: ClientNamespace
) -> tuple[VirtualService, ...]:
    """Return a host's VirtualServices for a client, in the order of its sidecar.

    ``virtual_services``: those of the host, then of each wildcard over it, the most specific first.
    """
    ordered: dict[ObjectRef, VirtualService] = {}
    for of_host in virtual_services:
        visible = [each for each in of_host if each.for_mesh and is_visible(each, client)]
        for each in sorted(visible, key=lambda each: connection_order(each, client)):
            ordered.setdefault(each.ref, each)
    return tuple(ordered.values())


def connection_order(virtual_service: VirtualService, client: ClientNamespace) -> tuple[int, Age]:
    """Return a key that sorts VirtualServices as istiod does where it looks for a ``tcp`` route.

    A more specific host does not come first there (tls.go, getConfigsForHost).
    """
    if "*" in virtual_service.export_to:
        # istiod lets a consumer's own route of the Gateway API come before what others say.
        is_own = virtual_service.is_attached and virtual_service.namespace == client
        return (2 if is_own else 3, virtual_service.age)
    # A private one of the client's own namespace comes before those exported to it by name.
    private = virtual_service.export_to == {virtual_service.namespace}
    return (0 if private and virtual_service.namespace == client else 1, virtual_service.age)


def objects_for(
    objects: Iterable[O],
    client: ClientNamespace,
    *,
    service_namespace: str | None,
    root_namespace: str,
) -> tuple[O, ...]:
    """Return the objects of a plugin's kind for a host.

    Of the client's namespace, else the service's, else the root's.

    Objects of any other namespace say nothing to this client.
    """
    by_namespace: dict[str, list[O]] = {}
    for each in objects:
        by_namespace.setdefault(each.namespace, []).append(each)
    for namespace in (client, service_namespace, root_namespace):
        if namespace is not None and namespace in by_namespace:
            return tuple(by_namespace[namespace])
    return ()


def export_of(resource: Resource[Any], service: Service | None) -> frozenset[str]:
    """The client namespaces that an object of a plugin's kind is for, ``*`` for all.

    ``service``: the one that it speaks for. A password that nobody exports goes only where the
    service is exported to by name, or else to the object's own namespace.
    """
    if resource.export_to is not None:
        return resource.export_to
    if not resource.confidential:
        return frozenset({"*"})
    if service is not None and "*" not in service.export_to:
        return service.export_to | {resource.namespace}
    return frozenset({resource.namespace})


def sidecar_for(sidecars: Iterable[SidecarScope], client: MeshClient) -> SidecarScope | None:
    """Return the Sidecar that a client follows among those of its namespace, the oldest first.

    Those with a workloadSelector come before the others (push_context.go, initSidecarScopes).
    """
    sidecars = tuple(sidecars)
    selecting = (
        sidecar
        for sidecar in sidecars
        if not sidecar.is_default and client.is_selected_by(sidecar.labels)
    )
    return next(selecting, None) or mesh_default(sidecars)


def mesh_default(sidecars: Iterable[SidecarScope]) -> SidecarScope | None:
    """Return the Sidecar without a workloadSelector; that of the root namespace is for all."""
    return next((sidecar for sidecar in sidecars if sidecar.is_default), None)


def not_imported(
    sidecar: SidecarScope | None,
    virtual_services: Iterable[VirtualService],
    *,
    routed: RoutedPort,
    client: ClientNamespace,
) -> set[ObjectRef]:
    """Return the VirtualServices that have no effect on a port for clients with that Sidecar.

    Each egress listener imports VirtualServices of its own, so the one of the port decides.
    """
    if sidecar is None or not sidecar.egress:
        return set()
    listeners = sidecar.serving(routed.namespace, routed.host, port=routed.port, client=client)
    return {
        each.ref
        for each in virtual_services
        if not any(
            listener.imports_routes(each.namespace, host, client)
            for listener in listeners
            for host in each.hosts
        )
    }
