"""What one proxy sees of the mesh: services, routes and rules that exportTo shows to its namespace.

In: the store and a proxy. Out: the same models, narrowed and in istiod's order (oldest first). Sidecar resources are
not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aeraki_core.mesh.store import SourceObject, Store, host_suffixes
from aeraki_core.model.istio import DestinationRule, TCPRoute, VirtualService
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Resolution, Service
from aeraki_core.testing.sidecar.proxy import Proxy

__all__ = ["View", "is_sniffed", "is_tcp", "part", "source_object", "store_of"]

# Port names and protocols that istiod knows; any other is sniffed: it may be HTTP or TCP. One name of a database that istiod
# takes for TCP is missing, since the core names no protocol that a plugin brings (docs/testing.md, "What the model knows").
_TCP = frozenset({"tcp", "mongo", "mysql"})
_NOT_TCP = frozenset({"http", "http2", "http_proxy", "grpc", "grpc-web", "https", "tls", "udp"})
_TCP_PORTS = frozenset(
    {25, 53, 3306, 27017}
)  # taken for TCP without a name: server-first protocols
_APP_PROTOCOLS = {
    "kubernetes.io/h2c": "http2",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "https",
}


def store_of(objects: Iterable[Mapping[str, Any]], mesh: Mesh | None = None) -> Store:
    """A store of Kubernetes objects; what a model rejects is left out, as istiod's admission would."""
    store = Store(mesh or Mesh())
    for item in filter(None, map(source_object, objects)):
        if store.reads(item.api_version, item.ref.kind):
            store.upsert(item)
    return store


def part(value: Any, *names: str) -> Mapping[str, Any]:
    """A mapping inside mappings; empty where there is none, or where something else stands."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def source_object(content: Mapping[str, Any]) -> SourceObject | None:
    """The object as a source hands it on; None for what is none: without apiVersion, kind or name, as a source would see it."""
    metadata = content.get("metadata")
    if not isinstance(metadata, Mapping):
        return None
    api_version, kind, name = content.get("apiVersion"), content.get("kind"), metadata.get("name")
    namespace = metadata.get("namespace") or "default"
    if not all(isinstance(item, str) and item for item in (api_version, kind, name, namespace)):
        return None
    return SourceObject(ObjectRef(str(kind), str(namespace), str(name)), str(api_version), content)


def _protocol(service: Service, port: Port) -> str:
    """istiod's name of the port's protocol; empty when it does not know it."""
    if port.protocol == "UDP":
        return "udp"
    if service.resolution is not Resolution.CLUSTER_IP:
        found = port.protocol.lower()
        return found if found in _TCP | _NOT_TCP else ""
    name = (port.app_protocol or port.name).lower()
    name = _APP_PROTOCOLS.get(name, name)
    if name.startswith("grpc-web"):
        return "grpc-web"
    found = name.partition("-")[0]
    if found in _TCP | _NOT_TCP:
        return found
    return "tcp" if port.number in _TCP_PORTS else ""


def is_tcp(service: Service, port: Port) -> bool:
    """Whether istiod makes a TCP listener for the port (also beside an HTTP chain, see :func:`is_sniffed`)."""
    return _protocol(service, port) in _TCP or is_sniffed(service, port)


def is_sniffed(service: Service, port: Port) -> bool:
    """Whether the port's protocol is unknown to istiod, so that the listener looks for HTTP first."""
    return _protocol(service, port) == ""


class View:
    """The mesh as one proxy sees it."""

    def __init__(self, store: Store, proxy: Proxy) -> None:
        self.store = store
        self.proxy = proxy

    @property
    def mesh(self) -> Mesh:
        """The mesh's own settings."""
        return self.store.mesh

    def services(self) -> tuple[Service, ...]:
        """The visible services, the oldest first."""
        found = (item for item in self.store.services() if self._sees(item.export_to))
        return tuple(sorted(found, key=lambda item: (item.age, item.host)))

    def service(self, host: str) -> Service | None:
        """The visible service of a host; the oldest of several."""
        return next((item for item in self.services() if item.host == host), None)

    def tcp_routes(self, host: str) -> Iterator[tuple[VirtualService, TCPRoute]]:
        """The ``tcp`` routes of all visible VirtualServices of a host, in istiod's order."""
        found = {
            item.ref: item
            for name in host_suffixes(host)
            for item in self.store.virtual_services(name)
            if item.for_mesh and self._sees(item.export_to)
        }
        for item in sorted(found.values(), key=lambda each: each.age):
            for route in item.tcp:
                yield item, route

    def destination_rules(self, host: str) -> tuple[DestinationRule, ...]:
        """The visible DestinationRules of the most specific host that matches, the oldest first."""
        for name in host_suffixes(host):
            found = tuple(
                item for item in self.store.destination_rules(name) if self._sees(item.export_to)
            )
            if found:
                return found
        return ()

    def selecting(self) -> tuple[Service, ...]:
        """The services whose selector selects the proxy's workload, the oldest first."""
        found = (
            item
            for item in self.store.services()
            if item.selector
            and item.namespace == self.proxy.namespace
            and self.proxy.has_labels(dict(item.selector))
        )
        return tuple(sorted(found, key=lambda item: (item.age, item.host)))

    def _sees(self, export_to: frozenset[str]) -> bool:
        return "*" in export_to or self.proxy.namespace in export_to
