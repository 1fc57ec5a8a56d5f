"""Routes as values: conditions of a call, and the clusters that it goes to.

A VirtualService becomes these values in route_table.py; a plugin translates them into its filter's
configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core.model.istio import StringMatch
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Service

__all__ = [
    "ANY_CALL",
    "Mirror",
    "PlannedRoute",
    "Route",
    "RouteMatch",
    "WeightedCluster",
    "cluster_name",
    "default_routes",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedCluster:
    """A destination of a route.

    - cluster: Istio's name of it, ``outbound|<port>|<subset>|<host>``
    - weight: its share among the route's destinations, above 0
    - host: the full host
    - port: the service port
    - subset: the DestinationRule's subset; empty for none
    """

    cluster: str
    weight: int
    host: str
    port: int
    subset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A destination that gets a copy of calls.

    - cluster: Istio's name of it
    - percentage: the share of calls that are copied, 0 to 100
    - host: the full host
    - port: the service port
    - subset: the DestinationRule's subset; empty for none
    """

    cluster: str
    percentage: float
    host: str = ""
    port: int = 0
    subset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMatch:
    """What a call must be like; all of it holds. Empty: any call.

    Names of headers and parameters are as written. Pairs are sorted by name.
    """

    method: StringMatch | None = None
    headers: tuple[tuple[str, StringMatch], ...] = ()
    without_headers: tuple[tuple[str, StringMatch], ...] = ()
    query_params: tuple[tuple[str, StringMatch], ...] = ()

    @property
    def takes_all(self) -> bool:
        """Whether it asks nothing."""
        return self == ANY_CALL


ANY_CALL = RouteMatch()
"""The match that asks nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route; the first whose match holds takes the call.

    - match: what the call must be like
    - clusters: where it goes, at least one
    - mirrors: who gets a copy
    - timeout: seconds, 0 for none; None when not written
    - retries: further tries after the first; None when not written
    - name: the route's name in the VirtualService; empty without one
    - ref: the VirtualService; None for the route that everything takes by default
    - field: where the route is written in ``ref``, for findings
    - match_field: where its match is written
    """

    match: RouteMatch
    clusters: tuple[WeightedCluster, ...]
    mirrors: tuple[Mirror, ...] = ()
    timeout: float | None = None
    retries: int | None = None
    name: str = ""
    ref: ObjectRef | None = None
    field: str = ""
    match_field: str = ""


@dataclass(frozen=True, slots=True)
class PlannedRoute:
    """A route as it is written, and as the protocol's filter has it.

    ``used`` None: the filter cannot express it, so the plugin reported it and left it out.
    """

    written: Route
    used: Route | None


def cluster_name(port: int, host: str, subset: str = "") -> str:
    """Istio's outbound cluster of a host, port and subset."""
    return f"outbound|{port}|{subset}|{host}"


def default_routes(service: Service, port: Port) -> tuple[Route, ...]:
    """Return one route for everything to the service itself, as istiod does by default."""
    cluster = WeightedCluster(
        cluster=cluster_name(port.number, service.host),
        weight=1,
        host=service.host,
        port=port.number,
    )
    return (Route(match=ANY_CALL, clusters=(cluster,)),)
