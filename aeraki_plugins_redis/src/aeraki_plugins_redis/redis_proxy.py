"""The filter itself: Envoy's redis_proxy, from routes, settings, faults and credentials."""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import RuntimeFractionalPercent
from envoy.extensions.common.dynamic_forward_proxy.v3.dns_cache_pb2 import DnsCacheConfig
from envoy.extensions.filters.network.redis_proxy.v3.redis_proxy_pb2 import RedisProxy
from envoy.type.v3.percent_pb2 import FractionalPercent

from aeraki_core import duration_message
from aeraki_plugins_redis.auth import Credentials, inline
from aeraki_plugins_redis.resources import (
    MAX_UPSTREAM_UNKNOWN_CONNECTIONS,
    OP_TIMEOUT,
    Fault,
    RedisServiceSpec,
    Settings,
)
from aeraki_plugins_redis.routes import Copy, Route

__all__ = ["inbound_proxy", "outbound_proxy"]

_ConnPoolSettings = RedisProxy.ConnPoolSettings
_PrefixRoute = RedisProxy.PrefixRoutes.Route
_INBOUND_OP_TIMEOUT = "1h"  # the caller's sidecar keeps the time
_DNS_CACHE = "aeraki-redis"  # one for all filters: Envoy wants those of one name to be alike


def outbound_proxy(
    stat_prefix: str,
    spec: RedisServiceSpec | None,
    routes: tuple[Route, ...],
    credentials: Credentials | None,
) -> RedisProxy:
    """Return the clients' filter. ``credentials`` is what clients must send."""
    proxy = RedisProxy(stat_prefix=stat_prefix, settings=_settings(spec.settings if spec else None))
    for route in routes:
        if route.prefix:
            proxy.prefix_routes.routes.append(_route(route))
        else:
            proxy.prefix_routes.catch_all_route.CopyFrom(_route(route))
    if spec is not None:
        proxy.prefix_routes.case_insensitive = spec.settings.case_insensitive
        proxy.faults.extend(_fault(fault) for fault in spec.faults if _happens(fault))
    _demand(proxy, credentials)
    return proxy


def inbound_proxy(stat_prefix: str, cluster: str, credentials: Credentials | None) -> RedisProxy:
    """Return the workload's filter: everything to the application, behind its password."""
    proxy = RedisProxy(
        stat_prefix=stat_prefix,
        settings=_ConnPoolSettings(op_timeout=duration_message(_INBOUND_OP_TIMEOUT)),
    )
    proxy.prefix_routes.catch_all_route.cluster = cluster
    _demand(proxy, credentials)
    return proxy


def _demand(proxy: RedisProxy, credentials: Credentials | None) -> None:
    if credentials is not None:
        for password in (credentials.password, credentials.previous):
            if password:
                proxy.downstream_auth_passwords.append(inline(password))
        if credentials.username:
            proxy.downstream_auth_username.CopyFrom(inline(credentials.username))


def _settings(settings: Settings | None) -> RedisProxy.ConnPoolSettings:
    if settings is None:
        return _ConnPoolSettings(op_timeout=duration_message(OP_TIMEOUT))
    pool = _ConnPoolSettings(
        op_timeout=duration_message(settings.op_timeout),
        enable_hashtagging=settings.enable_hashtagging,
        enable_redirection=settings.enable_redirection,
        max_buffer_size_before_flush=settings.max_buffer_size_before_flush,
        enable_command_stats=settings.enable_command_stats,
        read_policy=_ConnPoolSettings.ReadPolicy.Value(settings.read_policy),
    )
    if settings.max_buffer_size_before_flush:
        pool.buffer_flush_timeout.CopyFrom(duration_message(settings.buffer_flush_timeout))
    if settings.max_upstream_unknown_connections != MAX_UPSTREAM_UNKNOWN_CONNECTIONS:
        pool.max_upstream_unknown_connections.value = settings.max_upstream_unknown_connections
    if settings.enable_redirection:
        # Redirections may name hosts; Envoy warns when it cannot look them up.
        pool.dns_cache_config.CopyFrom(
            DnsCacheConfig(name=_DNS_CACHE, dns_lookup_family=Cluster.V4_PREFERRED)
        )
    return pool


def _route(route: Route) -> RedisProxy.PrefixRoutes.Route:
    return _PrefixRoute(
        prefix=route.prefix,
        remove_prefix=route.remove_prefix and bool(route.prefix),
        cluster=route.target.cluster,
        request_mirror_policy=[_mirror(copy) for copy in route.mirrors],
    )


def _mirror(copy: Copy) -> RedisProxy.PrefixRoutes.Route.RequestMirrorPolicy:
    mirror_policy = _PrefixRoute.RequestMirrorPolicy(
        cluster=copy.target.cluster, exclude_read_commands=copy.exclude_read_commands
    )
    if copy.percentage < 100:
        share = FractionalPercent(
            numerator=round(copy.percentage * 10_000), denominator=FractionalPercent.MILLION
        )
        mirror_policy.runtime_fraction.CopyFrom(RuntimeFractionalPercent(default_value=share))
    return mirror_policy


def _happens(fault: Fault) -> bool:
    return fault.whole_percent > 0


def _fault(fault: Fault) -> RedisProxy.RedisFault:
    redis_fault = RedisProxy.RedisFault(
        fault_type=RedisProxy.RedisFault.RedisFaultType.Value(fault.type),
        fault_enabled=RuntimeFractionalPercent(
            default_value=FractionalPercent(numerator=fault.whole_percent)
        ),
        commands=fault.commands,
    )
    if fault.delays:
        redis_fault.delay.CopyFrom(duration_message(fault.delay))
    return redis_fault
