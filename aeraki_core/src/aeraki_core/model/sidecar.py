"""Istio's Sidecar resource: which services a workload's proxy knows, and where it listens for them.

A Sidecar without a selector is its namespace's default, one of the root namespace is that of all
namespaces. A proxy follows the oldest that selects its workload, else its namespace's default, else
the root's; without any it knows every service. Source: Istio's Sidecar reference, and sidecar.go
(convertIstioListenerToWrapper): ``.`` is the client's namespace, also where the root's Sidecar says
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import Field

from aeraki_core.model.meta import Age, ObjectRef
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.service import Port, PortNumber, Service
from aeraki_core.model.wire import Spec, check

__all__ = [
    "BLACK_HOLE",
    "PASSTHROUGH",
    "CaptureMode",
    "EgressImports",
    "ImportedHosts",
    "SidecarScope",
    "parse_sidecar",
]


PASSTHROUGH, BLACK_HOLE = "PassthroughCluster", "BlackHoleCluster"
"""Clusters of every proxy: to the address that was called, and to nowhere."""

_REVISION = "istio.io/rev"


class CaptureMode(StrEnum):
    """How traffic reaches a listener."""

    DEFAULT = "DEFAULT"
    IPTABLES = "IPTABLES"
    NONE = "NONE"


class ImportedHosts(NamedTuple):
    """One entry of ``egress.hosts``: the hosts of services of some namespace."""

    namespace: str
    """``*`` for every namespace, ``.`` for the client's own."""
    host: str
    """``*`` for every host; ``*.example.com`` for all below that."""
    excluded: bool = False
    """Whether the entry takes hosts away that other entries import (written ``~namespace``)."""

    def covers(self, namespace: str, host: str, client: str | None) -> bool:
        """Report whether the entry matches every name of that host, in that namespace.

        ``client``: the namespace of the proxies; None for one that no object mentions.
        """
        return self._is_for(namespace, client) and _is_covered(host, self.host)

    def meets(self, namespace: str, host: str, client: str | None) -> bool:
        """Report whether the entry matches some name of that host, in that namespace."""
        if not self._is_for(namespace, client):
            return False
        return _is_covered(host, self.host) or _is_covered(self.host, host)

    def _is_for(self, namespace: str, client: str | None) -> bool:
        return (client if self.namespace == "." else self.namespace) in ("*", namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressImports:
    """One entry of ``egress``: the services that it imports, and where their listeners are."""

    hosts: tuple[ImportedHosts, ...]
    port: int = 0
    """Only services with this port, on one listener; 0: every port of every service."""
    protocol: str = ""
    """The protocol of ``port``, as it is written."""
    bind: str = ""
    """The listeners' address; empty: that of each service."""
    capture_mode: CaptureMode = CaptureMode.DEFAULT

    @property
    def has_own_listeners(self) -> bool:
        """Whether the services that it imports have no listener at their own address."""
        return bool(self.bind) or self.capture_mode is CaptureMode.NONE or self.reads_as is not None

    @property
    def reads_as(self) -> PortProtocol | None:
        """What its listener takes every connection for, if that is HTTP or TLS."""
        port = Port(number=self.port, name="", protocol=self.protocol.upper())
        protocol = port_protocol(port) if self.port else None
        return protocol if protocol in (PortProtocol.HTTP, PortProtocol.TLS) else None

    def listener(self, port: int) -> str:
        """Return the name of its own listener for a service port."""
        own = "127.0.0.1" if self.capture_mode is CaptureMode.NONE else "0.0.0.0"
        return f"{self.bind or own}_{port}"

    def imports(self, namespace: str, host: str, client: str | None) -> bool:
        """Report whether a client imports a service of that namespace and host."""
        about = [entry for entry in self.hosts if entry.covers(namespace, host, client)]
        return bool(about) and not any(entry.excluded for entry in about)

    def imports_routes(self, namespace: str, host: str, client: str | None) -> bool:
        """Report whether a client imports a VirtualService of that namespace for the host."""
        excluded = any(
            entry.excluded and entry.covers(namespace, host, client) for entry in self.hosts
        )
        return not excluded and any(
            not entry.excluded and entry.meets(namespace, host, client) for entry in self.hosts
        )


_EVERYTHING = EgressImports(hosts=(ImportedHosts("*", "*"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarScope:
    """A Sidecar resource."""

    ref: ObjectRef
    labels: tuple[tuple[str, str], ...] = ()
    """Of the workloads that it is for; empty: its namespace's default."""
    is_default: bool = True
    """Whether it has no selector at all. In the root namespace: the default of the mesh."""
    revision: str = ""
    """Of the only istiod that reads it; empty: every istiod does."""
    egress: tuple[EgressImports, ...] = ()
    """Empty: what the default of the namespace or of the mesh says."""
    catch_all: str = ""
    """The cluster of calls to no service that is known; empty: what the mesh says."""
    age: Age

    @property
    def entries(self) -> Iterator[ImportedHosts]:
        """The entries of ``hosts`` that import something."""
        for imports in self.egress or (_EVERYTHING,):
            yield from (entry for entry in imports.hosts if not entry.excluded)

    def imports(self, namespace: str, host: str, client: str | None) -> bool:
        """Report whether a client imports a service of that namespace and host."""
        return any(imports.imports(namespace, host, client) for imports in self.egress)

    def imported(
        self, services: Iterable[Service], *, port: int, client: str | None
    ) -> list[Service]:
        """Return those of the services that a client imports for a port, at their own address."""
        entries = [
            imports
            for imports in self.egress
            if imports.port in (0, port) and not imports.has_own_listeners
        ]
        return [
            each
            for each in services
            if any(imports.imports(each.namespace, each.host, client) for imports in entries)
        ]

    def serving(
        self, namespace: str, host: str, *, port: int, client: str | None
    ) -> tuple[EgressImports, ...]:
        """Return the entry whose listener serves a service's port; all of them where none does.

        The listener at the service's own address, or else the first of the Sidecar's own.
        """
        importing = [
            imports
            for imports in self.egress
            if imports.port in (0, port) and imports.imports(namespace, host, client)
        ]
        importing.sort(key=lambda imports: imports.has_own_listeners)
        return tuple(importing[:1]) or self.egress


class _Port(Spec):
    number: PortNumber
    protocol: str = ""


class _Egress(Spec):
    hosts: tuple[str, ...] = ()
    port: _Port | None = None
    bind: str = ""
    capture_mode: CaptureMode = CaptureMode.DEFAULT


class _EgressProxyPort(Spec):
    number: PortNumber = 0


class _EgressProxy(Spec):
    host: str = ""
    subset: str = ""
    port: _EgressProxyPort = Field(default_factory=_EgressProxyPort)


class _OutboundPolicy(Spec):
    mode: str = "REGISTRY_ONLY"
    egress_proxy: _EgressProxy | None = None


class _Selector(Spec):
    labels: dict[str, str] = Field(default_factory=dict)


class _SidecarSpec(Spec):
    workload_selector: _Selector | None = None
    egress: tuple[_Egress, ...] = ()
    outbound_traffic_policy: _OutboundPolicy | None = None


def parse_sidecar(ref: ObjectRef, content: Mapping[str, Any]) -> SidecarScope:
    """Parse a Sidecar resource.

    Raises:
        RejectedError: it does not fit the kind.
    """
    spec = check(_SidecarSpec, content.get("spec") or {})
    labels = spec.workload_selector.labels if spec.workload_selector is not None else {}
    metadata = content.get("metadata") or {}
    created = str(metadata.get("creationTimestamp") or "")
    return SidecarScope(
        ref=ref,
        labels=tuple(sorted(labels.items())),
        is_default=spec.workload_selector is None,
        revision=str((metadata.get("labels") or {}).get(_REVISION) or ""),
        egress=tuple(map(_imports, spec.egress)),
        catch_all=_catch_all(spec.outbound_traffic_policy),
        age=Age(created, ref.name, ref.namespace),
    )


def _imports(egress: _Egress) -> EgressImports:
    return EgressImports(
        hosts=tuple(_entry(text) for text in egress.hosts if text.count("/") == 1),
        port=egress.port.number if egress.port is not None else 0,
        protocol=egress.port.protocol if egress.port is not None else "",
        bind=egress.bind,
        capture_mode=egress.capture_mode,
    )


def _catch_all(policy: _OutboundPolicy | None) -> str:
    """Return the cluster that a policy sends unknown calls to; empty without a policy."""
    if policy is None:
        return ""
    if policy.mode == "REGISTRY_ONLY":
        return BLACK_HOLE
    if policy.egress_proxy is None:
        return PASSTHROUGH
    proxy = policy.egress_proxy
    return f"outbound|{proxy.port.number}|{proxy.subset}|{proxy.host}"


def _entry(text: str) -> ImportedHosts:
    """Parse an entry ``namespace/host``.

    ``~namespace`` excludes, ``~`` alone in every namespace.
    """
    where, _, host = text.partition("/")
    excluded = where.startswith("~")
    if excluded:
        where = where.removeprefix("~") or "*"
    return ImportedHosts(where, host, excluded)


def _is_covered(host: str, by: str) -> bool:
    """Report whether ``by`` matches every name that ``host`` matches."""
    if not by.startswith("*"):
        return host == by
    return host[host.startswith("*") :].endswith(by[1:])
