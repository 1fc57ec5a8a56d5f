"""The chains of one service port: where Istio sends its connections by ``tcp`` and ``tls`` routes.

Istio source: pilot/pkg/networking/core/tls.go (chains) and networkfilter.go (tcp_proxy).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from envoy.config.listener.v3.listener_components_pb2 import Filter

from aeraki_core.errors import InputError
from aeraki_core.mesh.routes import cluster_name
from aeraki_core.model.istio import Destination, TCPMatch, TCPRoute, VirtualService, full_host
from aeraki_core.model.service import Port, Service, service_host
from aeraki_core.model.wire import check
from aeraki_core.testing.sidecar.chains import Weighted, mongo_proxy, tcp_proxy
from aeraki_core.testing.sidecar.objects import part
from aeraki_core.testing.sidecar.protocols import ListenerProtocol
from aeraki_core.testing.sidecar.rules import ClientRule
from aeraki_core.testing.sidecar.view import Egress, View

__all__ = ["PortChain", "port_chains"]


@dataclass(frozen=True, slots=True)
class PortChain:
    """A chain; two that match on the same exclude each other.

    ``filters``: empty for the HTTP chain of a listener.
    ``hosts``: server names.
    ``inspected``: it takes only what an inspector finds to be plaintext HTTP.
    """

    filters: tuple[Filter, ...] = ()
    ranges: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    inspected: bool = False

    def conflicts(self, other: PortChain) -> bool:
        """Report whether both match on the same."""
        return (self.ranges, self.hosts, self.inspected) == (
            other.ranges,
            other.hosts,
            other.inspected,
        )


@dataclass(frozen=True, slots=True)
class _ChainMatch:
    """A match of a ``tcp`` or ``tls`` route, with the fields that only a chain can match on."""

    static: TCPMatch
    ranges: frozenset[str]
    hosts: frozenset[str]

    def is_for(self, view: View, port: int) -> bool:
        """Report whether the client and the port are those that it asks for."""
        match = self.static
        return (
            match.port in (None, port)
            and (not match.gateways or "mesh" in match.gateways)
            and match.source_namespace in (None, "", view.proxy.namespace)
            and view.proxy.has_labels(match.source_labels)
        )


@dataclass(frozen=True, slots=True)
class _Route:
    """An entry of a VirtualService's ``tcp`` or ``tls``."""

    virtual_service: VirtualService
    route: TCPRoute
    matches: tuple[_ChainMatch, ...]


def port_chains(
    view: View,
    egress: Egress,
    service: Service,
    port: Port,
    protocol: ListenerProtocol,
    *,
    ranges: frozenset[str],
    named: bool,
) -> list[PortChain]:
    """Return the TCP chains of a port.

    ``ranges``: what the service's chain matches on.
    ``named``: its address does not identify it, so that the server name of TLS must.
    """
    is_mongo = protocol is ListenerProtocol.MONGO
    is_tls = protocol is ListenerProtocol.TLS
    cluster = cluster_name(port.number, service.host)
    own = PortChain(
        _to_one(cluster, _rule(view, service.host), "", is_mongo),
        ranges,
        frozenset({service.host, *_aliases(view, egress, service)} if is_tls and named else ()),
    )
    if is_tls:
        return list(_tls_chains(view, egress, service, port, ranges)) or [own]
    chains: list[PortChain] = []
    for route in _routes(view, egress, service.host, "tcp"):
        filters = _route_filters(view, route, port, is_mongo)
        wanted = [match for match in route.matches if match.is_for(view, port.number)]
        # A match without ranges is for every connection, so nothing after it counts.
        if not route.matches or not all(match.ranges for match in wanted):
            return [*chains, PortChain(filters, ranges)]
        if wanted:
            matched = frozenset(each for match in wanted for each in match.ranges)
            chains.append(PortChain(filters, matched))
    return chains if any(chain.ranges == ranges for chain in chains) else [*chains, own]


def _aliases(view: View, egress: Egress, service: Service) -> Iterator[str]:
    """Yield the names of the Services of type ExternalName that stand for the host."""
    for ref, target in view.objects.aliases.items():
        host = service_host(ref.name, ref.namespace, view.mesh.domain)
        if target == service.host and egress.listener.imports_service(host, ref.namespace):
            short = f"{ref.name}.{ref.namespace}"
            yield from (host, f"{host}.", short, f"{short}.svc")
            if ref.namespace == view.proxy.namespace:
                yield ref.name


