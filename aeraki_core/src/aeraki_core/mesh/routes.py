"""From a VirtualService to routes that any protocol can translate (protocols.md, "Common to all").

In: a service port, the VirtualService that applies, what the protocol can express. Out: :class:`Route` values in order,
and findings.
Short hosts are resolved, ports and subsets are checked, weights are Istio's; what cannot be said in one filter for all clients
leaves its route out, so that a route never takes more than was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from aeraki_core.findings.codes import (
    BAD_REGEX,
    CLIENT_MATCH,
    NO_DESTINATION,
    TLS_ROUTES,
    UNKNOWN_HOST,
    UNKNOWN_PORT,
    UNKNOWN_SUBSET,
    UNSUPPORTED_FIELD,
    UNSUPPORTED_MATCH,
    WEIGHTS,
)
from aeraki_core.findings.finding import Code
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.duration import parse_duration
from aeraki_core.model.istio import (
    Destination,
    HTTPMatchRequest,
    HTTPRoute,
    HTTPRouteDestination,
    StringMatch,
    TCPMatch,
    VirtualService,
    full_host,
)
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Service

__all__ = [
    "Mirror",
    "Route",
    "RouteMatch",
    "WeightedCluster",
    "cluster_name",
    "default_routes",
    "regex_problem",
    "routes_of",
]

Report = Callable[[Code, str, ObjectRef, str], None]
"""Takes a finding: code, message, object, field."""

MAX_PROGRAM_SIZE = 32768
"""Of a compiled expression: Istio's proxies refuse larger ones (re2.max_program_size.error_level in their bootstrap)."""

