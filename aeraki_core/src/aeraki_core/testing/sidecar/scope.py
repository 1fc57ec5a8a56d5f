"""Sidecar resources: what a namespace or workload imports, and listeners of its own.

Istio source: pilot/pkg/model/sidecar.go (convertIstioListenerToWrapper, selectServices,
hostClassification) and pilot/pkg/model/push_context.go (getSidecarScope).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aeraki_core.model.meta import Age, ObjectRef
from aeraki_core.testing.sidecar.protocols import ListenerProtocol, protocol_named

__all__ = [
    "EVERYTHING",
    "EgressListener",
    "HostImport",
    "IngressListener",
    "SidecarResource",
    "hosts_match",
    "is_covered",
    "parse_sidecar",
]


def hosts_match(one: str, other: str) -> bool:
    """Report whether two hosts share a name; either may be a wildcard (``*.example.com``)."""
    if one.startswith("*") and other.startswith("*"):
        return one[1:].endswith(other[1:]) or other[1:].endswith(one[1:])
    return is_covered(one, other) or is_covered(other, one)


def is_covered(host: str, by: str) -> bool:
    """Report whether ``by`` matches every name that ``host`` matches."""
    return host == by or (by.startswith("*") and host[host.startswith("*") :].endswith(by[1:]))


@dataclass(frozen=True, slots=True)
class HostImport:
    """One entry of ``egress.hosts``.

    ``namespace``: ``*`` for all, ``.`` for the client's own.
    ``excluded``: written with ``~``.
    """

    namespace: str
    host: str
    excluded: bool = False

    def is_for(self, namespace: str) -> bool:
        """Report whether the entry selects objects in that namespace."""
        return self.namespace in ("*", namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressListener:
    """Imports of a Sidecar resource, and where the listeners for them are.

    ``port``: of the one listener; 0 for one listener for each service port.
    ``protocol``: of that port.
    ``bind``: the listeners' address; empty for that of each service.
    ``captured``: traffic is redirected to the listeners; otherwise they bind to their port.
    """

    hosts: tuple[HostImport, ...]
    port: int = 0
    protocol: ListenerProtocol = ListenerProtocol.SNIFFED
    bind: str = ""
    captured: bool = True

    def of_client(self, namespace: str) -> EgressListener:
        """The listener with the names of namespaces that clients there read in it."""
        hosts = (
            replace(entry, namespace=namespace) if entry.namespace == "." else entry
            for entry in self.hosts
        )
        return replace(self, hosts=tuple(hosts))

    @property
    def is_exact(self) -> bool:
        """Whether it names the namespace and the full host of all that it imports."""
        imports = [entry for entry in self.hosts if not entry.excluded]
        return all(entry.namespace != "*" and "*" not in entry.host for entry in imports)

    def imports_service(self, host: str, namespace: str) -> bool:
        """Report whether a service of that host and namespace is imported."""
        return self._imports(host, namespace, is_covered)

    def imports_virtual_service(self, hosts: Iterable[str], namespace: str) -> bool:
        """Report whether a VirtualService for those hosts in that namespace is imported."""
        return any(self._imports(host, namespace, hosts_match) for host in hosts)

    def _imports(self, host: str, namespace: str, matches: Callable[[str, str], bool]) -> bool:
        entries = [entry for entry in self.hosts if entry.is_for(namespace)]
        if any(entry.excluded and is_covered(host, entry.host) for entry in entries):
            return False
        return any(not entry.excluded and matches(host, entry.host) for entry in entries)


EVERYTHING = EgressListener(hosts=(HostImport("*", "*"),))
"""What a proxy imports without a Sidecar resource."""


@dataclass(frozen=True, slots=True)
class IngressListener:
    """A port that a Sidecar resource opens at a workload.

    ``endpoint``: where traffic goes.
    ``bind``: its address; empty for the workload's own.
    """

    port: int
    protocol: ListenerProtocol
    endpoint: str
    bind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarResource:
    """A Sidecar resource. ``labels``: of the workloads that it is for; empty for all.

    ``has_selector``: it comes before those without one, and is no default for the mesh.
    ``registry_only``: its own outboundTrafficPolicy; None where it has none.
    """

    ref: ObjectRef
    labels: Mapping[str, str]
    has_selector: bool
    egress: tuple[EgressListener, ...]
    ingress: tuple[IngressListener, ...]
    registry_only: bool | None
    age: Age


def parse_sidecar(ref: ObjectRef, content: Mapping[str, Any]) -> SidecarResource:
    """Parse a Sidecar resource; fields of another form than Istio's are left out."""
    spec = _mapping(content.get("spec"))
    policy = spec.get("outboundTrafficPolicy")
    mode = None if policy is None else _mapping(policy).get("mode") or "REGISTRY_ONLY"
    egress = tuple(map(_egress, _mappings(spec.get("egress"))))
    created = str(_mapping(content.get("metadata")).get("creationTimestamp") or "")
    return SidecarResource(
        ref=ref,
        labels=_mapping(_mapping(spec.get("workloadSelector")).get("labels")),
        has_selector=spec.get("workloadSelector") is not None,
        egress=egress or (EVERYTHING,),
        ingress=tuple(map(_ingress, _mappings(spec.get("ingress")))),
        registry_only=None if mode is None else mode == "REGISTRY_ONLY",
        age=Age(created, ref.name, ref.namespace),
    )


def _egress(content: Mapping[str, Any]) -> EgressListener:
    port = _mapping(content.get("port"))
    hosts = content.get("hosts")
    imports = map(_import, hosts) if isinstance(hosts, list) else ()
    return EgressListener(
        hosts=tuple(entry for entry in imports if entry is not None),
        port=_number(port),
        protocol=protocol_named(str(port.get("protocol") or "")),
        bind=str(content.get("bind") or ""),
        captured=content.get("captureMode") != "NONE",
    )


def _import(text: Any) -> HostImport | None:
    if not isinstance(text, str) or text.count("/") != 1:
        return None
    namespace, host = text.split("/")
    excluded = namespace.startswith("~")
    # "~/host" excludes the host in every namespace.
    namespace = (namespace.removeprefix("~") or "*") if excluded else namespace
    return HostImport(namespace, host.lower(), excluded)


def _ingress(content: Mapping[str, Any]) -> IngressListener:
    port = _mapping(content.get("port"))
    return IngressListener(
        _number(port),
        protocol_named(str(port.get("protocol") or "")),
        str(content.get("defaultEndpoint") or ""),
        str(content.get("bind") or ""),
    )


def _number(port: Mapping[str, Any]) -> int:
    number = port.get("number")
    return number if isinstance(number, int) else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
