"""What our filters may change for one client, as pure functions.

Each check looks at a `Comparison`, what istiod gives one client without and with our filters, and
yields what is worse with them. A check knows nothing of how filters are made.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aeraki_core.filters.patch import ADDED_PREFIX
from aeraki_core.findings.codes import (
    CLIENT_MATCH,
    LISTENER_TAKEN,
    SIDECAR_LISTENER,
    UNSUPPORTED_MATCH,
)
from aeraki_core.findings.finding import Finding
from aeraki_core.model.istio import full_host
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener

from tests.chains import called_chains
from tests.istio.judge.routes import TCP_PROXY, Routing, Shares, routing_of, shares
from tests.rig.ads import ProxyConfig
from tests.rig.api import Object

__all__ = ["CHECKS", "Comparison", "Violation", "judge"]

ROOT_NAMESPACE = "istio-system"
# They are in no answer of istiod and in every Envoy, or the other way round.
_UNOWNED = ("PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster")
_BALANCING = ("lb_policy", "maglev_lb_config", "ring_hash_lb_config", "least_request_lb_config")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One client's configuration without (``before``) and with (``after``) our filters.

    ``namespace``: of the client. ``objects``: of the mesh, as the API server has them.
    ``findings``: what our pipeline says about them.
    """

    namespace: str
    before: ProxyConfig
    after: ProxyConfig
    objects: Sequence[Object]
    findings: Sequence[Finding] = ()


class Violation(NamedTuple):
    """Something that is worse with our filters."""

    check: str
    namespace: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}: client in {self.namespace}, {self.place}: {self.message}"


Reason = tuple[str, str]
"""The place and what is wrong there."""


class _Key(NamedTuple):
    """What makes a chain the same one before and after."""

    name: str
    match: bytes
    default: bool


@dataclass(frozen=True)
class _Change:
    """A chain with tcp_proxy before, whose filters differ after."""

    listener: Listener
    place: str
    before: FilterChain
    after: FilterChain

    @property
    def port(self) -> int:
        """The port of the service; of an inbound chain, of the workload."""
        inbound = self.before.filter_chain_match.destination_port.value
        return int(inbound or self.listener.address.socket_address.port_value)

    @property
    def is_called(self) -> bool:
        """Whether a call can come to it: to some chains of a fixed address none does."""
        places = (self.listener, *self.listener.additional_addresses)
        addresses = [each.address.socket_address.address for each in places]
        return any(
            ipaddress.ip_address(address).is_unspecified
            or self.before in called_chains(self.listener, address)
            for address in addresses
        )

    @property
    def istio(self) -> Routing:
        """Where istiod sends connections."""
        return next(route for route in map(routing_of, self.before.filters) if route)

    @property
    def ours(self) -> Routing | None:
        """The filter that routes; None where none of the known ones does."""
        return next((route for route in map(routing_of, self.after.filters) if route), None)


def judge(comparison: Comparison) -> list[Violation]:
    """What every check finds."""
    return [
        Violation(check.__name__, comparison.namespace, place, message)
        for check in CHECKS
        for place, message in check(comparison)
    ]


# Checks


def nothing_disappears(comparison: Comparison) -> Iterator[Reason]:
    """Every listener, chain and cluster is still there, and only clusters of our own are new."""
    before, after = comparison.before, comparison.after
    for name in before.listeners.keys() - after.listeners.keys():
        yield name, "the listener is gone"
    for name in before.clusters.keys() - after.clusters.keys():
        yield name, "the cluster is gone"
    for name in after.listeners.keys() - before.listeners.keys():
        yield name, "there is a new listener"
    for name in after.clusters.keys() - before.clusters.keys():
        if not name.startswith(ADDED_PREFIX):
            yield name, "there is a new cluster, which is named as if it were not ours"
    for name, first, second in _both(before.listeners, after.listeners):
        gone = _chains(first).keys() - _chains(second).keys()
        more = _chains(second).keys() - _chains(first).keys()
        if gone or more:
            yield name, f"{len(gone)} chains are gone and {len(more)} are new"


def only_tcp_chains_change(comparison: Comparison) -> Iterator[Reason]:
    """Nothing but the filters of chains that had a tcp_proxy to a service differs."""
    for name, first, second in _both(comparison.before.listeners, comparison.after.listeners):
        if _without_chains(first) != _without_chains(second):
            yield name, "the listener differs outside of its chains"
        for key, one, other in _both(_chains(first), _chains(second)):
            place = f"{name} chain {key.name or key.match!r}"
            if _without_filters(one) != _without_filters(other):
                yield place, "the chain differs outside of its filters"
            if list(one.filters) != list(other.filters):
                routing = next((route for route in map(routing_of, one.filters) if route), None)
                if routing is None:
                    yield place, "a chain without tcp_proxy is changed"
                elif routing.clusters & set(_UNOWNED):
                    yield place, "the chain for traffic of no service is changed"


