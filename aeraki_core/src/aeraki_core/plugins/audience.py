"""The clients that a generator makes patches for."""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core.model.mesh import Mesh
from aeraki_core.model.service import Service

__all__ = ["Audience"]


@dataclass(frozen=True, slots=True, order=True)
class Audience:
    """The clients that one set of outbound filters is for.

    ``namespace`` None: the whole mesh, through the root namespace. ``labels``: only the workloads
    with them. ``overrides``: these clients also get the filter of the whole mesh, and this one
    replaces it.
    """

    namespace: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    overrides: bool = False

    def has_extension(self, name: str, service: Service, mesh: Mesh) -> bool:
        """Whether all proxies that a filter of the service for these clients reaches have it."""
        namespace = self.namespace
        if namespace == mesh.root_namespace and service.export_to != {namespace}:
            namespace = None  # what is written there reaches the whole mesh
        return any(rule.covers(namespace, self.labels) for rule in mesh.rules_for(name))
