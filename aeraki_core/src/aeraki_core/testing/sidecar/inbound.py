"""The inbound side of a proxy: the listener virtualInbound with its chains, and the clusters behind them.

In: the proxy's view of the mesh. Out: Envoy messages. One set of chains and one cluster for each target port, shared by
all services behind it; the oldest service decides. A port's chains are one (STRICT, DISABLE) or three (PERMISSIVE). The
chains have no TLS context, whose certificates only istiod has: real traffic through them is plaintext.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener

from aeraki_core.testing.sidecar.chains import (
    BLACK_HOLE,
    INBOUND_PASSTHROUGH,
    ORIGINAL_DST,
    TLS_INSPECTOR,
    address,
    chain,
    tcp_proxy,
)
from aeraki_core.testing.sidecar.proxy import MutualTls, Proxy
from aeraki_core.testing.sidecar.view import View, is_sniffed, is_tcp

__all__ = ["INBOUND_PORT", "TargetPort", "inbound_clusters", "target_ports", "virtual_inbound"]

INBOUND_PORT = 15006

_MUTUAL_TLS = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")

# Where HTTP has chains of its own (which are not modelled): sniffed ports, and what belongs to no service.
_TCP_MUTUAL_TLS = ("istio-peer-exchange", "istio")

# What the chains of one TCP port match on: transport protocol and application protocols.
_MATCHES: Mapping[MutualTls, tuple[tuple[str, tuple[str, ...]], ...]] = {
    MutualTls.PERMISSIVE: (("tls", _MUTUAL_TLS), ("tls", ()), ("raw_buffer", ())),
    MutualTls.STRICT: (("tls", ()),),
    MutualTls.DISABLE: (("raw_buffer", ()),),
}


@dataclass(frozen=True, slots=True)
class TargetPort:
    """A TCP port of the workload. ``hosts``: of the services that lead to it, the oldest first. ``sniffed``: it may speak HTTP."""

    number: int
    hosts: tuple[str, ...]
    sniffed: bool


def target_ports(view: View) -> tuple[TargetPort, ...]:
    """The workload's TCP ports that services lead to; the oldest service says whether a port is sniffed."""
    hosts: dict[int, list[str]] = {}
    sniffed: dict[int, bool] = {}
    for service in view.selecting():
        for port in service.ports:
            if not is_tcp(service, port):
                continue
            numbers: tuple[int, ...]
            if isinstance(port.target, int):
                numbers = (port.target,)
            else:
                endpoints = view.store.endpoints(service.namespace, service.ref.name)
                numbers = endpoints.target_ports(port.name)
            for number in numbers:
                named = hosts.setdefault(number, [])
                sniffed.setdefault(number, is_sniffed(service, port))
                if service.host not in named:
                    named.append(service.host)
    return tuple(
        TargetPort(number, tuple(hosts[number]), sniffed[number]) for number in sorted(hosts)
    )


def virtual_inbound(view: View) -> Listener:
    """The listener that takes all captured inbound traffic."""
    proxy = view.proxy
    found = Listener(
        name="virtualInbound",
        address=address(proxy.wildcard, INBOUND_PORT),
        traffic_direction=TrafficDirection.Value("INBOUND"),
        continue_on_listener_filters_timeout=True,
    )
    found.listener_filters.extend([ORIGINAL_DST, TLS_INSPECTOR])
    found.filter_chains.append(
        chain(
            [tcp_proxy(BLACK_HOLE, [(BLACK_HOLE, 0)])],
            name="virtualInbound-blackhole",
            port=INBOUND_PORT,
        )
    )
    found.filter_chains.extend(
        _chains(proxy, "virtualInbound", INBOUND_PASSTHROUGH, 0, _TCP_MUTUAL_TLS)
    )
    for port in target_ports(view):
        name, cluster = f"{proxy.wildcard}_{port.number}", f"inbound|{port.number}||"
        protocols = _TCP_MUTUAL_TLS if port.sniffed else _MUTUAL_TLS
        found.filter_chains.extend(_chains(proxy, name, cluster, port.number, protocols))
    return found


def _chains(
    proxy: Proxy, name: str, cluster: str, port: int, mutual_tls: tuple[str, ...]
) -> list[FilterChain]:
    return [
        chain(
            [tcp_proxy(cluster, [(cluster, 0)])],
            name=name,
            port=port,
            transport=transport,
            protocols=mutual_tls if protocols else (),
        )
        for transport, protocols in _MATCHES[proxy.mutual_tls]
    ]


def inbound_clusters(view: View) -> tuple[Cluster, ...]:
    """One for each target port, and the one for everything else."""
    names = [f"inbound|{port.number}||" for port in target_ports(view)]
    found = []
    for name in (*names, INBOUND_PASSTHROUGH):
        cluster = Cluster(
            name=name,
            type=Cluster.DiscoveryType.Value("ORIGINAL_DST"),
            lb_policy=Cluster.LbPolicy.Value("CLUSTER_PROVIDED"),
        )
        cluster.connect_timeout.seconds = 10
        # The workload's own address: traffic that came through the sidecar must not be captured again.
        source = "::6" if ":" in view.proxy.ip else "127.0.0.6"
        cluster.upstream_bind_config.source_address.address = source
        cluster.upstream_bind_config.source_address.port_value = 0
        found.append(cluster)
    return tuple(found)
