"""The Sidecars of the mesh, by namespace and by the listeners that they open."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from aeraki_core.mesh.importers import Importers
from aeraki_core.mesh.keys import (
    Key,
    OutboundPoliciesKey,
    SelectingSidecarsKey,
    SidecarListenersKey,
    SidecarNamespacesKey,
    SidecarsKey,
)
from aeraki_core.mesh.mesh_client import EVERYBODY_ELSE, MeshClient
from aeraki_core.mesh.resolve import RoutedPort, mesh_default, sidecar_for
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.mesh.table import Table
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Service
from aeraki_core.model.sidecar import SidecarScope, parse_sidecar

__all__ = ["SidecarTable", "listener_keys"]


class SidecarTable:
    """All Sidecars. One whose newest form is rejected may import anything."""

    def __init__(self, root_namespace: str) -> None:
        self._root = root_namespace
        self._table = Table(lambda item: parse_sidecar(item.ref, item.content), keys=_keys)
        self._importers = Importers(root_namespace)
        self._rejected: set[ObjectRef] = set()

    def __contains__(self, ref: object) -> bool:
        return ref in self._table or ref in self._rejected

    def copy_from(self, other: SidecarTable) -> None:
        """Hold what another table holds."""
        self._table.copy_from(other._table)
        self._rejected = set(other._rejected)
        for namespace in self.namespaces() | {ref.namespace for ref in self._rejected}:
            self._follow(namespace)

    def upsert(self, item: SourceObject) -> set[Key]:
        """Keep a Sidecar. Returns the keys whose answer changed.

        Raises:
            InputError: the object does not fit its kind. The value that was kept before stays.
        """
        changed = self._table.upsert(item)
        self._rejected.discard(item.ref)
        return changed | self._follow(item.ref.namespace)

    def reject(self, ref: ObjectRef) -> set[Key]:
        """Remember that a Sidecar cannot be read; other kinds are ignored.

        Returns the keys whose answer changed.
        """
        if ref.kind != "Sidecar":
            return set()
        self._rejected.add(ref)
        return self._follow(ref.namespace)

    def remove(self, ref: ObjectRef) -> set[Key]:
        """Forget a Sidecar. Returns the keys whose answer changed."""
        self._rejected.discard(ref)
        return self._table.remove(ref) | self._follow(ref.namespace)

    def _follow(self, namespace: str) -> set[Key]:
        unread = any(ref.namespace == namespace for ref in self._rejected)
        return self._importers.replace(namespace, self.of(namespace), unread=unread)

    def of(self, namespace: str) -> tuple[SidecarScope, ...]:
        """The Sidecars of a namespace, the oldest first (SidecarsKey)."""
        return self._table.oldest_first(SidecarsKey(namespace))

    def namespaces(self) -> frozenset[str]:
        """The namespaces that have a Sidecar (SidecarNamespacesKey)."""
        sidecars = self._table.at(SidecarNamespacesKey())
        return frozenset(sidecar.ref.namespace for sidecar in sidecars)

    def selecting(self) -> tuple[SidecarScope, ...]:
        """The Sidecars for some workloads of their namespaces (SelectingSidecarsKey)."""
        return self._table.oldest_first(SelectingSidecarsKey())

    def has_root_policy(self) -> bool:
        """Whether the mesh's default Sidecar says where unknown calls go (OutboundPoliciesKey)."""
        sidecar = self.of_client(EVERYBODY_ELSE)
        return sidecar is not None and bool(sidecar.catch_all)

    def with_another_policy(self, of_mesh: str) -> set[str]:
        """The namespaces whose unknown calls go elsewhere than everybody else's.

        ``of_mesh``: where they go without a Sidecar that says it.
        """
        everybodys = self.catch_all(EVERYBODY_ELSE, of_mesh)
        having = self._table.at(OutboundPoliciesKey())
        named = {sidecar.ref.namespace for sidecar in having}
        return {
            namespace
            for namespace in (self.namespaces() if self.has_root_policy() else named)
            if self.catch_all(MeshClient(namespace), of_mesh) != everybodys
        }

    def catch_all(self, client: MeshClient, of_mesh: str) -> str:
        """The cluster of a client's calls to no service; ``of_mesh``: where no Sidecar says it."""
        sidecar = self.of_client(client)
        return (sidecar.catch_all if sidecar is not None else "") or of_mesh

    def with_listener(self, keys: Iterable[SidecarListenersKey]) -> tuple[SidecarScope, ...]:
        """The Sidecars with an egress listener of their own that these questions are about."""
        sidecars = {sidecar for key in keys for sidecar in self._table.at(key)}
        return tuple(sorted(sidecars, key=lambda sidecar: sidecar.age))

    def of_client(self, client: MeshClient) -> SidecarScope | None:
        """The Sidecar that a client follows: of its namespace, else of the root namespace."""
        own = None
        if client.namespace is not None:
            own = sidecar_for(self.of(client.namespace), client)
        return own or mesh_default(self.of(self._root))

    def that_import(self, routed: RoutedPort, namespaces: Collection[str]) -> Iterator[str]:
        """Which of these namespaces, and of those with a Sidecar, import a service."""
        # The root's Sidecar may import what is in the client's own namespace.
        for namespace in self.namespaces().union(namespaces):
            sidecar = self.of_client(MeshClient(namespace))
            if (
                sidecar is None
                or not sidecar.egress
                or sidecar.imports(routed.namespace, routed.host, namespace)
            ):
                yield namespace

    def importers(self, service: Service) -> frozenset[str] | None:
        """The client namespaces that may import a service (ImportersKey); None: any namespace."""
        return self._importers.of(service)


@lru_cache(maxsize=65536)
def listener_keys(port: int) -> tuple[SidecarListenersKey, ...]:
    """The questions about the Sidecars with a listener of their own for a port, or for any."""
    return (SidecarListenersKey(0), SidecarListenersKey(port))


def _keys(sidecar: SidecarScope) -> list[Key]:
    own_listeners = (egress.port for egress in sidecar.egress if egress.has_own_listeners)
    policies: list[Key] = [OutboundPoliciesKey()] if sidecar.catch_all else []
    selecting: list[Key] = [SelectingSidecarsKey()] if sidecar.labels else []
    return [
        *policies,
        *selecting,
        SidecarsKey(sidecar.ref.namespace),
        SidecarNamespacesKey(),
        *(SidecarListenersKey(port) for port in dict.fromkeys(own_listeners)),
    ]
