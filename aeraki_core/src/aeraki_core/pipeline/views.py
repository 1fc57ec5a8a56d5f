"""The runs of one service port's generator, one for each group of clients with the same mesh.

Most ports need one view, which is mesh-wide. The questions of the generator name the namespaces
whose answers may differ. A namespace with other answers gets a view of its own, whose filter
overrides the mesh-wide one there; equal answers share a view. See docs/internals/views.md.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest

from aeraki_core.filters.patch import ApplyTo, Inbound, Operation, Outbound, Patch
from aeraki_core.findings.codes import (
    CLUSTER_SHARED,
    FOREIGN_CLUSTER,
    LISTENER_TAKEN,
    TOO_MANY_VIEWS,
)
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.listeners import Listener
from aeraki_core.model.service import Port, Service
from aeraki_core.model.sidecar import PASSTHROUGH
from aeraki_core.pipeline.audiences import (
    EVERYBODY,
    is_everybodys,
    is_theirs,
    namespaces_with_extensions,
)
from aeraki_core.pipeline.authority import foreign_changes
from aeraki_core.pipeline.balancers import balancer_restore, only_balancer
from aeraki_core.pipeline.own_listeners import Restore, own_listeners, restores
from aeraki_core.pipeline.port_output import OutboundPatches
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.context import Detect
from aeraki_core.plugins.dispatch import Dispatcher, Generated
from aeraki_core.plugins.port_call import PortCall
from aeraki_core.plugins.types import Protocol

__all__ = ["PortView", "ViewRunner"]

MAX_VIEWS = 200
"""Of client namespaces with a filter of their own for one service port.

