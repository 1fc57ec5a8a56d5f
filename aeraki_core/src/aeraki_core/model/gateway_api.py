"""Routes of the Gateway API that attach to a Service or ServiceEntry, not to a Gateway.

istiod makes a VirtualService for sidecars of each of them: a TCPRoute becomes its ``tcp`` section,
which counts for ports of ours as any other, an HTTPRoute or GRPCRoute its ``http`` section, which
Istio applies to HTTP ports. Source: istio/istio, pilot/pkg/config/kube/gateway/conversion.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aeraki_core.model.istio import VirtualService, parse_virtual_service
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import PortNumber, service_host
from aeraki_core.model.wire import Spec, check

__all__ = [
    "GATEWAY_API",
    "ROUTE_KINDS",
    "TCP_ROUTE",
    "AttachedRoute",
    "RouteParent",
    "parse_attached_route",
    "parse_tcp_route",
]

GATEWAY_API = "gateway.networking.k8s.io"
TCP_ROUTE = "TCPRoute"
ROUTE_KINDS = ("GRPCRoute", "HTTPRoute", TCP_ROUTE)
_ISTIO = "networking.istio.io"
# istiod sends connections of a rule without a weight above 0 to this host, which nobody has.
_NOWHERE = {"host": "internal.cluster.local", "port": {"number": 65535}}


class RouteParent(NamedTuple):
    """A service that a route is for; ``port`` None: all of its ports. ``field``: where it is."""

    ref: ObjectRef
    port: int | None
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedRoute:
    """A route and its parents that are no Gateways."""

    ref: ObjectRef
    parents: tuple[RouteParent, ...]


class _Reference(Spec):
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str = ""
    port: PortNumber | None = None


class _Backend(_Reference):
    weight: int | None = None


class _Rule(Spec):
    backend_refs: tuple[_Backend, ...] | None = ()


class _RouteSpec(Spec):
    parent_refs: tuple[_Reference, ...] | None = ()


class _TCPRouteSpec(_RouteSpec):
    rules: tuple[_Rule, ...] | None = ()


def parse_attached_route(ref: ObjectRef, content: Mapping[str, Any]) -> AttachedRoute:
    """Parse a route of any kind.

    Raises:
        RejectedError: a field does not fit.
    """
    return AttachedRoute(
        ref=ref, parents=_parents(ref, check(_RouteSpec, content.get("spec")).parent_refs)
    )


def parse_tcp_route(ref: ObjectRef, content: Mapping[str, Any], domain: str) -> VirtualService:
    """Parse a TCPRoute as the VirtualService that istiod makes of it.

    Where its parents are different Services with different ports, each port counts at each of them.

    Raises:
        RejectedError: a field does not fit.
    """
    spec = check(_TCPRouteSpec, content.get("spec"))
    parents = [parent for parent in _parents(ref, spec.parent_refs) if parent.ref.kind == "Service"]
    ports = sorted({parent.port for parent in parents if parent.port is not None})
    # One parent without a port is for all ports.
    limited = all(parent.port is not None for parent in parents)
    match = [{"port": port} for port in ports] if limited else []
    tcp = [
        {"match": match, "route": _route(rule.backend_refs or (), ref.namespace, domain)}
        for rule in spec.rules or ()
    ]
    hosts = [service_host(parent.ref.name, parent.ref.namespace, domain) for parent in parents]
    metadata = {**(content.get("metadata") or {}), "annotations": {}}
    made = {"metadata": metadata, "spec": {"hosts": hosts, "tcp": tcp if parents else []}}
    return parse_virtual_service(ref, made, domain)


def _parents(ref: ObjectRef, references: tuple[_Reference, ...] | None) -> tuple[RouteParent, ...]:
    services = {("", "Service"): "Service", (_ISTIO, "ServiceEntry"): "ServiceEntry"}
    parents: list[RouteParent] = []
    for index, each in enumerate(references or ()):
        group = GATEWAY_API if each.group is None else each.group
        kind = services.get(("" if group == "core" else group, each.kind or ""))
        if kind is not None and each.name:
            parent = ObjectRef(kind, each.namespace or ref.namespace, each.name)
            parents.append(RouteParent(parent, each.port, f"spec.parentRefs[{index}]"))
    return tuple(parents)


def _route(backends: tuple[_Backend, ...], namespace: str, domain: str) -> list[dict[str, Any]]:
    weighted = [(backend, 1 if backend.weight is None else backend.weight) for backend in backends]
    weighted = [(backend, weight) for backend, weight in weighted if weight > 0]
    if not weighted:
        return [{"destination": _NOWHERE}]
    return [
        {
            "destination": {
                "host": _host(backend, namespace, domain),
                **({"port": {"number": backend.port}} if backend.port else {}),
            },
            **({"weight": weight} if len(weighted) > 1 else {}),
        }
        for backend, weight in weighted
    ]


def _host(backend: _Backend, namespace: str, domain: str) -> str:
    if (backend.group, backend.kind) == (_ISTIO, "Hostname"):
        return backend.name or "unnamed"
    return service_host(backend.name or "unnamed", backend.namespace or namespace, domain)