def _tls_chains(
    view: View, egress: Egress, service: Service, port: Port, ranges: frozenset[str]
) -> Iterator[PortChain]:
    handled = set()
    for route in _routes(view, egress, service.host, "tls"):
        for match in route.matches:
            if not match.is_for(view, port.number):
                continue
            # Ranges of a match stay for the matches after it, as in Istio.
            ranges = match.ranges or ranges
            if (match.hosts, match.ranges) not in handled:
                handled.add((match.hosts, match.ranges))
                filters = _route_filters(view, route, port, False)
                yield PortChain(filters, ranges, match.hosts - {"*"})


def _routes(view: View, egress: Egress, host: str, section: str) -> Iterator[_Route]:
    for virtual_service in egress.virtual_services_of(host):
        written = view.objects.spec(virtual_service.ref).get(section) or ()
        routes: Iterable[TCPRoute] = virtual_service.tcp if section == "tcp" else ()
        if section == "tls":
            with suppress(InputError):
                routes = [check(TCPRoute, entry) for entry in written]
        for number, route in enumerate(routes):
            # A TCPRoute of the Gateway API has no such section.
            entry = written[number] if number < len(written) else {}
            if route.route:
                yield _Route(virtual_service, route, tuple(_matches(route, entry)))


def _matches(route: TCPRoute, written: Mapping[str, Any]) -> Iterator[_ChainMatch]:
    for number, match in enumerate(route.match or ()):
        texts = written.get("match") or ()
        fields = texts[number] if number < len(texts) else {}
        ranges = frozenset(
            str(ipaddress.ip_network(each, strict=False))
            for each in fields.get("destinationSubnets") or ()
        )
        yield _ChainMatch(match, ranges, frozenset(fields.get("sniHosts") or ()))


def _route_filters(view: View, route: _Route, port: Port, is_mongo: bool) -> tuple[Filter, ...]:
    namespace = route.virtual_service.namespace
    destinations = route.route.route or ()
    first = destinations[0].destination
    rule = _rule(view, full_host(first.host, namespace, view.mesh.domain))
    targets = [
        Weighted(_target(view, item.destination, namespace, port.number), item.weight or 0)
        for item in destinations
    ]
    if len(targets) == 1:
        return _to_one(targets[0].cluster, rule, first.subset or "", is_mongo)
    prefix = f"{route.virtual_service.ref.name}.{namespace}"
    weighted = [item for item in targets if item.weight]
    last = tcp_proxy(prefix, weighted, weighted=True, **_settings(rule, ""))
    return (mongo_proxy(prefix), last) if is_mongo else (last,)


def _to_one(
    cluster: str, rule: ClientRule | None, subset: str, is_mongo: bool
) -> tuple[Filter, ...]:
    last = tcp_proxy(cluster, [Weighted(cluster)], **_settings(rule, subset))
    return (mongo_proxy(cluster), last) if is_mongo else (last,)


def _settings(rule: ClientRule | None, subset: str) -> dict[str, Any]:
    """Return what tcp_proxy obeys of a rule: settings of ports count for nothing here."""
    if rule is None:
        return {}
    balancer = part(rule.policy, "loadBalancer")
    own = part(rule.subsets.get(subset), "trafficPolicy", "loadBalancer")
    return {
        "pool": part(rule.policy, "connectionPool", "tcp"),
        "by_source_ip": part(own or balancer, "consistentHash").get("useSourceIp") is True,
    }


def _rule(view: View, host: str) -> ClientRule | None:
    service = view.service(host)
    return None if service is None else view.destination_rule(service)


def _target(view: View, destination: Destination, namespace: str, port: int) -> str:
    host = full_host(destination.host, namespace, view.mesh.domain)
    service = view.service(host)
    if destination.port is not None:
        port = destination.port.number
    elif service is not None and len(service.ports) == 1:
        port = service.ports[0].number
    if service is not None:
        host = view.objects.aliases.get(service.ref, host)
    return cluster_name(port, host, destination.subset or "")
