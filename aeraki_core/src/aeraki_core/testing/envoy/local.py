"""From a sidecar's configuration to one that a real Envoy on this machine loads without istiod.

Clusters that istiod would feed (EDS, DNS) become static ones with the endpoints given, or none.
Certificates that istiod's agent would serve come from their files instead; Istio's own mutual TLS,
whose certificates only a mesh has, becomes plaintext. Listeners bind to their port where their
address is a loopback address (127.10.0.5_20880 really listens there) or one was given; the others
are loaded but not bound. Clusters that an EnvoyFilter added stay as they are, unless endpoints are
given.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener

from aeraki_core.mesh.routes import cluster_name
from aeraki_core.testing.envoy.tls import with_local_tls
from aeraki_core.testing.sidecar.chains import address
from aeraki_core.testing.sidecar.model import SidecarConfig

__all__ = ["Address", "ClusterKey", "Endpoint", "EnvoyConfig", "inbound_listener", "to_envoy"]

Address = tuple[str, int]
Endpoint = tuple[str, int] | tuple[str, int, int]
"""An address, a port, and a weight."""
ClusterKey = str | tuple[str, int] | tuple[str, int, str]
"""A cluster by its name, or by host, port and subset."""

_FED_BY_ISTIOD = frozenset({"EDS", "STRICT_DNS", "LOGICAL_DNS"})


@dataclass(frozen=True, slots=True)
class EnvoyConfig:
    """Listeners and clusters for one Envoy."""

    listeners: tuple[Listener, ...]
    clusters: tuple[Cluster, ...]


def to_envoy(
    config: SidecarConfig,
    *,
    endpoints: Mapping[ClusterKey, Iterable[Endpoint]] | None = None,
    bind: Mapping[str, Address] | None = None,
    inbound: Mapping[int, Address] | None = None,
) -> EnvoyConfig:
    """Return the configuration for a real Envoy.

    ``endpoints``: where clusters really lead.
    ``bind``: other addresses for listeners, by name.
    ``inbound``: for a target port the address at which :func:`inbound_listener` listens.

    Raises:
        KeyError: a cluster or listener of that name does not exist.
    """
    real = {_cluster(key): tuple(items) for key, items in (endpoints or {}).items()}
    for name in real:
        config.cluster(name)
    for name in bind or {}:
        config.listener(name)
    listeners = [_bound(item, (bind or {}).get(item.name)) for item in config.listeners]
    listeners += [inbound_listener(config, port, at) for port, at in (inbound or {}).items()]
    clusters = [
        with_local_tls(_static(item, real.get(item.name), item.name in config.istio_clusters))
        for item in config.clusters
    ]
    return EnvoyConfig(tuple(listeners), tuple(clusters))


def inbound_listener(config: SidecarConfig, target_port: int, bind: Address) -> Listener:
    """Return a listener, really bound, with virtualInbound's plaintext chain of a target port.

    Without traffic interception no client reaches a chain by its destination port, so the chain is
    copied to where one can.

    Raises:
        KeyError: virtualInbound has no plaintext TCP chain for that port; under STRICT it has none.
    """
    source = config.listener("virtualInbound")
    for item in source.filter_chains:
        match = item.filter_chain_match
        if match.destination_port.value == target_port and match.transport_protocol != "tls":
            listener = Listener()
            listener.CopyFrom(source)
            listener.name = f"inbound_{target_port}"
            listener.address.CopyFrom(address(*bind))
            listener.bind_to_port.value = True
            del listener.listener_filters[:]
            del listener.filter_chains[:]
            listener.filter_chains.add().CopyFrom(item)
            listener.filter_chains[0].ClearField("filter_chain_match")
            return listener
    raise KeyError(f"virtualInbound has no plaintext chain for target port {target_port}")


def _cluster(key: ClusterKey) -> str:
    if isinstance(key, str):
        return key
    return cluster_name(key[1], key[0], key[2] if len(key) == 3 else "")


def _bound(listener: Listener, at: Address | None) -> Listener:
    bound = Listener()
    bound.CopyFrom(listener)
    if at is not None:
        bound.address.CopyFrom(address(*at))
        del bound.additional_addresses[:]
    ip = bound.address.socket_address.address
    bound.bind_to_port.value = at is not None or _is_loopback(ip)
    return bound


def _is_loopback(ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return False


def _static(cluster: Cluster, endpoints: tuple[Endpoint, ...] | None, of_istio: bool) -> Cluster:
    static = Cluster()
    static.CopyFrom(cluster)
    custom = static.WhichOneof("cluster_discovery_type") == "cluster_type"
    kind = "" if custom else Cluster.DiscoveryType.Name(static.type)
    if endpoints is None and not (of_istio and kind in _FED_BY_ISTIOD):
        return static
    if not custom:
        static.type = Cluster.DiscoveryType.Value("STATIC")
        static.ClearField("eds_cluster_config")
        static.ClearField("upstream_bind_config")
        static.ClearField("dns_lookup_family")
        if static.lb_policy == Cluster.LbPolicy.Value("CLUSTER_PROVIDED"):
            static.lb_policy = Cluster.LbPolicy.Value("ROUND_ROBIN")
    static.ClearField("load_assignment")
    static.load_assignment.cluster_name = static.name
    _fill(static.load_assignment, endpoints or ())
    return static


def _fill(assignment: Any, endpoints: Iterable[Endpoint]) -> None:
    for item in endpoints:
        if not assignment.endpoints:
            assignment.endpoints.add()
        target = assignment.endpoints[0].lb_endpoints.add()
        target.endpoint.address.CopyFrom(address(item[0], item[1]))
        if len(item) == 3:
            target.load_balancing_weight.value = item[2]
