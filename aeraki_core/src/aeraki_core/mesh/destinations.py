"""The destinations of a route as Istio's clusters, with Istio's reading of weights and ports.

Istio ignores the ``http`` section on these ports, so a call that an ``http`` route takes is
answered without us. A destination that these clients have no cluster for is therefore left out of
it, with a finding: a route of ours never makes a call fail. Istio obeys the ``tcp`` section, so its
destinations are what Istio makes of them, whether they exist or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aeraki_core.findings.codes import (
    DESTINATION_NOT_IMPORTED,
    NO_DESTINATION,
    UNKNOWN_HOST,
    UNKNOWN_PORT,
    UNKNOWN_SUBSET,
    UNSUPPORTED_FIELD,
    WEIGHTS,
)
from aeraki_core.findings.finding import Code
from aeraki_core.findings.text import did_you_mean
from aeraki_core.mesh.route_scope import RouteScope
from aeraki_core.mesh.routes import Mirror, WeightedCluster, cluster_name
from aeraki_core.model.istio import (
    Destination,
    DestinationRule,
    HTTPRoute,
    HTTPRouteDestination,
    full_host,
)
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.service import Service

__all__ = ["Destinations"]


class _ResolvedDestination(NamedTuple):
    """A destination as some clients see it.

    - host, subset: as the mesh knows them
    - number: the port as istiod reads it
    - written: whether the destination names it
    - services: what the host is
    - numbers: the ports of these services
    """

    host: str
    subset: str
    number: int
    written: bool
    services: tuple[Service, ...]
    numbers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Destinations:
    """Reads the destinations of one VirtualService for one service port.

    ``as_istio``: of its ``tcp`` section, so each destination is what Istio makes of it.
    """

    scope: RouteScope
    as_istio: bool = False

    def say(self, code: Code, message: str, path: str) -> None:
        """Report a finding at a field of the VirtualService."""
        self.scope.report(code, message, path)

    def weighted(
        self, destinations: tuple[HTTPRouteDestination, ...], path: str
    ) -> tuple[WeightedCluster, ...]:
        """Return the destinations that get calls; empty if there are none, or none exists."""
        if not destinations:
            self.say(NO_DESTINATION, "no destination; the route is left out", path)
            return ()
        clusters: list[WeightedCluster] = []
        for index, (entry, weight) in enumerate(
            zip(destinations, self._weights(destinations, path), strict=True)
        ):
            for name in entry.others():
                hint = did_you_mean(name, HTTPRouteDestination.model_fields)
                self.say(
                    UNSUPPORTED_FIELD,
                    f"{name} has no effect on this protocol{hint}",
                    f"{path}[{index}].{name}",
                )
            if weight:
                cluster = self._cluster(entry.destination, weight, f"{path}[{index}].destination")
                if cluster is not None:
                    clusters.append(cluster)
        weight_sets, virtual_service = self.scope.weight_sets, self.scope.virtual_service
        if len(destinations) > 1 and weight_sets and weight_sets.is_wanted(virtual_service):
            carrier = weight_sets.carry(
                virtual_service, destinations, self._all(destinations), path=path
            )
            if carrier is not None:
                return (carrier,)
        return tuple(clusters)

    def _all(self, destinations: tuple[HTTPRouteDestination, ...]) -> tuple[WeightedCluster, ...]:
        """Return all destinations with their weights, also those with weight 0."""
        weights = [entry.weight or 0 for entry in destinations]
        if not any(weights):
            weights = [1] * len(destinations)
        return tuple(
            self._named(self._target(entry.destination), weight)
            for entry, weight in zip(destinations, weights, strict=True)
        )

    def mirrors(self, entry: HTTPRoute, path: str) -> tuple[Mirror, ...]:
        """Return the mirror destinations; none, with a finding, if the protocol cannot mirror."""
        written = [
            (mirror.destination, mirror.percentage, f"{path}.mirrors[{index}].destination")
            for index, mirror in enumerate(entry.mirrors)
        ]
        if entry.mirror is not None:
            written.insert(0, (entry.mirror, entry.mirror_percentage, f"{path}.mirror"))
        if not written:
            return ()
        if "mirror" not in self.scope.actions:
            field = "mirror" if entry.mirror else "mirrors"
            self.say(UNSUPPORTED_FIELD, "mirror has no effect on this protocol", f"{path}.{field}")
            return ()
        mirrors: list[Mirror] = []
        for destination, percentage, where in written:
            cluster = self._cluster(destination, 1, where)
            if cluster is not None:
                share = 100.0 if percentage is None else percentage.value
                mirrors.append(
                    Mirror(
                        cluster=cluster.cluster,
                        percentage=share,
                        host=cluster.host,
                        port=cluster.port,
                        subset=cluster.subset,
                    )
                )
        return tuple(mirrors)

    def other_port(self, destinations: tuple[HTTPRouteDestination, ...]) -> str | None:
        """Return the destination that shows that a route is meant for another port, or None.

        Its form is ``host:port``. A route of this port never names another port of the same host,
        nor a port that speaks HTTP.
        """
        for entry in destinations:
            destination = entry.destination
            host = self._host(destination)
            if destination.port is not None:
                number = destination.port.number
            else:
                # Istio takes the only port of a host, whatever it speaks.
                services = self.scope.reads.services_of_host(host)
                numbers = {port.number for service in services for port in service.ports}
                if len(numbers) != 1:
                    continue
                (number,) = numbers
            if host == self.scope.service.host:
                if number != self.scope.port.number:
                    return f"{host}:{number}"
                continue
            ports = [service.port(number) for service in self.scope.reads.services_of_host(host)]
            if any(port is not None and port_protocol(port) is PortProtocol.HTTP for port in ports):
                return f"{host}:{number}"
        return None

    def _weights(self, destinations: tuple[HTTPRouteDestination, ...], path: str) -> list[int]:
        """Return Istio's weights: a single destination gets all, several without weight share.

        A weight of 0 gets nothing.
        """
        if len(destinations) == 1:
            return [1]
        weights = [entry.weight or 0 for entry in destinations]
        if not any(weights):
            self.say(WEIGHTS, "no destination has a weight above 0; all get the same share", path)
            return [1] * len(destinations)
        for index, entry in enumerate(destinations):
            if entry.weight is None:
                self.say(
                    WEIGHTS,
                    "no weight beside others that have one; it gets no calls",
                    f"{path}[{index}].weight",
                )
        return weights

    def _host(self, destination: Destination) -> str:
        return full_host(
            destination.host, self.scope.virtual_service.namespace, self.scope.reads.mesh.domain
        )

    def _cluster(self, destination: Destination, weight: int, path: str) -> WeightedCluster | None:
        """Return Istio's cluster of a destination; None if these clients do not have it."""
        for name in destination.others():
            hint = did_you_mean(name, Destination.model_fields)
            self.say(
                UNSUPPORTED_FIELD,
                f"{name} is no field of a destination and has no effect{hint}",
                f"{path}.{name}",
            )
        target = self._target(destination)
        cluster = self._named(target, weight)
        problems = tuple(self._problems(target, cluster))
        effect = "connections to it fail" if self.as_istio else "the destination is left out"
        for code, message, field in problems:
            self.say(code, f"{message}; {effect}", f"{path}.{field}")
        return cluster if self.as_istio or not problems else None

    def _target(self, destination: Destination) -> _ResolvedDestination:
        """Return what a destination is for these clients."""
        host = self._host(destination)
        reads = self.scope.reads
        services = named = reads.services_of_destination(host)
        alias = reads.alias(host) if self.as_istio and not services else None
        if alias is not None:
            # istiod sends calls to the host that a Service of type ExternalName stands for, and
            # reads the port at the Service.
            host, named = alias.target, (alias.service,)
            services = reads.services_of_destination(host)
        only = {port.number for service in named for port in service.ports}
        if destination.port is not None:
            number = destination.port.number
        else:
            number = only.pop() if len(only) == 1 else self.scope.port.number
        return _ResolvedDestination(
            host=host,
            subset=destination.subset or "",
            number=number,
            written=destination.port is not None,
            services=services,
            numbers=frozenset(port.number for service in services for port in service.ports),
        )

    def _named(self, target: _ResolvedDestination, weight: int) -> WeightedCluster:
        """Return Istio's cluster of a destination, whether there is one or not."""
        return WeightedCluster(
            cluster=cluster_name(target.number, target.host, target.subset),
            weight=weight,
            host=target.host,
            port=target.number,
            subset=target.subset,
        )

    def _problems(
        self, target: _ResolvedDestination, cluster: WeightedCluster
    ) -> Iterator[tuple[Code, str, str]]:
        """Yield why these clients do not have a cluster: code, message, field."""
        host, number, subset = cluster.host, cluster.port, cluster.subset
        services, numbers = target.services, target.numbers
        if not numbers:
            yield UNKNOWN_HOST, f"no service {host} in the mesh", "host"
        elif number not in numbers and target.written:
            yield UNKNOWN_PORT, f"{host} has no port {number}", "port"
        elif number not in numbers:
            yield UNKNOWN_PORT, f"{host} has several ports and none is {number}", "port"
        elif number != self.scope.port.number and not self.scope.reads.has_destination(
            self.scope.virtual_service, host, number
        ):
            # The listener of this port imports the routes, and with them only this port.
            message = f"the clients' Sidecar does not import port {number} of {host}"
            yield DESTINATION_NOT_IMPORTED, message, "port"
        if not subset:
            return
        obeyed = self.scope.reads.destination_rules(host)
        rules = [each for each in obeyed if subset in each.subsets]
        if not rules:
            hint = did_you_mean(
                subset.lower(), sorted(name for each in obeyed for name in each.subsets)
            )
            message = f"no DestinationRule gives {host} a subset {subset}{hint}"
            yield UNKNOWN_SUBSET, f"{message}{self._hidden_by(host, subset)}", "subset"
        elif (
            services
            and _needs_labels(rules, subset)
            and not any(_has_endpoint(service, rules, subset) for service in services)
        ):
            message = f"{host} is looked up by DNS and has no endpoint with labels of {subset}"
            yield UNKNOWN_SUBSET, message, "subset"

    def _hidden_by(self, host: str, subset: str) -> str:
        """Say which rule of the clients' namespace hides the one with the subset; empty if none."""
        reads = self.scope.reads
        rules = reads.rules_of_any_client(host) if reads.namespace else ()
        own = [rule for rule in rules if rule.namespace == reads.namespace]
        others = (rule for rule in rules if rule.namespace != reads.namespace)
        if not own or not any(subset in rule.subsets for rule in others):
            return ""
        # A rule with a workloadSelector hides them from all workloads of its namespace.
        return f"; {own[0].ref}, of their namespace, hides those of other namespaces"


def _needs_labels(rules: Iterable[DestinationRule], subset: str) -> bool:
    """Report whether istiod looks for endpoints with the labels of a subset.

    It does not where the load balancer keeps the address that was called.
    """
    return any(
        each.labels and not _keeps_address(each.traffic_policy, rule.traffic_policy)
        for rule in rules
        for each in rule.subset_rules
        if each.name == subset
    )


def _has_endpoint(service: Service, rules: Iterable[DestinationRule], subset: str) -> bool:
    """Report whether a subset of the service may have an endpoint."""
    return service.dns_labels is None or any(
        labels.issuperset(each.labels)
        for labels in service.dns_labels
        for rule in rules
        for each in rule.subset_rules
        if each.name == subset
    )


def _keeps_address(*policies: Mapping[str, Any] | None) -> bool:
    """Report whether the first policy with a load balancer asks for PASSTHROUGH."""
    balancers = (policy.get("loadBalancer") for policy in policies if policy)
    balancer = next((each for each in balancers if each), None)
    return isinstance(balancer, Mapping) and balancer.get("simple") == "PASSTHROUGH"