def a_chain_is_changed_for_its_own_service(comparison: Comparison) -> Iterator[Reason]:
    """Our filter in a chain is of the service port that istiod made the chain for."""
    for change in _changes(comparison):
        ours, istio = change.ours, change.istio
        if ours is None or ours.name == TCP_PROXY or _is_of_a_sidecar(comparison, change):
            continue
        direction, _, port, host = _cluster_parts(ours.prefix)
        if port != change.port:
            yield change.place, f"{ours.name} is of port {port}"
        elif direction == "inbound":
            if ours.prefix != istio.prefix:
                yield change.place, f"istiod made it for {istio.prefix}"
        elif not _covers(_owners(comparison, istio.prefix), host) and not _is_left_out(
            comparison, host, change
        ):
            yield change.place, f"istiod made it for {istio.prefix}, {ours.name} is of {host}"


def routes_name_clusters_of_the_client(comparison: Comparison) -> Iterator[Reason]:
    """Every cluster that a changed chain names is one that istiod gives this client.

    A chain that no call comes to has the filter of the others.
    """
    known = comparison.after.clusters.keys() | set(_UNOWNED)
    for change in _changes(comparison):
        if change.ours is None or not change.is_called or _is_of_a_sidecar(comparison, change):
            continue
        if not _is_left_out(comparison, _cluster_parts(change.ours.prefix).host, change):
            for name in sorted(change.ours.clusters - known - change.istio.clusters):
                yield change.place, f"{change.ours.name} names {name}, which the client lacks"


def a_port_answers_every_call(comparison: Comparison) -> Iterator[Reason]:
    """A chain that took every call before still does."""
    for change in _changes(comparison):
        if change.ours is None:
            yield change.place, "no filter is left that routes"
        elif change.ours.default is None and change.istio.default:
            yield change.place, f"{change.ours.name} refuses calls that no route matches"


def other_calls_go_where_istio_sends_them(comparison: Comparison) -> Iterator[Reason]:
    """A call that matches no route reaches the same clusters as before, in equal shares.

    An HTTP route without a condition may decide otherwise, as far as its destinations exist, and
    so may the route of a RedisService for all keys. That one is also obeyed for clients that lack
    its destination: they get an error, because keys must not get into another Redis. A route for
    some clients of a namespace or some addresses cannot be followed, and a finding says so.
    """
    for change in _changes(comparison):
        ours, istio = change.ours, change.istio
        if ours is None or ours.default is None or not change.is_called:
            continue
        goes = {_stands_for(name): share for name, share in ours.default.items()}
        _, _, port, host = _cluster_parts(ours.prefix)
        wanted = [istio.default, *_spoken(comparison, host, port)]
        hosts = {_cluster_parts(name).host for name in goes}
        if _is_left_out(comparison, host, change) or _is_of_a_sidecar(comparison, change):
            continue
        if goes not in wanted and not hosts <= _for_all_keys(comparison, host):
            expected = " or ".join(str(dict(each or {})) for each in wanted)
            yield change.place, f"calls go to {goes}, not to {expected}"


def clusters_keep_what_protects_them(comparison: Comparison) -> Iterator[Reason]:
    """A cluster of Istio's differs in its load balancer at most, and in options that it lacked.

    Options of protocols, such as the password for Redis, protect nothing that Istio protects.
    """
    for name, first, second in _both(comparison.before.clusters, comparison.after.clusters):
        if first == second:
            continue
        fields = {
            each.name
            for each in Cluster.DESCRIPTOR.fields
            if getattr(first, each.name) != getattr(second, each.name)
        }
        options = second.typed_extension_protocol_options
        if all(
            options.get(key) == each for key, each in first.typed_extension_protocol_options.items()
        ):
            fields.discard("typed_extension_protocol_options")
        if _endpoints(first) == _endpoints(second):
            fields.discard("load_assignment")
        if wrong := sorted(fields - set(_BALANCING)):
            yield name, f"the cluster differs in {', '.join(wrong)}"


def _endpoints(cluster: Cluster) -> list[list[str]]:
    """The endpoints of each locality, in an order of their own: istiod has none."""
    return [
        sorted(str(each) for each in group.lb_endpoints)
        for group in cluster.load_assignment.endpoints
    ]


