"""Weights that endpoints carry, so that open connections obey a change of them at once.

A changed route is a changed listener: Envoy drains it, and cuts its connections. A changed endpoint
is not. So a route with several destinations names one cluster, whose endpoints are the ready pods
of all its destinations, each with a part of its destination's weight (see "Live weights" in
docs/internals/live-routes.md). The *weight set* is the value behind that cluster.
pipeline/companions.py makes the ServiceEntry and the DestinationRule of it.

A weight set becomes objects in the namespace of its service. So it is made only of what that
namespace says, or the root namespace, and clients to whom others speak have none. Where it cannot
be made, the route keeps its ordinary weights, and a finding says why.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aeraki_core.findings.codes import (
    LIVE_WEIGHTS_BALANCER,
    LIVE_WEIGHTS_EMPTY,
    LIVE_WEIGHTS_OFF,
    LIVE_WEIGHTS_UNUSED,
)
from aeraki_core.findings.finding import Code
from aeraki_core.mesh.mesh_client import EVERYBODY_ELSE
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.routes import WeightedCluster, cluster_name
from aeraki_core.mesh.shares import endpoint_weights
from aeraki_core.model.istio import (
    LIVE_WEIGHTS_ANNOTATION,
    Destination,
    DestinationRule,
    HTTPRoute,
    HTTPRouteDestination,
    TCPRoute,
    VirtualService,
)
from aeraki_core.model.mesh import LiveWeights
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.pod import Pod
from aeraki_core.model.service import Port, Service

__all__ = [
    "MAX_ENDPOINTS",
    "PORT",
    "SUFFIX",
    "Share",
    "WeightSet",
    "WeightSets",
    "WeightedEndpoint",
]

SUFFIX = "weights.aeraki.internal"
"""The domain of the hosts of weight sets: ``<name>.<namespace>.<SUFFIX>``.

The namespace is a part of the host, so that a policy of the cluster can keep others from claiming
it.
"""
PORT = 7070
"""The one port of all weight sets. Nobody dials it: only routes lead to the cluster."""
MAX_ENDPOINTS = 1_000
"""Of one weight set. Each change writes all of them."""
MAX_DESTINATIONS = 200
"""Of all routes with live weights of a service port: each is compared with all pods."""

_ROUND_ROBIN = frozenset({None, "UNSPECIFIED", "ROUND_ROBIN"})


@dataclass(frozen=True, slots=True)
class WeightedEndpoint:
    """A pod of a weight set: its address, port and weight, and what mTLS and telemetry need."""

    address: str
    port: int
    weight: int
    pod: Pod


class Share(NamedTuple):
    """What a destination gets: its weight as written, and how many endpoints share it."""

    cluster: str
    weight: int
    endpoints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSet:
    """The endpoints that one route's calls go to.

    - host: its host, under :data:`SUFFIX`
    - name: the first label of the host
    - ref, field: the route
    - shares: one for each destination
    - endpoints: by destination, then by address
    - traffic_policy: that of the destinations, without load balancing
    - export_to: the namespaces of all clients whose filters name it; ``*`` for the whole mesh
    """

    host: str
    name: str
    ref: ObjectRef
    field: str
    shares: tuple[Share, ...]
    endpoints: tuple[WeightedEndpoint, ...]
    traffic_policy: Mapping[str, Any]
    export_to: tuple[str, ...] = ()

    @property
    def cluster(self) -> str:
        """Istio's name of its cluster."""
        return cluster_name(PORT, self.host)


class _Unusable(Exception):
    """Why a route keeps its ordinary weights. ``ref``: who causes it; None for the route itself."""

    def __init__(self, reason: str, ref: ObjectRef | None = None) -> None:
        super().__init__(reason)
        self.ref = ref


