"""EnvoyFilters of ours, for tests of the sink."""

from __future__ import annotations

from aeraki_core.filters.envoyfilter import ConfigPatch, EnvoyFilter, FilterKey, Match, ServicePort
from aeraki_core.filters.names import outbound_name
from aeraki_core.filters.patch import ApplyTo, FrozenMessage
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.network.redis_proxy.v3.redis_proxy_pb2 import RedisProxy
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

TCP_PROXY = "envoy.filters.network.tcp_proxy"
REDIS_PROXY = "envoy.filters.network.redis_proxy"


def redis_filter(
    number: int = 0,
    *,
    namespace: str = "istio-system",
    listener: str = "",
    cluster: str = "",
    host: str = "",
    stat_prefix: str = "one",
    value: Message | None = None,
) -> EnvoyFilter:
    """An outbound filter as the pipeline makes them, for a service of its own."""
    host = host or f"redis-{number}.test.svc.cluster.local"
    cluster = cluster or f"outbound|6379||{host}"
    packed = AnyMessage()
    proxy = RedisProxy(stat_prefix=stat_prefix)
    proxy.settings.op_timeout.CopyFrom(Duration(seconds=1))
    proxy.prefix_routes.catch_all_route.cluster = cluster
    packed.Pack(proxy, deterministic=True)
    return EnvoyFilter(
        key=FilterKey(namespace, outbound_name(host, 6379)),
        plugin="redis",
        service_ports=(ServicePort(host, 6379),),
        selector=(),
        priority=10,
        patches=(
            ConfigPatch(
                ApplyTo.NETWORK_FILTER,
                "SIDECAR_OUTBOUND",
                Match(
                    listener=listener or f"10.96.{number // 250}.{number % 250 + 1}_6379",
                    filter=TCP_PROXY,
                ),
                "REPLACE",
                FrozenMessage.of(value or Filter(name=REDIS_PROXY, typed_config=packed)),
            ),
        ),
    )
