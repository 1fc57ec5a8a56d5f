"""Resolve the routes of a RedisService to routes between Istio's clusters.

A host or port that does not exist is a finding at its field. Such a route stays and points to a
cluster that does not exist. Without it, its keys would go elsewhere. A key without any route goes
where Istio sends the port's connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from aeraki_core import (
    GenerateContext,
    Port,
    Resource,
    Service,
    cluster_name,
)
from aeraki_core import Route as CoreRoute
from aeraki_plugins_redis.codes import DEAD_ROUTE, TCP_ROUTE, UNKNOWN_HOST, UNKNOWN_PORT
from aeraki_plugins_redis.destinations import destination_of, is_cluster, tls_mode, why_unreachable
from aeraki_plugins_redis.protocol import REDIS
from aeraki_plugins_redis.resources import Destination, RedisDestinationSpec, RedisServiceSpec

__all__ = ["Copy", "Nodes", "Route", "Target", "routes_of", "targets_of"]

_FAIL = "what is sent there fails"


class Nodes(NamedTuple):
    """A Redis Cluster, and the service port that it is behind."""

    destination: Resource[RedisDestinationSpec]
    service: Service
    port: Port


@dataclass(frozen=True, slots=True)
class Target:
    """One of Istio's clusters, or one of ours for a Redis Cluster.

    ``service`` or ``port`` is None if the mesh does not have it, or redis_proxy cannot reach it.
    ``nodes`` is the Redis Cluster.
    """

    cluster: str
    service: Service | None = None
    port: Port | None = None
    nodes: Nodes | None = None


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
) -> tuple[Route, ...] | None:
    """Return the routes of this port; one of them is for all keys that no prefix fits.

    If the RedisService has no such route, it leads where Istio sends the port's connections. None
    if redis_proxy cannot send commands there; the reason is reported.
    """
    routes = _written_routes(context, resource) if resource is not None else ()
    if all(route.prefix for route in routes):
        rest = _rest(context)
        return None if rest is None else (*routes, Route("", False, rest))
    return routes


def _rest(context: GenerateContext) -> Target | None:
    """Return where Istio sends the port's connections; None if redis_proxy cannot."""
    service, port = context.service, context.port
    route = context.tcp_route()
    cluster = route.clusters[0].cluster
    if len(route.clusters) == 1 and cluster == cluster_name(port.number, service.host):
        return _reached(context, service, port)
    followed = _followed(context, route)
    if isinstance(followed, Target):
        return followed
    message = f"port {port.number}: {followed}; no filter is written"
    context.report(TCP_ROUTE, message, ref=route.ref, field=route.field)
    return None


def _followed(context: GenerateContext, route: CoreRoute) -> Target | str:
    """Return where redis_proxy sends all commands by a tcp route, or why it cannot."""
    if len(route.clusters) > 1:
        return "the route has several destinations, and redis_proxy sends a key to one"
    (destination,) = route.clusters
    where = f"the route leads to {destination.host}:{destination.port}"
    if destination.subset:
        return f"{where}, subset {destination.subset}, whose instances are not chosen by the key"
    service = next(iter(context.services_of_host(destination.host)), None)
    port = service.port(destination.port) if service is not None else None
    if service is None or port is None:
        return f"{where}, which does not exist"
    if not context.speaks(REDIS, service, port):
        return f"{where}, which is not known to speak Redis"
    reason = why_unreachable(context, service, port)
    return _reached(context, service, port) if reason is None else f"{where}: {reason}"


def _written_routes(
    context: GenerateContext, resource: Resource[RedisServiceSpec]
) -> tuple[Route, ...]:
    repeats = resource.spec.repeats()
    routes: list[Route] = []
    for index, entry in enumerate(resource.spec.redis):
        if index in repeats:
            continue
        path = f"spec.redis[{index}]"
        key = entry.match.key
        routes.append(
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
    return tuple(routes)


def targets_of(routes: tuple[Route, ...]) -> tuple[Target, ...]:
    """Return every cluster of commands or copies, once, in order."""
    targets = (
        target
        for route in routes
        for target in (route.target, *(item.target for item in route.mirrors))
    )
    targets_by_name: dict[str, Target] = {}
    for target in targets:
        targets_by_name.setdefault(target.cluster, target)
    return tuple(targets_by_name.values())


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
    return _reached(context, service, port)


def _reached(context: GenerateContext, service: Service, port: Port) -> Target:
    """Return where commands for that port go.

    This is Istio's cluster of the port. The nodes of a Redis Cluster need one of our own, whose
    name tells apart what objects of several namespaces say about the same nodes.
    """
    cluster = cluster_name(port.number, service.host)
    destination = destination_of(context, service)
    if destination is None or not is_cluster(destination) or tls_mode(context, service, port):
        return Target(cluster, service, port)
    own = destination.namespace == service.namespace
    word = "redis" if own else f"redis-{destination.namespace}"
    side = context.outbound
    name = side.added_name(word if cluster == side.cluster else f"{word}|{cluster}")
    return Target(name, service, port, Nodes(destination, service, port))


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
