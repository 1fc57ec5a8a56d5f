"""The route table of a service port: which routes of which VirtualService apply.

Istio applies ``http`` routes to HTTP ports only, ``tcp`` routes to all others. A protocol of ours
matches on methods and headers, which only ``http`` can express, so its ports read ``http`` first.
That reading must never cost a call. A call without a matching route goes where istiod sends it
without us, by the ``tcp`` section or to the service itself. So each table ends with a route that
matches everything. A filter without ``http`` routes asks for that last route alone.

See docs/internals/protocols.md, "Common to all". Source of Istio's order:
buildSidecarOutboundTCPFilterChainOpts in istio/istio, pilot/pkg/networking/core/tls.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from aeraki_core.findings.codes import (
    NO_ROUTE_LEFT,
    SHADOWED,
    TLS_ROUTES,
    UNSUPPORTED_FIELD,
)
from aeraki_core.findings.text import did_you_mean
from aeraki_core.mesh.destinations import Destinations
from aeraki_core.mesh.http_routes import (
    MAX_UNUSED_CONDITIONS,
    EntryUse,
    applicable_matches,
    read_http,
)
from aeraki_core.mesh.resolve import connection_order
from aeraki_core.mesh.route_scope import RouteScope
from aeraki_core.mesh.routes import ANY_CALL, Route, default_routes
from aeraki_core.mesh.tcp_entries import TCPEntry, entry_of_all_addresses, read_tcp
from aeraki_core.model.istio import VirtualService
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.service import Port, Service

__all__ = ["route_table", "tcp_route"]

_FIELDS = ("hosts", "gateways", "http", "tls", "tcp", "exportTo")
"""What the spec of a VirtualService has."""


def route_table(scopes: Sequence[RouteScope], service: Service, port: Port) -> tuple[Route, ...]:
    """Return the routes of a port, in order; the last matches everything.

    ``scopes``: the VirtualServices that apply to the service for these clients, those of the most
    specific host first. For ``http``, which is ours, that order counts, for ``tcp`` Istio's own.
    """
    for scope in scopes[:1]:
        _report_unknown_fields(scope)
    http, unusable = _http_routes(scopes)
    # Nothing after a route that takes all calls can be reached.
    takes_all = any(route.match.takes_all for route in http)
    rest = None if takes_all else _tcp_route(scopes, service)
    _report_shadowed(scopes, (*http[:1], *([rest] if rest else ())))
    if takes_all:
        return http
    # No entry counts for this port. The calls go to the service itself, as istiod would send them.
    if not http and rest is None:
        for scope in unusable[:1]:
            _report_no_route(scope)
        if not unusable and any(_has_tls(scope) for scope in scopes[:1]):
            message = "only tls routes are given; all calls go to the service itself"
            scopes[0].report(TLS_ROUTES, message, "spec.tls")
    return (*http, *default_routes(service, port)) if rest is None else (*http, rest)


def tcp_route(scopes: Sequence[RouteScope], service: Service, port: Port) -> Route:
    """Return where Istio sends the port's connections: the table's last route without http."""
    route = _tcp_route(scopes, service)
    if route is None:
        return default_routes(service, port)[0]
    _report_shadowed(scopes, (route,))
    return route


def _http_routes(scopes: Sequence[RouteScope]) -> tuple[tuple[Route, ...], list[RouteScope]]:
    """Return the routes of the first VirtualService with usable ``http`` entries.

    The second value lists those whose entries cannot be used.
    """
    unusable: list[RouteScope] = []
    limit = MAX_UNUSED_CONDITIONS
    for scope in scopes:
        entries, limit = read_http(scope, limit) if scope.is_for_whole_host else ((), limit)
        routes = tuple(route for entry in entries for route in entry.routes)
        if routes:
            return routes, unusable
        if any(entry.use is EntryUse.UNUSABLE for entry in entries):
            unusable.append(scope)
        if not scope.virtual_service.is_attached and any(
            entry.takes_all_addresses for entry in read_tcp(scope, report=False)
        ):
            break  # Istio's own order: an older tcp route comes before a younger http section
    return (), unusable


def _tcp_route(scopes: Sequence[RouteScope], service: Service) -> Route | None:
    """Return the matching ``tcp`` route of all VirtualServices; None if none matches.

    That is the entry with the closest subnet around the service, otherwise the first without one.
    """
    in_order = sorted(
        scopes, key=lambda scope: connection_order(scope.virtual_service, scope.namespace)
    )
    last: Route | None = None
    by_subnet: dict[TCPEntry, Route] = {}
    for entry in chain.from_iterable(read_tcp(scope, report=True) for scope in in_order):
        route = _route_of(entry)
        if route is not None and entry.prefixes is None:
            last = route
            break
        if route is not None:
            by_subnet[entry] = route
    closest = entry_of_all_addresses([*by_subnet], service)
    return last if closest is None else by_subnet[closest]


def _route_of(entry: TCPEntry) -> Route | None:
    """Return the route of an entry; None where it has no destination."""
    destinations = Destinations(entry.scope, as_istio=True)
    clusters = destinations.weighted(entry.entry.route or (), f"{entry.path}.route")
    if not clusters:
        return None
    ref, field = entry.scope.virtual_service.ref, entry.scope.written(entry.path)
    return Route(match=ANY_CALL, clusters=clusters, ref=ref, field=field)


def _report_unknown_fields(scope: RouteScope) -> None:
    for name in scope.virtual_service.others:
        hint = did_you_mean(name, _FIELDS)
        message = f"{name} is no field of a VirtualService and has no effect{hint}"
        scope.report(UNSUPPORTED_FIELD, message, f"spec.{name}")


def _has_tls(scope: RouteScope) -> bool:
    """Whether ``tls`` routes can be meant for the port."""
    ports = scope.virtual_service.tls_ports
    others = any(port_protocol(port) is PortProtocol.TLS for port in scope.service.ports)
    return scope.port.number in ports or (None in ports and not others)


def _report_shadowed(scopes: Sequence[RouteScope], used: Sequence[Route]) -> None:
    """Report VirtualServices of exactly the host that come after one whose routes are used."""
    used_refs = {route.ref for route in used}
    first: VirtualService | None = None
    for scope in scopes:
        other, host = scope.virtual_service, scope.service.host
        if other.ref in used_refs:
            first = first or other
        elif first is not None and host in other.hosts and _is_hidden_by(first, scope):
            message = (
                f"{first.ref} comes first and speaks for port {scope.port.number} of {host}; "
                "this one has no effect there"
            )
            field = "spec.parentRefs" if other.is_attached else "spec.hosts"
            scope.report(SHADOWED, message, field)


def _is_hidden_by(first: VirtualService, scope: RouteScope) -> bool:
    """Whether another one has something for the port, and its owner may expect an effect.

    One that some clients have of their own is meant to come before the one of everybody.
    """
    is_for_fewer = "*" not in first.export_to and "*" in scope.virtual_service.export_to
    return not is_for_fewer and (
        any(True for _ in applicable_matches(scope))
        or any(True for _ in read_tcp(scope, report=False))
    )


def _report_no_route(scope: RouteScope) -> None:
    message = (
        f"no http route can be used on port {scope.port.number} of {scope.service.host}; "
        "all calls go to the service itself"
    )
    scope.report(NO_ROUTE_LEFT, message, "spec.http")
