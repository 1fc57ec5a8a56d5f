"""Choose the engine and the routes of each side (docs/internals/protocols.md, "Dubbo").

Each side that gets a filter has a :class:`Plan`. Problems are reported as findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aeraki_core import (
    GenerateContext,
    Inbound,
    Route,
    RouteMatch,
    Side,
    StringMatch,
    WeightedCluster,
)
from aeraki_plugins_dubbo.called import ANY, Called, called
from aeraki_plugins_dubbo.codes import (
    ARGUMENT,
    ENGINE_MISSING,
    MAY_ABORT,
    NEEDS_DUBBO_PROXY,
    NO_WEIGHTS,
)
from aeraki_plugins_dubbo.engine import Engine
from aeraki_plugins_dubbo.protocol import ENGINE, INBOUND

__all__ = ["Plan", "argument_problem", "plans"]

# What the routes of the two engines can say (docs/internals/envoy.md).
_MATCH = ("method", "headers", "without_headers")
_DUBBO_PROXY_MATCH = (*_MATCH, "query_params")
_GENERIC_PROXY_ACTION = ("timeout", "retries")

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_INDEX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The filter of one side: the engine, the calls that it takes, the routes."""

    side: Side
    engine: Engine
    called: Called
    routes: tuple[Route, ...]


def plans(context: GenerateContext) -> Iterator[Plan]:
    """Yield the plan of the clients' side, then those of the workloads' side.

    A side whose proxies lack the engine has no plan.
    """
    outbound = _outbound(context)
    if outbound is not None:
        engine, routes = outbound
        yield Plan(context.outbound, engine, called(context), routes)
    if context.option(INBOUND):
        for side in context.inbound:
            engine_here = _inbound_engine(context, side)
            if engine_here is not None:
                own = WeightedCluster(
                    cluster=side.cluster, weight=1, host=context.service.host, port=side.target_port
                )
                yield Plan(side, engine_here, ANY, (Route(match=RouteMatch(), clusters=(own,)),))


def _outbound(context: GenerateContext) -> tuple[Engine, tuple[Route, ...]] | None:
    engine = context.option(ENGINE)
    has_generic_proxy = context.has_extension(Engine.GENERIC_PROXY)
    if engine == "generic_proxy":
        if not has_generic_proxy:
            _report_missing(context)
            return None
        return Engine.GENERIC_PROXY, context.routes(
            match=_MATCH,
            action=_GENERIC_PROXY_ACTION,
            adapt=lambda route: _with_one_cluster(context, route),
        )
    if engine == "auto" and has_generic_proxy:
        routes = context.routes(
            match=_DUBBO_PROXY_MATCH,
            action=_GENERIC_PROXY_ACTION,
            adapt=lambda route: _usable(context, route),
        )
        needy = next((route for route in routes if _needs_dubbo_proxy(route)), None)
        if needy is None:
            return Engine.GENERIC_PROXY, routes
        message = "its weights or arguments are beyond generic_proxy, so dubbo_proxy is used"
        context.report(NEEDS_DUBBO_PROXY, message, ref=needy.ref, field=needy.field)
    if engine == "auto":
        _report_may_abort(context)
    return Engine.DUBBO_PROXY, context.routes(
        match=_DUBBO_PROXY_MATCH, adapt=lambda route: _usable(context, route)
    )


def _inbound_engine(context: GenerateContext, side: Inbound) -> Engine | None:
    """Return the engine of the service's own workloads: their proxies decide, not the clients'."""
    engine = context.option(ENGINE)
    if engine == "dubbo_proxy":
        return Engine.DUBBO_PROXY
    rules = context.mesh.rules_for(Engine.GENERIC_PROXY)
    if any(rule.covers(context.service.namespace, side.selector) for rule in rules):
        return Engine.GENERIC_PROXY
    if engine == "generic_proxy":
        _report_missing(context)
        return None
    _report_may_abort(context)
    return Engine.DUBBO_PROXY


def _report_missing(context: GenerateContext) -> None:
    message = (
        f"{Engine.GENERIC_PROXY} is asked for; proxies that are not known to have it get no filter"
    )
    context.report(ENGINE_MISSING, message, field=context.option_field(ENGINE))


def _report_may_abort(context: GenerateContext) -> None:
    message = (
        "when a server ends its connection during a call, dubbo_proxy can abort the sidecar's Envoy"
    )
    context.report_mesh(MAY_ABORT, message)


def _needs_dubbo_proxy(route: Route) -> bool:
    return len(route.clusters) > 1 or bool(route.match.query_params)


def _with_one_cluster(context: GenerateContext, route: Route) -> Route:
    """Keep one cluster, because generic_proxy sends the calls of a route to a single cluster.

    The cluster with the greatest weight stays; among equals, the first.
    """
    if len(route.clusters) == 1:
        return route
    heaviest = max(route.clusters, key=lambda item: item.weight)
    message = f"all calls go to {heaviest.cluster}"
    context.report(NO_WEIGHTS, message, ref=route.ref, field=f"{route.field}.route")
    return replace(route, clusters=(heaviest,))


def _usable(context: GenerateContext, route: Route) -> Route | None:
    """Return the route if its arguments can be matched; otherwise report it and leave it out.

    It is never widened to match more calls.
    """
    problems = [(name, argument_problem(name, value)) for name, value in route.match.query_params]
    for name, problem in problems:
        if problem:
            message = f"{name!r}: {problem}; the route is left out"
            field = f"{route.match_field}.queryParams.{name}"
            context.report(ARGUMENT, message, ref=route.ref, field=field)
    return None if any(problem for _, problem in problems) else route


def argument_problem(name: str, value: StringMatch) -> str | None:
    """Why dubbo_proxy cannot match that argument; None when it can."""
    if not _INDEX.fullmatch(name) or int(name) > _MAX_INDEX:
        return "an argument is named by its index, 0 for the first"
    if value.exact is None:
        return "an argument can only be matched by an exact text"
    # Envoy takes an empty text as any (ParameterRouteEntryImpl::matchParameter).
    return None if value.exact else "an empty text would match any argument"
