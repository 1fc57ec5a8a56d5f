"""The workloads' side, for services that ask for it.

It consists of the filter and a cluster for the application. The filter answers AUTH itself. So it
requires Redis' own password from clients and sends it to Redis; without that, it would open Redis
to everyone.
"""

from __future__ import annotations

from collections.abc import Iterator

from aeraki_core import GenerateContext, Patch
from aeraki_plugins_redis.cluster import application
from aeraki_plugins_redis.codes import INBOUND_CLUSTER
from aeraki_plugins_redis.destinations import destination_of, is_cluster, password_of
from aeraki_plugins_redis.protocol import FILTER, INBOUND
from aeraki_plugins_redis.redis_proxy import inbound_proxy

__all__ = ["inbound"]


def inbound(context: GenerateContext) -> Iterator[Patch]:
    """Yield a filter for each target port.

    The nodes of a Redis Cluster get none: they need commands that the filter does not pass.
    """
    if not context.option(INBOUND):
        return
    destination = destination_of(context, context.service)
    if destination is not None and is_cluster(destination):
        message = f"{destination.ref} says CLUSTER; no inbound filter is written"
        context.report(INBOUND_CLUSTER, message, field=context.option_field(INBOUND))
        return
    password = password_of(context, destination)
    for side in context.inbound:
        name = side.added_name("redis")
        yield side.replace_tcp_proxy(FILTER, inbound_proxy(side.stat_prefix, name, password))
        yield side.add_cluster(application(name, side.target_port, password))