More would let one object cost minutes. As many again may have one because of what others say.
"""


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
    def findings(self) -> tuple[Finding, ...]:
        """All that is wrong for these clients."""
        generated = self.generated.findings if self.generated is not None else ()
        return (*self.listener_findings, *generated, *self.refusals)


@dataclass(slots=True)
class ViewRunner:
    """Runs the generator of one service port, view by view.

    The first view is the mesh-wide one, if there is one.
    """

    service: Service
    port: Port
    protocol: Protocol
    reads: Reads
    dispatcher: Dispatcher
    detect: Detect
    views: list[PortView] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)

    def run_for_clients(self, audiences: tuple[Audience, ...]) -> None:
        """Make a view for each audience, and for each namespace that may see something else."""
        todo = deque(audiences)
        known = {audience.namespace for audience in audiences if not audience.labels}
        counts: Counter[bool] = Counter()
        while todo:
            audience = todo.popleft()
            self._view_of(audience).audiences.append(audience)
            if self.mesh_wide_failed():
                return  # the last good filters stay, so that the overrides fit them
            if self._mesh_wide() is None:
                continue
            own, named = self._more_namespaces()
            self.dropped = set()
            # Whom only others name has a limit of its own, and who names them take turns: nobody
            # uses up that of the rest.
            for is_own, namespaces in ((True, sorted(own)), (False, named)):
                for namespace in namespaces:
                    if namespace in known:
                        continue
                    if counts[is_own] < MAX_VIEWS:
                        counts[is_own] += 1
                        known.add(namespace)
                        todo.append(Audience(namespace, overrides=True))
                    else:
                        self.dropped.add(namespace)

    def run_for_workloads(self) -> None:
        """Run for the inbound side only: the workload's proxies have the extension, no client."""
        audience = Audience(self.service.namespace, self.service.selector)
        view = self._view(audience)
        if any(self._is_covered(side) for side in view.call.context.inbound):
            self._generate(view)
            self.views.append(view)

    def mesh_wide_failed(self) -> bool:
        """Whether there is no mesh-wide filter because the generator failed."""
        mesh_wide = self._mesh_wide()
        return mesh_wide is not None and mesh_wide.failed

    def changes_clusters(self) -> bool:
        """Whether a filter for clients changes a cluster."""
        return any(_changes_cluster(patch) for view in self.views for patch in view.outbound)

    def inbound_view(self) -> PortView:
        """The view of the service's own namespace, where the workloads are.

        It may know a password that is not exported to everybody.
        """
        own = self.service.namespace
        return next(
            (
                view
                for view in self.views
                if view.generated is not None and own in {each.namespace for each in view.audiences}
            ),
            next((view for view in self.views if not view.failed), self.views[0]),
        )

    def inbound(self, view: PortView) -> tuple[Patch, ...]:
        """The inbound patches of a view for workloads whose proxies have the extension."""
        return tuple(
            patch
            for patch in view.patches
            if isinstance(patch.side, Inbound) and self._is_covered(patch.side)
        )

    def outbound(self) -> Iterator[OutboundPatches]:
        """Yield the patches of each audience.

        An override without a difference is left out: its clients have the mesh-wide filter.
        """
        first = self.views[0]
        for view in self.views:
            if view.failed:
                continue
            for audience in view.audiences:
                if not audience.overrides:
                    if view.listeners:
                        yield OutboundPatches(
                            audience=audience,
                            listeners=view.listeners,
                            patches=view.outbound,
                            weight_sets=view.call.recorder.weight_sets,
                            clients=view.clients,
                            catch_all=_catch_all(view),
                        )
                    continue
                restored = self._restores(first, view)
                patches = view.outbound if view.listeners else ()
                if {*view.listeners} <= {*first.listeners}:
                    # What the mesh-wide filter does already is not done twice.
                    patches = tuple(patch for patch in patches if patch not in first.outbound)
                patches = (*patches, *view.balancers)
                if restored or patches:
                    yield OutboundPatches(
                        audience=audience,
                        listeners=view.listeners,
                        patches=patches,
                        restores=restored,
                        weight_sets=view.call.recorder.weight_sets if patches else (),
                        clients=view.clients,
                        catch_all=_catch_all(view),
                    )

    def findings(self) -> Iterator[Finding]:
        """The findings of all views, each once.

        One that only some clients have names their namespaces, or those of all others.
        """
        told: set[Finding] = set()
        of_views = [(view, frozenset(view.findings)) for view in self.views]
        for view in self.views:
            overrides = all(each.overrides for each in view.audiences) and bool(view.audiences)
            for finding in view.findings:
                if finding in told or (overrides and finding.code is LISTENER_TAKEN):
                    # Another service's listener is restored for these clients, so nothing is wrong.
                    continue
                told.add(finding)
                yield self._addressed(finding, of_views)
            if overrides and view.generated is not None and not view.failed:
                yield from self._shared_clusters(view, _namespaces([view]))
        if self.dropped:
            message = (
                f"port {self.port.number}: clients in more than "
                f"{MAX_VIEWS} namespaces may need a filter of their own; "
                f"those in {_listed(sorted(self.dropped))} have the mesh-wide one"
            )
            yield Finding(TOO_MANY_VIEWS, message, self.service.ref)

    def _addressed(
        self, finding: Finding, of_views: Sequence[tuple[PortView, frozenset[Finding]]]
    ) -> Finding:
        """The finding with the namespaces of the clients that it is about, unless it is for all."""
        having = [view for view, findings in of_views if finding in findings]
        lacking = [
            view
            for view, findings in of_views
            if view.generated is not None and finding not in findings
        ]
        mesh_wide = self._mesh_wide()
        where, views = "", having
        # Name the smaller side: those who have the problem, or those who do not.
        if mesh_wide is not None and not any(view is mesh_wide for view in having):
            where = "in"
        elif finding.ref is not None and mesh_wide is not None:
            where, views = "outside", lacking
        elif finding.ref is not None and (lacking or not is_everybodys(self.service, self.reads)):
            where = "in"
        names = _namespaces(views)
        if not where or not names:
            return finding
        clients = f"{where} {_listed(names)}"
        return replace(finding, message=f"clients {clients}: {finding.message}")

    def _mesh_wide(self) -> PortView | None:
        first = self.views[0] if self.views else None
        return first if first is not None and EVERYBODY in first.audiences else None

    def _more_namespaces(self) -> tuple[set[str], list[str]]:
        """Client namespaces that may need something else than the mesh-wide filter.

        By objects of their own or of the service's namespace, and by those of others: one that each
        of these names, then a second one.
        """
        mesh = self.reads.mesh
        record, root = self.reads.record, {mesh.root_namespace}
        own = record.clients - root
        for view in self.views:
            if view.generated is not None and view.call.recorder.extensions:
                own |= namespaces_with_extensions(view.call, mesh)
        if not record.named:
            return own, []
        by_author = (sorted(names - own - root) for _, names in sorted(record.named.items()))
        in_turns = chain.from_iterable(zip_longest(*by_author))
        return own, [namespace for namespace in dict.fromkeys(in_turns) if namespace is not None]

    def _view_of(self, audience: Audience) -> PortView:
        """A view whose clients get the same answers to everything that is asked for them.

        A new one if there is none.
        """
        fresh = self._view(audience)
        for view in self.views:
            same_extensions = all(
                fresh.call.has_extension(name) == view.call.has_extension(name)
                for name in tuple(view.call.recorder.extensions)
            )
            if same_extensions and fresh.reads.agrees_with(view.reads):
                return view
        self.views.append(fresh)
        if is_theirs(self.service, fresh.reads):
            fresh.listeners, fresh.listener_findings = own_listeners(
                self.service, self.port, fresh.reads
            )
            self._generate(fresh)
            if audience.overrides and not _has_filter(fresh):
                # Asked here, so that clients with another answer get a view of their own.
                fresh.call.context.tcp_route()
        if audience.overrides:
            # Also where it is not the service of these clients: its mesh-wide filter may reach
            # their listeners.
            fresh.restores = restores(self.views[0].listeners, self.service, fresh.reads)
            fresh.balancers = tuple(self._balancers(fresh))
        return fresh

    def _view(self, audience: Audience) -> PortView:
        client = audience.namespace
        reads = self.reads if client is None else self.reads.for_client(client)
        call = self.dispatcher.prepare(
            self.protocol,
            self.service,
            self.port,
            audience=audience,
            reads=reads,
            detect=self.detect,
        )
        return PortView(reads, call)

    def _generate(self, view: PortView) -> None:
        generated = self.dispatcher.extend(view.call, self.dispatcher.generate(view.call))
        foreign = tuple(foreign_changes(generated.patches or (), view.call.context))
        if foreign:
            # To leave out one change would alter what works. So the last good filter stays whole.
            generated = replace(generated, patches=None)
        view.generated = generated
        view.failed = generated.patches is None
        view.patches = generated.patches or ()
        plugin = self.dispatcher.registry.owner(self.protocol).title
        view.refusals = tuple(
            Finding(
                FOREIGN_CLUSTER,
                f"port {self.port.number}: {plugin} may not {change}; "
                "what was written before stays",
                self.service.ref,
            )
            for change in foreign
        )

    def _is_covered(self, side: Inbound) -> bool:
        """Whether the proxies of these workloads are known to have the protocol's extension."""
        extension = self.protocol.extension
        return extension.stock or any(
            rule.covers(self.service.namespace, side.selector)
            for rule in self.reads.mesh.rules_for(extension.name)
        )

    def _restores(self, mesh_wide: PortView, view: PortView) -> tuple[Restore, ...]:
        """What the mesh-wide filter must not change for these clients."""
        if not _has_filter(mesh_wide):
            return ()
        # Where the filter stands before tcp_proxy, that one stays as istiod made it.
        replaces = any(patch.operation is Operation.REPLACE for patch in mesh_wide.outbound)
        restored = tuple(each for each in view.restores if replaces or not each.chain)
        if view.generated is None or _has_filter(view):
            return restored
        clusters = view.call.context.tcp_route().clusters
        return (*restored, *(Restore(listener.name, clusters) for listener in view.listeners))

    def _balancers(self, view: PortView) -> Iterator[Patch]:
        """Merges that put Istio's load balancer back for these clients."""
        mesh_wide = self.views[0]
        changed = {patch.side.cluster for patch in view.outbound if _changes_cluster(patch)}
        for patch in mesh_wide.outbound if mesh_wide.listeners else ():
            is_merge = _changes_cluster(patch) and patch.operation is Operation.MERGE
            if is_merge and patch.side.cluster not in changed:
                restore = balancer_restore(patch, self.service.host, self.port.number, view.reads)
                if restore is not None:
                    yield restore

    def _shared_clusters(self, view: PortView, namespaces: list[str]) -> Iterator[Finding]:
        """Report changes of Istio's clusters that these clients should not get.

        They reach the whole mesh, and no filter can undo them for some clients.
        """
        if self.views[0].listeners and any(
            _changes_cluster(patch)
            and patch not in view.outbound
            and not _is_unused(patch, view)
            and not _is_restored(patch, view)
            for patch in self.views[0].outbound
        ):
            message = (
                f"port {self.port.number}: the filter of the mesh changes "
                f"{self.service.host}'s cluster in a way that clients in "
                f"{_listed(namespaces)} should not get, because other rules apply to them"
            )
            yield Finding(CLUSTER_SHARED, message, self.service.ref)


