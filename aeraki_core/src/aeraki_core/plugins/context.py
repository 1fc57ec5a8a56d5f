"""What a hook may use: the service port, what applies to it, the places for patches, and findings.

Every question that a plugin asks goes through a context, because the core must know what an answer
rested on: a change of it, and nothing else, runs the hook again. So a context offers no way around
:class:`~aeraki_core.mesh.reads.Reads`, and what the core itself needs is in a
:class:`~aeraki_core.plugins.recorder.Recorder` beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel

from aeraki_core.errors import AerakiError, PluginError
from aeraki_core.filters.patch import Inbound, Outbound
from aeraki_core.findings.codes import (
    BAD_OPTION,
    HEADLESS_ROUTES,
    SECRET_MISSING,
    SECRET_NOT_RELEASED,
    TOO_MANY_WILDCARD_ROUTES,
    UNRESOLVED_TARGET_PORT,
)
from aeraki_core.findings.finding import Code
from aeraki_core.mesh.http_routes import applicable_matches, meant_entries
from aeraki_core.mesh.record import RoutesKey
from aeraki_core.mesh.route_levels import MAX_WILDCARD_ROUTES
from aeraki_core.mesh.route_scope import RouteScope
from aeraki_core.mesh.route_table import route_table, tcp_route
from aeraki_core.mesh.routes import PlannedRoute, Route, cluster_name, default_routes
from aeraki_core.mesh.weight_sets import WeightSets
from aeraki_core.model.istio import DestinationRule, VirtualService, full_host
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef, is_label
from aeraki_core.model.resource import Kind, Resource
from aeraki_core.model.secret import Secret
from aeraki_core.model.service import Port, Service
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.options import OptionReader
from aeraki_core.plugins.recorder import Recorder
from aeraki_core.plugins.types import Option, Protocol

__all__ = ["Context", "Detect", "GenerateContext", "KeepLastGood"]

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")

WORKLOAD_SELECTOR_ANNOTATION = "workloadSelector"

MATCHES = frozenset({"method", "headers", "without_headers", "query_params"})
ACTIONS = frozenset({"mirror", "timeout", "retries"})

Detect = Callable[[Service, Port], Protocol | None]
"""Says which protocol a port speaks, by the rules of the whole mesh."""


def _as_written(route: Route) -> Route | None:
    """For a filter that can express every route that the core gives."""
    return route


class KeepLastGood(AerakiError):
    """Raised by a generator that cannot make a true filter now: what was written before stays.

    Report first what is missing. Without a finding, the error's own text becomes one.
    """


class Context:
    """What every hook with a context may ask. ``ref`` is the object that it is about."""

    def __init__(self, ref: ObjectRef, *, recorder: Recorder, detect: Detect) -> None:
        self._ref = ref
        self._recorder = recorder
        self._reads = recorder.reads
        self._detect = detect

    @property
    def mesh(self) -> Mesh:
        """The mesh's domain, root namespace and proxies."""
        return self._reads.mesh

    def full_host(self, host: str, namespace: str | None = None) -> str:
        """A host as the mesh knows it.

        A short name is a Service of ``namespace``, which is the object's own by default.
        """
        return full_host(host, namespace or self._ref.namespace, self.mesh.domain)

    def services_of_host(self, host: str) -> tuple[Service, ...]:
        """The services of a host, short or full, the oldest first; empty when there are none."""
        return self._reads.services_of_host(self.full_host(host))

    def has_host(self, host: str) -> bool:
        """Whether the mesh has a service of that host, short or full."""
        return bool(self.services_of_host(host))

    def speaks(self, protocol: Protocol, service: Service, port: Port) -> bool:
        """Whether a port speaks the protocol, so that it has filters of its own.

        Ask about services that :meth:`services_of_host` gave.
        """
        self._reads.detection(service)
        spoken = self._detect(service, port)
        return spoken is not None and spoken.name == protocol.name

    def resources(self, kind: Kind[T], host: str) -> tuple[Resource[T], ...]:
        """The plugin's resources for a host, short or full, the oldest first.

        Raises:
            PluginError: the plugin does not declare the kind.
        """
        self._recorder.require_kind(kind)
        return self._reads.resources(kind.group, kind.kind, self.full_host(host))

    def withholds(self, kind: Kind[Any], host: str) -> bool:
        """Whether a resource speaks for a host, but is not exported to these clients.

        A filter without what it says may not work for them: it may hold the password.

        Raises:
            PluginError: the plugin does not declare the kind.
        """
        self._recorder.require_kind(kind)
        return self._reads.withholds(kind.group, kind.kind, self.full_host(host))

    def secret(self, namespace: str, name: str) -> Secret | None:
        """A Secret, or None when there is none.

        Only a Secret that ``Kind.secrets`` names for a resource that was asked for can be had: a
        cluster watches no other. It is of type Opaque or basic-auth, or has the label
        ``aeraki.io/secret: "true"``; another counts as missing, with a finding.

        Raises:
            PluginError: no resource that was asked for refers to it.
        """
        if not self._reads.refers(namespace, name):
            raise PluginError(
                f"secret: no resource that was asked for refers to the Secret {namespace}/{name}: "
                "name it in Kind.secrets"
            )
        secret = self._reads.secret(namespace, name)
        if secret is not None and secret.refused:
            self._recorder.add(SECRET_NOT_RELEASED, secret.refused, secret.ref, "type")
            return None
        return secret

    def report(
        self,
        code: Code,
        message: str,
        *,
        ref: ObjectRef | None = None,
        field: str | None = None,
    ) -> None:
        """Report a finding, at the hook's own object unless ``ref`` names another.

        ``field`` is a path such as ``spec.delay`` or ``metadata.annotations.<name>``.

        Raises:
            PluginError: an argument is of the wrong kind, or the plugin does not declare the code.
        """
        self._recorder.report(code, message, ref=self._ref if ref is None else ref, field=field)

    def report_mesh(self, code: Code, message: str) -> None:
        """Report a finding about the mesh as a whole: it is one, however many ports report it.

        Raises:
            PluginError: an argument is of the wrong kind, or the plugin does not declare the code.
        """
        self._recorder.report(code, message, ref=None, field=None)


