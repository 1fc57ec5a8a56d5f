"""The scope in which the routes of one VirtualService are read.

It is a service port, its clients, and what the protocol can express.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aeraki_core.findings.finding import Code
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.weight_sets import WeightSets
from aeraki_core.model.istio import VirtualService
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.service import Port, Service

__all__ = ["ReportAt", "RouteScope"]

ReportAt = Callable[[Code, str, ObjectRef, str], None]
"""Takes a finding: code, message, object, field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteScope:
    """One VirtualService, read for one service port and its clients.

    - virtual_service: what is read
    - service, port: whose routes they are
    - namespace: the clients' namespace; None for all that no object singles out
    - reads: the mesh as these clients see it
    - matches: of ``method headers without_headers query_params``, what the protocol can match on
    - actions: of ``mirror timeout retries``, what it can do besides
    - report_at: takes findings
    - weight_sets: carries the weights of routes; None where Istio routes itself
    """

    virtual_service: VirtualService
    service: Service
    port: Port
    namespace: str | None
    reads: Reads
    matches: frozenset[str]
    actions: frozenset[str]
    report_at: ReportAt
    weight_sets: WeightSets | None = None

    @property
    def is_for_whole_host(self) -> bool:
        """Whether it names the service's host, and not only some hosts under that wildcard."""
        host = self.service.host
        # It applies to the host, so only under a wildcard may it be for others.
        return not host.startswith("*") or any(
            host == each or (each.startswith("*") and host.endswith(each[1:]))
            for each in self.virtual_service.hosts
        )

    @property
    def may_mean_http(self) -> bool:
        """Whether an entry that names no port may be meant for HTTP only.

        That is so where the service has an HTTP port, or the VirtualService is for more hosts.
        """
        return self.virtual_service.hosts != (self.service.host,) or any(
            port_protocol(port) in (PortProtocol.HTTP, PortProtocol.TLS)
            for port in self.service.ports
        )

    def report(self, code: Code, message: str, path: str) -> None:
        """Report a finding at a field of the VirtualService."""
        self.report_at(code, message, self.virtual_service.ref, self.written(path))

    def written(self, path: str) -> str:
        """Return where a field is in the object that the VirtualService is made of."""
        if not self.virtual_service.is_attached:
            return path
        path = path.replace("spec.tcp", "spec.rules").replace(".route[", ".backendRefs[")
        return path.replace(".destination.host", ".name").replace(".destination.port", ".port")
