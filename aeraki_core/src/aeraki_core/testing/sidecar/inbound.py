"""The inbound side of a proxy: the listener virtualInbound with its chains, and their clusters.

One set of chains and one cluster for each target port, shared by all services behind it; the oldest
service decides. A port's chains are one (STRICT, DISABLE) or three (PERMISSIVE). A Sidecar resource
with ``ingress`` replaces the services' ports by its own. The chains have no TLS context, whose
certificates only istiod has: real traffic through them is plaintext. Istio source:
pilot/pkg/networking/core/listener_inbound.go and cluster_builder.go (buildInboundCluster).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener

from aeraki_core.model.service import Service
from aeraki_core.model.workload_entry import mapped_ports
from aeraki_core.testing.sidecar.chains import (
    BLACK_HOLE,
    INBOUND_PASSTHROUGH,
    ORIGINAL_DST,
    TLS_INSPECTOR,
    Weighted,
    address,
    chain,
    mongo_proxy,
    tcp_proxy,
)
from aeraki_core.testing.sidecar.clusters import (
    add_connection_pool,
    add_istio_metadata,
    original_dst,
    port_policy,
)
from aeraki_core.testing.sidecar.protocols import ListenerProtocol, protocol_of
from aeraki_core.testing.sidecar.proxy import MutualTls, Proxy
from aeraki_core.testing.sidecar.view import View

__all__ = ["INBOUND_PORT", "TargetPort", "inbound_clusters", "target_ports", "virtual_inbound"]

INBOUND_PORT = 15006

_MUTUAL_TLS = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
# Where HTTP has chains of its own, which are not modelled: sniffed ports and unknown ports.
_TCP_MUTUAL_TLS = ("istio-peer-exchange", "istio")


class _InboundMatch(NamedTuple):
    """What a chain of a TCP port matches on; ``by_mesh``: also on the protocols of mutual TLS."""

    transport: str
    by_mesh: bool = False


_MATCHES: Mapping[MutualTls, tuple[_InboundMatch, ...]] = {
    MutualTls.PERMISSIVE: (
        _InboundMatch("tls", by_mesh=True),
        _InboundMatch("tls"),
        _InboundMatch("raw_buffer"),
    ),
    MutualTls.STRICT: (_InboundMatch("tls"),),
    MutualTls.DISABLE: (_InboundMatch("raw_buffer"),),
}


class _Served(NamedTuple):
    """A service and which of its ports leads to a target port."""

    service: Service
    port: int


@dataclass(slots=True)
class TargetPort:
    """A port of the workload.

    ``protocol``: of the oldest service, which decides.
    ``address``: what its chains are named by.
    ``services``: those that lead to it, the oldest first.
    ``endpoint``: where its traffic goes instead of the workload's own port.
    """

    number: int
    protocol: ListenerProtocol
    address: str = ""
    services: list[_Served] = field(default_factory=list)
    endpoint: str = ""

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return f"inbound|{self.number}||"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of its services."""
        return tuple(dict.fromkeys(served.service.host for served in self.services))


def target_ports(view: View) -> tuple[TargetPort, ...]:
    """Return the workload's ports, by number; those of HTTP, too."""
    ports = _ports_of_services(view)
    if view.sidecar is not None and view.sidecar.ingress:
        ports, of_services = {}, ports
        for item in view.sidecar.ingress:
            own = TargetPort(item.port, item.protocol, item.bind or view.proxy.ip)
            own.endpoint = item.endpoint
            if item.port in of_services:
                served = of_services[item.port].services[0]
                own.services.append(served._replace(port=item.port))
            ports.setdefault(item.port, own)
    return tuple(sorted(ports.values(), key=lambda item: item.number))


