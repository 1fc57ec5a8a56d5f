"""What is wrong with a RedisService or RedisDestination on its own, whichever port it is applied to.

In: a resource. Out: findings. What depends on a port (where a route leads, a missing Secret) is reported by the generator, so that
each problem is one finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aeraki_core import Finding, Kind, Resource, ValidateContext
from aeraki_plugins_redis.commands import FAULTY
from aeraki_plugins_redis.endpoints import parse_endpoint
from aeraki_plugins_redis.protocol import (
    ENDPOINT,
    FAULT_COMMAND,
    NO_DELAY,
    NO_EFFECT,
    NO_HOST,
    NOT_REDIS,
    OTHER_NAMESPACE,
    PERCENTAGE,
    REPEATED_PREFIX,
    SHADOWED,
    UNKNOWN_HOST,
    WHOLE_PERCENT,
    speaks_redis,
)
from aeraki_plugins_redis.resources import (
    MAX_UPSTREAM_UNKNOWN_CONNECTIONS,
    REDIS_DESTINATION,
    REDIS_SERVICE,
    Fault,
    FaultType,
    Mode,
    RedisDestinationSpec,
    RedisServiceSpec,
    Settings,
)
from aeraki_plugins_redis.wire import Auth, Percent

__all__ = ["check"]

_REDIS_PORT = 6379


def check(resource: Resource[Any], context: ValidateContext) -> Iterator[Finding]:
    """The findings of an object of either kind."""
    spec = resource.spec
    if isinstance(spec, RedisServiceSpec):
        yield from _redis_service(spec, context)
    elif isinstance(spec, RedisDestinationSpec):
        yield from _redis_destination(spec, context)


def _redis_service(spec: RedisServiceSpec, context: ValidateContext) -> Iterator[Finding]:
    if not any(spec.host):
        yield context.finding(NO_HOST, "no host is named", "spec.host")
    for index, host in enumerate(spec.host):
        if host:
            yield from _host(REDIS_SERVICE, host, f"spec.host[{index}]", context)
    yield from _settings(spec.settings, context)
    for index, earlier in spec.repeats().items():
        prefix = spec.redis[index].prefix
        keys = f"the keys with prefix {prefix!r}" if prefix else "all keys that no prefix fits"
        message = f"spec.redis[{earlier}] takes {keys} before this route"
        yield context.finding(REPEATED_PREFIX, message, f"spec.redis[{index}]")
    for index, route in enumerate(spec.redis):
        for number, mirror in enumerate(route.mirror):
            path = f"spec.redis[{index}].mirror[{number}].percentage"
            yield from _percentage(mirror.percentage, path, context)
    for index, fault in enumerate(spec.faults):
        yield from _fault(fault, f"spec.faults[{index}]", context)


def _redis_destination(spec: RedisDestinationSpec, context: ValidateContext) -> Iterator[Finding]:
    path = "spec.trafficPolicy.connectionPool"
    if spec.host:
        yield from _host(REDIS_DESTINATION, spec.host, "spec.host", context)
    else:
        yield context.finding(NO_HOST, "no host is named", "spec.host")
    yield from _auth(spec.redis.auth, f"{path}.redis.auth", context)
    endpoints = spec.redis.discovery_endpoints
    if endpoints and spec.redis.mode is not Mode.CLUSTER:
        message = "only a Redis Cluster has nodes to discover; see mode"
        yield context.finding(NO_EFFECT, message, f"{path}.redis.discoveryEndpoints")
    for index, text in enumerate(endpoints):
        try:
            parse_endpoint(text, _REDIS_PORT)
        except ValueError as error:
            yield context.finding(ENDPOINT, str(error), f"{path}.redis.discoveryEndpoints[{index}]")
    if spec.tcp.max_connections > 0:
        message = "redis_proxy keeps one connection to an instance for each of the sidecar's workers, whatever the limit"
        yield context.finding(NO_EFFECT, message, f"{path}.tcp.maxConnections")


def _host(kind: Kind[Any], host: str, path: str, context: ValidateContext) -> Iterator[Finding]:
    """Whether the object speaks for the host: there is such a service, of its namespace, and no older object does."""
    own = context.resource
    services = context.services_of_host(host)
    if not services:
        message = f"no service {context.full_host(host)} in the mesh"
        yield context.finding(UNKNOWN_HOST, message, path)
        return
    mine = [service for service in services if service.namespace == own.namespace]
    if not mine:
        message = f"{services[0].host} is of namespace {services[0].namespace}, this object of {own.namespace}"
        yield context.finding(OTHER_NAMESPACE, message, path)
        return
    rivals = (item for item in context.resources(kind, host) if item.namespace == own.namespace)
    oldest = next(rivals, own)
    if oldest.ref != own.ref:
        message = (
            f"{oldest.ref} is older and speaks for {mine[0].host}; this one has no effect on it"
        )
        yield context.finding(SHADOWED, message, path)
    if any(speaks_redis(service, port) for service in mine for port in service.ports):
        return
    message = f"no port of {mine[0].host} is known to speak Redis"
    if isinstance(own.spec, RedisDestinationSpec) and own.spec.redis.mode is Mode.PROXY:
        # Not for its own clients, but where a RedisService of another host routes to it.
        yield context.finding(
            NO_EFFECT, f"{message}; it counts for routes from elsewhere only", path
        )
    else:
        yield context.finding(NOT_REDIS, message, path)


def _settings(settings: Settings, context: ValidateContext) -> Iterator[Finding]:
    yield from _auth(settings.auth, "spec.settings.auth", context)
    flush = Settings.model_fields["buffer_flush_timeout"].default
    if settings.buffer_flush_timeout != flush and not settings.max_buffer_size_before_flush:
        message = "there are no batches without maxBufferSizeBeforeFlush"
        yield context.finding(NO_EFFECT, message, "spec.settings.bufferFlushTimeout")
    unknown = settings.max_upstream_unknown_connections
    if unknown != MAX_UPSTREAM_UNKNOWN_CONNECTIONS and not settings.enable_redirection:
        message = "no node is unknown without enableRedirection"
        yield context.finding(NO_EFFECT, message, "spec.settings.maxUpstreamUnknownConnections")


def _auth(auth: Auth | None, path: str, context: ValidateContext) -> Iterator[Finding]:
    if auth is not None and auth.secret is None and auth.plain is None:
        yield context.finding(NO_EFFECT, "neither secret nor plain is given: no password", path)


def _percentage(given: Percent | None, path: str, context: ValidateContext) -> Iterator[Finding]:
    if given is not None and not given.valid:
        yield context.finding(
            PERCENTAGE, f"{given.value:g} is not a share in percent", f"{path}.value"
        )


def _fault(fault: Fault, path: str, context: ValidateContext) -> Iterator[Finding]:
    yield from _percentage(fault.percentage, f"{path}.percentage", context)
    share = fault.percentage
    if share is not None and share.valid and share.value != fault.whole_percent:
        message = f"Envoy counts {share.value:g} percent as {fault.whole_percent}"
        yield context.finding(WHOLE_PERCENT, message, f"{path}.percentage.value")
    if fault.type is FaultType.DELAY and not fault.delays:
        yield context.finding(NO_DELAY, "type DELAY without a delay", f"{path}.delay")
    for index, command in enumerate(fault.commands):
        if command.lower() not in FAULTY:
            message = f"redis_proxy passes on no command {command!r}, or answers it itself"
            yield context.finding(FAULT_COMMAND, message, f"{path}.commands[{index}]")