def _changes_cluster(patch: Patch) -> bool:
    return patch.apply_to is ApplyTo.CLUSTER


def _is_restored(merged: Patch, view: PortView) -> bool:
    """Whether these clients get Istio's load balancer back, which is all that the merge changes."""
    cluster = merged.side.cluster
    return any(each.side.cluster == cluster for each in view.balancers) and only_balancer(merged)


def _is_unused(patch: Patch, view: PortView) -> bool:
    """Whether no filter of these clients names the cluster.

    It is another one of ours, or they have one of ours in the place of Istio's.
    """
    added = {each.name for each in view.outbound if each.operation is Operation.ADD}
    return patch.name not in added if patch.operation is Operation.ADD else bool(added)


def _catch_all(view: PortView) -> str:
    """Where the clients' calls to no service go; asked only where a listener may have a chain."""
    shared = any(listener.has_passthrough for listener in view.listeners)
    return view.reads.catch_all() if shared else PASSTHROUGH


def _has_filter(view: PortView) -> bool:
    return any(patch.apply_to is ApplyTo.NETWORK_FILTER for patch in view.outbound)


def _namespaces(views: Iterable[PortView]) -> list[str]:
    return sorted({each.namespace for view in views for each in view.audiences if each.namespace})


def _listed(names: Iterable[str]) -> str:
    """Some names, and how many more."""
    listed = [*names]
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
