"""The runs of one service port's generator, one for each group of clients with the same mesh.

Most ports need one view, which is mesh-wide. The questions of the generator name the namespaces
whose answers may differ. A namespace with other answers gets a view of its own, whose filter
overrides the mesh-wide one there; equal answers share a view. See docs/internals/views.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest

from aeraki_core.filters.patch import Inbound, Operation, Patch
from aeraki_core.findings.codes import (
    CLUSTER_SHARED,
    FOREIGN_CLUSTER,
    LISTENER_TAKEN,
    TOO_MANY_VIEWS,
)
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.mesh_client import EVERYBODY_ELSE, MeshClient
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.service import Port, Service
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
from aeraki_core.pipeline.port_view import PortView, changes_cluster, has_same_effect, names_of
from aeraki_core.pipeline.workload_views import (
    more_workloads,
    restores_for_workloads,
    unfollowed_selectors,
)
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.context import Detect
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.types import Protocol

__all__ = ["ViewRunner"]

MAX_VIEWS = 200
"""Of client namespaces with a filter of their own for one service port.

More would let one object cost minutes. As many again may have one because of what others say.
"""


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
    views_in: defaultdict[str | None, list[tuple[Audience, PortView]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def run_for_clients(self, audiences: tuple[Audience, ...]) -> None:
        """Make a view for each audience, and for all clients that may see something else."""
        todo = deque(audiences)
        known = {audience.client for audience in audiences}
        counts: Counter[bool] = Counter()
        while todo:
            audience = todo.popleft()
            self._view_of(audience).audiences.append(audience)
            if self.mesh_wide_failed():
                return  # the last good filters stay, so that the overrides fit them
            if self._mesh_wide() is not None:
                todo += self._more_namespaces(known, counts)
            if not todo and self.reads.record.selectors:
                # All namespaces are there, and those with selectors take turns.
                todo += more_workloads(self.views, self.reads, known)

    def run_for_workloads(self) -> None:
        """Run for the inbound side only: the workload's proxies have the extension, no client."""
        audience = Audience(self.service.namespace, self.service.selector)
        view = self._view(audience, MeshClient(self.service.namespace))
        if any(self._is_covered(side) for side in view.call.context.inbound):
            self._generate(view)
            self.views.append(view)

    def mesh_wide_failed(self) -> bool:
        """Whether there is no mesh-wide filter because the generator failed."""
        mesh_wide = self._mesh_wide()
        return mesh_wide is not None and mesh_wide.failed

    def changes_clusters(self) -> bool:
        """Whether a filter for clients changes a cluster."""
        return any(changes_cluster(patch) for view in self.views for patch in view.outbound)

    def inbound_view(self) -> PortView:
        """The view of the service's own namespace, where the workloads are.

        It may know a password that is not exported to everybody.
        """
        own = self.service.namespace
        return next(
            (
                view
                for view in self.views
                if view.generated is not None
                and any(each.namespace == own and not each.narrows for each in view.audiences)
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
                restored: tuple[Restore, ...] = ()
                patches = view.outbound if view.listeners else ()
                if audience.narrows:
                    nearest = self._nearest(audience)
                    if any(each.failed for each in nearest) or all(
                        has_same_effect(view, each) for each in nearest
                    ):
                        continue
                    before = self._before(audience)
                    restored = tuple(restores_for_workloads(view, before, self.service, self.port))
                    patches = (*patches, *self._balancers(view, before))
                elif audience.overrides:
                    restored = self._restores(first, view)
                    if {*view.listeners} <= {*first.listeners}:
                        # What the mesh-wide filter does already is not done twice.
                        patches = tuple(patch for patch in patches if patch not in first.outbound)
                    patches = (*patches, *view.balancers)
                if patches or restored or (view.listeners and not audience.overrides):
                    yield OutboundPatches(
                        audience=audience,
                        listeners=view.listeners,
                        patches=patches,
                        restores=restored,
                        weight_sets=view.call.recorder.weight_sets if patches else (),
                        clients=view.clients,
                        catch_all=view.catch_all,
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
                yield from self._shared_clusters(view, names_of([view]))
        if self.reads.record.selectors:
            yield from unfollowed_selectors(self.views, self.reads, self.port)
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
        names = names_of(views)
        if not where or not names:
            return finding
        clients = f"{where} {_listed(names)}"
        return replace(finding, message=f"clients {clients}: {finding.message}")

    def _mesh_wide(self) -> PortView | None:
        first = self.views[0] if self.views else None
        return first if first is not None and EVERYBODY in first.audiences else None

    def _before(self, audience: Audience) -> list[PortView]:
        """The views whose filters istiod applies to these clients before theirs."""
        root = self.reads.mesh.root_namespace
        views = {
            id(view): view
            for namespace in (None, root, audience.namespace)
            for each, view in self._views_in().get(namespace, ())
            if each.comes_before(audience, root)
        }
        return [*views.values()]

    def _nearest(self, audience: Audience) -> list[PortView]:
        """The same without the filter of the mesh, where the namespace overrides it."""
        root = self.reads.mesh.root_namespace
        of_namespace = [
            view
            for each, view in self._views_in().get(audience.namespace, ())
            if each.comes_before(audience, root)
        ]
        return of_namespace or self._before(audience)

    def _views_in(self) -> Mapping[str | None, Sequence[tuple[Audience, PortView]]]:
        """The views by the namespace of their clients, once all are made."""
        if not self.views_in:
            for view in self.views:
                for audience in view.audiences:
                    self.views_in[audience.namespace].append((audience, view))
        return self.views_in

    def _more_namespaces(self, known: set[MeshClient], counts: Counter[bool]) -> Iterator[Audience]:
        """Yield the client namespaces that may need something else than the mesh-wide filter.

        Those named by objects of their own or of the service's namespace, and those named by
        others: one that each of these names, then a second one.
        """
        mesh = self.reads.mesh
        record, root = self.reads.record, {mesh.root_namespace}
        own = record.clients - root
        for view in self.views:
            if view.generated is not None and view.call.recorder.extensions:
                own |= namespaces_with_extensions(view.call, mesh)
        named: list[str] = []
        if record.named:
            by_author = (sorted(names - own - root) for _, names in sorted(record.named.items()))
            in_turns = dict.fromkeys(chain.from_iterable(zip_longest(*by_author)))
            named = [namespace for namespace in in_turns if namespace is not None]
        self.dropped = set()
        # Whom only others name has a limit of its own, and who names them take turns: nobody uses
        # up that of the rest.
        for is_own, namespaces in ((True, sorted(own)), (False, named)):
            for namespace in namespaces:
                client = MeshClient(namespace)
                if client in known:
                    continue
                if counts[is_own] < MAX_VIEWS:
                    counts[is_own] += 1
                    known.add(client)
                    yield Audience(namespace, overrides=True)
                else:
                    self.dropped.add(namespace)

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
            if audience.overrides and not (
                fresh.replaces_tcp_proxy if audience.labels else fresh.has_filter
            ):
                # Asked here, so that clients with another answer get a view of their own.
                fresh.call.context.tcp_route()
        if audience.overrides:
            # Also where it is not the service of these clients: its mesh-wide filter may reach
            # their listeners.
            fresh.restores = restores(self.views[0].listeners, self.service, fresh.reads)
            others = self.views[:-1] if audience.narrows else self.views[:1]
            fresh.balancers = tuple(self._balancers(fresh, others))
        return fresh

    def _view(self, audience: Audience, client: MeshClient | None = None) -> PortView:
        client = client or audience.client
        reads = self.reads if client == EVERYBODY_ELSE else self.reads.for_client(client)
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
        if not mesh_wide.has_filter:
            return ()
        # Where the filter stands before tcp_proxy, that one stays as istiod made it.
        replaces = mesh_wide.replaces_tcp_proxy
        restored = tuple(each for each in view.restores if replaces or not each.chain)
        if view.generated is None or view.has_filter:
            return restored
        clusters = view.call.context.tcp_route().clusters
        return (*restored, *(Restore(listener.name, clusters) for listener in view.listeners))

    def _balancers(self, view: PortView, before: Iterable[PortView]) -> Iterator[Patch]:
        """Merges that put Istio's load balancer back for these clients."""
        changed = {patch.side.cluster for patch in view.outbound if changes_cluster(patch)}
        restored: set[str] = set()
        for patch in (patch for each in before if each.listeners for patch in each.outbound):
            cluster = patch.side.cluster
            is_merge = changes_cluster(patch) and patch.operation is Operation.MERGE
            if is_merge and cluster not in changed | restored:
                restore = balancer_restore(patch, self.service.host, self.port.number, view.reads)
                if restore is not None:
                    restored.add(cluster)
                    yield restore

    def _shared_clusters(self, view: PortView, clients: list[str]) -> Iterator[Finding]:
        """Report changes of Istio's clusters that these clients should not get.

        They reach the whole mesh or namespace, and no filter can undo them for some clients.
        """
        before = {id(each): each for audience in view.audiences for each in self._before(audience)}
        if any(
            changes_cluster(patch)
            and patch not in view.outbound
            and not _is_unused(patch, view)
            and not _is_restored(patch, view)
            for each in before.values()
            for patch in (each.outbound if each.listeners else ())
        ):
            message = (
                f"port {self.port.number}: the filter for more clients changes "
                f"{self.service.host}'s cluster in a way that clients in "
                f"{_listed(clients)} should not get, because other rules apply to them"
            )
            yield Finding(CLUSTER_SHARED, message, self.service.ref)


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


def _listed(names: Iterable[str]) -> str:
    """Some names, and how many more."""
    listed = [*names]
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
