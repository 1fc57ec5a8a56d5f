"""The outbound listeners that istiod makes for a proxy.

A TCP port has a listener ``<address>_<port>``. HTTP ports share ``0.0.0.0_<port>``, whatever their
services' addresses, and TCP ports without an address join them there: so a listener can hold the
chains of several services, and a PassthroughFilterChain for everything else. Istio source:
pilot/pkg/networking/core/listener.go (buildSidecarOutboundListeners, buildSidecarOutboundListener,
mergeTCPFilterChains, buildListenerFromEntry) and tls.go (chains of one service port).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener

from aeraki_core.mesh.routes import cluster_name
from aeraki_core.model.istio import Destination, HTTPRouteDestination, TCPRoute, full_host
from aeraki_core.model.service import Port, Resolution, Service
from aeraki_core.testing.sidecar.chains import (
    BLACK_HOLE,
    HTTP_INSPECTOR,
    PASSTHROUGH,
    PASSTHROUGH_CHAIN,
    PLAINTEXT_HTTP,
    TLS_INSPECTOR,
    Weighted,
    address,
    chain,
    http_filter,
    is_ip,
    mongo_proxy,
    tcp_proxy,
)
from aeraki_core.testing.sidecar.objects import part
from aeraki_core.testing.sidecar.protocols import ListenerProtocol, protocol_of
from aeraki_core.testing.sidecar.proxy import Proxy
from aeraki_core.testing.sidecar.rules import ClientRule
from aeraki_core.testing.sidecar.view import Egress, View

__all__ = ["OUTBOUND_PORT", "outbound_listeners", "virtual_outbound"]

OUTBOUND_PORT = 15001


class _ListenerPlace(NamedTuple):
    """What makes two listeners one: the first address and the port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class _Bind:
    """Where a listener of a service is, its other addresses, the ranges of its chain."""

    address: str
    others: tuple[str, ...] = ()
    ranges: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chain; two that match on the same exclude each other.

    ``filters``: empty for the HTTP chain of a listener.
    ``hosts``: server names.
    ``inspected``: it takes only what an inspector finds to be plaintext HTTP.
    """

    filters: tuple[Filter, ...] = ()
    ranges: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    inspected: bool = False

    def conflicts(self, other: _Chain) -> bool:
        return (self.ranges, self.hosts, self.inspected) == (
            other.ranges,
            other.hosts,
            other.inspected,
        )


@dataclass(slots=True)
class _Entry:
    """A listener in the making. ``http_hosts``: of the services that its HTTP chain knows."""

    protocol: ListenerProtocol
    others: tuple[str, ...]
    captured: bool
    chains: list[_Chain] = field(default_factory=list)
    http_hosts: dict[str, None] = field(default_factory=dict)

    def add(self, chains: Iterable[_Chain], protocol: ListenerProtocol) -> None:
        """Take in the chains that match something of their own."""
        for item in chains:
            if not any(known.conflicts(item) for known in self.chains):
                self.chains.append(item)
        if not (self.protocol.is_tcp and protocol.is_tcp):
            self.protocol = ListenerProtocol.SNIFFED


def outbound_listeners(view: View) -> tuple[Listener, ...]:
    """Return all listeners, by name."""
    entries: dict[_ListenerPlace, _Entry] = {}
    for egress in view.egress:
        # A listener of its own port comes first, and what follows adds nothing to it.
        locked = frozenset(() if egress.listener.port else entries)
        for service in egress.services:
            for port in service.ports:
                _add_port(view, egress, service, port, entries, locked)
    return tuple(_listener(view, place, entries[place]) for place in sorted(entries))


def _add_port(
    view: View,
    egress: Egress,
    service: Service,
    port: Port,
    entries: dict[_ListenerPlace, _Entry],
    locked: frozenset[_ListenerPlace],
) -> None:
    own_port = bool(egress.listener.port)
    protocol = egress.listener.protocol if own_port else protocol_of(service, port)
    if protocol is ListenerProtocol.UDP:
        return
    for bind in _binds(view, egress, service, port, protocol):
        place = _ListenerPlace(bind.address, port.number)
        if place in locked:
            continue
        entry = entries.get(place)
        if entry is not None and not _may_share(entry.protocol, protocol):
            continue
        # Where HTTP may come from anywhere, other traffic must be told apart from it.
        inspected = protocol is not ListenerProtocol.HTTP or bind.address == view.proxy.wildcard
        chains = [_Chain(inspected=inspected)] if not protocol.is_tcp else []
        if protocol is not ListenerProtocol.HTTP:
            chains = [*_chains(view, egress, service, port, protocol, bind), *chains]
        if entry is None or (entry.protocol, protocol) == _REPLACED:
            kind = ListenerProtocol.SNIFFED if chains[-1].inspected else protocol
            entry = entries[place] = _Entry(kind, bind.others, egress.listener.captured)
            entry.chains = chains
        elif protocol.is_tcp or entry.protocol.is_tcp:
            entry.add(chains, protocol)
        if not protocol.is_tcp:
            entry.http_hosts.setdefault(service.host)


_REPLACED = (ListenerProtocol.HTTP, ListenerProtocol.SNIFFED)
"""A listener of the first protocol makes room for one of the second."""


def _may_share(one: ListenerProtocol, other: ListenerProtocol) -> bool:
    return one is other or (one.shares_ports and other.shares_ports)


def _binds(
    view: View, egress: Egress, service: Service, port: Port, protocol: ListenerProtocol
) -> Iterator[_Bind]:
    listener, proxy = egress.listener, view.proxy
    if listener.bind:
        yield _Bind(listener.bind)
    elif not listener.captured:
        yield _Bind("::1" if ":" in proxy.ip else "127.0.0.1")
    elif protocol is ListenerProtocol.HTTP:
        yield _Bind(proxy.wildcard, proxy.other_wildcards)
    elif service.headless and not listener.port:
        for ip in _endpoint_ips(view, service, port):
            if view.mesh.headless_filter_chains and protocol.is_tcp:
                chain = frozenset({f"{ip}/{128 if ':' in ip else 32}"})
                yield _Bind(proxy.wildcard, proxy.other_wildcards, chain)
            else:
                yield _Bind(ip)
    elif service.headless:
        yield _Bind(proxy.wildcard, proxy.other_wildcards)
    elif service.resolution is Resolution.CLUSTER_IP:
        if service.addresses:
            own = _of_proxy(service.addresses, proxy) or list(service.addresses[:1])
            yield _Bind(own[0], tuple(own[1:]) if proxy.dual_stack else ())
    else:
        yield from _entry_binds(view, service, port, bool(listener.port))


def _entry_binds(view: View, service: Service, port: Port, of_port: bool) -> Iterator[_Bind]:
    """Yield the binds of a ServiceEntry: of each address, of the allocated ones, or of none.

    ``of_port``: the egress listener names the port.
    """
    proxy = view.proxy
    if service.addresses:
        for item in service.addresses:
            if "/" in item:
                yield _Bind(proxy.wildcard, proxy.other_wildcards, frozenset({item}))
            else:
                yield _Bind(item)
    elif service.resolution is Resolution.NONE and not of_port:
        yield from map(_Bind, _endpoint_ips(view, service, port))
        # Workloads that it selects are in no object that we read.
        if not service.selector and not view.objects.port_endpoints(service, port.number):
            yield _Bind(proxy.wildcard, proxy.other_wildcards)
    elif proxy.dns_capture and (own := _of_proxy(service.auto_addresses, proxy)):
        own.sort(key=lambda item: ":" in item)
        yield _Bind(own[0], tuple(own[1:]))
    else:
        yield _Bind(proxy.wildcard, proxy.other_wildcards)


def _endpoint_ips(view: View, service: Service, port: Port) -> Iterator[str]:
    """Yield the addresses of a port's endpoints, without the proxy's own and without names."""
    endpoints = view.objects.port_endpoints(service, port.number)
    for ip in dict.fromkeys(endpoint.address for endpoint in endpoints):
        if ip != view.proxy.ip and is_ip(ip):
            yield ip


def _of_proxy(addresses: tuple[str, ...], proxy: Proxy) -> list[str]:
    """Return the addresses of the proxy's families."""
    return [item for item in addresses if proxy.dual_stack or (":" in item) == (":" in proxy.ip)]