def _ports_of_services(view: View) -> dict[int, TargetPort]:
    ports: dict[int, TargetPort] = {}
    for service in view.selecting():
        for port in service.ports:
            numbers: tuple[int, ...] = (
                (port.target,)
                if isinstance(port.target, int)
                else view.objects.endpoints(service).target_ports(port.name)
            )
            entries = [
                entry
                for entry in view.objects.workload_entries
                if (entry.ref.namespace, entry.address) == (service.namespace, view.proxy.ip)
            ]
            numbers = mapped_ports(entries, service.selector, port.name) or numbers
            protocol = protocol_of(service, port)
            if protocol is ListenerProtocol.UDP:
                # Istio makes the chains of a TCP port.
                protocol = ListenerProtocol.TCP
            for number in numbers:
                own = TargetPort(number, protocol, view.proxy.wildcard)
                ports.setdefault(number, own).services.append(_Served(service, port.number))
    return ports


def _has_tcp_chains(protocol: ListenerProtocol) -> bool:
    return protocol.is_tcp or protocol is ListenerProtocol.SNIFFED


def virtual_inbound(view: View) -> Listener:
    """Return the listener that takes all captured inbound traffic."""
    proxy = view.proxy
    listener = Listener(
        name="virtualInbound",
        address=address(proxy.wildcard, INBOUND_PORT),
        traffic_direction=TrafficDirection.Value("INBOUND"),
        continue_on_listener_filters_timeout=True,
    )
    listener.listener_filters.extend([ORIGINAL_DST, TLS_INSPECTOR])
    listener.filter_chains.append(
        chain(
            [tcp_proxy(BLACK_HOLE, [Weighted(BLACK_HOLE)])],
            name="virtualInbound-blackhole",
            port=INBOUND_PORT,
        )
    )
    unknown = TargetPort(0, ListenerProtocol.SNIFFED)
    listener.filter_chains.extend(_chains(proxy, "virtualInbound", INBOUND_PASSTHROUGH, unknown))
    for port in target_ports(view):
        if _has_tcp_chains(port.protocol):
            name = f"{port.address}_{port.number}"
            listener.filter_chains.extend(_chains(proxy, name, port.cluster, port))
    return listener


def _chains(proxy: Proxy, name: str, cluster: str, port: TargetPort) -> list[FilterChain]:
    by_mesh = _MUTUAL_TLS if port.protocol.is_tcp else _TCP_MUTUAL_TLS
    before = [mongo_proxy(cluster)] if port.protocol is ListenerProtocol.MONGO else []
    return [
        chain(
            [*before, tcp_proxy(cluster, [Weighted(cluster)])],
            name=name,
            port=port.number,
            transport=match.transport,
            protocols=by_mesh if match.by_mesh else (),
        )
        for match in _MATCHES[proxy.mutual_tls]
    ]


def inbound_clusters(view: View) -> tuple[Cluster, ...]:
    """Return a cluster for each target port, and the one for everything else."""
    clusters = [_cluster(view, port) for port in target_ports(view)]
    return (*clusters, _from_here(view, original_dst(INBOUND_PASSTHROUGH)))


def _cluster(view: View, port: TargetPort) -> Cluster:
    host, _, number = port.endpoint.rpartition(":")
    if host:
        cluster = Cluster(name=port.cluster, type=Cluster.STATIC)
        add_connection_pool(cluster, {})
        cluster.load_assignment.cluster_name = port.cluster
        target = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
        target.address.CopyFrom(address(host, int(number) if number.isdecimal() else 0))
    else:
        cluster = _from_here(view, original_dst(port.cluster))
    cluster.common_lb_config.SetInParent()
    if port.services:
        oldest = port.services[0]
        # A service that the workload's namespace does not see has no rule there.
        seen = view.service(oldest.service.host)
        rule = None if seen is None else view.destination_rule(seen)
        config = {}
        if rule is not None and rule.policy:
            cluster.ClearField("circuit_breakers")
            add_connection_pool(cluster, port_policy(rule.policy, oldest.port))
            config["config"] = rule.source
        behind = [served.service for served in port.services if served.port == oldest.port]
        add_istio_metadata(cluster, behind, config)
    return cluster


def _from_here(view: View, cluster: Cluster) -> Cluster:
    """Connect from an address that is not captured again: the traffic has been through here."""
    source = "::6" if ":" in view.proxy.ip else "127.0.0.6"
    cluster.upstream_bind_config.source_address.address = source
    cluster.upstream_bind_config.source_address.port_value = 0
    return cluster