class PortContext(Context):
    """What a hook about one service port may ask, for one audience of clients."""

    def __init__(
        self,
        service: Service,
        port: Port,
        *,
        audience: Audience,
        recorder: Recorder,
        detect: Detect,
    ) -> None:
        super().__init__(service.ref, recorder=recorder, detect=detect)
        self.service = service
        self.port = port
        self._audience = audience

    @cached_property
    def outbound(self) -> Outbound:
        """The clients' side. Its ``cluster`` is ``outbound|<port>||<host>``."""
        name = cluster_name(self.port.number, self.service.host)
        return Outbound(name, name)

    @cached_property
    def inbound(self) -> tuple[Inbound, ...]:
        """The workloads' side: one for each target port, none without a workload selector.

        A named target port has the numbers that the EndpointSlices give it. A WorkloadEntry may map
        the port to another number.
        """
        selector = self._selector()
        if not selector:
            return ()
        target = self.port.target
        mapped = self._reads.mapped_ports(self.service, self.port)
        if isinstance(target, int):
            numbers: tuple[int, ...] = (target,)
        else:
            numbers = self._reads.endpoints(self.service).target_ports(self.port.name)
            if not numbers and not mapped:
                message = (
                    f"port {self.port.number}: no EndpointSlice says which number {target!r} is; "
                    "no inbound filter"
                )
                self._recorder.add(UNRESOLVED_TARGET_PORT, message, self.service.ref, "spec.ports")
        # Cluster and chain have the target port's number, not the service port's
        # (docs/internals/istio.md, "Inbound").
        return tuple(
            Inbound(
                cluster=f"inbound|{number}||",
                stat_prefix=f"inbound|{number}||",
                target_port=number,
                selector=selector,
            )
            for number in dict.fromkeys((*numbers, *mapped))
        )

    def _selector(self) -> tuple[tuple[str, str], ...]:
        if self.service.selector:
            return self.service.selector
        text = self._reads.annotation(self.service, WORKLOAD_SELECTOR_ANNOTATION)
        if not text or not text.strip():
            return ()
        pairs = [part.partition(":") for part in text.split(",")]
        # A bare name means the label app (docs/internals/upstream.md).
        labels = sorted(
            (key.strip(), value.strip()) if colon else ("app", key.strip())
            for key, colon, value in pairs
        )
        wrong = next((label for label in labels if not is_label(*label)), None)
        if wrong is not None:
            # The API server would refuse the whole filter.
            message = f"{wrong[0]}:{wrong[1]} is no label of a workload; no inbound filter"
            field = f"metadata.annotations.{WORKLOAD_SELECTOR_ANNOTATION}"
            self._recorder.add(BAD_OPTION, message, self.service.ref, field)
            return ()
        return tuple(labels)

    def resources(self, kind: Kind[T], host: str | None = None) -> tuple[Resource[T], ...]:
        """The plugin's resources for the service, the oldest first.

        ``host``: for another host, short or full.

        Raises:
            PluginError: the plugin does not declare the kind.
        """
        return super().resources(kind, host or self.service.host)

    def destination_rules(self, host: str | None = None) -> tuple[DestinationRule, ...]:
        """The DestinationRules of the service, or of another full host, the oldest first."""
        return self._reads.destination_rules(host or self.service.host)

    def has_extension(self, name: str) -> bool:
        """Whether every proxy of these clients has one more Envoy extension.

        Declare it in ``more_extensions``. Users name what their proxies have with
        ``--proxy-extensions``; namespaces that have it get a call, and filters, of their own.

        Raises:
            PluginError: the extension is not declared.
        """
        if self._recorder.require_extension(name).stock:
            return True
        self._recorder.extensions.add(name)
        return self._audience.has_extension(name, self.service, self.mesh)

    def missing_secret(self, message: str, ref: ObjectRef, field: str) -> KeepLastGood:
        """Report a missing Secret, or field of one, and give the error to raise.

        The last good filter stays.
        """
        self._recorder.add(SECRET_MISSING, message, ref, field)
        return KeepLastGood(message)


