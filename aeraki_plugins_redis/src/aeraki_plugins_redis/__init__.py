"""Redis in an Istio mesh: commands are routed by key, mirrored, delayed, refused, authenticated.

The plugin replaces tcp_proxy by Envoy's redis_proxy, and makes clusters that choose an instance by
key. The resources RedisService and RedisDestination configure it. docs/protocols/redis.md is the
page for users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aeraki_core import (
    GenerateContext,
    Kind,
    Patch,
    Protocol,
    Resource,
    ValidateContext,
    hookimpl,
)
from aeraki_plugins_redis.checks import check
from aeraki_plugins_redis.inbound import inbound
from aeraki_plugins_redis.outbound import can_be_proxied, outbound
from aeraki_plugins_redis.protocol import REDIS
from aeraki_plugins_redis.resources import REDIS_DESTINATION, REDIS_SERVICE

__all__ = ["aeraki_generate", "aeraki_protocols", "aeraki_resources", "aeraki_validate"]


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Return the one protocol of this plugin."""
    return [REDIS]


@hookimpl
def aeraki_resources() -> Iterable[Kind[Any]]:
    """Return its two resources, which are upstream's."""
    return [REDIS_SERVICE, REDIS_DESTINATION]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterator[Patch]:
    """Yield the clients' filter and its clusters, and the workloads' filter on request."""
    if can_be_proxied(context):
        yield from outbound(context)
        yield from inbound(context)


@hookimpl
def aeraki_validate(resource: Resource[Any], context: ValidateContext) -> None:
    """Report what is wrong with a RedisService or a RedisDestination."""
    check(resource, context)
