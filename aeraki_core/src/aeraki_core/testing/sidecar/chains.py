"""The parts that modelled listeners are made of: addresses, tcp_proxy, chains.

They have the fields that istiod sets and that matter to a patch or to Envoy's loading. Left out:
access logs, stats filters, Istio's metadata, and the listeners' TLS contexts, whose certificates
come from istiod.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from envoy.config.core.v3.address_pb2 import Address, CidrRange, SocketAddress
from envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    ListenerFilter,
)
from envoy.config.route.v3.route_components_pb2 import (
    Route,
    RouteAction,
    RouteMatch,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (  # noqa: E501
    HttpConnectionManager,
    HttpFilter,
)
from envoy.extensions.filters.network.mongo_proxy.v3.mongo_proxy_pb2 import MongoProxy
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from google.protobuf.duration_pb2 import Duration

from aeraki_core.filters.patch import pack
from aeraki_core.model.duration import parse_duration

__all__ = [
    "BLACK_HOLE",
    "HTTP_INSPECTOR",
    "INBOUND_PASSTHROUGH",
    "ORIGINAL_DST",
    "PASSTHROUGH",
    "PASSTHROUGH_CHAIN",
    "PLAINTEXT_HTTP",
    "TCP_PROXY",
    "TLS_INSPECTOR",
    "Weighted",
    "address",
    "chain",
    "http_filter",
    "is_ip",
    "mongo_proxy",
    "set_duration",
    "tcp_proxy",
]

TCP_PROXY = "envoy.filters.network.tcp_proxy"
BLACK_HOLE = "BlackHoleCluster"
PASSTHROUGH = "PassthroughCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"
PASSTHROUGH_CHAIN = "PassthroughFilterChain"
PLAINTEXT_HTTP = ("http/1.1", "h2c")

ORIGINAL_DST = ListenerFilter(
    name="envoy.filters.listener.original_dst", typed_config=pack(OriginalDst())
)
TLS_INSPECTOR = ListenerFilter(
    name="envoy.filters.listener.tls_inspector", typed_config=pack(TlsInspector())
)
HTTP_INSPECTOR = ListenerFilter(
    name="envoy.filters.listener.http_inspector", typed_config=pack(HttpInspector())
)


def address(ip: str, port: int) -> Address:
    """Return a TCP address."""
    return Address(socket_address=SocketAddress(address=ip, port_value=port))


def is_ip(text: str) -> bool:
    """Report whether it is an address, and not a name."""
    with suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return False


class Weighted(NamedTuple):
    """A cluster with its share of the connections."""

    cluster: str
    weight: int = 0


def tcp_proxy(
    stat_prefix: str,
    clusters: Sequence[Weighted],
    *,
    weighted: bool = False,
    pool: Mapping[str, Any] = MappingProxyType({}),
    by_source_ip: bool = False,
) -> Filter:
    """tcp_proxy to one cluster, or to several by weight.

    ``pool``: the DestinationRule's ``connectionPool.tcp``.
    ``by_source_ip``: it asks for load balancing by the client's address.
    """
    config = TcpProxy(stat_prefix=stat_prefix)
    if weighted:
        for name, weight in clusters:
            config.weighted_clusters.clusters.add(name=name, weight=weight)
    else:
        config.cluster = clusters[0].cluster
    for name, target in (
        ("idleTimeout", config.idle_timeout),
        ("maxConnectionDuration", config.max_downstream_connection_duration),
    ):
        if name in pool:
            set_duration(target, pool[name])
    if by_source_ip:
        config.hash_policy.add().source_ip.SetInParent()
    return Filter(name=TCP_PROXY, typed_config=pack(config))


def set_duration(message: Duration, value: Any) -> bool:
    """Set a duration; what does not fit is left out, since Istio's admission refuses it."""
    if isinstance(value, str):
        with suppress(ValueError, OverflowError):
            message.FromTimedelta(timedelta(seconds=parse_duration(value)))
            return True
    return False


def mongo_proxy(stat_prefix: str) -> Filter:
    """Return istiod's filter before tcp_proxy on ports ``mongo`` (PILOT_ENABLE_MONGO_FILTER)."""
    config = MongoProxy(stat_prefix=stat_prefix)
    return Filter(name="envoy.filters.network.mongo_proxy", typed_config=pack(config))


def http_filter(port: int, hosts: Iterable[str]) -> Filter:
    """Return an HTTP connection manager with a port's services by host, without their routes."""
    routes = RouteConfiguration(name=str(port))
    routes.validate_clusters.value = False
    for host in hosts:
        action = RouteAction(cluster=f"outbound|{port}||{host}")
        routes.virtual_hosts.add(
            name=f"{host}:{port}",
            domains=[host, f"{host}:{port}"],
            routes=[Route(match=RouteMatch(prefix="/"), route=action)],
        )
    config = HttpConnectionManager(
        stat_prefix=f"outbound_{port}",
        route_config=routes,
        http_filters=[HttpFilter(name="envoy.filters.http.router", typed_config=pack(Router()))],
    )
    return Filter(name="envoy.filters.network.http_connection_manager", typed_config=pack(config))


def chain(
    filters: Iterable[Filter],
    *,
    name: str = "",
    ranges: Iterable[str] = (),
    server_names: Iterable[str] = (),
    port: int = 0,
    transport: str = "",
    protocols: Iterable[str] = (),
) -> FilterChain:
    """Return a filter chain; without any match it matches all connections."""
    item = FilterChain(name=name, filters=filters)
    match = FilterChainMatch(
        transport_protocol=transport,
        application_protocols=protocols,
        server_names=sorted(server_names),
    )
    for text in sorted(ranges):
        network = ipaddress.ip_network(text, strict=False)
        if str(network.network_address) == "0.0.0.0":
            continue  # as istiod does (listener.go, toFilterChainMatch)
        prefix = CidrRange(address_prefix=str(network.network_address))
        prefix.prefix_len.value = network.prefixlen
        match.prefix_ranges.append(prefix)
    if port:
        match.destination_port.value = port
    if match.ByteSize() or ranges:
        item.filter_chain_match.CopyFrom(match)
    return item
