"""The config of Envoy's dubbo_proxy (docs/internals/envoy.md, "Dubbo (dubbo_proxy)")."""

from __future__ import annotations

from envoy.extensions.filters.network.dubbo_proxy.v3.dubbo_proxy_pb2 import DubboProxy
from envoy.extensions.filters.network.dubbo_proxy.v3.route_pb2 import (
    MethodMatch,
    MultipleRouteConfiguration,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
)
from envoy.extensions.filters.network.dubbo_proxy.v3.route_pb2 import Route as DubboRoute

from aeraki_core import Route, StringMatch, header_matchers, set_clusters, string_matcher
from aeraki_plugins_dubbo.called import Called

__all__ = ["config"]


def config(stat_prefix: str, called: Called, routes: tuple[Route, ...]) -> DubboProxy:
    """Return the filter's config: each interface has the same routes, and the default router."""
    configs = [_route(route) for route in routes]
    return DubboProxy(
        stat_prefix=stat_prefix,
        multiple_route_config=MultipleRouteConfiguration(
            name=stat_prefix,
            route_config=[
                RouteConfiguration(
                    name=interface,
                    interface=interface,
                    group=called.group,
                    version=called.version,
                    routes=configs,
                )
                for interface in called.interfaces
            ],
        ),
    )


def _route(route: Route) -> DubboRoute:
    method = MethodMatch(name=string_matcher(route.match.method or StringMatch()))
    for index, value in route.match.query_params:
        method.params_match[int(index)].exact_match = value.exact or ""
    return DubboRoute(
        match=RouteMatch(method=method, headers=header_matchers(route.match)),
        route=_action(route),
    )


def _action(route: Route) -> RouteAction:
    action = RouteAction()
    set_clusters(action, route.clusters)
    return action
