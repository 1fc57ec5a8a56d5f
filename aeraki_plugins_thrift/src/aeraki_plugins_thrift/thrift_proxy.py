"""The config of Envoy's thrift_proxy, and the options of the clusters behind it.

Facts: docs/internals/envoy.md, "Thrift".
"""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.filters.network.thrift_proxy.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.thrift_proxy.v3.route_pb2 import Route, RouteConfiguration
from envoy.extensions.filters.network.thrift_proxy.v3.thrift_proxy_pb2 import (
    ProtocolType,
    ThriftFilter,
    ThriftProtocolOptions,
    ThriftProxy,
    TransportType,
)
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from aeraki_core import GenerateContext, pack
from aeraki_plugins_thrift.protocol import (
    FILTER,
    MAX_REQUESTS_PER_CONNECTION,
    PAYLOAD_PASSTHROUGH,
    PRESERVE_HEADER_CASE,
    PROTOCOL,
    SERVER_TRANSPORT,
    TRANSPORT,
)

__all__ = ["cluster_options", "config", "server_transport", "with_routes"]

_TRANSPORTS = {
    "auto": TransportType.AUTO_TRANSPORT,
    "framed": TransportType.FRAMED,
    "unframed": TransportType.UNFRAMED,
    "header": TransportType.HEADER,
}
_PROTOCOLS = {
    "auto": ProtocolType.AUTO_PROTOCOL,
    "binary": ProtocolType.BINARY,
    "lax-binary": ProtocolType.LAX_BINARY,
    "compact": ProtocolType.COMPACT,
}


_ROUTERS = [
    # Answer a call that finds no server. By default Envoy would also close the caller's connection.
    # Envoy does not find the router by its name alone (docs/internals/envoy.md, "Loading a
    # config").
    ThriftFilter(
        name="envoy.filters.thrift.router",
        typed_config=pack(Router(close_downstream_on_upstream_error=BoolValue(value=False))),
    )
]


def config(context: GenerateContext) -> ThriftProxy:
    """Return what the configs of all sides have in common."""
    limit = context.option(MAX_REQUESTS_PER_CONNECTION)
    return ThriftProxy(
        transport=_TRANSPORTS[context.option(TRANSPORT)],
        protocol=_PROTOCOLS[context.option(PROTOCOL)],
        thrift_filters=_ROUTERS,
        payload_passthrough=context.option(PAYLOAD_PASSTHROUGH),
        max_requests_per_connection=None if limit is None else UInt32Value(value=limit),
        header_keys_preserve_case=context.option(PRESERVE_HEADER_CASE),
    )


def with_routes(common: ThriftProxy, stat_prefix: str, routes: list[Route]) -> ThriftProxy:
    """Return the config of one side."""
    proxy = ThriftProxy(
        stat_prefix=stat_prefix,
        # Envoy would refuse the listener while a cluster of a route is not there yet.
        route_config=RouteConfiguration(
            name=stat_prefix, routes=routes, validate_clusters=BoolValue(value=False)
        ),
    )
    proxy.MergeFrom(common)
    return proxy


def server_transport(context: GenerateContext) -> str:
    """Return the declared transport of the service's servers: ``auto`` if there is none."""
    declared = context.option(SERVER_TRANSPORT)
    return context.option(TRANSPORT) if declared == "auto" else declared


def cluster_options(context: GenerateContext) -> Cluster | None:
    """Return the additions to clusters for a declared transport or protocol; None without.

    Without it, an upstream connection keeps the flavour of its first call, and clients of another
    one fail on it.
    """
    transport, protocol = server_transport(context), context.option(PROTOCOL)
    if transport == protocol == "auto":
        return None
    options = ThriftProtocolOptions(transport=_TRANSPORTS[transport], protocol=_PROTOCOLS[protocol])
    return Cluster(typed_extension_protocol_options={FILTER: pack(options)})