class GenerateContext(PortContext):
    """What ``aeraki_generate`` may ask, for one service port and one audience of clients."""

    def __init__(
        self,
        protocol: Protocol,
        service: Service,
        port: Port,
        *,
        audience: Audience,
        options: OptionReader,
        recorder: Recorder,
        detect: Detect,
    ) -> None:
        super().__init__(service, port, audience=audience, recorder=recorder, detect=detect)
        self.protocol = protocol
        self._options = options

    @property
    def virtual_service(self) -> VirtualService | None:
        """The VirtualService whose ``http`` section sidecars obey for this host."""
        return next((each for each in self._virtual_services if not each.is_attached), None)

    @cached_property
    def _virtual_services(self) -> tuple[VirtualService, ...]:
        """The ones that apply to the service for these clients, in the order of sidecars."""
        host = self.service.host
        of_host = self._reads.virtual_services(host, self.port.number)
        if not of_host:
            return ()
        virtual_services = tuple(
            virtual_service
            for virtual_service in of_host
            if _visible(virtual_service.export_to, self._audience.namespace)
        )
        unread = self._reads.unread.get(RoutesKey(host, self.port.number))
        if unread is not None:
            message = (
                f"{MAX_WILDCARD_ROUTES} VirtualServices name {host} by a wildcard and come first; "
                "neither this one nor those after it are read for that host"
            )
            self._recorder.add(TOO_MANY_WILDCARD_ROUTES, message, unread.ref, "spec.hosts")
        return virtual_services

    def routes(
        self,
        *,
        match: tuple[str, ...] = (),
        action: tuple[str, ...] = (),
        adapt: Callable[[Route], Route | None] = _as_written,
    ) -> tuple[Route, ...]:
        """Return the routes of this port, in order; the first match wins.

        ``match`` names what the protocol can match on (``method``, ``headers``,
        ``without_headers``, ``query_params``), ``action`` what it can do besides (``mirror``,
        ``timeout``, ``retries``). Other fields are reported; a route with a match that cannot be
        expressed is left out, and so is a destination that these clients have no cluster for. The
        last route takes everything, by :meth:`tcp_route` if no http route does.

        ``adapt`` gives each route as the filter can express it, or None for a route that the plugin
        reports and leaves out. ``aeraki explain`` and ``aeraki route`` show what it gives.

        Raises:
            PluginError: ``match`` or ``action`` holds another word.
        """
        written = self._routes(match, action)
        planned = tuple(PlannedRoute(route, adapt(route)) for route in written)
        self._recorder.routes = planned
        return tuple(route.used for route in planned if route.used is not None)

    def _routes(self, match: tuple[str, ...], action: tuple[str, ...]) -> tuple[Route, ...]:
        matches, actions = frozenset(match), frozenset(action)
        for name, words, known in (("match", matches, MATCHES), ("action", actions, ACTIONS)):
            if not words <= known:
                raise PluginError(
                    f"routes: {name} has no {min(words - known)!r}; "
                    f"it has {', '.join(sorted(known))}"
                )
        if not self.service.original_dst:
            return self._route_table(matches, actions)
        scopes = self._scopes(matches, actions)
        # Istio obeys tcp routes there as well, so those to another service have an effect.
        route = tcp_route(scopes, self.service, self.port)
        own = any(cluster.host == self.service.host for cluster in route.clusters)
        for scope in scopes[:1]:
            if any(applicable_matches(scope)) or (route.ref is not None and own):
                self._report_original_dst(scope.virtual_service)
        return (route,)

    def tcp_route(self) -> Route:
        """Return where Istio sends this port's connections: by a tcp route, else to the service.

        For a filter that takes no http routes. A destination that does not exist is among them,
        with a finding, because Istio's own connections to it fail, too.
        """
        scopes = self._scopes(frozenset(), frozenset())
        return tcp_route(scopes, self.service, self.port)

    def _route_table(self, matches: frozenset[str], actions: frozenset[str]) -> tuple[Route, ...]:
        if not self._virtual_services:
            return default_routes(self.service, self.port)
        weight_sets = WeightSets(
            reads=self._reads,
            service=self.service,
            port=self.port,
            report_at=self._recorder.add,
        )
        routes = route_table(self._scopes(matches, actions, weight_sets), self.service, self.port)
        clusters = {cluster.cluster for route in routes for cluster in route.clusters}
        self._recorder.weight_sets = tuple(
            each for each in weight_sets.by_route.values() if each.cluster in clusters
        )
        return routes

    def _scopes(
        self,
        matches: frozenset[str],
        actions: frozenset[str],
        weight_sets: WeightSets | None = None,
    ) -> tuple[RouteScope, ...]:
        """Return the VirtualServices of the service, to be read for these clients."""
        return tuple(
            RouteScope(
                virtual_service=virtual_service,
                service=self.service,
                port=self.port,
                namespace=self._audience.namespace,
                reads=self._reads,
                matches=matches,
                actions=actions,
                report_at=self._recorder.add,
                weight_sets=weight_sets,
            )
            for virtual_service in self._virtual_services
        )

    def check_tcp_routes(self, code: Code) -> None:
        """Report, as ``code``, each http route that can only be meant for this port.

        For a filter before tcp_proxy: Istio's own tcp routes work there, http routes do not.

        Raises:
            PluginError: the plugin does not declare the code.
        """
        virtual_service = self.virtual_service
        if virtual_service is None:
            return
        scope = next(
            each
            for each in self._scopes(frozenset(), frozenset())
            if each.virtual_service is virtual_service
        )
        meant = tuple(meant_entries(scope))
        if self.service.original_dst:
            if meant or virtual_service.tcp:
                self._report_original_dst(virtual_service)
            return
        for index in meant:
            message = (
                f"port {self.port.number} speaks {self.protocol.name}: "
                "Istio gives it tcp routes, never http routes"
            )
            self.report(code, message, ref=virtual_service.ref, field=f"spec.http[{index}]")

    def _report_original_dst(self, virtual_service: VirtualService) -> None:
        # All its clusters are ORIGINAL_DST, where routes and weights have no effect
        # (docs/internals/istio.md, "Seen on a real istiod").
        why = "is headless" if self.service.headless else "has resolution NONE"
        message = f"{self.service.host} {why}: its calls go to the address that they name"
        self._recorder.add(HEADLESS_ROUTES, message, virtual_service.ref, "spec")

    def option(self, option: Option[V]) -> V:
        """The value of one of the protocol's options, or its default.

        An annotation that does not fit is reported and counts as absent.

        Raises:
            PluginError: the protocol does not declare the option.
        """
        return self._options.value(option)

    def option_field(self, option: Option[Any]) -> str:
        """The field of the annotation that gives an option its value, for a finding about it.

        Raises:
            PluginError: the protocol does not declare the option.
        """
        return self._options.field(option)


def _visible(export_to: frozenset[str], namespace: str | None) -> bool:
    """Whether clients of that namespace see it; None stands for all clients of the mesh."""
    return "*" in export_to or (namespace is not None and namespace in export_to)
