"""The clusters behind the filter.

There are three kinds: a merge into Istio's cluster, one of our own for a Redis Cluster, and the
application behind an inbound filter. A merge holds only the fields to be merged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.endpoint.v3.endpoint_components_pb2 import (
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.clusters.redis.v3.redis_cluster_pb2 import RedisClusterConfig
from envoy.extensions.filters.network.redis_proxy.v3.redis_proxy_pb2 import RedisProtocolOptions

from aeraki_core import duration_message, pack, parse_duration
from aeraki_plugins_redis.auth import Credentials, inline
from aeraki_plugins_redis.endpoints import HostPort
from aeraki_plugins_redis.protocol import FILTER
from aeraki_plugins_redis.resources import TCPKeepalive, TCPSettings
from aeraki_plugins_redis.traffic_policy import keep_policy

__all__ = ["application", "merged", "redis_cluster"]

_CONNECT_TIMEOUT = "10s"  # Istio's default


def merged(tcp: TCPSettings | None, credentials: Credentials | None, *, sharding: bool) -> Cluster:
    """Return the merge into Istio's cluster. ``sharding``: the key's hash chooses instances."""
    cluster = Cluster()
    if sharding:
        # Without a hash, keys go astray (docs/internals/envoy.md, "Redis").
        cluster.lb_policy = Cluster.MAGLEV
    _connect(cluster, tcp)
    _authenticate(cluster, credentials)
    return cluster


def redis_cluster(
    name: str,
    endpoints: Iterable[HostPort],
    tcp: TCPSettings,
    credentials: Credentials | None,
    *,
    policy: Mapping[str, Any],
) -> Cluster:
    """Return a cluster that asks the endpoints for nodes and slots, and again when they change.

    ``policy``: the traffic policy of Istio's cluster, which it keeps.
    """
    cluster = Cluster(
        name=name,
        cluster_type=Cluster.CustomClusterType(name="envoy.clusters.redis"),
        connect_timeout=duration_message(_CONNECT_TIMEOUT),
        lb_policy=Cluster.CLUSTER_PROVIDED,
        dns_lookup_family=Cluster.V4_PREFERRED,
        load_assignment=_assignment(name, endpoints),
    )
    cluster.cluster_type.typed_config.CopyFrom(pack(RedisClusterConfig()))
    # Otherwise a starting sidecar would hold back all its listeners while no node answers or the
    # password is wrong.
    cluster.wait_for_warm_on_init.value = False
    keep_policy(cluster, policy)
    _connect(cluster, tcp)
    # Not merged into Istio's clusters: they have thresholds, and Envoy obeys the first entry.
    if tcp.max_connections > 0:
        cluster.circuit_breakers.thresholds[0].max_connections.value = tcp.max_connections
    _authenticate(cluster, credentials)
    return cluster


def application(name: str, port: int, credentials: Credentials | None) -> Cluster:
    """Return the cluster of the application beside the sidecar.

    Istio's own inbound cluster is ORIGINAL_DST, which redis_proxy cannot use.
    """
    cluster = Cluster(
        name=name,
        type=Cluster.STATIC,
        load_assignment=_assignment(name, (HostPort("127.0.0.1", port),)),
    )
    _authenticate(cluster, credentials)
    return cluster


def _assignment(name: str, endpoints: Iterable[HostPort]) -> ClusterLoadAssignment:
    found = [
        LbEndpoint(
            endpoint=Endpoint(
                address=Address(
                    socket_address=SocketAddress(address=item.host, port_value=item.port)
                )
            )
        )
        for item in endpoints
    ]
    return ClusterLoadAssignment(
        cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=found)]
    )


def _connect(cluster: Cluster, tcp: TCPSettings | None) -> None:
    if tcp is None:
        return
    if tcp.connect_timeout is not None:
        cluster.connect_timeout.CopyFrom(duration_message(tcp.connect_timeout))
    if tcp.tcp_keepalive is not None:
        _keep_alive(cluster, tcp.tcp_keepalive)


def _keep_alive(cluster: Cluster, given: TCPKeepalive) -> None:
    keepalive = cluster.upstream_connection_options.tcp_keepalive
    keepalive.SetInParent()  # even empty it turns probes on
    if given.probes:
        keepalive.keepalive_probes.value = given.probes
    # Whole seconds, at least one: the system refuses 0.
    if given.time is not None:
        keepalive.keepalive_time.value = math.ceil(parse_duration(given.time))
    if given.interval is not None:
        keepalive.keepalive_interval.value = math.ceil(parse_duration(given.interval))


def _authenticate(cluster: Cluster, credentials: Credentials | None) -> None:
    if credentials is None:
        return
    options = RedisProtocolOptions(auth_password=inline(credentials.password))
    if credentials.username:
        options.auth_username.CopyFrom(inline(credentials.username))
    cluster.typed_extension_protocol_options[FILTER].CopyFrom(pack(options))
