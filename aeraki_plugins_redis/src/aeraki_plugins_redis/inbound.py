"""The workloads' side, for services that ask for it: the filter, and a cluster for the application.

In: what the core knows of the service port. Out: patches. The filter answers AUTH itself, so it asks for Redis' own password and
gives it to Redis; without that, it would open Redis to everyone.
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
    """A filter for each target port; none for the nodes of a Redis Cluster, which need commands that it does not pass."""
    if not context.option(INBOUND):
        return
    destination = destination_of(context, context.service)
    if destination is not None and is_cluster(destination):
        message = f"{destination.ref} says CLUSTER; no inbound filter is written"
        context.report(INBOUND_CLUSTER, message, field=context.option_field(INBOUND))
        return
    password = password_of(context, destination)
    for side in context.inbound:
        name = f"aeraki-redis-inbound-{side.target_port}"
        yield side.replace_tcp_proxy(FILTER, inbound_proxy(side.stat_prefix, name, password))
        yield side.add_cluster(application(name, side.target_port, password))
