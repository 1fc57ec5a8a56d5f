"""Resolve the routes of a RedisService to routes between Istio's clusters.

A host or port that does not exist is a finding at its field. Such a route stays and points to a
cluster that does not exist. Without it, its keys would go elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core import GenerateContext, Port, Resource, Service, cluster_name
from aeraki_plugins_redis.codes import DEAD_ROUTE, UNKNOWN_HOST, UNKNOWN_PORT
from aeraki_plugins_redis.destinations import why_unreachable
from aeraki_plugins_redis.resources import Destination, RedisServiceSpec

__all__ = ["Copy", "Route", "Target", "routes_of", "targets_of"]

_FAIL = "what is sent there fails"


@dataclass(frozen=True, slots=True)
class Target:
    """One of Istio's clusters.

    ``service`` or ``port`` is None if the mesh does not have it, or redis_proxy cannot reach it.
    """

    cluster: str
    service: Service | None = None
    port: Port | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """A mirror: where to, for which share of the commands, in percent."""

    target: Target
    percentage: float
    exclude_read_commands: bool


@dataclass(frozen=True, slots=True)
class Route:
    """The keys of a prefix (empty: all that no other fits) and where their commands go."""

    prefix: str
    remove_prefix: bool
    target: Target
    mirrors: tuple[Copy, ...] = ()


def routes_of(
    context: GenerateContext, resource: Resource[RedisServiceSpec] | None
) -> tuple[Route, ...]:
    """Return the routes of this port.

    Without a RedisService, or without routes in it, this is one route for all keys to the service
    itself.
    """
    if resource is None or not resource.spec.redis:
        own = cluster_name(context.port.number, context.service.host)
        return (Route("", False, Target(own, context.service, context.port)),)
    repeats = resource.spec.repeats()
    found: list[Route] = []
    for index, entry in enumerate(resource.spec.redis):
        if index in repeats:
            continue
        path = f"spec.redis[{index}]"
        key = entry.match.key
        found.append(
            Route(
                entry.prefix,
                bool(key and key.remove_prefix),
                _target(context, resource, entry.route, f"{path}.route"),
                tuple(
                    Copy(
                        _target(context, resource, mirror.route, f"{path}.mirror[{number}].route"),
                        100.0 if mirror.percentage is None else mirror.percentage.value,
                        mirror.exclude_read_commands,
                    )
                    for number, mirror in enumerate(entry.mirror)
                ),
            )
        )
    return tuple(found)


def targets_of(routes: tuple[Route, ...]) -> tuple[Target, ...]:
    """Return every cluster of commands or copies, once, in order."""
    targets = (
        target
        for route in routes
        for target in (route.target, *(item.target for item in route.mirrors))
    )
    found: dict[str, Target] = {}
    for target in targets:
        found.setdefault(target.cluster, target)
    return tuple(found.values())


def _target(
    context: GenerateContext,
    resource: Resource[RedisServiceSpec],
    destination: Destination,
    path: str,
) -> Target:
    host = context.full_host(destination.host, resource.namespace)
    services = context.services_of_host(host)
    if not services:
        context.report(
            UNKNOWN_HOST,
            f"no service {host} in the mesh; {_FAIL}",
            ref=resource.ref,
            field=f"{path}.host",
        )
        return Target(cluster_name(destination.port or context.port.number, host))
    service = context.service if host == context.service.host else services[0]
    port = _port(service, destination, context.port)
    if port is None:
        message = f"{host} has no port {destination.port}"
        if not destination.port:
            message = (
                f"{host} has several ports, "
                f"none named {context.port.name} and none {context.port.number}"
            )
        context.report(UNKNOWN_PORT, f"{message}; {_FAIL}", ref=resource.ref, field=f"{path}.port")
        return Target(cluster_name(destination.port or context.port.number, host), service)
    reason = why_unreachable(context, service, port)
    if reason:
        context.report(DEAD_ROUTE, f"{reason}; {_FAIL}", ref=resource.ref, field=f"{path}.host")
        return Target(cluster_name(port.number, host), service)
    return Target(cluster_name(port.number, host), service, port)


def _port(service: Service, destination: Destination, own: Port) -> Port | None:
    """Return the port of a destination.

    This is the port with the given number. Without a number it is the port of the same name, else
    of the same number, else the only port.
    """
    if destination.port:
        return service.port(destination.port)
    named = next((port for port in service.ports if port.name == own.name), None)
    only = service.ports[0] if len(service.ports) == 1 else None
    return named or service.port(own.number) or only