class _Members(NamedTuple):
    """A destination's ready pods, and its policy."""

    pods: tuple[tuple[str, int, Pod], ...]
    policy: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class WeightSets:
    """The weight sets of one service port for one group of clients.

    - reads: the mesh as the clients see it
    - service, port: whose routes they are
    - report_at: takes findings
    """

    reads: Reads
    service: Service
    port: Port
    report_at: Callable[[Code, str, ObjectRef, str], None]
    by_route: dict[tuple[ObjectRef, str], WeightSet] = field(default_factory=dict)
    _places: dict[ObjectRef, Mapping[int, str]] = field(default_factory=dict)
    _destinations: int = 0

    def carry(
        self,
        virtual_service: VirtualService,
        route: tuple[HTTPRouteDestination, ...],
        destinations: Sequence[WeightedCluster],
        *,
        path: str,
    ) -> WeightedCluster | None:
        """The cluster that carries the weights of a route; None: the route keeps them itself.

        Asked for a route with several destinations whose weights are to be live (is_wanted).
        ``destinations`` are all of the ``route``, also those with weight 0, so that the filter is
        the same for every weight.
        """
        ref = virtual_service.ref
        if self.reads.mesh.live_weights is LiveWeights.OFF:
            message = f"{LIVE_WEIGHTS_ANNOTATION} has no effect: the setting live-weights is off"
            self.report_at(LIVE_WEIGHTS_OFF, message, ref, path)
            return None
        try:
            self._may_decide(ref)
            self._destinations += len(destinations)
            if self._destinations > MAX_DESTINATIONS:
                raise _Unusable(
                    f"the routes of port {self.port.number} have more than {MAX_DESTINATIONS} "
                    "destinations together"
                )
            weight_set = self._make(
                ref, destinations, path=path, place=self._place(virtual_service, route)
            )
        except _Unusable as reason:
            message = f"{reason}; changed weights wait for the drain of open connections"
            if reason.ref in (None, ref):
                self.report_at(LIVE_WEIGHTS_UNUSED, message, ref, path)
            else:
                self.report_at(LIVE_WEIGHTS_UNUSED, f"{ref}: {message}", reason.ref, "spec")
            return None
        self.by_route[ref, path] = weight_set
        meant = {(destination.host, destination.port) for destination in destinations}
        # What is known of one service does not hold for several.
        host, port = meant.pop() if len(meant) == 1 else (weight_set.host, PORT)
        return WeightedCluster(cluster=weight_set.cluster, weight=1, host=host, port=port)

    def is_wanted(self, virtual_service: VirtualService) -> bool:
        """Whether the weights of a VirtualService are to be live, by a setting or annotation."""
        if self.reads.mesh.live_weights is LiveWeights.ALL:
            return True
        return virtual_service.live_weights or (
            self.reads.annotation(self.service, LIVE_WEIGHTS_ANNOTATION) == "true"
        )

    def _may_decide(self, ref: ObjectRef) -> None:
        """Nobody else has a say in what is written into the namespace of the service.

        Raises:
            _Unusable: the object is of another namespace.
        """
        namespace = self.service.namespace
        if ref.namespace not in (namespace, self.reads.mesh.root_namespace):
            raise _Unusable(
                f"{ref} decides for these clients, and what is written into namespace {namespace} "
                "is decided there",
                ref,
            )

    def _make(
        self,
        ref: ObjectRef,
        destinations: Sequence[WeightedCluster],
        *,
        path: str,
        place: str,
    ) -> WeightSet:
        """The weight set of a route.

        Raises:
            _Unusable: the weights cannot be carried by endpoints.
        """
        name = self._name(ref, destinations, place)
        host = f"{name}.{self.service.namespace}.{SUFFIX}"
        # Somebody else may have an object of that host; istiod would merge the two.
        for reason, claimer in self.reads.weight_host_problems(host, self.service.namespace):
            raise _Unusable(reason, claimer)
        members = [self._members(destination) for destination in destinations]
        if sum(len(each.pods) for each in members) > MAX_ENDPOINTS:
            raise _Unusable(f"the destinations have more than {MAX_ENDPOINTS} endpoints")
        # All endpoints of a set share one cluster, and a cluster has one policy.
        policies = [_without_balancer(each.policy) for each in members]
        if any(policy != policies[0] for policy in policies):
            raise _Unusable("the destinations have different traffic policies, and one set has one")
        self._report(ref, destinations, members, path)
        weights = endpoint_weights(
            [destination.weight for destination in destinations],
            [len(each.pods) for each in members],
        )
        return WeightSet(
            host=host,
            name=name,
            ref=ref,
            field=path,
            shares=tuple(
                Share(destination.cluster, destination.weight, len(each.pods))
                for destination, each in zip(destinations, members, strict=True)
            ),
            endpoints=tuple(_weighted(members, weights)),
            traffic_policy=policies[0],
        )

    def _name(self, ref: ObjectRef, destinations: Sequence[WeightedCluster], place: str) -> str:
        """A name that no other route has, and that stays while only weights change.

        It is the same for all clients to whom the same objects speak.
        """
        identity = repr(
            (
                self.service.id,
                self.port.number,
                ref,
                [destination.cluster for destination in destinations],
                self._rules_for_some(destinations),
                place,
            )
        )
        head = re.sub(r"[^a-z0-9-]+", "-", self.service.host.partition(".")[0]).strip("-")[:30]
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        return f"{head or 'x'}-{self.port.number}-{digest}"

    def _rules_for_some(self, destinations: Sequence[WeightedCluster]) -> list[ObjectRef]:
        """The DestinationRules of the destinations, where everybody else has others."""
        everybody = self.reads.for_client(EVERYBODY_ELSE)
        return [
            rule.ref
            for host in dict.fromkeys(destination.host for destination in destinations)
            if (rules := self.reads.destination_rules(host)) != everybody.destination_rules(host)
            for rule in rules
        ]

    def _place(
        self, virtual_service: VirtualService, route: tuple[HTTPRouteDestination, ...]
    ) -> str:
        """Which calls the route takes, so that a new route above it takes no name from it.

        Its matches, and how many routes before it have the same and the same destinations, whoever
        their clients are.
        """
        if virtual_service.ref not in self._places:
            seen: Counter[tuple[str, tuple[Destination, ...]]] = Counter()
            places: dict[int, str] = {}
            entries: tuple[HTTPRoute | TCPRoute, ...] = (
                *virtual_service.http,
                *virtual_service.tcp,
            )
            for entry in entries:
                written = entry.route or ()
                matches = [match.model_dump(exclude_defaults=True) for match in entry.match or ()]
                key = (
                    json.dumps(matches, sort_keys=True),
                    tuple(each.destination for each in written),
                )
                places[id(written)] = f"{key[0]}{seen[key]}"
                seen[key] += 1
            self._places[virtual_service.ref] = places
        return self._places[virtual_service.ref].get(id(route), "")

    def _members(self, destination: WeightedCluster) -> _Members:
        rules = self.reads.destination_rules(destination.host)
        for rule in rules:
            self._may_decide(rule.ref)
        labels, subset_policy = _subset(destination, rules)
        service = self._service(destination.host)
        port = service.port(destination.port)
        if port is None:
            raise _Unusable(f"{destination.host} has no port {destination.port}")
        endpoints = self.reads.ready_endpoints(service)
        if endpoints is None:
            raise _Unusable(f"no EndpointSlice of {service.ref} is known")
        pods: list[tuple[str, int, Pod]] = []
        unknown = 0
        for endpoint in endpoints:
            if not endpoint.pod:
                raise _Unusable(f"endpoint {endpoint.address} of {service.ref} is no pod")
            pod, number = self.reads.pod(service, endpoint.pod), endpoint.port(port.name)
            if pod is None or endpoint.address not in pod.addresses:
                unknown += 1
            elif number is not None and pod.has(labels):
                pods.append((endpoint.address, number, pod))
        if endpoints and unknown == len(endpoints):
            # A single one is a pod that comes or goes.
            raise _Unusable(f"no Pod of {service.ref} is known")
        policy = next((rule.traffic_policy for rule in rules if rule.traffic_policy), {})
        effective = _laid_over(policy or {}, subset_policy, destination.port)
        if (effective.get("loadBalancer") or {}).get("simple") == "PASSTHROUGH":
            raise _Unusable(f"{service.ref} has the loadBalancer PASSTHROUGH")
        return _Members(tuple(pods), effective)

    def _service(self, host: str) -> Service:
        services = self.reads.services_of_host(host)
        if not services:
            raise _Unusable(f"no service {host} in the mesh")
        service = services[0]
        if service.ref.kind != "Service" or not service.selector:
            raise _Unusable(f"{service.ref} is no Service with a selector, so it has no pods")
        if service.original_dst:
            raise _Unusable(f"{service.ref} is headless")
        if service.remote_addresses:
            raise _Unusable(
                f"{service.ref} is in other clusters too, whose pods are not known here"
            )
        if service.namespace != self.service.namespace:
            # The ServiceEntry's namespace is the one that clients expect in the pods' certificates.
            raise _Unusable(f"{service.ref} is in another namespace than {self.service.ref}")
        return service

    def _report(
        self,
        ref: ObjectRef,
        destinations: Sequence[WeightedCluster],
        members: Sequence[_Members],
        path: str,
    ) -> None:
        pairs = list(zip(destinations, members, strict=True))
        is_served = any(destination.weight and each.pods for destination, each in pairs)
        effect = "the others get its calls" if is_served else "its calls fail"
        for destination, each in pairs:
            if destination.weight and not each.pods:
                message = f"{destination.cluster} has no ready endpoint; {effect}"
                self.report_at(LIVE_WEIGHTS_EMPTY, message, ref, path)
        balancers = [each.policy.get("loadBalancer") or {} for each in members]
        if any(
            balancer.get("simple") not in _ROUND_ROBIN or balancer.get("consistentHash")
            for balancer in balancers
        ):
            message = (
                "live weights need ROUND_ROBIN; the loadBalancer of the DestinationRule is not used"
            )
            self.report_at(LIVE_WEIGHTS_BALANCER, message, ref, path)


