"""Dubbo in an Istio mesh: calls are routed by interface, method, attachments and arguments.

On each side, the plugin replaces tcp_proxy by Envoy's dubbo_proxy, or by its generic_proxy with the
Dubbo codec. docs/protocols/dubbo.md is the page for users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from google.protobuf.wrappers_pb2 import UInt32Value

from aeraki_core import GenerateContext, Patch, Protocol, hookimpl
from aeraki_plugins_dubbo.engine import CONFIGS
from aeraki_plugins_dubbo.plan import plans
from aeraki_plugins_dubbo.protocol import BUFFER_LIMIT_BYTES, DUBBO

__all__ = ["DUBBO", "aeraki_generate", "aeraki_protocols"]


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Return the one protocol of this plugin."""
    return [DUBBO]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterator[Patch]:
    """Yield filters: the clients' routes, the workloads' hands calls to the application."""
    buffer_limit = context.option(BUFFER_LIMIT_BYTES)
    for plan in plans(context):
        config = CONFIGS[plan.engine](plan.side.stat_prefix, plan.called, plan.routes)
        yield plan.side.replace_tcp_proxy(plan.engine, config)
        if buffer_limit is not None:
            limit = UInt32Value(value=buffer_limit)
            yield plan.side.merge_listener(Listener(per_connection_buffer_limit_bytes=limit))
            yield plan.side.merge_cluster(Cluster(per_connection_buffer_limit_bytes=limit))
