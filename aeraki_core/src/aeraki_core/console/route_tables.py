"""The routes of a service port as plain JSON and in words.

``aeraki explain``, ``aeraki route`` and the page show them; a running controller answers with the
JSON, and the command that asked decides about a call, so that nobody makes the controller work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aeraki_core.findings.text import and_more
from aeraki_core.mesh.calls import conditions
from aeraki_core.mesh.routes import RouteMatch
from aeraki_core.model.istio import StringMatch

if TYPE_CHECKING:
    from aeraki_core.mesh.routes import Mirror, PlannedRoute, Route, WeightedCluster
    from aeraki_core.mesh.store import Store
    from aeraki_core.pipeline.pipeline import Pipeline, PortReport
    from aeraki_core.plugins.audience import Audience

__all__ = [
    "clients_text",
    "destination_text",
    "destinations_text",
    "limit_texts",
    "match_of",
    "match_text",
    "percent",
    "route_tables",
    "source_text",
]

_MOST_NAMESPACES = 5


def route_tables(pipeline: Pipeline, report: PortReport) -> list[dict[str, Any]]:
    """Return the routes of a port, one table for all clients with the same routes.

    Each table has the namespaces of its clients, whether all others have it too, and its ``routes``
    (None: the protocol does not route single calls).
    """
    tables: list[dict[str, Any]] = []
    for clients in pipeline.client_routes(report.service, report.port):
        routes = clients.routes
        content = {
            "isTheirs": clients.is_theirs,
            "limits": {limit.name: list(limit.values) for limit in clients.limits},
            "routes": None
            if routes is None and clients.is_theirs
            else [_route(pipeline, report, route) for route in routes or ()],
        }
        same = next((table for table in tables if content.items() <= table.items()), None)
        if same is None:
            same = {"everybody": False, "namespaces": [], "workloads": [], **content}
            tables.append(same)
        for audience in clients.audiences:
            _add_clients(same, audience)
    return tables


def _add_clients(table: dict[str, Any], audience: Audience) -> None:
    if audience.labels:
        selector = ",".join(f"{key}={value}" for key, value in audience.labels)
        table["workloads"].append({"namespace": audience.namespace, "selector": selector})
    elif audience.namespace is None:
        table["everybody"] = True
    else:
        table["namespaces"].append(audience.namespace)


def _route(pipeline: Pipeline, report: PortReport, planned: PlannedRoute) -> dict[str, Any]:
    route = planned.used or planned.written
    total = sum(cluster.weight for cluster in route.clusters)
    origin = pipeline.store.origin(route.ref) if route.ref is not None else None
    source, line = origin.locate(route.field) if origin is not None else (None, None)
    # Clients of other namespaces may have the same finding again.
    at_route = {
        (finding.code, finding.field): finding
        for finding in reversed(report.findings)
        if finding.ref == route.ref and _is_about(finding.field or "", route)
    }
    return {
        "match": _match(route.match),
        "destinations": [
            {
                **_destination(cluster, report),
                "weight": cluster.weight,
                "share": round(100 * cluster.weight / total, 1),
                "endpoints": _endpoints(pipeline.store, cluster),
            }
            for cluster in route.clusters
        ],
        "mirrors": [
            {**_destination(mirror, report), "share": mirror.percentage} for mirror in route.mirrors
        ],
        "timeout": route.timeout,
        "retries": route.retries,
        "name": route.name or None,
        "object": str(route.ref) if route.ref is not None else None,
        "field": (route.match_field or route.field) or None,
        "place": f"{source}:{line}" if source else None,
        "isUsed": planned.used is not None,
        "findings": [
            {"code": each.code.id, "field": each.field, "message": each.message}
            for each in at_route.values()
        ],
    }


def _is_about(field: str, route: Route) -> bool:
    """Report whether a finding at the field is about the route, not another match of its entry."""
    if route.match_field and f"{field}.".startswith(f"{route.match_field}."):
        return True
    is_within = bool(route.field) and f"{field}.".startswith(f"{route.field}.")
    return is_within and not field.startswith(f"{route.field}.match[")


def _destination(cluster: WeightedCluster | Mirror, report: PortReport) -> dict[str, Any]:
    return {
        "host": cluster.host,
        "port": cluster.port,
        "subset": cluster.subset or None,
        "cluster": cluster.cluster,
        "isOwn": (cluster.host, cluster.port) == (report.service.host, report.port.number),
    }


def _endpoints(store: Store, cluster: WeightedCluster) -> list[str] | None:
    """Return the addresses behind a destination; None if no object names them.

    Which of them a subset has depends on the labels of pods, which are not read.
    """
    services = [each for each in store.services_of_host(cluster.host) if each.ref.kind == "Service"]
    if cluster.subset or not services:
        return None
    addresses = store.endpoints(services[0].namespace, services[0].ref.name).addresses
    return list(addresses) or None


def _match(match: RouteMatch) -> dict[str, Any]:
    return {
        "method": _text_match(match.method) if match.method is not None else None,
        "headers": _text_matches(match.headers),
        "withoutHeaders": _text_matches(match.without_headers),
        "queryParams": _text_matches(match.query_params),
    }


def _text_matches(pairs: Iterable[tuple[str, StringMatch]]) -> dict[str, dict[str, str]]:
    return {name: _text_match(wanted) for name, wanted in pairs}


def _text_match(wanted: StringMatch) -> dict[str, str]:
    fields = (("exact", wanted.exact), ("prefix", wanted.prefix), ("regex", wanted.regex))
    return {name: value for name, value in fields if value is not None}


def match_of(route: Mapping[str, Any]) -> RouteMatch:
    """Return the match of a route from :func:`route_tables`."""
    content = route["match"]

    def pairs(name: str) -> tuple[tuple[str, StringMatch], ...]:
        return tuple((key, StringMatch(**value)) for key, value in content[name].items())

    method = content["method"]
    return RouteMatch(
        method=StringMatch(**method) if method is not None else None,
        headers=pairs("headers"),
        without_headers=pairs("withoutHeaders"),
        query_params=pairs("queryParams"),
    )


# -- in words --------------------------------------------------------------------------------------


def clients_text(table: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> str:
    """Whose routes a table has. ``tables``: all of the port."""
    if table["everybody"]:
        # Namespaces that have the same routes as everybody else are nothing special.
        return "all clients" if len(tables) == 1 else "all other clients"
    parts = []
    if table["namespaces"]:
        word = "namespace" if len(table["namespaces"]) == 1 else "namespaces"
        parts.append(f"clients in {word} {and_more(table['namespaces'], _MOST_NAMESPACES)}")
    parts += [
        f"clients {each['selector']} of {each['namespace'] or 'all namespaces'}"
        for each in table["workloads"]
    ]
    return ", ".join(parts) or "no client"


def limit_texts(table: Mapping[str, Any]) -> list[str]:
    """Which calls the service takes at all, a text for each limit."""
    return [
        f"only calls with {name} {' or '.join(values)}"
        for name, values in table["limits"].items()
        if values
    ]


def match_text(route: Mapping[str, Any]) -> str:
    """Return the conditions of a route as text."""
    return ", ".join(map(str, conditions(match_of(route)))) or "any call"


def destination_text(destination: Mapping[str, Any]) -> str:
    """Return a destination as text, short if it is the service itself."""
    subset = destination["subset"]
    if destination["isOwn"]:
        return f"subset {subset}" if subset else "the service"
    place = f"{destination['host']}:{destination['port']}"
    return f"{place} subset {subset}" if subset else place


def destinations_text(route: Mapping[str, Any]) -> str:
    """Return the destinations of a route's calls and of their copies as text."""
    several = len(route["destinations"]) > 1
    texts = [
        f"{percent(each['share'])} {destination_text(each)}" if several else destination_text(each)
        for each in route["destinations"]
    ]
    texts += [
        f"copies of {percent(each['share'])} to {destination_text(each)}"
        for each in route["mirrors"]
    ]
    return ", ".join(texts)


def percent(share: float) -> str:
    """Return a share of calls as text."""
    return f"{share:g} %"


def source_text(route: Mapping[str, Any]) -> str:
    """Return the place of a route in its object as text."""
    if route["object"] is None:
        return "by default"
    name = f" {route['name']!r}" if route["name"] else ""
    return f"{route['object']} {route['field']}{name}"