def _weighted(
    members: Iterable[_Members], weights: Iterable[Sequence[int]]
) -> Iterator[WeightedEndpoint]:
    """The endpoints that get calls. A pod of several destinations is one, with all its weights."""
    found: dict[tuple[str, int], WeightedEndpoint] = {}
    for each, parts in zip(members, weights, strict=True):
        for (address, port, pod), weight in zip(each.pods, parts, strict=True):
            before = found.get((address, port))
            total = weight + (before.weight if before is not None else 0)
            if total:
                found[address, port] = WeightedEndpoint(address, port, total, pod)
    yield from found.values()


def _subset(
    destination: WeightedCluster, rules: Sequence[DestinationRule]
) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The labels and the trafficPolicy of a destination's subset; both empty without one."""
    if not destination.subset:
        return {}, {}
    for rule in rules:
        for subset in rule.subset_rules:
            if subset.name == destination.subset:
                return dict(subset.labels), subset.traffic_policy or {}
    raise _Unusable(f"no DestinationRule gives {destination.host} a subset {destination.subset}")


def _laid_over(
    policy: Mapping[str, Any], subset: Mapping[str, Any], port: int
) -> Mapping[str, Any]:
    """The policy of a subset's port, as istiod joins it with that of the host.

    Settings of the port replace the others as a whole. Those of the subset's port replace the
    host's, too; other fields of the subset replace single ones.
    """
    own = _port_settings(subset, port)
    if own is not None:
        kept = {name: policy[name] for name in ("proxyProtocol",) if name in policy}
        return {**kept, **own}
    settings = _port_settings(policy, port)
    return {**(_without_ports(policy) if settings is None else settings), **_without_ports(subset)}


def _port_settings(policy: Mapping[str, Any], port: int) -> Mapping[str, Any] | None:
    for settings in policy.get("portLevelSettings") or ():
        if (settings.get("port") or {}).get("number") == port:
            return {name: value for name, value in settings.items() if name != "port"}
    return None


def _without_ports(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in policy.items() if name != "portLevelSettings"}


def _without_balancer(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in policy.items() if name != "loadBalancer"}