def _chains(
    view: View,
    egress: Egress,
    service: Service,
    port: Port,
    protocol: ListenerProtocol,
    bind: _Bind,
) -> Iterator[_Chain]:
    if protocol is not ListenerProtocol.TLS:
        last = _filter(view, egress, service, port)
        before = (mongo_proxy(cluster_name(port.number, service.host)),)
        filters = (*before, last) if protocol is ListenerProtocol.MONGO else (last,)
        yield _Chain(filters, bind.ranges)
        return
    # Where the address does not identify the service, the server name must.
    shared = bool(bind.ranges) or bind.address == view.proxy.wildcard
    hosts = frozenset({service.host}) if shared else frozenset()
    yield _Chain((_default_filter(view, service, port),), bind.ranges, hosts)


def _filter(view: View, egress: Egress, service: Service, port: Port) -> Filter:
    """tcp_proxy as the first ``tcp`` route that matches asks, else to the service itself."""
    for virtual_service, route in egress.tcp_routes(service.host):
        if route.route and _matches(view, route, port.number):
            namespace = virtual_service.namespace
            targets = _targets(view, route.route, namespace, port.number)
            if targets:
                first = route.route[0].destination
                one = len(route.route) == 1
                rule = _rule(view, full_host(first.host, namespace, view.mesh.domain))
                prefix = f"{virtual_service.ref.name}.{namespace}"
                if one:
                    return _to_one(targets[0].cluster, rule, first.subset or "")
                return tcp_proxy(prefix, targets, weighted=True, **_settings(rule, ""))
    return _default_filter(view, service, port)