_MATCH_FIELDS = ("method", "headers", "without_headers", "query_params")


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    """A destination: Istio's cluster name, its weight (above 0), and what it was made of (``host`` full)."""

    cluster: str
    weight: int
    host: str
    port: int
    subset: str = ""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror's cluster and the share of calls, in percent, that it gets."""

    cluster: str
    percentage: float


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """What a call must be like. Header and parameter names are as written; pairs are sorted by name."""

    method: StringMatch | None = None
    headers: tuple[tuple[str, StringMatch], ...] = ()
    without_headers: tuple[tuple[str, StringMatch], ...] = ()
    query_params: tuple[tuple[str, StringMatch], ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One route: first that matches wins. ``ref`` and ``field`` say where it was written, for findings of the plugin.

    ``timeout`` in seconds, 0 for none, and ``retries`` (further tries after the first) are None where not written.
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


def cluster_name(port: int, host: str, subset: str = "") -> str:
    """Istio's outbound cluster of a host, port and subset."""
    return f"outbound|{port}|{subset}|{host}"


def default_routes(service: Service, port: Port) -> tuple[Route, ...]:
    """Without a Virtualservice one route takes everything to the service itself."""
    cluster = WeightedCluster(cluster_name(port.number, service.host), 1, service.host, port.number)
    return (Route(RouteMatch(), (cluster,)),)


def regex_problem(pattern: str) -> str | None:
    """Why RE2, Envoy's engine, refuses the expression; None when it takes it."""
    import re2

    options = re2.Options()
    options.log_errors = False  # else RE2 itself writes to stderr
    try:
        size = re2.compile(pattern, options).programsize
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        return detail.decode() if isinstance(detail, bytes) else str(detail)
    return (
        f"its program size {size} is above {MAX_PROGRAM_SIZE}" if size > MAX_PROGRAM_SIZE else None
    )


def routes_of(
    virtual_service: VirtualService,
    service: Service,
    port: Port,
    reads: Reads,
    report: Report,
    *,
    match: frozenset[str],
    action: frozenset[str],
) -> tuple[Route, ...] | None:
    """The routes of a VirtualService for that port; None when it has no section that speaks of it.

    ``match`` and ``action`` name what the protocol can express, of ``method headers without_headers query_params`` and of
    ``mirror timeout retries``.
    """
    reader = _RouteReader(virtual_service, service, port, reads, report, match, action)
    for other in virtual_service.others:
        reader.say(
            UNSUPPORTED_FIELD,
            f"{other} is no field of a VirtualService and has no effect",
            f"spec.{other}",
        )
    if virtual_service.http:
        return tuple(reader.http())
    if virtual_service.tcp:
        return tuple(reader.tcp())
    if virtual_service.has_tls:
        report(
            TLS_ROUTES,
            "only tls routes are given; all calls go to the service itself",
            virtual_service.ref,
            "spec.tls",
        )
    return None


@dataclass(frozen=True, slots=True)
class _RouteReader:
    """Reads one VirtualService for one service port."""

    virtual_service: VirtualService
    service: Service
    port: Port
    reads: Reads
    report: Report
    match: frozenset[str]
    action: frozenset[str]

    def say(self, code: Code, message: str, path: str) -> None:
        self.report(code, message, self.virtual_service.ref, path)

    def http(self) -> Iterator[Route]:
        for index, entry in enumerate(self.virtual_service.http):
            path = f"spec.http[{index}]"
            matches = [
                (match, f"{path}.match[{number}]")
                for number, match in enumerate(entry.match or ())
                if match.port in (None, self.port.number)
            ]
            if entry.match and not matches:
                continue  # it speaks of another port
            usable = [(self.usable(item, where), where) for item, where in matches]
            if "delegate" in entry.others():
                self.say(
                    UNSUPPORTED_FIELD,
                    "a delegate cannot be followed; the route is left out",
                    f"{path}.delegate",
                )
                continue
            clusters = self.clusters(entry.route or (), f"{path}.route")
            if not clusters:
                continue
            for other in entry.others():
                self.say(
                    UNSUPPORTED_FIELD, f"{other} has no effect on this protocol", f"{path}.{other}"
                )
            route = Route(
                RouteMatch(),
                clusters,
                self.mirrors(entry, path),
                self.timeout(entry, path),
                self.retries(entry, path),
                entry.name or "",
                self.virtual_service.ref,
                path,
            )
            if not entry.match:
                yield route
            for found, where in usable:
                if found is not None:
                    yield replace(route, match=found, match_field=where)

    def tcp(self) -> Iterator[Route]:
        for index, entry in enumerate(self.virtual_service.tcp):
            path = f"spec.tcp[{index}]"
            matches = [
                (match, f"{path}.match[{number}]")
                for number, match in enumerate(entry.match or ())
                if match.port in (None, self.port.number)
            ]
            if entry.match and not any(self.client_free(item, where) for item, where in matches):
                continue
            clusters = self.clusters(entry.route or (), f"{path}.route")
            if clusters:
                yield Route(RouteMatch(), clusters, ref=self.virtual_service.ref, field=path)

    def client_free(self, match: HTTPMatchRequest | TCPMatch, path: str) -> bool:
        """Whether it asks nothing about the client: one filter serves all clients."""
        gateways = match.gateways and "mesh" not in match.gateways
        asked = [
            name
            for name, given in (
                ("sourceLabels", match.source_labels),
                ("sourceNamespace", match.source_namespace),
                ("gateways", gateways),
            )
            if given
        ]
        for name in asked:
            self.say(
                CLIENT_MATCH,
                f"{name} cannot be told in one filter for all clients; the route is left out",
                f"{path}.{name}",
            )
        others = [] if isinstance(match, HTTPMatchRequest) else match.others()
        for name in others:
            self.say(
                UNSUPPORTED_MATCH,
                f"{name} cannot be matched; the route is left out",
                f"{path}.{name}",
            )
        return not asked and not others

    def usable(self, match: HTTPMatchRequest, path: str) -> RouteMatch | None:
        """The match if the protocol can express all of it; otherwise None, with a finding for each field."""
        good = self.client_free(match, path)
        aliases = {"without_headers": "withoutHeaders", "query_params": "queryParams"}
        lost = [name for name in match.others() if name != "ignoreUriCase" and name != "statPrefix"]
        lost += [
            aliases.get(name, name)
            for name in _MATCH_FIELDS
            if getattr(match, name) and name not in self.match
        ]
        for name in lost:
            self.say(
                UNSUPPORTED_MATCH,
                f"this protocol cannot match on {name}; the route is left out",
                f"{path}.{name}",
            )
        strings = [
            (f"{path}.{aliases.get(name, name)}.{key}" if key else f"{path}.{name}", value)
            for name in _MATCH_FIELDS
            for key, value in _strings(getattr(match, name))
        ]
        for where, value in strings:
            for other in value.others():
                if value.is_presence:  # without that field it would match whatever there is
                    self.say(
                        UNSUPPORTED_MATCH,
                        f"{other} cannot be matched; the route is left out",
                        f"{where}.{other}",
                    )
                    good = False
                else:
                    self.say(
                        UNSUPPORTED_FIELD,
                        f"{other} has no effect on this protocol",
                        f"{where}.{other}",
                    )
            problem = regex_problem(value.regex) if value.regex is not None else None
            if problem:
                self.say(
                    BAD_REGEX,
                    f"{value.regex!r}: {problem}; the route is left out",
                    f"{where}.regex",
                )
                good = False
        for name in (*match.headers, *match.without_headers):
            if not name or set(name) & set("\0\r\n"):
                self.say(
                    UNSUPPORTED_MATCH, f"{name!r} is no header's name; the route is left out", path
                )
                good = False
        if lost or not good:
            return None
        return RouteMatch(
            match.method,
            tuple(sorted(match.headers.items())),
            tuple(sorted(match.without_headers.items())),
            tuple(sorted(match.query_params.items())),
        )

    def mirrors(self, entry: HTTPRoute, path: str) -> tuple[Mirror, ...]:
        given = [
            (item.destination, item.percentage, f"{path}.mirrors[{i}].destination")
            for i, item in enumerate(entry.mirrors)
        ]
        if entry.mirror is not None:
            given.insert(0, (entry.mirror, entry.mirror_percentage, f"{path}.mirror"))
        if not given:
            return ()
        if "mirror" not in self.action:
            self.say(
                UNSUPPORTED_FIELD,
                "mirror has no effect on this protocol",
                f"{path}.mirror{'' if entry.mirror else 's'}",
            )
            return ()
        found: list[Mirror] = []
        for destination, percentage, where in given:
            cluster = self.cluster(destination, 1, where)
            if cluster is not None:
                found.append(
                    Mirror(cluster.cluster, 100.0 if percentage is None else percentage.value)
                )
        return tuple(found)

    def timeout(self, entry: HTTPRoute, path: str) -> float | None:
        if entry.timeout is None:
            return None
        if "timeout" not in self.action:
            self.say(UNSUPPORTED_FIELD, "timeout has no effect on this protocol", f"{path}.timeout")
            return None
        return parse_duration(entry.timeout)

    def retries(self, entry: HTTPRoute, path: str) -> int | None:
        if entry.retries is None:
            return None
        if "retries" not in self.action:
            self.say(UNSUPPORTED_FIELD, "retries has no effect on this protocol", f"{path}.retries")
            return None
        for other in entry.retries.others():
            self.say(
                UNSUPPORTED_FIELD,
                f"{other} has no effect on this protocol",
                f"{path}.retries.{other}",
            )
        return entry.retries.attempts

    def clusters(
        self, given: tuple[HTTPRouteDestination, ...], path: str
    ) -> tuple[WeightedCluster, ...]:
        """The destinations that get calls, with Istio's reading of weights; empty when there are none."""
        if not given:
            self.say(NO_DESTINATION, "no destination; the route is left out", path)
            return ()
        weights = [item.weight or 0 for item in given]
        if len(given) == 1:
            weights = [1]
        elif not any(weights):
            self.say(WEIGHTS, "no destination has a weight above 0; all get the same share", path)
            weights = [1] * len(given)
        else:
            for index, item in enumerate(given):
                if item.weight is None:
                    self.say(
                        WEIGHTS,
                        "no weight beside others that have one; it gets no calls",
                        f"{path}[{index}].weight",
                    )
        found: list[WeightedCluster] = []
        for index, (item, weight) in enumerate(zip(given, weights, strict=True)):
            for other in item.others():
                self.say(
                    UNSUPPORTED_FIELD,
                    f"{other} has no effect on this protocol",
                    f"{path}[{index}].{other}",
                )
            if weight:
                cluster = self.cluster(item.destination, weight, f"{path}[{index}].destination")
                if cluster is not None:
                    found.append(cluster)
        return tuple(found)

    def cluster(self, destination: Destination, weight: int, path: str) -> WeightedCluster | None:
        """Istio's cluster of a destination. None only when its port cannot be told."""
        reads = self.reads
        for other in destination.others():
            self.say(
                UNSUPPORTED_FIELD,
                f"{other} is no field of a destination and has no effect",
                f"{path}.{other}",
            )
        host = full_host(destination.host, self.virtual_service.namespace, reads.mesh.domain)
        found = reads.services_of_host(host)
        if destination.port is not None:
            number: int | None = destination.port.number
        elif host == self.service.host:
            number = self.port.number
        else:
            number = _port_of(found, self.port.number)
        if not found:
            self.say(
                UNKNOWN_HOST,
                f"no service {host} in the mesh; calls on this route fail",
                f"{path}.host",
            )
            number = number or self.port.number
        if number is None:
            self.say(
                UNKNOWN_PORT,
                f"{host} has several ports and none is {self.port.number}; it is left out",
                f"{path}.port",
            )
            return None
        if found and not any(service.port(number) for service in found):
            self.say(
                UNKNOWN_PORT,
                f"{host} has no port {number}; calls on this route fail",
                f"{path}.port",
            )
        subset = destination.subset or ""
        if subset and not any(subset in rule.subsets for rule in reads.destination_rules(host)):
            self.say(
                UNKNOWN_SUBSET,
                f"no DestinationRule gives {host} a subset {subset}; calls on this route fail",
                f"{path}.subset",
            )
        return WeightedCluster(cluster_name(number, host, subset), weight, host, number, subset)


def _strings(value: StringMatch | dict[str, StringMatch] | None) -> list[tuple[str, StringMatch]]:
    if value is None:
        return []
    return [("", value)] if isinstance(value, StringMatch) else list(value.items())


def _port_of(services: tuple[Service, ...], number: int) -> int | None:
    """The same number if the host has it, else its only port, else None."""
    numbers = {port.number for service in services for port in service.ports}
    return number if number in numbers else numbers.pop() if len(numbers) == 1 else None
