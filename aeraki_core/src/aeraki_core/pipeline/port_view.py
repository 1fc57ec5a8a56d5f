"""What the generator of a service port made for clients with the same mesh."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aeraki_core.filters.patch import ApplyTo, Operation, Outbound, Patch
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.listeners import Listener
from aeraki_core.model.sidecar import PASSTHROUGH
from aeraki_core.pipeline.own_listeners import Restore
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.dispatch import Generated
from aeraki_core.plugins.port_call import PortCall

__all__ = ["PortView", "changes_cluster", "has_same_effect", "names_of"]


@dataclass(slots=True)
class PortView:
    """What the generator made for clients with equal answers.

    ``generated`` None: the service is not there for them. ``failed``: the generator could not make
    patches. ``restores``: listeners of others that the mesh-wide filter changes. ``balancers``:
    they put Istio's load balancer back where that filter merges another.
    """

    reads: Reads
    call: PortCall
    listeners: tuple[Listener, ...] = ()
    listener_findings: tuple[Finding, ...] = ()
    generated: Generated | None = None
    failed: bool = False
    patches: tuple[Patch, ...] = ()
    refusals: tuple[Finding, ...] = ()
    restores: tuple[Restore, ...] = ()
    balancers: tuple[Patch, ...] = ()
    audiences: list[Audience] = field(default_factory=list)

    @property
    def clients(self) -> frozenset[str | None]:
        """The namespaces of its audiences; None for the whole mesh."""
        return frozenset(audience.namespace for audience in self.audiences)

    @property
    def outbound(self) -> tuple[Patch, ...]:
        """The patches for the clients."""
        return tuple(patch for patch in self.patches if isinstance(patch.side, Outbound))

    @property
    def has_filter(self) -> bool:
        """Whether a network filter is among these patches."""
        return any(patch.apply_to is ApplyTo.NETWORK_FILTER for patch in self.outbound)

    @property
    def replaces_tcp_proxy(self) -> bool:
        """Whether a filter among these patches takes the place of tcp_proxy."""
        return any(
            patch.apply_to is ApplyTo.NETWORK_FILTER and patch.operation is Operation.REPLACE
            for patch in self.outbound
        )

    @property
    def catch_all(self) -> str:
        """Where the clients' calls to no service go; asked only where a listener may have it."""
        shared = any(listener.has_passthrough for listener in self.listeners)
        return self.reads.catch_all() if shared else PASSTHROUGH

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is wrong for these clients."""
        generated = self.generated.findings if self.generated is not None else ()
        return (*self.listener_findings, *generated, *self.refusals)


def has_same_effect(view: PortView, other: PortView) -> bool:
    """Report whether the clients of both have the same filters on the same listeners."""
    mine, theirs = (
        (
            each.listeners,
            each.outbound if each.listeners else (),
            each.restores,
            each.balancers,
            each.catch_all,
        )
        for each in (view, other)
    )
    return view is other or mine == theirs


def changes_cluster(patch: Patch) -> bool:
    """Report whether a patch changes or adds a cluster."""
    return patch.apply_to is ApplyTo.CLUSTER


def names_of(views: Iterable[PortView]) -> list[str]:
    """The clients of views in words; workloads only where their namespace is not among them."""
    clients = {each.client for view in views for each in view.audiences if each.namespace}
    whole = {client.namespace for client in clients if not client.labels}
    return [
        str(client)
        for client in sorted(clients)
        if not client.labels or client.namespace not in whole
    ]
