"""The clients' side: the filter, and the patches that its clusters need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.config.cluster.v3.cluster_pb2 import Cluster

from aeraki_core import GenerateContext, Outbound, Patch, Port, Resource, VirtualService
from aeraki_plugins_redis.auth import Credentials, credentials
from aeraki_plugins_redis.cluster import merged, redis_cluster
from aeraki_plugins_redis.codes import (
    AUTH_REFUSED,
    CLUSTER_TLS,
    LEFT_PLAIN,
    NO_CLUSTER,
    NO_EFFECT,
    NODES_WITHOUT_TLS,
    NOT_REDIS,
    PASSWORD_KEPT,
    VIRTUAL_SERVICE,
)
from aeraki_plugins_redis.destinations import (
    asks_for_no_tls,
    destination_of,
    is_cluster,
    password_of,
    policy_of,
    resource_of,
    shards_itself,
    tls_mode,
    why_unreachable,
)
from aeraki_plugins_redis.endpoints import HostPort, parse_endpoint
from aeraki_plugins_redis.protocol import FILTER, INBOUND, PROXY, REDIS
from aeraki_plugins_redis.redis_proxy import outbound_proxy
from aeraki_plugins_redis.resources import (
    REDIS_DESTINATION,
    REDIS_SERVICE,
    ReadPolicy,
    RedisDestinationSpec,
    RedisServiceSpec,
)
from aeraki_plugins_redis.routes import Nodes, Target, routes_of, targets_of

__all__ = ["can_be_proxied", "outbound"]


def can_be_proxied(context: GenerateContext) -> bool:
    """Report whether redis_proxy is wanted and can serve the port; the reason is reported if not.

    redis_proxy answers AUTH itself and lacks SUBSCRIBE, and many charts name their port tcp-redis.
    """
    wish = context.option(PROXY)
    asked_for = _is_asked_for(context)
    if wish == "never":
        _report_unwanted(context)
    if wish == "never" or (wish == "auto" and not asked_for):
        return False
    host = context.service.host
    if any(context.withholds(kind, host) for kind in (REDIS_SERVICE, REDIS_DESTINATION)):
        return False  # these clients call Redis as without a filter, with a password of their own
    destination = destination_of(context, context.service)
    if destination is not None and is_cluster(destination):
        mode = tls_mode(context, context.service, context.port)
        if mode:
            message = (
                f"a DestinationRule gives {context.service.host} tls {mode}, "
                "which the clusters of mode CLUSTER cannot keep; "
                "no filter is written, so that no password goes out in clear"
            )
            context.report(CLUSTER_TLS, message, ref=destination.ref, field="spec")
            return False
        _report_plain_nodes(context, destination)
    reason = why_unreachable(context, context.service, context.port)
    if wish != "always":
        reason = reason or _why_no_commands(context.port)
    if reason:
        message = f"port {context.port.number}: {reason}; no filter is written"
        is_wanted = asked_for or wish == "always"
        context.report(NO_CLUSTER if is_wanted else LEFT_PLAIN, message, field="spec")
        return False
    if wish is None and not asked_for:
        message = (
            f"port {context.port.number}: AUTH of clients is refused by redis_proxy unless a "
            "RedisDestination knows the password"
        )
        context.report(AUTH_REFUSED, message, field="spec.ports")
    return True


def _report_unwanted(context: GenerateContext) -> None:
    """Report a RedisService for a port whose option leaves it alone."""
    resource = resource_of(context, REDIS_SERVICE, context.service)
    if resource is not None:
        annotation = context.option_field(PROXY).removeprefix("metadata.annotations.")
        message = (
            f"{annotation} of {context.service.ref} is never, so port {context.port.number} has no "
            "filter, and the routes and settings have no effect on it"
        )
        context.report(NO_EFFECT, message, ref=resource.ref, field="spec")


def _report_plain_nodes(
    context: GenerateContext, destination: Resource[RedisDestinationSpec]
) -> None:
    """Report that sidecars reach the nodes without the mutual TLS that Istio gives Services."""
    service = context.service
    if service.ref.kind != "Service" or asks_for_no_tls(context, service, context.port):
        return
    password = ", and the password goes out in clear" if destination.spec.redis.auth else ""
    message = (
        f"redis_proxy reaches the nodes of {service.host} without Istio's mutual TLS{password}; "
        "nodes with sidecars under STRICT refuse it"
    )
    field = "spec.trafficPolicy.connectionPool.redis.mode"
    context.report(NODES_WITHOUT_TLS, message, ref=destination.ref, field=field)


def _why_no_commands(port: Port) -> str | None:
    """Return why a port that is named for Redis does not take the commands that redis_proxy knows.

    Charts name the ports of Redis Sentinel and of the bus between nodes so.
    """
    for word, traffic in (("sentinel", "the commands of Redis Sentinel"), ("bus", "a node's bus")):
        if word in port.name.lower().split("-"):
            return f"port name {port.name!r} says {word}, and redis_proxy does not know {traffic}"
    return None


def _is_asked_for(context: GenerateContext) -> bool:
    """Report whether an object of the namespace or the inbound option asks for the filter."""
    service = context.service
    return (
        context.option(INBOUND)
        or resource_of(context, REDIS_SERVICE, service) is not None
        or destination_of(context, service) is not None
    )


def outbound(context: GenerateContext) -> Iterator[Patch]:
    """The filter, and what Istio's cluster of the port needs: others may route to it, too."""
    resource = resource_of(context, REDIS_SERVICE, context.service)
    spec = resource.spec if resource else None
    routes = routes_of(context, resource)
    if routes is None:
        return  # Istio's tcp_proxy stays, for its routes say more than redis_proxy can
    targets = targets_of(routes)
    _report_vain(context, resource, targets)
    side = context.outbound
    demanded = _demanded(context, resource)
    yield side.replace_tcp_proxy(FILTER, outbound_proxy(side.stat_prefix, spec, routes, demanded))
    yield from _merge(context, side)
    for target in targets:
        if target.nodes is not None:
            yield side.add_cluster(_nodes(context, target.cluster, target.nodes))
        elif resource is not None and target.cluster != side.cluster:
            _report_unprepared(context, resource, target)


