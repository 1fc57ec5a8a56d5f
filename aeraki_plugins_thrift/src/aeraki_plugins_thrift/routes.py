"""Routes of Envoy's thrift_proxy.

thrift_proxy matches the whole name of a method or of a service, but no other prefix and no regular
expression. Routes with other methods are reported and left out.
"""

from __future__ import annotations

from dataclasses import replace

from envoy.config.core.v3.base_pb2 import RuntimeFractionalPercent
from envoy.extensions.filters.network.thrift_proxy.v3.route_pb2 import Route as ThriftRoute
from envoy.extensions.filters.network.thrift_proxy.v3.route_pb2 import (
    RouteAction,
    RouteMatch,
)
from envoy.type.v3.percent_pb2 import FractionalPercent

from aeraki_core import (
    GenerateContext,
    Inbound,
    Mirror,
    Route,
    StringMatch,
    WeightedCluster,
    header_matchers,
    matches_any,
    set_clusters,
)
from aeraki_plugins_thrift.codes import METHOD, MIRROR
from aeraki_plugins_thrift.protocol import STRIP_SERVICE_NAME
from aeraki_plugins_thrift.thrift_proxy import server_transport

__all__ = ["inbound_routes", "method_match", "outbound_routes"]

_MILLIONTHS_OF_A_PERCENT = 10_000
# Without a key, thrift_proxy mirrors every call. With a key that the runtime does not have, it
# mirrors the configured share.
_RUNTIME_KEY = "aeraki.thrift.mirror"


def outbound_routes(context: GenerateContext) -> list[ThriftRoute]:
    """Return the clients' routes, in order."""
    strip = context.option(STRIP_SERVICE_NAME)
    routes = context.routes(
        match=("method", "headers", "without_headers"),
        action=("mirror",),
        adapt=lambda route: _usable(context, route),
    )
    kept = []
    for route in routes:
        match = method_match(route.match.method)
        if isinstance(match, str):
            continue  # _usable has left such a route out already
        match.headers.extend(header_matchers(route.match))
        kept.append(ThriftRoute(match=match, route=_action(route, strip=strip)))
    return kept


def _usable(context: GenerateContext, route: Route) -> Route | None:
    """Return the route with the mirrors that are safe; None if its method cannot be matched.

    Such a route is reported. It is never widened to match more calls.
    """
    match = method_match(route.match.method)
    if isinstance(match, str):
        message = f"{match}; the route is left out"
        context.report(METHOD, message, ref=route.ref, field=f"{route.match_field}.method")
        return None
    if not route.mirrors:
        return route
    mirrors = tuple(mirror for mirror in route.mirrors if _may_mirror(context, route, mirror))
    return replace(route, mirrors=mirrors)


def inbound_routes(context: GenerateContext, side: Inbound) -> list[ThriftRoute]:
    """Return one route, for every call to the application."""
    strip = context.option(STRIP_SERVICE_NAME)
    action = RouteAction(cluster=side.cluster, strip_service_name=strip)
    return [ThriftRoute(match=RouteMatch(method_name=""), route=action)]


def method_match(method: StringMatch | None) -> RouteMatch | str:
    """Return the match of a method, or why there is none. Envoy reads an empty name as any."""
    if method is None or matches_any(method):
        return RouteMatch(method_name="")
    if method.exact is not None:
        return (
            RouteMatch(method_name=method.exact)
            if method.exact
            else "a method's name is never empty"
        )
    if method.regex is not None:
        return f"no expression can be matched, so not {method.regex!r}"
    service = (method.prefix or "").removesuffix(":")
    if not service or service == method.prefix:
        return (
            "no prefix but a whole service's name and a colon can be matched, "
            f"so not {method.prefix!r}"
        )
    return RouteMatch(service_name=service)


def _may_mirror(context: GenerateContext, route: Route, mirror: Mirror) -> bool:
    """Report whether Envoy can mirror the route without the risk of a crash; a finding if not.

    Envoy 1.40 ends in std::terminate when an unframed mirror answers and the call's own server is
    unframed too. Only the transport of this service is known, if it is declared: other services
    have options of their own.
    """
    if not _share(mirror):
        return True

    def is_own(destination: WeightedCluster | Mirror) -> bool:
        own = (context.service.host, context.port.number)
        return (destination.host, destination.port) == own

    framed = server_transport(context) in ("framed", "header")
    if framed and (is_own(mirror) or all(map(is_own, route.clusters))):
        return True
    if framed:
        why = "both are of other services, whose transport is not known here"
    else:
        why = "this service's servers are not declared as framed or header"
    message = (
        f"calls are not mirrored to {mirror.cluster}: "
        f"{why}, and between unframed servers Envoy aborts"
    )
    context.report(MIRROR, message, ref=route.ref, field=route.field)
    return False


def _action(route: Route, *, strip: bool) -> RouteAction:
    action = RouteAction(strip_service_name=strip)
    set_clusters(action, route.clusters)
    for mirror in route.mirrors:
        if policy := _mirror_policy(mirror):
            action.request_mirror_policies.append(policy)
    return action


def _mirror_policy(mirror: Mirror) -> RouteAction.RequestMirrorPolicy | None:
    """Return the policy; None for a share below one millionth."""
    share = _share(mirror)
    if not share:
        return None
    policy = RouteAction.RequestMirrorPolicy(cluster=mirror.cluster)
    if mirror.percentage < 100:
        percent = FractionalPercent(numerator=share, denominator=FractionalPercent.MILLION)
        policy.runtime_fraction.CopyFrom(
            RuntimeFractionalPercent(default_value=percent, runtime_key=_RUNTIME_KEY)
        )
    return policy


def _share(mirror: Mirror) -> int:
    """In millionths."""
    return round(mirror.percentage * _MILLIONTHS_OF_A_PERCENT)
