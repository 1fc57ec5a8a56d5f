"""The clusters that istiod makes for a proxy, with the fields that an EnvoyFilter meets there.

One for each service port and subset, named ``outbound|<port>|<subset>|<host>``. Istio source:
pilot/pkg/networking/core/cluster_builder.go, cluster_traffic_policy.go (thresholds that never
stop anything, connection pool, outlier detection, load balancer) and pilot/pkg/networking/util/
util.go (metadata; a port's policy replaces the rule's, a subset's is laid over it).

Left out: the second name for statistics, HTTP protocol options, locality, warm-up, and the DNS
refresh fields that Envoy calls deprecated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from aeraki_core.mesh.routes import cluster_name
from aeraki_core.model.service import Port, Resolution, Service
from aeraki_core.testing.sidecar.chains import BLACK_HOLE, PASSTHROUGH, address, set_duration
from aeraki_core.testing.sidecar.objects import part
from aeraki_core.testing.sidecar.protocols import is_http2
from aeraki_core.testing.sidecar.proxy import MutualTls, Proxy
from aeraki_core.testing.sidecar.rules import ClientRule
from aeraki_core.testing.sidecar.tls import add_upstream_tls
from aeraki_core.testing.sidecar.view import View

__all__ = [
    "add_connection_pool",
    "add_istio_metadata",
    "common_clusters",
    "original_dst",
    "outbound_clusters",
    "port_policy",
]

Policy = Mapping[str, Any]

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
_PASSTHROUGH = "PASSTHROUGH"
_NO_LIMIT = 2**32 - 1
_DEFAULT_RING = 1024
# Envoy's own limits: larger sizes never pass Istio's admission.
_MAX_RING, _MAX_MAGLEV = 8 * 1024 * 1024, 5_000_011


def outbound_clusters(view: View) -> tuple[Cluster, ...]:
    """Return the clusters of the services that the proxy sees."""
    clusters: dict[str, Cluster] = {}
    for service in view.services:
        if service.resolution is Resolution.DYNAMIC_DNS or service.ref in view.objects.aliases:
            continue  # TCP ports of such an entry have none, nor has another name of a host
        rule = view.destination_rule(service)
        for port in service.ports:
            if port.protocol == "UDP":
                continue
            kind = "ORIGINAL_DST" if service.headless else _TYPES[service.resolution]
            for subset in ("", *(rule.subsets if rule else ())):
                cluster = _cluster(view, service, port, rule, subset, kind)
                if cluster is not None:
                    clusters.setdefault(cluster.name, cluster)
                if not subset:
                    if cluster is None:
                        break
                    kind = Cluster.DiscoveryType.Name(cluster.type)
    return tuple(clusters.values())


def _cluster(
    view: View, service: Service, port: Port, rule: ClientRule | None, subset: str, kind: str
) -> Cluster | None:
    """Return a cluster; None where DNS would look up nothing.

    ``kind``: of the service, then of its cluster without a subset.
    """
    policy = port_policy(rule.policy, port.number) if rule else {}
    # The policy of the rule or of the subset, not of its port, decides on automatic TLS.
    own = rule.policy if rule else policy
    if rule and subset:
        own = part(rule.subsets[subset], "trafficPolicy")
        policy = _laid_over(policy, own, port.number)
    cluster = Cluster(
        name=cluster_name(port.number, service.host, subset),
        type=Cluster.DiscoveryType.Value(kind),
    )
    if cluster.type == Cluster.ORIGINAL_DST and service.resolution is Resolution.NONE:
        _override_port(cluster, port)
    labels = part(rule.subsets[subset], "labels") if rule and subset else {}
    _add_endpoints(view, cluster, service, port, labels)
    if cluster.HasField("load_assignment") and not cluster.load_assignment.endpoints:
        return None
    # Istio turns panic mode off, because it sends unready endpoints too.
    cluster.common_lb_config.healthy_panic_threshold.SetInParent()
    add_connection_pool(cluster, policy)
    _add_outlier_detection(cluster, part(policy, "outlierDetection"))
    balancer = part(policy, "loadBalancer")
    if balancer.get("simple") == _PASSTHROUGH:
        cluster.type = Cluster.ORIGINAL_DST
        cluster.ClearField("eds_cluster_config")
        cluster.ClearField("load_assignment")
    if cluster.type == Cluster.ORIGINAL_DST:
        cluster.lb_policy = Cluster.CLUSTER_PROVIDED
    else:
        _add_load_balancer(cluster, balancer)
    external = view.objects.spec(service.ref).get("location", "MESH_EXTERNAL") != "MESH_INTERNAL"
    external = external and service.ref.kind == "ServiceEntry"
    add_upstream_tls(
        cluster,
        part(policy, "tls"),
        default_sni=f"outbound_.{port.number}_.{subset}_.{service.host}",
        automatic=not external
        and not service.original_dst
        and part(own, "loadBalancer").get("simple") != _PASSTHROUGH
        and view.objects.mutual_tls_of(service.namespace) is not MutualTls.DISABLE,
        selects=bool(rule and rule.selector is not None),
        http2=is_http2(service, port),
    )
    metadata: dict[str, Any] = {"external": True} if external and not subset else {}
    if rule:
        metadata["config"] = rule.source
        if part(policy, "tls").get("mode") in ("SIMPLE", "MUTUAL"):
            metadata["alpn_override"] = "false"
    if subset:
        metadata["subset"] = subset
    add_istio_metadata(cluster, [service], metadata)
    return cluster


def port_policy(policy: Policy, port: int) -> Policy:
    """Return the policy for one port: a port's own settings inherit nothing from the others."""
    ports = policy.get("portLevelSettings")
    for item in ports if isinstance(ports, list) else ():
        if part(item, "port").get("number") == port:
            return part(item)
    return policy


