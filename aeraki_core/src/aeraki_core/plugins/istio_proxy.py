"""Which Envoy extensions the stock istio-proxy image has.

Each release of istio-proxy is built with a list of extensions, and a sidecar rejects a whole
listener for one filter that it lacks. The names here are those of the filters and clusters that a
plugin can use, from ``bazel/extension_config/extensions_build_config.bzl`` in istio/proxy: Envoy's
extensions without those that Istio disables, and the contrib ones that it enables.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["ISTIO_PROTOCOLS", "RELEASES", "extension_of_type", "releases_with", "releases_without"]

RELEASES = ("1.22", "1.23", "1.24", "1.25", "1.26", "1.27", "1.28", "1.29", "1.30", "1.31")
"""The releases of Istio whose lists are known."""

_ALWAYS = frozenset(
    {
        "envoy.clusters.aggregate",
        "envoy.clusters.dynamic_forward_proxy",
        "envoy.clusters.eds",
        "envoy.clusters.logical_dns",
        "envoy.clusters.original_dst",
        "envoy.clusters.redis",
        "envoy.clusters.static",
        "envoy.clusters.strict_dns",
        "envoy.filters.listener.http_inspector",
        "envoy.filters.listener.original_dst",
        "envoy.filters.listener.original_src",
        "envoy.filters.listener.proxy_protocol",
        "envoy.filters.listener.tls_inspector",
        "envoy.filters.network.connection_limit",
        "envoy.filters.network.direct_response",
        "envoy.filters.network.dubbo_proxy",
        "envoy.filters.network.echo",
        "envoy.filters.network.ext_authz",
        "envoy.filters.network.golang",
        "envoy.filters.network.http_connection_manager",
        "envoy.filters.network.local_ratelimit",
        "envoy.filters.network.mongo_proxy",
        "envoy.filters.network.mysql_proxy",
        "envoy.filters.network.postgres_proxy",
        "envoy.filters.network.ratelimit",
        "envoy.filters.network.rbac",
        "envoy.filters.network.redis_proxy",
        "envoy.filters.network.set_filter_state",
        "envoy.filters.network.sip_proxy",
        "envoy.filters.network.sni_cluster",
        "envoy.filters.network.sni_dynamic_forward_proxy",
        "envoy.filters.network.tcp_proxy",
        "envoy.filters.network.thrift_proxy",
        "envoy.filters.network.wasm",
        "envoy.filters.network.zookeeper_proxy",
    }
)

# The release that has it first.
_SINCE = {
    "envoy.clusters.dns": "1.28",
    "envoy.clusters.dynamic_modules": "1.31",
    "envoy.filters.listener.dynamic_modules": "1.31",
    "envoy.filters.network.dynamic_modules": "1.31",
}

_TYPE = re.compile(r"envoy\.extensions\.(filters\.network|filters\.listener|clusters)\.(\w+)\.v\d")


def releases_with(extension: str) -> tuple[str, ...]:
    """Return the known releases whose stock proxy has the extension."""
    if extension in _ALWAYS:
        return RELEASES
    since = _SINCE.get(extension)
    return RELEASES[RELEASES.index(since) :] if since else ()


def releases_without(extension: str) -> tuple[str, ...]:
    """Return the known releases whose stock proxy lacks the extension."""
    return tuple(release for release in RELEASES if release not in releases_with(extension))


@lru_cache(maxsize=1024)
def extension_of_type(type_name: str) -> str | None:
    """Return the extension of a configuration's message type; None if the name does not show it."""
    match = _TYPE.match(type_name)
    return f"envoy.{match[1]}.{match[2]}" if match else None


ISTIO_PROTOCOLS = frozenset(
    {
        "tcp",
        "udp",
        "grpc",
        "grpc-web",
        "http",
        "http_proxy",
        "http2",
        "https",
        "tls",
        "mongo",
        "redis",
        "mysql",
    }
)
"""What the port of a ServiceEntry may declare; istiod refuses an object with any other protocol.

Source: istio/istio, pkg/config/protocol/instance.go and pkg/config/validation/validation.go.
"""
