"""Objects for the rig's own tests, as the API accepts them: two ports, and an EnvoyFilter."""

from __future__ import annotations

from .api import Object
from .control_plane import ROOT_NAMESPACE
from .workloads import Port

TCP_PROXY = "envoy.filters.network.tcp_proxy"
REDIS_PROXY = "envoy.filters.network.redis_proxy"
REDIS = Port("tcp-redis", 6379, 16379)
ECHO = Port("tcp-echo", 7000, 17000)


def envoy_filter(listener: str, value: Object, *, operation: str = "REPLACE") -> Object:
    """An EnvoyFilter of the root namespace that patches the tcp_proxy of an outbound listener."""
    name = f"outbound-{listener.replace('_', '-')}"
    match = {"name": listener, "filterChain": {"filter": {"name": TCP_PROXY}}}
    patch = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "SIDECAR_OUTBOUND", "listener": match},
        "patch": {"operation": operation, "value": value},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": ROOT_NAMESPACE},
        "spec": {"configPatches": [patch]},
    }


def redis_proxy(cluster: str) -> Object:
    kind = "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"
    return {
        "name": REDIS_PROXY,
        "typed_config": {
            "@type": f"type.googleapis.com/{kind}",
            "stat_prefix": "rig",
            "settings": {"op_timeout": "1s"},
            "prefix_routes": {"catch_all_route": {"cluster": cluster}},
        },
    }
