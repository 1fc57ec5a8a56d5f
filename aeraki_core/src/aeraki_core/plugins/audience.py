"""The clients that a generator makes patches for."""

from __future__ import annotations

from typing import NamedTuple

from aeraki_core.mesh.mesh_client import MeshClient
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import Label
from aeraki_core.model.service import Service

__all__ = ["Audience"]


class Audience(NamedTuple):
    """The clients that one set of outbound filters is for.

    ``namespace`` None: the whole mesh, through the root namespace. ``labels``: only the workloads
    with them. ``overrides``: these clients also get the filters for more clients, of the whole mesh
    or of all their namespace, and this one replaces them.
    """

    namespace: str | None = None
    labels: tuple[Label, ...] = ()
    overrides: bool = False

    @property
    def narrows(self) -> bool:
        """Whether these are workloads of a namespace whose other ones have another filter."""
        return self.overrides and bool(self.labels)

    @property
    def client(self) -> MeshClient:
        """The clients whose mesh the filters are made for."""
        return MeshClient(self.namespace, self.labels)

    def comes_before(self, other: Audience, root_namespace: str) -> bool:
        """Whether istiod applies a filter for these clients to the other ones, before theirs."""
        if not other.overrides or self == other:
            return False
        if self.namespace in (None, root_namespace):
            return not self.overrides
        return other.client.is_within(self.client)

    def has_extension(self, name: str, service: Service, mesh: Mesh) -> bool:
        """Whether all proxies that a filter of the service for these clients reaches have it."""
        namespace = self.namespace
        if namespace == mesh.root_namespace and service.export_to != {namespace}:
            namespace = None  # what is written there reaches the whole mesh
        return any(rule.covers(namespace, self.labels) for rule in mesh.rules_for(name))