def filters_of_others_stay(comparison: Comparison) -> Iterator[Reason]:
    """Every filter beside tcp_proxy is still in its chain, as it was and in the same order."""
    for change in _changes(comparison):
        wanted = [each for each in change.before.filters if each.name != TCP_PROXY]
        left = iter(change.after.filters)
        for each in wanted:
            if not any(each == other for other in left):
                yield change.place, f"{each.name} is gone or differs"


CHECKS: tuple[Callable[[Comparison], Iterator[Reason]], ...] = (
    nothing_disappears,
    only_tcp_chains_change,
    a_chain_is_changed_for_its_own_service,
    routes_name_clusters_of_the_client,
    a_port_answers_every_call,
    other_calls_go_where_istio_sends_them,
    clusters_keep_what_protects_them,
    filters_of_others_stay,
)

# Chains


def _both(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """What both have, in order."""
    for key, value in first.items():
        if key in second:
            yield key, value, second[key]


def _chains(listener: Listener) -> dict[_Key, FilterChain]:
    chains = {
        _Key(each.name, each.filter_chain_match.SerializeToString(deterministic=True), False): each
        for each in listener.filter_chains
    }
    if listener.HasField("default_filter_chain"):
        chains[_Key("default", b"", True)] = listener.default_filter_chain
    return chains


def _changes(comparison: Comparison) -> Iterator[_Change]:
    """The chains with a tcp_proxy whose filters differ."""
    for name, first, second in _both(comparison.before.listeners, comparison.after.listeners):
        for key, one, other in _both(_chains(first), _chains(second)):
            routed = any(routing_of(each) for each in one.filters)
            if routed and list(one.filters) != list(other.filters):
                yield _Change(first, f"{name} chain {key.name or key.match!r}", one, other)


def _without_chains(listener: Listener) -> Listener:
    copied = Listener()
    copied.CopyFrom(listener)
    del copied.filter_chains[:]
    copied.ClearField("default_filter_chain")
    return copied


def _without_filters(chain: FilterChain) -> FilterChain:
    copied = FilterChain()
    copied.CopyFrom(chain)
    del copied.filters[:]
    return copied


# Objects


class _ClusterParts(NamedTuple):
    direction: str
    subset: str
    port: int
    host: str


def _cluster_parts(name: str) -> _ClusterParts:
    parts = name.split("|")
    if len(parts) != 4 or not parts[1].isdigit():
        return _ClusterParts(name, "", 0, "")
    return _ClusterParts(parts[0], parts[2], int(parts[1]), parts[3])


def _stands_for(name: str) -> str:
    """Istio's cluster in whose place one of ours is; its name comes first in ours."""
    return "|".join(name.split("|")[1:5]) if name.startswith(ADDED_PREFIX) else name


def _owners(comparison: Comparison, prefix: str) -> set[str]:
    """The hosts that a tcp_proxy of that stat_prefix is for.

    It is the service's cluster; or, where a VirtualService sends to several, that object's name.
    """
    host = _cluster_parts(prefix).host
    owners = {host} if host else set()
    return owners.union(*map(_hosts, _behind(comparison, prefix)))


def _behind(comparison: Comparison, prefix: str) -> Iterator[Object]:
    """The VirtualServices that a tcp_proxy of that stat_prefix may be of."""
    host = _cluster_parts(prefix).host
    # istiod names a Service of type ExternalName by the host that it stands for.
    names = {host} | {
        f"{each['metadata']['name']}.{each['metadata']['namespace']}.svc.cluster.local"
        for each in comparison.objects
        if each["kind"] == "Service" and each["spec"].get("externalName") == host
    }
    for each in comparison.objects:
        if each["kind"] != "VirtualService":
            continue
        meta = each["metadata"]
        is_named = prefix == f"{meta['name']}.{meta['namespace']}"
        # With one destination the prefix is that destination's cluster.
        if is_named or any(names & _targets(route) for route in _routes(each, "tcp")):
            yield each


def _hosts(virtual_service: Object) -> set[str]:
    return _full_hosts(virtual_service, virtual_service["spec"].get("hosts", ()))


def _full_hosts(content: Object, hosts: Sequence[str]) -> set[str]:
    namespace = content["metadata"]["namespace"]
    return {full_host(host, namespace, "cluster.local") for host in hosts}


def _routes(virtual_service: Object, section: str) -> list[tuple[Object, str]]:
    namespace = virtual_service["metadata"]["namespace"]
    return [(route, namespace) for route in virtual_service["spec"].get(section, ())]


def _targets(route: tuple[Object, str]) -> set[str]:
    content, namespace = route
    return {
        full_host(each["destination"]["host"], namespace, "cluster.local")
        for each in content.get("route", ())
    }


def _spoken(comparison: Comparison, host: str, port: int) -> Iterator[Shares]:
    """The shares that HTTP routes without a condition ask for."""
    for each in comparison.objects:
        if each["kind"] != "VirtualService" or not _covers(_hosts(each), host):
            continue
        for route, namespace in _routes(each, "http"):
            if route.get("route") and all(
                _is_open(match, port) for match in route.get("match", ())
            ):
                yield _asked(comparison, route["route"], namespace, port)


def _is_of_a_sidecar(comparison: Comparison, change: _Change) -> bool:
    """Report whether a finding says that a Sidecar binds the listener to a service's address."""
    listener = f"listener {change.listener.name} for its own services"
    return any(
        each.code is SIDECAR_LISTENER and listener in each.message for each in comparison.findings
    )


def _is_left_out(comparison: Comparison, host: str, change: _Change) -> bool:
    """Report whether a finding says that a route cannot be followed for its match.

    It is of the host; or, in a chain for some addresses or with a tcp_proxy, which names no host,
    the route that istiod made the chain of. A chain for some addresses may also be of a service
    whose listener belongs to another one, as a finding says.
    """
    is_of_addresses = bool(change.before.filter_chain_match.prefix_ranges)
    taken = f"listener {change.listener.name} of "
    if is_of_addresses and any(
        each.code is LISTENER_TAKEN and taken in each.message for each in comparison.findings
    ):
        return True
    codes = (CLIENT_MATCH, UNSUPPORTED_MATCH)
    findings = [each for each in comparison.findings if each.code in codes]
    is_of_route = is_of_addresses or (change.ours is not None and change.ours.name == TCP_PROXY)
    routed = [*_behind(comparison, change.istio.prefix)] if is_of_route else []
    return any(
        (ref.namespace, ref.name) == (each["metadata"]["namespace"], each["metadata"]["name"])
        and (each in routed or (_names(finding, host) and _covers(_hosts(each), host)))
        for each in comparison.objects
        if each["kind"] == "VirtualService"
        for finding in findings
        if (ref := finding.ref) is not None
    )


def _names(finding: Finding, host: str) -> bool:
    """Whether it is of that host: of a VirtualService, subnets may be followed for some hosts."""
    return "destinationSubnets" not in finding.message or host in finding.message


def _for_all_keys(comparison: Comparison, host: str) -> set[str]:
    """Return the hosts that a RedisService routes the keys to that no prefix fits."""
    targets: set[str] = set()
    for each in comparison.objects:
        if each["kind"] == "RedisService" and host in _full_hosts(each, each["spec"]["host"]):
            routes = [route for route in each["spec"].get("redis", ()) if not route.get("match")]
            targets |= _full_hosts(each, [route["route"]["host"] for route in routes])
    return targets


def _covers(hosts: set[str], host: str) -> bool:
    """Report whether one of the hosts means the other, as VirtualServices do in Istio."""
    return any(_means(each, host) or _means(host, each) for each in hosts)


def _means(wide: str, host: str) -> bool:
    return wide == host or (wide.startswith("*") and host.endswith(wide[1:]))


def _is_open(match: Object, port: int) -> bool:
    """Whether the match is for every call of the port, as far as the client is one of its own."""
    return match.get("port", port) == port and not (
        match.keys() - {"name", "port", "sourceNamespace", "sourceLabels", "gateways"}
    )


def _asked(
    comparison: Comparison, destinations: Sequence[Object], namespace: str, port: int
) -> Shares:
    """Return the shares of those destinations that the client has a cluster for."""
    targets = []
    for each in destinations:
        destination = each["destination"]
        host = full_host(destination["host"], namespace, "cluster.local")
        numbers = {
            parts.port
            for parts in map(_cluster_parts, comparison.before.clusters)
            if parts.host == host
        }
        only = next(iter(numbers)) if len(numbers) == 1 else port
        number = destination.get("port", {}).get("number", only)
        name = f"outbound|{number}|{destination.get('subset', '')}|{host}"
        if name in comparison.before.clusters:
            targets.append((name, each.get("weight", 1 if len(destinations) == 1 else 0)))
    return shares(targets) if any(weight for _, weight in targets) else {}
