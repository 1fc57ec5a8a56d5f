"""The store as one client namespace sees it, for a reader whose questions are remembered.

A change re-runs exactly the readers that asked about it. The questions that depend on the client
are kept with their answers: clients with equal answers to all questions of a generator get equal
filters, so the generator runs once for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import Any

from aeraki_core.mesh.claims import Claim, in_proxies, seen_elsewhere
from aeraki_core.mesh.keys import (
    AliasKey,
    DestinationKey,
    DestinationRulesKey,
    HostKey,
    Key,
    ListenerKey,
    OutboundPoliciesKey,
    ResourcesKey,
    VirtualServicesKey,
    VirtualServicesUnderKey,
    WeightHostKey,
)
from aeraki_core.mesh.mesh_client import EVERYBODY_ELSE, MeshClient
from aeraki_core.mesh.record import (
    Record,
    RoutesKey,
    RouteTargetKey,
    ViewKey,
    WeightHostProblem,
    WithheldKey,
)
from aeraki_core.mesh.resolve import (
    ClientNamespace,
    RoutedPort,
    destination_rules_for,
    export_of,
    in_export_order,
    is_visible,
    merged_services,
    objects_for,
    services_for,
    virtual_services_for,
)
from aeraki_core.mesh.route_levels import LevelOrder, RouteLevel, first_few
from aeraki_core.mesh.sidecar_reads import SidecarReads
from aeraki_core.mesh.store import Store
from aeraki_core.model.istio import DestinationRule, VirtualService
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import Resource
from aeraki_core.model.service import ExternalName, Service, ServiceId

__all__ = ["Reads"]

_MANY = 16
"""So many objects are looked at once for all readers, and no more of them are named."""
_SHARERS = 5
"""So many of the services that share a listener are looked at."""


class Reads(SidecarReads):
    """Questions to the store on behalf of one reader, as clients with the same mesh see it.

    ``asked`` holds the questions that depend on the client, with their answers.
    """

    def __init__(
        self, store: Store, client: MeshClient = EVERYBODY_ELSE, record: Record | None = None
    ) -> None:
        super().__init__(store, client, record if record is not None else Record())
        self.asked: dict[ViewKey, tuple[Any, ...]] = {}
        self.unread: dict[RoutesKey, VirtualService] = {}
        """The first VirtualService of a port beyond the limit for wildcards."""

    def for_client(self, client: MeshClient) -> Reads:
        """The same reader's questions for another client."""
        return Reads(self._store, client, self.record)

    def agrees_with(self, other: Reads) -> bool:
        """Whether this client gets the answers that the other one got to all its questions."""
        return all(
            self.answer(key) == answer and self._named(key) == other._named(key)
            for key, answer in other.asked.items()
        )

    def services_of_host(self, host: str) -> tuple[Service, ...]:
        """The services that the host is for the client."""
        return self.answer(HostKey(host))

    def is_its_host(self, service: ServiceId, export_to: Collection[str]) -> bool:
        """Whether the host of a service, which is exported there, is that service for the client.

        Several are the ServiceEntries of one namespace that the client sees.
        """
        services = self.services_of_host(service.host)
        if len(services) < 2:
            return any(each.id == service for each in services)
        first, ref = services[0].ref, service.ref
        is_one_of_them = (ref.kind, ref.namespace) == (first.kind, first.namespace)
        return is_one_of_them and not {"*", self.namespace}.isdisjoint(export_to)

    def services_of_destination(self, host: str) -> tuple[Service, ...]:
        """Return the services that the host is as a destination of a route."""
        return self.answer(DestinationKey(host))

    def alias(self, host: str) -> ExternalName | None:
        """The Service of type ExternalName that the client sees under that host."""
        return next(iter(self.answer(AliasKey(host))), None)

    def claims(self, listener: str) -> tuple[Claim, ...]:
        """Who claims a listener of the client's proxies; the first has it."""
        return self.answer(ListenerKey(listener))

    def catch_all(self) -> str:
        """The cluster that the client's proxies send calls to no known service to."""
        (cluster,) = self.answer(OutboundPoliciesKey())
        return str(cluster)

    def virtual_services(self, host: str, port: int) -> tuple[VirtualService, ...]:
        """Those that apply to a port of the host, those of the most specific host first.

        Those of one host are in the order in which the client's sidecars obey them. Of those that
        name the host by a wildcard it has a few; ``unread`` has the first of the others.
        """
        return self.answer(RoutesKey(host, port))

    def has_destination(self, routes: VirtualService, host: str, port: int) -> bool:
        """Whether the client has a cluster for a port of a destination of these routes."""
        return bool(self.answer(RouteTargetKey(routes.ref, host, port)))

    def destination_rules(self, host: str) -> tuple[DestinationRule, ...]:
        """Those that istiod merges for the host; the first trafficPolicy counts."""
        return self.answer(DestinationRulesKey(host))

    def resources(self, group: str, kind: str, host: str) -> tuple[Resource[Any], ...]:
        """The objects of a plugin's kind for the host, as the client sees them, oldest first."""
        return self.answer(ResourcesKey(group, kind, host))

    def weight_host_problems(self, host: str, namespace: str) -> tuple[WeightHostProblem, ...]:
        """Why the client cannot use a host whose ServiceEntry is ours; empty when it can.

        ``namespace``: where the ServiceEntry is.
        """
        return self.answer(WeightHostKey(host, namespace))

    def withholds(self, group: str, kind: str, host: str) -> bool:
        """Whether an object of a plugin's kind speaks for the host, but not to the client."""
        return bool(self.answer(WithheldKey(ResourcesKey(group, kind, host))))

    def answer(self, key: ViewKey) -> tuple[Any, ...]:
        """The answer to one of the questions above. The same question is resolved once."""
        answer = self.asked.get(key)
        if answer is None:
            self.keys.add(_store_key(key))
            answer = self.asked[key] = self._resolve(key)
        return answer

    def _resolve(self, key: ViewKey) -> tuple[Any, ...]:
        about = key.resources if isinstance(key, WithheldKey) else key
        if (
            not isinstance(about, HostKey | ListenerKey | ResourcesKey)
            or self._store.count(about) < _MANY
        ):
            return self._look_up(key)
        # A thousand objects for one host would each look at all of them. So one looks for all.
        shared: dict[tuple[MeshClient, ViewKey], tuple[Reads, tuple[Any, ...]]]
        shared = self._store.shared_answers
        if (self.client, key) not in shared:
            one = Reads(self._store, self.client)
            shared[self.client, key] = (one, one._look_up(key))
        reads, answer = shared[self.client, key]
        self._include(reads)
        return answer

    def _include(self, other: Reads) -> None:
        """Note all that another reader asked for the same client."""
        self.record.include(other.record)
        self.asked.update(other.asked)
        self._referred |= other._referred

    def _look_up(self, key: ViewKey) -> tuple[Any, ...]:
        match key:
            case HostKey():
                return self._services(key.host)
            case AliasKey():
                return self._aliases(key.host)
            case DestinationKey():
                return self._destinations(key.host)
            case RoutesKey():
                return self._virtual_services(key)
            case RouteTargetKey():
                return self._route_targets(key)
            case DestinationRulesKey():
                return self._destination_rules(key.host)
            case ResourcesKey():
                return self._resources(key)
            case WithheldKey():
                exports = self._exports(key.resources)
                return tuple(resource for resource, is_exported in exports if not is_exported)
            case ListenerKey():
                return self._claims(key.name)
            case OutboundPoliciesKey():
                return (self._catch_all(),)
            case WeightHostKey():
                return self._weight_host_problems(key)

    def _services(self, host: str) -> tuple[Service, ...]:
        candidates = self._store.services_of_host(host)
        if len(candidates) == 1 and "*" in candidates[0].export_to:
            # One public service is the same for everybody.
            self.objects.add(candidates[0].ref)
            return candidates
        services = services_for(candidates, self.namespace)
        self.objects.update(service.ref for service in services[:_MANY])
        if any(each.ref.kind == "Service" and "*" in each.export_to for each in candidates):
            # Only in their own namespaces do others come before it.
            for each in candidates:
                if each.ref.kind != "Service":
                    self.record.note(each.namespace, {each.namespace})
        else:
            self.record.note_exported(candidates)
        return services

    def _destinations(self, host: str) -> tuple[Service, ...]:
        """Resolve a destination: Istio imports one of the client's namespace in any case."""
        services = self.services_of_host(host)
        if self.namespace is not None:
            candidates = self._store.services_of_host(host)
            own = tuple(each for each in candidates if each.namespace == self.namespace)
            # A Kubernetes Service takes the place of ServiceEntries that the client sees.
            services = tuple(each for each in own if each.ref.kind == "Service") or services or own
        return merged_services(services)

    def _aliases(self, host: str) -> tuple[ExternalName, ...]:
        external = self._store.alias(host)
        if external is None:
            return ()
        self.objects.add(external.service.ref)
        self.record.note_exported((external.service,))
        return (external,) if is_visible(external.service, self.namespace) else ()

    def _virtual_services(self, key: RoutesKey) -> tuple[VirtualService, ...]:
        host = key.host
        own, wildcards = self._ask_over(VirtualServicesKey, host)
        named = self._store.virtual_services(own)
        if host.startswith("*"):
            # Istio lets a VirtualService of any host under the wildcard decide, too.
            self.keys.add(VirtualServicesUnderKey(host))
            named = (*named, *self._store.virtual_services_under(host))
        over = self._shared(
            wildcards,
            lambda: [*map(self._level, self._store.wildcards_with_routes(wildcards))],
        )
        levels = [RouteLevel.of(None, named), *over] if named else over
        if not levels:
            return ()
        owners = self.services_of_host(host)
        routed = None
        if owners:
            port = 0 if owners[0].headless else key.port
            routed = RoutedPort(owners[0].namespace, host, port)
        if routed is not None:
            self._note_imports(routed, levels)
        virtual_services, unread = first_few(
            ((level, self._in_order(level, routed)) for level in levels), self.namespace
        )
        if unread is not None:
            self.unread[key] = unread
        self.objects.update(each.ref for each in virtual_services[:1])
        for level in levels:
            for author, namespaces in level.clients.items():
                self.record.note(author, namespaces)
        return virtual_services

    def _level(self, key: VirtualServicesKey) -> RouteLevel:
        """The VirtualServices of a wildcard, which are looked at once for all hosts under it."""
        return self._shared(
            ("level", key), lambda: RouteLevel.of(key, self._store.virtual_services(key))
        )

    def _in_order(self, level: RouteLevel, routed: RoutedPort | None) -> LevelOrder:
        """Those of a level that the client's Sidecar imports, in the order of its sidecars."""
        left_out: frozenset[ObjectRef] = frozenset()
        if routed is not None and level.is_routed_elsewhere(routed):
            left_out = self._left_out(level, routed, self.client)

        def in_order() -> LevelOrder:
            imported = [
                each
                for each in level.virtual_services
                if each.ref not in left_out
                or (routed is not None and level.is_imported_with_service(each, routed))
            ]
            ordered = virtual_services_for([imported], self.namespace)
            return LevelOrder(ordered, tuple(each for each in ordered if each.tcp))

        if level.key is None:
            return in_order()
        # Only where something is left out does it matter whose the host is.
        is_owners = left_out and routed is not None and routed.namespace in level.namespaces
        kept = (routed.namespace, routed.host.startswith("*")) if routed and is_owners else None
        return self._shared(("order", level.key, self.namespace, left_out, kept), in_order)

    def _route_targets(self, key: RouteTargetKey) -> tuple[Service, ...]:
        """The services of a destination, unless the Sidecar imports them for other ports alone.

        An egress entry with a port imports that port of the destinations of its routes.
        """
        services = self.services_of_destination(key.host)
        routes = self.virtual_service(key.routes)
        self._note_sidecars()
        sidecar = self._sidecar()
        if routes is None or sidecar is None or not sidecar.egress:
            return services
        entries = [each for each in sidecar.egress if each.port in (0, key.port)]
        if any(
            entry.imports_routes(routes.namespace, host, self.namespace)
            for entry in entries
            for host in routes.hosts
        ):
            return services
        return tuple(
            service
            for service in services
            if any(entry.imports(service.namespace, key.host, self.namespace) for entry in entries)
        )

    def _destination_rules(self, host: str) -> tuple[DestinationRule, ...]:
        by_host = self._rules_by_host(host)
        if not any(by_host):
            return ()
        owner, root = self._namespace_of(host), self.mesh.root_namespace
        rules = destination_rules_for(
            by_host, self.client, service_namespace=owner, root_namespace=root
        )
        self.objects.update(rule.ref for rule in rules)
        for rule in chain.from_iterable(by_host):
            # Rules of any other namespace count there alone, whomever they are exported to.
            is_exported = rule.namespace in (owner, root)
            self.record.note(rule.namespace, rule.export_to if is_exported else {rule.namespace})
            if rule.selector is not None:
                self.record.note_selector(rule.selector, rule.ref)
        return rules

    def _resources(self, key: ResourcesKey) -> tuple[Resource[Any], ...]:
        resources = tuple(resource for resource, is_exported in self._exports(key) if is_exported)
        self.objects.update(resource.ref for resource in resources)
        for resource in resources:
            self._refer(resource)
        return resources

    def _exports(self, key: ResourcesKey) -> Iterator[tuple[Resource[Any], bool]]:
        """The objects that speak for the host here, and whether they are exported to the client."""
        candidates = self._store.resources(key.group, key.kind, key.host)
        if not candidates:
            return
        services = self.services_of_host(key.host)
        service = services[0] if services else None
        owner, root = service.namespace if service else None, self.mesh.root_namespace
        exports = {each.ref: export_of(each, service) for each in candidates}
        for each in candidates:
            is_exported = each.namespace in (owner, root)
            self.record.note(each.namespace, exports[each.ref] if is_exported else {each.namespace})
        for resource in objects_for(
            candidates, self.namespace, service_namespace=owner, root_namespace=root
        ):
            yield resource, bool(exports[resource.ref] & {"*", self.namespace})

    def _claims(self, listener: str) -> tuple[Claim, ...]:
        candidates = self._store.claims(listener)
        self.record.note_exported(candidates)
        if len(candidates) < 2:
            return tuple(
                claim
                for claim in candidates
                if is_visible(claim, self.namespace) and not claim.by_sidecar
            )
        self._note_sidecars()
        visible = (
            claim for claim in in_export_order(candidates, self.namespace) if self._has(claim)
        )
        claims = in_proxies(visible, self._sidecar(), self.namespace)
        # Hundreds of hosts may share a listener, and each asks: look no further than at the one
        # that has it. Where chains stand side by side, also at some of the others.
        if not any(claim.ranges for claim in candidates):
            return tuple(islice(claims, 1))
        others = seen_elsewhere(candidates) if self.namespace is None else ()
        sharers = chain(claims, others)
        shown = tuple(islice(sharers, _SHARERS))
        if not any(claim.ranges for claim in shown):
            shown += tuple(islice((claim for claim in sharers if claim.ranges), 1))
        return shown

    def _weight_host_problems(self, key: WeightHostKey) -> tuple[WeightHostProblem, ...]:
        services = self.services_of_host(key.host)
        if services and services[0].namespace != key.namespace:
            # Its endpoints would get the calls. Ours wins as soon as it is the older one.
            claimer = services[0].ref
            return (WeightHostProblem(f"{claimer} claims the host {key.host}", claimer),)
        self._note_sidecars()
        sidecar = self._sidecar()
        if sidecar is None or not sidecar.egress:
            return ()
        if sidecar.imports(key.namespace, key.host, self.namespace):
            return ()
        return (WeightHostProblem(f"{sidecar.ref} does not import {key.namespace}/*"),)

    def _has(self, claim: Claim) -> bool:
        """Whether istiod makes listeners for that service in the client's proxies.

        It does for all of a host in one namespace, also for a ServiceEntry beside a Service.
        """
        services, sidecar = self.services_of_host(claim.service.host), self._sidecar()
        if sidecar is not None and sidecar.egress:
            # A service that the Sidecar does not import hides no other one of its host.
            candidates = self._store.services_of_host(claim.service.host)
            imported = sidecar.imported(candidates, port=claim.port, client=self.namespace)
            services = services_for(imported, self.namespace)
        # All services of a host that a client sees are of one namespace.
        return bool(services) and services[0].namespace == claim.namespace

    def _namespace_of(self, host: str) -> str | None:
        """The namespace of the host's service for the client; None when there is none."""
        services = self.services_of_host(host)
        return services[0].namespace if services else None

    def _named(self, key: ViewKey) -> ClientNamespace:
        """The client where an answer names it, so that it means something else for each."""
        routes = self.answer(key) if isinstance(key, RoutesKey) else ()
        is_named = any(self.namespace in each.source_namespaces for each in routes)
        return self.namespace if is_named else None


def _store_key(key: ViewKey) -> Key:
    """Return the question to the store that a client's question rests on."""
    match key:
        case RoutesKey():
            return VirtualServicesKey(key.host)
        case RouteTargetKey():
            return DestinationKey(key.host)
        case WithheldKey():
            return key.resources
        case _:
            return key
