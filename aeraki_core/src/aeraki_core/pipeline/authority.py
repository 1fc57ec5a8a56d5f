"""Which clusters a plugin may change.

Those of the service that it generates for, and clusters of its own.

A route to somebody else's host must never change that host's cluster for the whole mesh. This is
checked here, once, for all plugins, in the mesh as the clients see it.
"""

from __future__ import annotations

from collections.abc import Iterable

from aeraki_core.filters.cluster_name import ClusterName
from aeraki_core.filters.patch import ApplyTo, Operation, Patch
from aeraki_core.findings.codes import FOREIGN_CLUSTER
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.reads import Reads
from aeraki_core.plugins.context import GenerateContext

__all__ = ["OWN_PREFIX", "allowed_patches"]

OWN_PREFIX = "aeraki"
"""How the names of clusters begin that a plugin adds. Istio gives no cluster such a name."""


def allowed_patches(
    patches: Iterable[Patch], context: GenerateContext, reads: Reads, plugin: str
) -> tuple[tuple[Patch, ...], tuple[Finding, ...]]:
    """The patches without those that change clusters of others, and a finding for each of those."""
    allowed: list[Patch] = []
    findings: list[Finding] = []
    for patch in patches:
        reason = _why_refused(patch, context, reads)
        if reason is None:
            allowed.append(patch)
            continue
        message = f"port {context.port.number}: {plugin} may not {patch.operation.lower()} {reason}"
        findings.append(
            Finding(FOREIGN_CLUSTER, f"{message}; this change is left out", context.service.ref)
        )
    return tuple(allowed), tuple(findings)


def _why_refused(patch: Patch, context: GenerateContext, reads: Reads) -> str | None:
    if patch.apply_to is not ApplyTo.CLUSTER:
        return None
    if patch.operation is Operation.ADD:
        if patch.name.startswith(OWN_PREFIX):
            return None
        return f"cluster {patch.name}: names of added clusters begin with {OWN_PREFIX}"
    name = patch.name if patch.operation is Operation.REPLACE else patch.side.cluster
    own = {context.outbound.cluster, *(side.cluster for side in context.inbound)}
    if name in own or _is_neighbours(name, context, reads):
        return None
    return f"cluster {name}, which is not the service's own"


def _is_neighbours(name: str, context: GenerateContext, reads: Reads) -> bool:
    """Whether the cluster belongs to a service of the same namespace, which the same people own."""
    try:
        cluster = ClusterName.parse(name)
    except ValueError:
        return False
    services = reads.services_of_host(cluster.host)
    return cluster.direction == "outbound" and any(
        service.namespace == context.service.namespace for service in services
    )
