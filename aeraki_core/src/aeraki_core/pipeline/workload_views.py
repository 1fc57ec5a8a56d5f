"""The views of workloads that objects of their own namespace select by labels.

Their filter is in their namespace, with a workloadSelector. It comes after those of the mesh, of
the namespace, and of workloads with fewer labels. Which of these changed a listener before it is
not followed: it puts tcp_proxy back, and then changes the listener as if it was the only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest

from aeraki_core.findings.codes import UNFOLLOWED_SELECTOR
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.mesh_client import MAX_LABEL_SETS, MeshClient, label_sets, union_of
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.routes import WeightedCluster, cluster_name
from aeraki_core.model.listeners import Listener
from aeraki_core.model.meta import Label
from aeraki_core.model.service import Port, Service
from aeraki_core.pipeline.own_listeners import PASSTHROUGH_CHAIN, Restore, restores
from aeraki_core.pipeline.port_view import PortView
from aeraki_core.plugins.audience import Audience

__all__ = ["MAX_WORKLOADS", "more_workloads", "restores_for_workloads", "unfollowed_selectors"]

MAX_WORKLOADS = 200
"""Sets of labels with a view of their own, for one service port."""


def more_workloads(
    views: Sequence[PortView], reads: Reads, known: set[MeshClient]
) -> Iterator[Audience]:
    """Yield the workloads that may need something else than their namespace.

    One of each namespace, then a second one, so that no tenant uses up the views of others.
    """
    root = reads.mesh.root_namespace
    by_namespace = [
        [Audience(base.namespace, labels, overrides=True) for labels in _label_sets(base, reads)]
        for base in _bases(views, reads)
        if base.namespace != root
    ]
    room = MAX_WORKLOADS - sum(1 for client in known if client.labels)
    in_turns = (each for each in chain.from_iterable(zip_longest(*by_namespace)) if each)
    new = [each for each in dict.fromkeys(in_turns) if each.client not in known]
    for audience in new[: max(room, 0)]:
        known.add(audience.client)
        yield audience


def _bases(views: Sequence[PortView], reads: Reads) -> list[Audience]:
    """The clients with selectors in their namespace, in order."""
    selectors = reads.record.selectors
    audiences = [audience for view in views for audience in view.audiences]
    if any(audience.namespace is None for audience in audiences):
        return [Audience(namespace) for namespace in sorted(selectors)]
    return sorted(each for each in audiences if each.namespace in selectors and not each.narrows)


def _label_sets(base: Audience, reads: Reads) -> Iterator[tuple[Label, ...]]:
    for labels in label_sets(reads.record.selectors[base.namespace or ""]):
        union = union_of(base.labels, labels)
        if union is not None and union != base.labels:
            yield union


def restores_for_workloads(
    view: PortView, before: Sequence[PortView], service: Service, port: Port
) -> Iterator[Restore]:
    """Yield the listeners that other filters of the port change for these workloads."""
    changed = dict.fromkeys(
        listener for each in before if each.has_filter for listener in each.listeners
    )
    if any(each.replaces_tcp_proxy for each in before):
        yield from _catch_all_chains(view, before, changed)
    others = (listener for listener in changed if listener not in view.listeners)
    for restore in restores(others, service, view.reads):
        if not restore.chain:
            yield restore
    if view.replaces_tcp_proxy or view.generated is None:
        # What takes its place here knows the clusters.
        cluster = cluster_name(port.number, service.host)
        clusters: tuple[WeightedCluster, ...] = (
            WeightedCluster(cluster=cluster, weight=1, host=service.host, port=port.number),
        )
    else:
        clusters = view.call.context.tcp_route().clusters
    for listener in view.listeners:
        if listener in changed:
            yield Restore(listener.name, clusters)


def _catch_all_chains(
    view: PortView, before: Sequence[PortView], changed: Iterable[Listener]
) -> Iterator[Restore]:
    """Yield the chains for calls to no service, where filters before send these elsewhere."""
    for listener in changed:
        if listener.has_passthrough:
            catch_all = view.reads.catch_all()
            if any(each.reads.catch_all() != catch_all for each in before):
                cluster = WeightedCluster(cluster=catch_all, weight=1, host="", port=0)
                yield Restore(listener.name, (cluster,), PASSTHROUGH_CHAIN)


def unfollowed_selectors(views: Sequence[PortView], reads: Reads, port: Port) -> Iterator[Finding]:
    """Report selectors whose workloads have the filter of all others, once for each namespace."""
    by_client = {audience.client: view for view in views for audience in view.audiences}
    for base in _bases(views, reads):
        others = by_client.get(base.client, views[0])
        if others.failed:
            continue
        selectors = reads.record.selectors[base.namespace or ""]
        left_out = [
            MeshClient(base.namespace, labels)
            for labels in selectors
            if MeshClient(base.namespace, labels) not in by_client
            and not base.client.is_selected_by(labels)
            and union_of(base.labels, labels) is not None
        ]
        differing = (
            client
            for client in islice(left_out, MAX_LABEL_SETS)
            if not reads.for_client(client).agrees_with(others.reads)
        )
        client = next(differing, None)
        if client is None:
            continue
        more = f" and of {len(left_out) - 1} more selectors" if len(left_out) > 1 else ""
        is_root = base.namespace == reads.mesh.root_namespace
        reason = (
            "a filter there would reach the whole mesh"
            if is_root
            else "too many selectors count for the port"
        )
        selected = ",".join(f"{name}={value}" for name, value in client.labels)
        message = (
            f"port {port.number}: workloads with {selected} in {base.namespace}{more} obey this "
            f"object, but their filter is made without it: {reason}"
        )
        ref = selectors[client.labels]
        yield Finding(UNFOLLOWED_SELECTOR, message, ref, "spec.workloadSelector")
