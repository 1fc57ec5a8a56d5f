"""The outbound listeners that istiod makes for a proxy.

A TCP port has a listener ``<address>_<port>``. HTTP ports share ``0.0.0.0_<port>``, whatever their
services' addresses, and TCP ports without an address join them there: so a listener can hold the
chains of several services, and a PassthroughFilterChain for everything else. Istio source:
pilot/pkg/networking/core/listener.go (buildSidecarOutboundListeners, buildSidecarOutboundListener,
mergeTCPFilterChains, buildListenerFromEntry); port_chains.py has the chains of one service port.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener

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
    tcp_proxy,
)
from aeraki_core.testing.sidecar.port_chains import PortChain, port_chains
from aeraki_core.testing.sidecar.protocols import ListenerProtocol, protocol_of
from aeraki_core.testing.sidecar.proxy import Proxy
from aeraki_core.testing.sidecar.view import Egress, View

__all__ = ["OUTBOUND_PORT", "outbound_listeners", "virtual_outbound"]

OUTBOUND_PORT = 15001


class _ListenerPlace(NamedTuple):
    """What makes two listeners one: the first address and the port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class _Bind:
    """Where a listener of a service is, its other addresses, the ranges of its chain.

    ``of_range``: the service's address is a range, which its chain does not match on.
    """

    address: str
    others: tuple[str, ...] = ()
    ranges: frozenset[str] = frozenset()
    of_range: bool = False


@dataclass(slots=True)
class _Entry:
    """A listener in the making. ``http_hosts``: of the services that its HTTP chain knows."""

    protocol: ListenerProtocol
    others: tuple[str, ...]
    captured: bool
    chains: list[PortChain] = field(default_factory=list)
    http_hosts: dict[str, None] = field(default_factory=dict)

    def add(self, chains: Iterable[PortChain], protocol: ListenerProtocol) -> None:
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
            # Another name of a host has no listener.
            for port in service.ports if service.ref not in view.objects.aliases else ():
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
        chains = [PortChain(inspected=inspected)] if not protocol.is_tcp else []
        if protocol is not ListenerProtocol.HTTP:
            wildcard = bind.address == view.proxy.wildcard and _is_anywhere(view, service)
            own = port_chains(
                view,
                egress,
                service,
                port,
                protocol,
                ranges=bind.ranges,
                named=bool(bind.ranges) or bind.of_range or wildcard,
            )
            chains = [*own, *chains]
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
    own = listener.bind or ("" if listener.captured else "::1" if ":" in proxy.ip else "127.0.0.1")
    if own:
        # Istio makes a service of each address.
        for item in service.addresses or ("",):
            yield _Bind(own, of_range="/" in item)
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
            ips = _of_proxy(service.addresses, proxy) or list(service.addresses[:1])
            yield _Bind(ips[0], tuple(ips[1:]) if proxy.dual_stack else ())
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
        if not service.selector and not view.objects.port_endpoints(service, port.number):
            yield _Bind(proxy.wildcard, proxy.other_wildcards)
    elif proxy.dns_capture and (own := _of_proxy(service.auto_addresses, proxy)):
        own.sort(key=lambda item: ":" in item)
        yield _Bind(own[0], tuple(own[1:]))
    else:
        yield _Bind(proxy.wildcard, proxy.other_wildcards)


def _is_anywhere(view: View, service: Service) -> bool:
    """Report whether the service has no address for the proxy."""
    if service.resolution is Resolution.CLUSTER_IP:
        return service.headless
    allocated = view.proxy.dns_capture and _of_proxy(service.auto_addresses, view.proxy)
    return not service.addresses and not allocated


def _endpoint_ips(view: View, service: Service, port: Port) -> Iterator[str]:
    """Yield the addresses of a port's endpoints, without the proxy's own and without names."""
    endpoints = view.objects.port_endpoints(service, port.number)
    for ip in dict.fromkeys(endpoint.address for endpoint in endpoints):
        if ip != view.proxy.ip and is_ip(ip):
            yield ip


def _of_proxy(addresses: tuple[str, ...], proxy: Proxy) -> list[str]:
    """Return the addresses of the proxy's families."""
    return [item for item in addresses if proxy.dual_stack or (":" in item) == (":" in proxy.ip)]


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
