"""What a plugin's ``aeraki_validate`` may use: the same recorded view of the mesh that generators have.

In: a resource. Out: findings at its fields.
"""

from __future__ import annotations

from typing import Any

from aeraki_core.findings.finding import Code, Finding
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.istio import full_host
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.resource import Kind, Resource
from aeraki_core.model.secret import Secret
from aeraki_core.model.service import Service

__all__ = ["ValidateContext"]


class ValidateContext:
    """What a validator may ask about one resource."""

    def __init__(self, resource: Resource[Any], reads: Reads) -> None:
        self.resource = resource
        self._reads = reads

    @property
    def mesh(self) -> Mesh:
        """The mesh's domain, root namespace and proxies."""
        return self._reads.mesh

    def full_host(self, host: str) -> str:
        """A host as the mesh knows it; a short name is a Service of the resource's namespace."""
        return full_host(host, self.resource.namespace, self.mesh.domain)

    def services_of_host(self, host: str) -> tuple[Service, ...]:
        """The services of a host, short or full; empty when the mesh has none."""
        return self._reads.services_of_host(self.full_host(host))

    def has_host(self, host: str) -> bool:
        """Whether the mesh has a service of that host, short or full."""
        return bool(self.services_of_host(host))

    def resources(self, kind: Kind[Any], host: str) -> tuple[Resource[Any], ...]:
        """Resources of that kind that speak for a host, short or full, the oldest first."""
        return self._reads.resources(kind.kind, self.full_host(host))

    def secret(self, name: str) -> Secret | None:
        """A Secret of the resource's namespace, or None."""
        return self._reads.secret(self.resource.namespace, name)

    @property
    def secrets_read(self) -> tuple[Secret, ...]:
        """The Secrets that were handed out: none of their values may get into a text (used by the core)."""
        return tuple(self._reads.secrets.values())

    def finding(self, code: Code, message: str, field: str | None = None) -> Finding:
        """A finding at the resource."""
        return Finding(code, message, self.resource.ref, field)