def _laid_over(policy: Policy, subset: Policy, port: int) -> Policy:
    own = port_policy(subset, port)
    if own is not subset:
        return {**{name: policy[name] for name in ("proxyProtocol",) if name in policy}, **own}
    return {**policy, **{name: value for name, value in own.items() if value is not None}}


def add_istio_metadata(
    cluster: Cluster, services: Iterable[Service], more: Mapping[str, Any]
) -> None:
    """What Istio's telemetry reads: the services behind a cluster, and the rule that shaped it."""
    described = [
        {"host": item.host, "name": item.age.name, "namespace": item.namespace} for item in services
    ]
    cluster.metadata.filter_metadata["istio"].update({"services": described, **more})


def add_connection_pool(cluster: Cluster, policy: Policy) -> None:
    """Timeouts, keepalive, and the one entry of thresholds that every cluster has."""
    tcp, http = part(policy, "connectionPool", "tcp"), part(policy, "connectionPool", "http")
    cluster.connect_timeout.seconds = 10
    set_duration(cluster.connect_timeout, tcp.get("connectTimeout"))
    thresholds = cluster.circuit_breakers.thresholds.add()
    for field, value in (
        ("max_retries", http.get("maxRetries")),
        ("max_requests", http.get("http2MaxRequests")),
        ("max_connections", tcp.get("maxConnections")),
        ("max_pending_requests", http.get("http1MaxPendingRequests")),
    ):
        _set_number(thresholds, field, value, default=_NO_LIMIT)
    keepalive = part(tcp, "tcpKeepalive")
    if keepalive:
        options = cluster.upstream_connection_options.tcp_keepalive
        _set_number(options, "keepalive_probes", keepalive.get("probes"))
        for field, name in (("keepalive_time", "time"), ("keepalive_interval", "interval")):
            duration = Duration()
            if set_duration(duration, keepalive.get(name)):
                _set_number(options, field, duration.seconds)


