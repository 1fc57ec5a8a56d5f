"""The outbound clusters that istiod makes for a proxy.

In: the proxy's view of the mesh. Out: Cluster messages named ``outbound|<port>|<subset>|<host>``, one for each port and
subset, and PassthroughCluster and BlackHoleCluster. Of a DestinationRule's trafficPolicy the load balancer and the
connect timeout are taken. Mutual TLS, outlier detection and Istio's metadata are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster

from aeraki_core.mesh.routes import cluster_name
from aeraki_core.model.duration import parse_duration
from aeraki_core.model.service import Resolution, Service
from aeraki_core.testing.sidecar.chains import BLACK_HOLE, PASSTHROUGH
from aeraki_core.testing.sidecar.view import View, part

__all__ = ["common_clusters", "outbound_clusters"]

_TYPES = {
    Resolution.CLUSTER_IP: "EDS",
    Resolution.STATIC: "EDS",
    Resolution.NONE: "ORIGINAL_DST",
    Resolution.DNS: "STRICT_DNS",
    Resolution.DNS_ROUND_ROBIN: "LOGICAL_DNS",
}
_RING, _MAX_RING, _MAX_MAGLEV = (
    1024,
    8 * 1024 * 1024,
    5_000_011,
)  # Envoy's limits, and Istio's least ring
_SIMPLE = {
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
}


def outbound_clusters(view: View) -> tuple[Cluster, ...]:
    """Those of the visible services; of two services of one host the older's."""
    found: dict[str, Cluster] = {}
    for service in view.services():
        if service.resolution is Resolution.DYNAMIC_DNS:
            continue  # TCP ports of such an entry have none
        rules = view.destination_rules(service.host)
        subsets = dict.fromkeys(name for rule in rules for name in rule.subsets)
        policy: Mapping[str, Any] = next(
            (rule.traffic_policy for rule in rules if rule.traffic_policy), {}
        )
        for port in service.ports:
            if port.protocol == "UDP":
                continue
            for subset in ("", *subsets):
                name = cluster_name(port.number, service.host, subset)
                found.setdefault(name, _cluster(name, service, policy, port.number))
    return tuple(found.values())


def _cluster(name: str, service: Service, policy: Mapping[str, Any], port: int) -> Cluster:
    kind = "ORIGINAL_DST" if service.headless else _TYPES[service.resolution]
    cluster = Cluster(
        name=name,
        type=Cluster.DiscoveryType.Value(kind),
        lb_policy=Cluster.LbPolicy.Value("LEAST_REQUEST"),
    )
    cluster.connect_timeout.seconds = 10
    cluster.common_lb_config.SetInParent()
    _apply_policy(cluster, policy)
    ports = policy.get("portLevelSettings")
    for item in ports if isinstance(ports, list) else ():
        if part(item, "port").get("number") == port:
            _apply_policy(cluster, item)
    if kind == "EDS":
        source = cluster.eds_cluster_config
        source.service_name = name
        source.eds_config.ads.SetInParent()
        source.eds_config.initial_fetch_timeout.SetInParent()
        source.eds_config.resource_api_version = 2  # V3
    elif kind == "ORIGINAL_DST":
        cluster.ClearField("lb_config")
        cluster.lb_policy = Cluster.LbPolicy.Value("CLUSTER_PROVIDED")
    else:
        group = cluster.load_assignment
        group.cluster_name = name
        target = group.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
        target.address, target.port_value = service.host.removeprefix("*."), port
    return cluster


def _apply_policy(cluster: Cluster, policy: Any) -> None:
    """What does not fit is left out: istiod's admission would have refused it."""
    timeout = part(policy, "connectionPool", "tcp").get("connectTimeout")
    if isinstance(timeout, str):
        with suppress(ValueError, OverflowError):
            cluster.connect_timeout.FromTimedelta(timedelta(seconds=parse_duration(timeout)))
    balancer = part(policy, "loadBalancer")
    simple = _SIMPLE.get(str(balancer.get("simple")))
    if simple is not None:
        cluster.lb_policy = Cluster.LbPolicy.Value(simple)
    hashing = part(balancer, "consistentHash")
    if not hashing:
        return
    if "maglev" in hashing:
        cluster.lb_policy = Cluster.LbPolicy.Value("MAGLEV")
        size = part(hashing, "maglev").get("tableSize")
        if isinstance(size, int) and 0 < size <= _MAX_MAGLEV:
            cluster.maglev_lb_config.table_size.value = size
    else:
        size = part(hashing, "ringHash").get("minimumRingSize", hashing.get("minimumRingSize"))
        fits = isinstance(size, int) and 0 < size <= _MAX_RING
        cluster.lb_policy = Cluster.LbPolicy.Value("RING_HASH")
        cluster.ring_hash_lb_config.minimum_ring_size.value = size if fits else _RING


def common_clusters() -> tuple[Cluster, ...]:
    """BlackHoleCluster and PassthroughCluster, which every sidecar has."""
    nowhere = Cluster(name=BLACK_HOLE, type=Cluster.DiscoveryType.Value("STATIC"))
    through = Cluster(
        name=PASSTHROUGH,
        type=Cluster.DiscoveryType.Value("ORIGINAL_DST"),
        lb_policy=Cluster.LbPolicy.Value("CLUSTER_PROVIDED"),
    )
    for cluster in (nowhere, through):
        cluster.connect_timeout.seconds = 10
    return (nowhere, through)