def _default_filter(view: View, service: Service, port: Port) -> Filter:
    return _to_one(cluster_name(port.number, service.host), _rule(view, service.host), "")


def _to_one(cluster: str, rule: ClientRule | None, subset: str) -> Filter:
    return tcp_proxy(cluster, [Weighted(cluster)], **_settings(rule, subset))


def _settings(rule: ClientRule | None, subset: str) -> dict[str, Any]:
    """Return what tcp_proxy obeys of a rule: settings of ports count for nothing here."""
    if rule is None:
        return {}
    balancer = part(rule.policy, "loadBalancer")
    own = part(rule.subsets.get(subset), "trafficPolicy", "loadBalancer")
    return {
        "pool": part(rule.policy, "connectionPool", "tcp"),
        "by_source_ip": part(own or balancer, "consistentHash").get("useSourceIp") is True,
    }


def _rule(view: View, host: str) -> ClientRule | None:
    service = view.service(host)
    return None if service is None else view.destination_rule(service)


def _matches(view: View, route: TCPRoute, port: int) -> bool:
    return not route.match or any(
        (match.port in (None, port))
        and (not match.gateways or "mesh" in match.gateways)
        and match.source_namespace in (None, "", view.proxy.namespace)
        and view.proxy.has_labels(match.source_labels)
        for match in route.match
    )


def _targets(
    view: View, destinations: tuple[HTTPRouteDestination, ...], namespace: str, port: int
) -> list[Weighted]:
    targets = [
        Weighted(_target(view, item.destination, namespace, port), item.weight or 0)
        for item in destinations
    ]
    return targets if len(targets) == 1 else [item for item in targets if item.weight]


def _target(view: View, destination: Destination, namespace: str, port: int) -> str:
    host = full_host(destination.host, namespace, view.mesh.domain)
    service = view.service(host)
    if destination.port is not None:
        port = destination.port.number
    elif service is not None and len(service.ports) == 1:
        port = service.ports[0].number
    return cluster_name(port, host, destination.subset or "")


def _listener(view: View, place: _ListenerPlace, entry: _Entry) -> Listener:
    listener = Listener(
        name=f"{place.address}_{place.port}",
        address=address(place.address, place.port),
        traffic_direction=TrafficDirection.Value("OUTBOUND"),
        continue_on_listener_filters_timeout=True,
    )
    for other in entry.others:
        listener.additional_addresses.add(address=address(other, place.port))
    if entry.captured:
        listener.bind_to_port.value = False
    chains = []
    for item in entry.chains:
        filters = item.filters or (http_filter(place.port, entry.http_hosts),)
        transport, protocols = ("raw_buffer", PLAINTEXT_HTTP) if item.inspected else ("", ())
        chains.append(
            chain(
                filters,
                ranges=item.ranges,
                server_names=item.hosts,
                transport=transport,
                protocols=protocols,
            )
        )
    if any(item.hosts for item in entry.chains):
        listener.listener_filters.append(TLS_INSPECTOR)
    if any(item.inspected for item in entry.chains):
        listener.listener_filters.append(HTTP_INSPECTOR)
    listener.listener_filters_timeout.SetInParent()
    # A chain that matches everything becomes the default one where others stand beside it.
    for item in chains:
        if item.HasField("filter_chain_match"):
            listener.filter_chains.append(item)
        else:
            listener.default_filter_chain.CopyFrom(item)
    if not listener.filter_chains:
        listener.filter_chains.append(listener.default_filter_chain)
        listener.ClearField("default_filter_chain")
    elif not listener.HasField("default_filter_chain"):
        rest = chain([_passthrough(view)], name=PASSTHROUGH_CHAIN)
        listener.default_filter_chain.CopyFrom(rest)
    return listener


def _passthrough(view: View) -> Filter:
    name = BLACK_HOLE if view.registry_only else PASSTHROUGH
    return tcp_proxy(name, [Weighted(name)])


def virtual_outbound(view: View) -> Listener:
    """Return the listener for all captured traffic without another listener."""
    listener = Listener(
        name="virtualOutbound",
        address=address(view.proxy.wildcard, OUTBOUND_PORT),
        traffic_direction=TrafficDirection.Value("OUTBOUND"),
    )
    listener.use_original_dst.value = True
    listener.filter_chains.append(
        chain(
            [tcp_proxy(BLACK_HOLE, [Weighted(BLACK_HOLE)])],
            name="virtualOutbound-blackhole",
            port=OUTBOUND_PORT,
        )
    )
    listener.filter_chains.append(chain([_passthrough(view)], name="virtualOutbound-catchall-tcp"))
    return listener
