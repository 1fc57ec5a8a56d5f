"""All that a generator may use: the service port, what applies to it, the places for its patches, and where to report.

In: the store, through :class:`~aeraki_core.mesh.reads.Reads`. Out: answers, recorded; findings. A plugin gets a
:class:`GenerateContext`; tests of a plugin get one from ``aeraki_core.testing``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel

from aeraki_core.errors import AerakiError
from aeraki_core.filters.patch import Inbound, Outbound
from aeraki_core.findings.codes import (
    BAD_OPTION,
    HEADLESS_ROUTES,
    SECRET_MISSING,
    SHADOWED,
    UNKNOWN_OPTION,
    UNRESOLVED_TARGET_PORT,
)
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.route_table import route_table
from aeraki_core.mesh.routes import Route, cluster_name, default_routes
from aeraki_core.model.istio import DestinationRule, VirtualService, full_host
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.resource import Kind, Resource
from aeraki_core.model.secret import Secret
from aeraki_core.model.service import Port, Service
from aeraki_core.plugins.options import parse_option
from aeraki_core.plugins.types import Option, Protocol

__all__ = ["Audience", "GenerateContext", "KeepLastGood"]

T = TypeVar("T", bound=BaseModel)

WORKLOAD_SELECTOR_ANNOTATION = "workloadSelector"


class KeepLastGood(AerakiError):
    """Raised by a generator that cannot make a true filter now (a Secret is missing): what was written before stays.

    The finding that says why was reported before.
    """


@dataclass(frozen=True, slots=True, order=True)
class Audience:
    """The clients that one set of outbound filters is for.

    ``namespace`` None: the whole mesh, through the root namespace. ``labels``: only the workloads with them. ``overrides``: these
    clients also get the filter of the whole mesh, and this one takes its place.
    """

    namespace: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    overrides: bool = False


class GenerateContext:
    """What a generator may ask for one service port and one audience of clients."""

    def __init__(
        self, protocol: Protocol, service: Service, port: Port, audience: Audience, reads: Reads
    ) -> None:
        self.protocol = protocol
        self.service = service
        self.port = port
        self.audience = audience
        self.findings: list[Finding] = []
        self.extensions_asked: set[str] = set()
        self._reads = reads

    @property
    def mesh(self) -> Mesh:
        """The mesh's domain, root namespace and proxies."""
        return self._reads.mesh

    # -- where patches go ---------------------------------------------------------------------------------------------

    @cached_property
    def outbound(self) -> Outbound:
        """The clients' side. Its ``cluster`` is ``outbound|<port>||<host>``."""
        name = cluster_name(self.port.number, self.service.host)
        return Outbound(name, name)

    @cached_property
    def inbound(self) -> tuple[Inbound, ...]:
        """The workloads' side: one for each target port, none without a workload selector.

        A named target port has the numbers that the EndpointSlices give it.
        """
        selector = self._selector()
        if not selector:
            return ()
        target = self.port.target
        if isinstance(target, int):
            numbers: tuple[int, ...] = (target,)
        else:
            numbers = self._reads.endpoints(self.service).target_ports(self.port.name)
            if not numbers:
                self.report(
                    UNRESOLVED_TARGET_PORT,
                    f"port {self.port.number}: no EndpointSlice says which number {target!r} is; no inbound filter",
                    field="spec.ports",
                )
        # The cluster and the chain are of the target port, not of the service's (facts/istio.md, "Inbound").
        return tuple(
            Inbound(f"inbound|{number}||", f"inbound|{number}||", number, selector)
            for number in numbers
        )

    def _selector(self) -> tuple[tuple[str, str], ...]:
        if self.service.selector:
            return self.service.selector
        text = self._reads.annotation(self.service, WORKLOAD_SELECTOR_ANNOTATION)
        if not text or not text.strip():
            return ()
        pairs = [part.partition(":") for part in text.split(",")]
        # Upstream: a bare name means the label app (facts/upstream.md).
        return tuple(
            sorted(
                (key.strip(), value.strip()) if colon else ("app", key.strip())
                for key, colon, value in pairs
            )
        )

    # -- what applies -------------------------------------------------------------------------------------------------

    @cached_property
    def virtual_service(self) -> VirtualService | None:
        """The VirtualService whose ``http`` section sidecars obey for this host."""
        return next(iter(self._virtual_services), None)

    @cached_property
    def _virtual_services(self) -> tuple[VirtualService, ...]:
        """All that apply to the service for these clients, in the order in which sidecars obey them.

        One for exactly this host is reported where an older one of the same host comes first.
        """
        host = self.service.host
        virtual_services = tuple(
            virtual_service
            for virtual_service in self._reads.virtual_services(host)
            if _visible(virtual_service.export_to, self.audience.namespace)
        )
        for other in virtual_services[1:]:
            first = virtual_services[0]
            if host in other.hosts and host in first.hosts:
                message = (
                    f"{first.ref} is older and speaks for {host}; this one has no effect on it"
                )
                self.report(SHADOWED, message, other.ref, "spec.hosts")
        return virtual_services

    def destination_rules(self, host: str | None = None) -> tuple[DestinationRule, ...]:
        """The DestinationRules of a full host (default: the service's own), the oldest first."""
        return self._reads.destination_rules(host or self.service.host)

    def routes(
        self, *, match: tuple[str, ...] = (), action: tuple[str, ...] = ()
    ) -> tuple[Route, ...]:
        """The routes of this port, in order; the first that matches a call takes it.

        ``match`` names what the protocol can match on (``method``, ``headers``, ``without_headers``, ``query_params``), ``action``
        what it can do besides (``mirror``, ``timeout``, ``retries``). Whatever else is written is reported at its field; a
        route with a match that cannot be
        expressed is left out. Without a VirtualService one route takes everything to the service itself.
        """
        virtual_services = self._virtual_services
        if not virtual_services:
            return default_routes(self.service, self.port)
        virtual_service = virtual_services[0]
        if self.service.original_dst:
            # All its clusters are ORIGINAL_DST: routes and weights have no effect (facts/istio.md, "Seen on a real istiod").
            why = "is headless" if self.service.headless else "has resolution NONE"
            message = f"{self.service.host} {why}: its calls go to the address that they name"
            self.report(HEADLESS_ROUTES, message, virtual_service.ref, "spec")
            return default_routes(self.service, self.port)
        return route_table(
            virtual_services,
            self.service,
            self.port,
            namespace=self.audience.namespace,
            reads=self._reads,
            report_at=self.report,
            matches=frozenset(match),
            actions=frozenset(action),
        )

    def check_tcp_routes(self, code: Code) -> None:
        """For a filter before tcp_proxy, which stays: Istio's own tcp routes work there, http routes do not.

        Reports, as ``code``, each http route that can only be meant for this port; and routes that Istio cannot follow.
        """
        virtual_service = self.virtual_service
        if virtual_service is None:
            return
        if self.service.original_dst:
            self.routes()  # for its finding
            return
        others_speak_http = any(
            port_protocol(port) in (PortProtocol.HTTP, PortProtocol.TLS)
            for port in self.service.ports
        )
        for index, route in enumerate(virtual_service.http):
            ports = {match.port for match in route.match or ()} or {None}
            if self.port.number in ports or (None in ports and not others_speak_http):
                message = f"port {self.port.number} speaks {self.protocol.name}: Istio gives it tcp routes, never http routes"
                self.report(code, message, virtual_service.ref, f"spec.http[{index}]")

    def option(self, name: str) -> Any:
        """The value of one of the protocol's options, or its default; a value that does not fit is reported.

        Raises:
            KeyError: the protocol declares no such option.
        """
        option = self.protocol.option(name)
        for annotation, text in self._given(option):
            try:
                return parse_option(option, text)
            except ValueError as error:
                self.report(
                    BAD_OPTION, f"{annotation}: {error}", field=f"metadata.annotations.{annotation}"
                )
        return option.default

    def option_field(self, name: str) -> str:
        """The field of the annotation that gives an option its value, for a finding about it; without one, where it belongs.

        Raises:
            KeyError: the protocol declares no such option.
        """
        option = self.protocol.option(name)
        for annotation, text in self._given(option):
            try:
                parse_option(option, text)
            except ValueError:
                continue
            return f"metadata.annotations.{annotation}"
        return f"metadata.annotations.{self.protocol.annotation(option)}"

    def _given(self, option: Option) -> Iterator[tuple[str, str]]:
        """The annotations that are there for an option, the nearest first, and their texts."""
        for annotation in (self.protocol.annotation(option), *option.aliases):
            text = self._reads.annotation(self.service, annotation)
            if text is not None:
                yield annotation, text

    def check_options(self) -> None:
        """Report annotations of the protocol's prefix that are no option of it (called by the core)."""
        known = {self.protocol.annotation(option) for option in self.protocol.options}
        for name in self._reads.annotations(self.service, f"{self.protocol.name}.aeraki.io"):
            if name not in known:
                self.report(
                    UNKNOWN_OPTION,
                    f"{self.protocol.name} has no option {name}",
                    field=f"metadata.annotations.{name}",
                )

    def resources(self, kind: Kind[T], host: str | None = None) -> tuple[Resource[T], ...]:
        """The plugin's resources of that kind that speak for a full host (default: the service's own), the oldest first."""
        return self._reads.resources(kind.kind, host or self.service.host)

    def full_host(self, host: str, namespace: str | None = None) -> str:
        """A host as the mesh knows it; a short name is a Service of ``namespace`` (default: the service's own)."""
        return full_host(host, namespace or self.service.namespace, self.mesh.domain)

    def services_of_host(self, host: str) -> tuple[Service, ...]:
        """The services of a full host, the oldest first; empty when the mesh has none."""
        return self._reads.services_of_host(host)

    def secret(self, namespace: str, name: str) -> Secret | None:
        """A Secret, or None when there is none."""
        return self._reads.secret(namespace, name)

    @property
    def secrets_read(self) -> tuple[Secret, ...]:
        """The Secrets that were handed out: none of their values may get into a text (used by the core)."""
        return tuple(self._reads.secrets.values())

    def has_extension(self, name: str) -> bool:
        """Whether every proxy of the audience is known to have that Envoy extension, by ``--proxy-extensions``."""
        self.extensions_asked.add(name)
        namespace = self.audience.namespace
        if namespace == self.mesh.root_namespace and self.service.export_to != {namespace}:
            namespace = None  # what is written there reaches the whole mesh
        return any(
            rule.covers(namespace, self.audience.labels) for rule in self.mesh.rules_for(name)
        )

    # -- what to say --------------------------------------------------------------------------------------------------

    def report(
        self, code: Code, message: str, ref: ObjectRef | None = None, field: str | None = None
    ) -> None:
        """Report a finding, at the service's object unless ``ref`` names another."""
        self.findings.append(Finding(code, message, ref or self.service.ref, field))

    def missing_secret(self, message: str, ref: ObjectRef, field: str) -> KeepLastGood:
        """Report a missing Secret or field of one, and give the error to raise: the last good filter stays."""
        self.report(SECRET_MISSING, message, ref, field)
        return KeepLastGood(message)


def _visible(export_to: frozenset[str], namespace: str | None) -> bool:
    """Whether clients of that namespace see it; None stands for all clients of the mesh."""
    return "*" in export_to or (namespace is not None and namespace in export_to)