def _add_outlier_detection(cluster: Cluster, policy: Policy) -> None:
    if not policy:
        return
    outlier = cluster.outlier_detection
    outlier.enforcing_success_rate.value = 0
    for name, field in (
        ("consecutive5xxErrors", "consecutive_5xx"),
        ("consecutiveGatewayErrors", "consecutive_gateway_failure"),
    ):
        errors = policy.get(name)
        if isinstance(errors, int):
            _set_number(outlier, field, errors)
            _set_number(outlier, f"enforcing_{field}", 100 if errors else 0)
    _set_number(outlier, "max_ejection_percent", policy.get("maxEjectionPercent"))
    for name, target in (
        ("interval", outlier.interval),
        ("baseEjectionTime", outlier.base_ejection_time),
    ):
        if name in policy:
            set_duration(target, policy[name])
    if policy.get("splitExternalLocalOriginErrors") is True:
        outlier.split_external_local_origin_errors = True
        outlier.enforcing_local_origin_success_rate.value = 0
        failures = policy.get("consecutiveLocalOriginFailures")
        if isinstance(failures, int) and failures > 0:
            _set_number(outlier, "consecutive_local_origin_failure", failures)
            _set_number(outlier, "enforcing_consecutive_local_origin_failure", 100)
    health = policy.get("minHealthPercent")
    if isinstance(health, int | float):
        cluster.common_lb_config.healthy_panic_threshold.value = float(health)


def _add_load_balancer(cluster: Cluster, policy: Policy) -> None:
    simple = _SIMPLE.get(str(policy.get("simple")), "LEAST_REQUEST")
    cluster.lb_policy = Cluster.LbPolicy.Value(simple)
    hashing = part(policy, "consistentHash")
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
        cluster.ring_hash_lb_config.minimum_ring_size.value = size if fits else _DEFAULT_RING


def _override_port(cluster: Cluster, port: Port) -> None:
    if isinstance(port.target, int) and port.target != port.number:
        cluster.original_dst_lb_config.upstream_port_override.value = port.target


def _add_endpoints(
    view: View, cluster: Cluster, service: Service, port: Port, labels: Mapping[str, Any]
) -> None:
    if cluster.type == Cluster.EDS:
        source = cluster.eds_cluster_config
        source.service_name = cluster.name
        source.eds_config.ads.SetInParent()
        source.eds_config.initial_fetch_timeout.SetInParent()
        source.eds_config.resource_api_version = 2  # V3
    if cluster.type not in (Cluster.STRICT_DNS, Cluster.LOGICAL_DNS):
        return
    cluster.dns_lookup_family = Cluster.DnsLookupFamily.Value(_lookup_family(view.proxy))
    cluster.load_assignment.cluster_name = cluster.name
    for endpoint in view.objects.port_endpoints(service, port.number):
        if labels.items() <= endpoint.labels.items():
            groups = cluster.load_assignment.endpoints
            group = groups[0] if groups else groups.add()
            group.locality.SetInParent()
            group.load_balancing_weight.value += endpoint.weight
            member = group.lb_endpoints.add()
            member.endpoint.address.CopyFrom(address(endpoint.address, endpoint.port))
            member.load_balancing_weight.value = endpoint.weight


def _lookup_family(proxy: Proxy) -> str:
    if proxy.dual_stack:
        return "ALL"
    return "V6_ONLY" if ":" in proxy.ip else "V4_ONLY"


def _set_number(message: Message, field: str, value: Any, default: int | None = None) -> None:
    """Set a wrapped number; istiod takes zero for absent."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _NO_LIMIT
    number = value if fits and (value or default is None) else default
    if number is not None:
        getattr(message, field).value = number


def original_dst(name: str) -> Cluster:
    """Return a cluster that leads to wherever the client connected to."""
    cluster = Cluster(
        name=name,
        type=Cluster.DiscoveryType.Value("ORIGINAL_DST"),
        lb_policy=Cluster.LbPolicy.Value("CLUSTER_PROVIDED"),
    )
    add_connection_pool(cluster, {})
    return cluster


def common_clusters() -> tuple[Cluster, ...]:
    """BlackHoleCluster and PassthroughCluster, which every sidecar has."""
    nowhere = Cluster(name=BLACK_HOLE, type=Cluster.DiscoveryType.Value("STATIC"))
    nowhere.connect_timeout.seconds = 10
    return (nowhere, original_dst(PASSTHROUGH))
