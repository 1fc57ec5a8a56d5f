"""What this plugin declares: the protocol and its option."""

from __future__ import annotations

from aeraki_core import Extension, Option, OptionType, Protocol
from aeraki_plugins_redis.codes import CODES

__all__ = ["FILTER", "INBOUND", "PROXY", "REDIS"]

FILTER = "envoy.filters.network.redis_proxy"


PROXY = Option(
    name="proxy",
    type=OptionType.TEXT,
    help="Whether clients get the filter; auto: where a RedisService or RedisDestination is for "
    "the service. Default: always, with a finding where nothing says that clients need no AUTH.",
    choices=("auto", "always", "never"),
)
INBOUND = Option(
    name="inbound",
    type=OptionType.BOOL,
    help="Whether the workloads' sidecars get a filter too; "
    "replication between the workloads does not pass it.",
    default=False,
)

REDIS = Protocol(
    name="redis",
    tokens=("redis",),
    extension=Extension(FILTER, stock=True),
    more_extensions=(Extension("envoy.clusters.redis", stock=True),),
    summary="sharding and routes by key, mirrors, faults, passwords, Redis Cluster",
    options=(PROXY, INBOUND),
    codes=CODES,
)
