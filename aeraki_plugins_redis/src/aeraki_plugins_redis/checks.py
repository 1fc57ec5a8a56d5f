"""Check a RedisService or RedisDestination by itself, independent of the port that it applies to.

The generator reports what depends on a port (where a route leads, a missing Secret), so that each
problem is one finding.
"""

from __future__ import annotations

from typing import Any

from aeraki_core import Kind, Resource, ValidateContext
from aeraki_plugins_redis.auth_spec import Auth
from aeraki_plugins_redis.codes import (
    ENDPOINT,
    FAULT_COMMAND,
    NO_DELAY,
    NO_EFFECT,
    NO_HOST,
    NOT_REDIS,
    OTHER_NAMESPACE,
    PASSWORD_KEPT,
    REPEATED_PREFIX,
    SHADOWED,
    UNKNOWN_HOST,
    WHOLE_PERCENT,
)
from aeraki_plugins_redis.commands import FAULTY
from aeraki_plugins_redis.endpoints import parse_endpoint
from aeraki_plugins_redis.protocol import REDIS
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
    gives_password,
)

__all__ = ["check"]

_REDIS_PORT = 6379


def check(resource: Resource[Any], context: ValidateContext) -> None:
    """The findings of an object of either kind."""
    spec = resource.spec
    if isinstance(spec, RedisServiceSpec):
        _redis_service(spec, context)
    elif isinstance(spec, RedisDestinationSpec):
        _redis_destination(spec, context)


def _redis_service(spec: RedisServiceSpec, context: ValidateContext) -> None:
    if not any(spec.host):
        context.report(NO_HOST, "no host is named", field="spec.host")
    for index, host in enumerate(spec.host):
        if host:
            _host(REDIS_SERVICE, host, f"spec.host[{index}]", context)
            if gives_password(spec.settings.auth) and not spec.export_to:
                _export(host, context)
    _settings(spec.settings, context)
    for index, earlier in spec.repeats().items():
        prefix = spec.redis[index].prefix
        keys = f"the keys with prefix {prefix!r}" if prefix else "all keys that no prefix fits"
        message = f"spec.redis[{earlier}] takes {keys} before this route"
        context.report(REPEATED_PREFIX, message, field=f"spec.redis[{index}]")
    for index, fault in enumerate(spec.faults):
        _fault(fault, f"spec.faults[{index}]", context)


def _redis_destination(spec: RedisDestinationSpec, context: ValidateContext) -> None:
    path = "spec.trafficPolicy.connectionPool"
    if spec.host:
        _host(REDIS_DESTINATION, spec.host, "spec.host", context)
    else:
        context.report(NO_HOST, "no host is named", field="spec.host")
    _auth(spec.redis.auth, f"{path}.redis.auth", context)
    if spec.host and gives_password(spec.redis.auth) and not spec.export_to:
        _export(spec.host, context)
    endpoints = spec.redis.discovery_endpoints
    if endpoints and spec.redis.mode is not Mode.CLUSTER:
        message = "only a Redis Cluster has nodes to discover; see mode"
        context.report(NO_EFFECT, message, field=f"{path}.redis.discoveryEndpoints")
    for index, text in enumerate(endpoints):
        try:
            parse_endpoint(text, _REDIS_PORT)
        except ValueError as error:
            context.report(ENDPOINT, str(error), field=f"{path}.redis.discoveryEndpoints[{index}]")
    if spec.tcp.max_connections > 0:
        message = (
            "redis_proxy keeps one connection to an instance for "
            "each of the sidecar's workers, whatever the limit"
        )
        context.report(NO_EFFECT, message, field=f"{path}.tcp.maxConnections")


def _export(host: str, context: ValidateContext) -> None:
    """Report that clients elsewhere do not get the password, although they see the service."""
    own = context.resource.namespace
    services = context.services_of_host(host)
    if any(service.namespace == own and "*" in service.export_to for service in services):
        message = (
            f"only clients in {own} get the filter with the password of {services[0].host}; "
            "others call it as plain TCP"
        )
        context.report(PASSWORD_KEPT, message, field="spec.exportTo")


def _host(kind: Kind[Any], host: str, path: str, context: ValidateContext) -> None:
    """Check that the object may configure the host.

    The service must exist, in the same namespace, and no older object may configure it.
    """
    own = context.resource
    services = context.services_of_host(host)
    if not services:
        message = f"no service {context.full_host(host)} in the mesh"
        context.report(UNKNOWN_HOST, message, field=path)
        return
    mine = [service for service in services if service.namespace == own.namespace]
    if not mine:
        message = (
            f"{services[0].host} belongs to {services[0].ref}; "
            f"this object takes effect for clients in namespace {own.namespace} only"
        )
        context.report(OTHER_NAMESPACE, message, field=path)
        return
    rivals = (item for item in context.resources(kind, host) if item.namespace == own.namespace)
    oldest = next(rivals, own)
    if oldest.ref != own.ref:
        message = (
            f"{oldest.ref} is older and speaks for {mine[0].host}; this one has no effect on it"
        )
        context.report(SHADOWED, message, field=path)
    if any(context.speaks(REDIS, service, port) for service in mine for port in service.ports):
        return
    message = f"no port of {mine[0].host} is handled as Redis; this object has no effect on it"
    context.report(NOT_REDIS, message, field=path)


def _settings(settings: Settings, context: ValidateContext) -> None:
    _auth(settings.auth, "spec.settings.auth", context)
    flush = Settings.model_fields["buffer_flush_timeout"].default
    if settings.buffer_flush_timeout != flush and not settings.max_buffer_size_before_flush:
        message = "there are no batches without maxBufferSizeBeforeFlush"
        context.report(NO_EFFECT, message, field="spec.settings.bufferFlushTimeout")
    unknown = settings.max_upstream_unknown_connections
    if unknown != MAX_UPSTREAM_UNKNOWN_CONNECTIONS and not settings.enable_redirection:
        message = "no node is unknown without enableRedirection"
        context.report(NO_EFFECT, message, field="spec.settings.maxUpstreamUnknownConnections")


def _auth(auth: Auth | None, path: str, context: ValidateContext) -> None:
    if auth is not None and auth.secret is None and auth.plain is None:
        context.report(NO_EFFECT, "neither secret nor plain is given: no password", field=path)


def _fault(fault: Fault, path: str, context: ValidateContext) -> None:
    share = fault.percentage
    if share is not None and share.value != fault.whole_percent:
        message = f"Envoy counts {share.value:g} percent as {fault.whole_percent}"
        context.report(WHOLE_PERCENT, message, field=f"{path}.percentage.value")
    if fault.type is FaultType.DELAY and not fault.delays:
        context.report(NO_DELAY, "type DELAY without a delay", field=f"{path}.delay")
    for index, command in enumerate(fault.commands):
        if command.lower() not in FAULTY:
            message = f"redis_proxy passes on no command {command!r}, or answers it itself"
            context.report(FAULT_COMMAND, message, field=f"{path}.commands[{index}]")
