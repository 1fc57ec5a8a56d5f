"""ZooKeeper for Aeraki: Envoy's zookeeper_proxy runs before tcp_proxy, with clients and servers.

The annotations ``zookeeper.aeraki.io/...`` of a service configure it. tcp_proxy stays, so Istio's
own tcp routes keep working.
"""

from __future__ import annotations

from collections.abc import Iterable

from aeraki_core import GenerateContext, Patch, Protocol, hookimpl
from aeraki_plugins_zookeeper.codes import HTTP_ROUTES
from aeraki_plugins_zookeeper.protocol import FILTER, ZOOKEEPER
from aeraki_plugins_zookeeper.zookeeper_proxy import zookeeper_proxy

__all__ = ["ZOOKEEPER", "aeraki_generate", "aeraki_protocols"]


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Return the one protocol of this plugin."""
    return [ZOOKEEPER]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterable[Patch]:
    """Yield the same filter on both sides; each has its own stats."""
    context.check_tcp_routes(HTTP_ROUTES)
    config = zookeeper_proxy(context)
    for side in (context.outbound, *context.inbound):
        config.stat_prefix = side.stat_prefix
        yield side.insert_before_tcp_proxy(FILTER, config)
