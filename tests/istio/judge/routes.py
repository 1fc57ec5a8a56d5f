"""Where a network filter sends calls: its clusters, and its default for a call without a route.

Filters are dictionaries, as their messages are in JSON, so that one walk finds the clusters of any
of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Any values are only read where their types are known.
import envoy.extensions.filters.network.dubbo_proxy.v3.dubbo_proxy_pb2
import envoy.extensions.filters.network.redis_proxy.v3.redis_proxy_pb2
import envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2
import envoy.extensions.filters.network.thrift_proxy.router.v3.router_pb2
import envoy.extensions.filters.network.thrift_proxy.v3.thrift_proxy_pb2
from envoy.config.listener.v3.listener_components_pb2 import Filter
from google.protobuf.json_format import MessageToDict

__all__ = ["KNOWN_MESSAGES", "TCP_PROXY", "Routing", "Shares", "routing_of", "shares"]

KNOWN_MESSAGES = envoy
TCP_PROXY = "envoy.filters.network.tcp_proxy"
_NETWORK = "type.googleapis.com/envoy.extensions.filters.network."

Shares = Mapping[str, float]
"""The clusters that a call may reach, each with its share; the shares sum up to one."""


@dataclass(frozen=True, kw_only=True)
class Routing:
    """How a filter routes.

    ``name`` is that of the filter. ``prefix`` is its stat_prefix, by which Istio and we name the
    service port. ``clusters`` are all that it names. ``default`` is where a call without a route
    goes; None if the filter refuses it.
    """

    name: str
    prefix: str
    clusters: frozenset[str]
    default: Shares | None


def routing_of(network_filter: Filter) -> Routing | None:
    """How a filter routes; None where it is not one that routes."""
    name = network_filter.typed_config.type_url.removeprefix(_NETWORK)
    read = _DEFAULTS.get(name)
    if read is None:
        return None
    config = MessageToDict(network_filter.typed_config, preserving_proto_field_name=True)
    return Routing(
        name=network_filter.name,
        prefix=str(config.get("stat_prefix", "")),
        clusters=frozenset(_clusters(config)),
        default=read(config),
    )


def shares(targets: Sequence[tuple[str, int]]) -> Shares:
    """The shares of weighted clusters."""
    total = sum(weight for _, weight in targets)
    counted: dict[str, float] = {}
    for cluster, weight in targets:
        if weight:
            counted[cluster] = counted.get(cluster, 0) + weight / total
    return {cluster: round(share, 6) for cluster, share in counted.items()}


def _clusters(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "cluster" and isinstance(item, str):
                yield item
            elif key == "weighted_clusters":
                yield from (each["name"] for each in item.get("clusters", ()))
            else:
                yield from _clusters(item)
    elif isinstance(value, list):
        for item in value:
            yield from _clusters(item)


def _target(action: Mapping[str, Any]) -> Shares | None:
    if "cluster" in action:
        return {str(action["cluster"]): 1.0}
    clusters = action.get("weighted_clusters", {}).get("clusters", ())
    return shares([(item["name"], item.get("weight", 0)) for item in clusters]) or None


def _tcp(config: Mapping[str, Any]) -> Shares | None:
    return _target(config)


def _redis(config: Mapping[str, Any]) -> Shares | None:
    return _target(config.get("prefix_routes", {}).get("catch_all_route", {}))


def _dubbo(config: Mapping[str, Any]) -> Shares | None:
    tables = config.get("route_config") or config.get("multiple_route_config", {}).get(
        "route_config", ()
    )
    for table in tables:
        if table.get("interface") == "*":
            for route in table.get("routes", ()):
                if _is_any_method(route.get("match", {})):
                    return _target(route.get("route", {}))
    return None


def _is_any_method(match: Mapping[str, Any]) -> bool:
    name = match.get("method", {}).get("name", {})
    everything: tuple[Mapping[str, Any], ...] = (
        {"safe_regex": {"regex": ".*"}},
        {"prefix": ""},
        {},
    )
    return name in everything and not match.get("headers") and "params_match" not in match


def _thrift(config: Mapping[str, Any]) -> Shares | None:
    for route in config.get("route_config", {}).get("routes", ()):
        match = route.get("match", {})
        everything = match.get("method_name") == "" or match.get("service_name") == ""
        if everything and not match.get("headers") and not match.get("invert"):
            return _target(route.get("route", {}))
    return None


_DEFAULTS = {
    "tcp_proxy.v3.TcpProxy": _tcp,
    "redis_proxy.v3.RedisProxy": _redis,
    "dubbo_proxy.v3.DubboProxy": _dubbo,
    "thrift_proxy.v3.ThriftProxy": _thrift,
}
