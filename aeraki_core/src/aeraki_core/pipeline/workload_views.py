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
from aeraki_core.mesh.mesh_client import MAX_LABEL_SETS, LabelSets, MeshClient, union_of
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.routes import WeightedCluster, cluster_name
from aeraki_core.model.meta import Label
from aeraki_core.model.service import Port, Service
from aeraki_core.pipeline.own_listeners import Restore, restores
from aeraki_core.pipeline.port_view import PortView
from aeraki_core.plugins.audience import Audience

__all__ = ["MAX_WORKLOADS", "more_workloads", "restores_for_workloads", "unfollowed_selectors"]

MAX_WORKLOADS = 200
"""Sets of labels with a view of their own, for one service port."""


def more_workloads(
    views: Iterable[PortView], reads: Reads, known: set[MeshClient]
) -> Iterator[Audience]:
    """Yield the workloads that may need something else than their namespace.

    One of each namespace, then a second one, so that no tenant uses up the views of others.
    """
    by_namespace = [
        [
            Audience(audience.namespace, labels, overrides=True)
            for labels in _label_sets(audience, reads)
        ]
        for audience in _bases(views)
    ]
    room = MAX_WORKLOADS - sum(1 for client in known if client.labels)
    in_turns = (each for each in chain.from_iterable(zip_longest(*by_namespace)) if each)
    new = [each for each in dict.fromkeys(in_turns) if each.client not in known]
    for audience in new[: max(room, 0)]:
        known.add(audience.client)
        yield audience


def _bases(views: Iterable[PortView]) -> list[Audience]:
    """The clients whose workloads may have views of their own, in order."""
    bases = (
        audience
        for view in views
        if not view.failed
        for audience in view.audiences
        if audience.namespace is not None and not audience.narrows
    )
    return sorted(bases)


def _label_sets(audience: Audience, reads: Reads) -> Iterator[tuple[Label, ...]]:
    if audience.namespace == reads.mesh.root_namespace:
        return
    selectors = reads.record.selectors.get(audience.namespace or "", {})
    for labels in LabelSets.of(selectors.items()).sets:
        union = union_of(audience.labels, labels)
        if union is not None and union != audience.labels:
            yield union


def restores_for_workloads(
    view: PortView, before: Sequence[PortView], service: Service, port: Port
) -> Iterator[Restore]:
    """Yield the listeners that other filters of the port change for these workloads."""
    changed = dict.fromkeys(
        listener for each in before if each.has_filter for listener in each.listeners
    )
    others = (listener for listener in changed if listener not in view.listeners)
    # Where filters stand before tcp_proxy, that one stays as istiod made it.
    replaced = any(each.replaces_tcp_proxy for each in before)
    for restore in restores(others, service, view.reads):
        if replaced or not restore.chain:
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


def unfollowed_selectors(views: Sequence[PortView], reads: Reads, port: Port) -> Iterator[Finding]:
    """Report selectors whose workloads have the filter of all others, once for each namespace."""
    followed = {audience.client for view in views for audience in view.audiences}
    for namespace, selectors in sorted(reads.record.selectors.items()):
        others = next(
            (
                view
                for view in views
                if any(audience.client == MeshClient(namespace) for audience in view.audiences)
            ),
            views[0] if views else None,
        )
        if others is None or others.failed:
            continue
        left_out = [
            MeshClient(namespace, labels)
            for labels in selectors
            if MeshClient(namespace, labels) not in followed
        ]
        differing = [
            client
            for client in islice(left_out, MAX_LABEL_SETS)
            if not reads.for_client(client).agrees_with(others.reads)
        ]
        if not differing:
            continue
        first = differing[0]
        more = f" and of {len(left_out) - 1} more selectors" if len(left_out) > 1 else ""
        reason = (
            "a filter there would reach the whole mesh"
            if namespace == reads.mesh.root_namespace
            else "too many selectors count for the port"
        )
        labels = ",".join(f"{name}={value}" for name, value in first.labels)
        message = (
            f"port {port.number}: workloads with {labels} in {namespace}{more} obey this object, "
            f"but their filter is made without it: {reason}"
        )
        yield Finding(
            UNFOLLOWED_SELECTOR, message, selectors[first.labels], "spec.workloadSelector"
        )