def _demanded(
    context: GenerateContext, resource: Resource[RedisServiceSpec] | None
) -> Credentials | None:
    """What clients must give."""
    if resource is None:
        return None
    return credentials(context, resource, resource.spec.settings.auth, "spec.settings.auth")


def _report_unprepared(
    context: GenerateContext, resource: Resource[RedisServiceSpec], target: Target
) -> None:
    """Report a route to a port that has no filter of its own, so that nothing prepares its cluster.

    A filter changes no cluster of another service: that would reach all clients of that service.
    """
    service, port = target.service, target.port
    if service is not None and port is not None and not context.speaks(REDIS, service, port):
        message = (
            f"port {port.number} of {service.host} is not known to speak Redis: "
            "its instances are not chosen by the key, and its RedisDestination has no effect"
        )
        context.report(NOT_REDIS, message, ref=resource.ref, field="spec.redis")
    elif service is not None and context.withholds(REDIS_DESTINATION, service.host):
        message = (
            f"the RedisDestination of {service.host} is not exported to these clients; "
            "commands that are routed there have no password"
        )
        context.report(PASSWORD_KEPT, message, ref=resource.ref, field="spec.redis")


def _nodes(context: GenerateContext, name: str, nodes: Nodes) -> Cluster:
    """Return the cluster of the nodes of a Redis Cluster.

    Each filter that sends commands there adds one for its clients. Istio's cluster stays as it is,
    for its clients without such a filter.
    """
    destination, service, port = nodes
    # A ServiceEntry's servers listen on the target port; a Service's ClusterIP on its own.
    number = port.number if service.ref.kind == "Service" else port.target
    own = HostPort(service.host, number if isinstance(number, int) else port.number)
    return redis_cluster(
        name,
        _endpoints(destination.spec, own),
        destination.spec.tcp,
        password_of(context, destination),
        policy=policy_of(context, service, port),
    )


def _merge(context: GenerateContext, side: Outbound) -> Iterator[Patch]:
    """Yield what Istio's cluster of the service port needs for redis_proxy."""
    service, port = context.service, context.port
    destination = destination_of(context, service)
    if destination is not None and is_cluster(destination):
        return  # redis_proxy does not use it
    password = password_of(context, destination)
    tcp = destination.spec.tcp if destination else None
    merge = merged(tcp, password, sharding=not shards_itself(context, service, port))
    if merge.ByteSize():
        yield side.merge_cluster(merge, subset="")  # routes know no subsets


def _endpoints(spec: RedisDestinationSpec, service: HostPort) -> Iterable[HostPort]:
    """Return the endpoints to ask for the nodes. checks.py reports invalid ones."""
    found: list[HostPort] = []
    for text in spec.redis.discovery_endpoints:
        try:
            found.append(parse_endpoint(text, service.port))
        except ValueError:
            continue
    return found or (service,)


def _report_vain(
    context: GenerateContext,
    resource: Resource[RedisServiceSpec] | None,
    targets: Iterable[Target],
) -> None:
    """Report what was written and has no effect on this port."""
    context.check_tcp_routes(VIRTUAL_SERVICE)
    virtual_service = context.virtual_service
    takes_all = resource is not None and any(not each.prefix for each in resource.spec.redis)
    if virtual_service is not None and takes_all and _has_tcp(virtual_service, context.port.number):
        message = (
            f"the tcp routes have no effect on port {context.port.number} of "
            f"{context.service.host}, whose RedisService routes all keys"
        )
        context.report(VIRTUAL_SERVICE, message, ref=virtual_service.ref, field="spec.tcp")
    if resource is None or resource.spec.settings.read_policy is ReadPolicy.MASTER:
        return
    destinations = (destination_of(context, item.service) for item in targets if item.service)
    if not any(item is not None and is_cluster(item) for item in destinations):
        message = (
            "no route leads to a RedisDestination of mode CLUSTER, "
            "so there are no replicas to read from"
        )
        context.report(NO_EFFECT, message, ref=resource.ref, field="spec.settings.readPolicy")


def _has_tcp(virtual_service: VirtualService, number: int) -> bool:
    """Report whether a tcp route is meant for that port."""
    return any(
        not entry.match or any(match.port in (None, number) for match in entry.match)
        for entry in virtual_service.tcp
    )
