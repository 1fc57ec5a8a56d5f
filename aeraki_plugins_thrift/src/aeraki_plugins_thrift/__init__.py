"""Thrift in an Istio mesh: calls are routed by method, service and THeader headers, and mirrored.

On each side, the plugin replaces tcp_proxy by Envoy's thrift_proxy. docs/protocols/thrift.md is the
page for users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.extensions.filters.network.thrift_proxy.v3.route_pb2 import Route

from aeraki_core import GenerateContext, Patch, Protocol, Side, hookimpl
from aeraki_plugins_thrift.protocol import FILTER, INBOUND, THRIFT
from aeraki_plugins_thrift.routes import inbound_routes, outbound_routes
from aeraki_plugins_thrift.thrift_proxy import cluster_options, config, with_routes

__all__ = ["THRIFT", "aeraki_generate", "aeraki_protocols"]


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Return the one protocol of this plugin."""
    return [THRIFT]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterator[Patch]:
    """Yield filters: the clients' routes, the workloads' hands calls to the application."""
    sides: list[tuple[Side, list[Route]]] = [(context.outbound, outbound_routes(context))]
    if context.option(INBOUND):
        sides += [(side, inbound_routes(context, side)) for side in context.inbound]
    common, options = config(context), cluster_options(context)
    for side, routes in sides:
        yield side.replace_tcp_proxy(FILTER, with_routes(common, side.stat_prefix, routes))
        if options:
            yield side.merge_cluster(options)
