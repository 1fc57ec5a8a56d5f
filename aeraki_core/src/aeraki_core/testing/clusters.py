"""The outbound clusters that istiod makes for a proxy.

In: the proxy's view of the mesh. Out: Cluster messages named ``outbound|<port>|<subset>|<host>``, one for each port and
subset, and PassthroughCluster and BlackHoleCluster. Of a DestinationRule's trafficPolicy the load balancer and the
connect timeout are taken. Mutual TLS, outlier detection and Istio's metadata are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster

from aeraki_core.model.service import Resolution, Service
from aeraki_core.options import parse_duration
from aeraki_core.routes import cluster_name
from aeraki_core.testing.chains import BLACK_HOLE, PASSTHROUGH
from aeraki_core.testing.view import View

__all__ = ["common_clusters", "outbound_clusters"]

_TYPES = {
    Resolution.CLUSTER_IP: "EDS",
    Resolution.STATIC: "EDS",
    Resolution.NONE: "ORIGINAL_DST",
    Resolution.DNS: "STRICT_DNS",
    Resolution.DNS_ROUND_ROBIN: "LOGICAL_DNS",
}
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
        policy: Mapping[str, Any] = next((rule.traffic_policy for rule in rules if rule.traffic_policy), {})
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
    for item in policy.get("portLevelSettings") or ():
        if (item.get("port") or {}).get("number") == port:
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


def _apply_policy(cluster: Cluster, policy: Mapping[str, Any]) -> None:
    timeout = ((policy.get("connectionPool") or {}).get("tcp") or {}).get("connectTimeout")
    if isinstance(timeout, str):
        cluster.connect_timeout.FromTimedelta(_delta(timeout))
    balancer = policy.get("loadBalancer") or {}
    simple = _SIMPLE.get(str(balancer.get("simple")))
    if simple is not None:
        cluster.lb_policy = Cluster.LbPolicy.Value(simple)
    hashing = balancer.get("consistentHash")
    if isinstance(hashing, Mapping):
        maglev = hashing.get("maglev")
        if isinstance(maglev, Mapping):
            cluster.lb_policy = Cluster.LbPolicy.Value("MAGLEV")
            if maglev.get("tableSize"):
                cluster.maglev_lb_config.table_size.value = int(maglev["tableSize"])
        else:
            ring = hashing.get("ringHash") or {}
            least = ring.get("minimumRingSize") or hashing.get("minimumRingSize") or 1024
            cluster.lb_policy = Cluster.LbPolicy.Value("RING_HASH")
            cluster.ring_hash_lb_config.minimum_ring_size.value = int(least)


def _delta(text: str) -> Any:
    from datetime import timedelta

    return timedelta(seconds=parse_duration(text))


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
