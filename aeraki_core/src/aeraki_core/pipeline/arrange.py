"""In which EnvoyFilter each patch lives: names, namespaces, scopes and order.

Only this module knows of them; a plugin says what to change on which side. In: the output of
service ports. Out: :class:`Placement` values by group (:func:`place`), and the EnvoyFilters of each
group (:func:`assemble_outbound`, :func:`assemble_inbound`). Facts: docs/internals/istio.md,
"EnvoyFilter", "Addresses and outbound TCP listeners", "Inbound".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from sys import intern

from aeraki_core.filters.cluster_name import ClusterName
from aeraki_core.filters.envoyfilter import ConfigPatch, EnvoyFilter, FilterKey, Match, ServicePort
from aeraki_core.filters.names import inbound_name, outbound_name, packed_name
from aeraki_core.filters.output import Output
from aeraki_core.filters.patch import ApplyTo, FrozenMessage, Inbound, Operation, Patch, pack
from aeraki_core.findings.codes import INBOUND_TAKEN
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.weight_sets import WeightSet
from aeraki_core.model.listeners import Listener
from aeraki_core.model.mesh import Mesh
from aeraki_core.pipeline.companions import companions_of
from aeraki_core.pipeline.own_listeners import PASSTHROUGH_CHAIN, Restore
from aeraki_core.pipeline.placement import InboundGroup, OutboundGroup, Placement, by_age
from aeraki_core.pipeline.port_output import OutboundPatches, PortOutput, PortRun
from aeraki_core.plugins.audience import Audience

__all__ = [
    "AUTO",
    "Arrangement",
    "arrangement_of",
    "assemble_inbound",
    "assemble_outbound",
    "place",
]

TCP_PROXY = "envoy.filters.network.tcp_proxy"
VIRTUAL_INBOUND = "virtualInbound"
OUTBOUND, INBOUND = "SIDECAR_OUTBOUND", "SIDECAR_INBOUND"

# Above 0: a user's own filters, of priority 0, come first, so one that anchors at tcp_proxy still
# finds it. MERGE patches come last in any case (docs/internals/istio.md, "EnvoyFilter"). An
# override comes after the mesh-wide filter, whose patches it replaces. A filter of a port that has
# none for the whole mesh comes after both: where the listener belongs to its service, an override
# of another service frees it.
PRIORITY, OVERRIDE_PRIORITY, LOCAL_PRIORITY, LAST_PRIORITY = 10, 11, 12, 19


class Arrangement(StrEnum):
    """How patches are spread over outbound EnvoyFilters.

    - SERVICE: one filter for each service port
    - NAMESPACE: one for each plugin and namespace of services
    - IMPORTS: one for each service port in each namespace that imports the service, where Sidecars
      leave it to few; one for the whole mesh elsewhere
    """

    SERVICE = "service"
    NAMESPACE = "namespace"
    IMPORTS = "imports"


AUTO = "auto"
"""The setting that leaves the arrangement to us."""


def arrangement_of(setting: str, *, sees_all: bool) -> Arrangement:
    """Return the arrangement that a setting asks for.

    ``sees_all``: the sources read the Sidecars of every namespace. Otherwise a namespace could
    import a service without our knowledge, so only the filter of the whole mesh is sure to serve.
    """
    if setting == AUTO:
        return Arrangement.IMPORTS if sees_all else Arrangement.SERVICE
    return Arrangement(setting)


def place(output: PortOutput, mesh: Mesh, arrangement: Arrangement) -> tuple[Placement, ...]:
    """File the patches of one service port. Nothing is placed for an audience without patches."""
    exports = _weight_exports(output, mesh)
    placements = [
        _outbound(output, for_audience, mesh, arrangement, exports)
        for for_audience in output.outbound
        if for_audience.patches or for_audience.restores
    ]
    by_side: dict[Inbound, list[Patch]] = defaultdict(list)
    for patch in output.inbound:
        if isinstance(patch.side, Inbound):
            by_side[patch.side].append(patch)
    placements += [_inbound(output.run, side, patches) for side, patches in by_side.items()]
    return tuple(_sharing(placements) if output.run.by_import else placements)


def _sharing(placements: Iterable[Placement]) -> Iterator[Placement]:
    """The placements, of which those of many namespaces keep equal patches once."""
    patches: dict[tuple[ConfigPatch, ...], tuple[ConfigPatch, ...]] = {}
    for each in placements:
        yield replace(each, patches=patches.setdefault(each.patches, each.patches))


def _weight_exports(output: PortOutput, mesh: Mesh) -> dict[str, tuple[str, ...]]:
    """To whom each weight set is exported, by its host: all clients whose filters name it."""
    clients: dict[str, set[str]] = defaultdict(set)
    for for_audience in output.outbound:
        for weight_set in for_audience.weight_sets:
            clients[weight_set.host].update(
                "*" if client in (None, mesh.root_namespace) else client
                for client in for_audience.clients
            )
    return {
        host: ("*",) if "*" in names else tuple(sorted(names)) for host, names in clients.items()
    }


def _outbound(
    output: PortOutput,
    for_audience: OutboundPatches,
    mesh: Mesh,
    arrangement: Arrangement,
    exports: Mapping[str, tuple[str, ...]],
) -> Placement:
    run, audience = output.run, for_audience.audience
    scope = [f"{key}={value}" for key, value in audience.labels]
    if not run.is_everybodys:
        # The owner of the host may have a filter in this namespace, too.
        scope.append(str(run.service.ref))
    if run.by_import:
        # Beside an override of the same namespace, which stays until the mesh-wide filter goes.
        scope.append(str(Arrangement.IMPORTS))
    if arrangement is Arrangement.NAMESPACE and not scope and not audience.overrides:
        name = packed_name(run.plugin, run.service.namespace)
    else:
        name = outbound_name(run.service.host, run.port.number, scope=",".join(scope))
    key = FilterKey(audience.namespace or mesh.root_namespace, intern(name))
    before = tuple(_before(output, audience, mesh)) if audience.overrides else ()
    filters = {
        patch.name: patch.operation
        for patch in before
        if patch.apply_to is ApplyTo.NETWORK_FILTER and patch.operation is not Operation.MERGE
    }
    clusters = {
        patch.name
        for patch in before
        if patch.apply_to is ApplyTo.CLUSTER and patch.operation is not Operation.MERGE
    }
    patches: list[ConfigPatch] = []
    for restore in for_audience.restores:
        patches += _restore_patches(restore, filters)
    # Which of several filters came before is not known, so what these workloads have is restored.
    replaced = {} if audience.narrows else filters
    for patch in for_audience.patches:
        if patch.name in clusters:
            # Envoy refuses two clusters of one name.
            continue
        patches += _outbound_patches(patch, for_audience, replaced)
        patches += _weight_set_patches(patch, for_audience.weight_sets)
    return Placement(
        group=OutboundGroup(key),
        key=key,
        plugin=run.plugin,
        service_port=ServicePort(run.service.host, run.port.number),
        ref=run.service.ref,
        age=run.service.age,
        selector=audience.labels,
        priority=_priority(for_audience, mesh, is_first=not before),
        patches=tuple(patches),
        client=audience.client,
        weight_sets=tuple(
            replace(each, export_to=exports[each.host]) for each in for_audience.weight_sets
        ),
    )


def _priority(for_audience: OutboundPatches, mesh: Mesh, *, is_first: bool) -> int:
    """The priority of a filter; ``is_first``: the port has none before it."""
    audience = for_audience.audience
    if audience.narrows:
        # After all filters of the namespace, and after those of workloads with fewer labels. Where
        # it only frees listeners, the filter of the service that they belong to comes after it.
        return LOCAL_PRIORITY + 2 * len(audience.labels) + bool(for_audience.patches)
    if audience.overrides and not is_first:
        return OVERRIDE_PRIORITY
    return PRIORITY if audience.namespace in (None, mesh.root_namespace) else LOCAL_PRIORITY


def _restore_patches(restore: Restore, mesh_wide: Mapping[str, Operation]) -> list[ConfigPatch]:
    """Undo what the mesh-wide filter did to a listener."""
    patches: list[ConfigPatch] = []
    for name, operation in mesh_wide.items():
        match = Match(listener=restore.listener, filter=name)
        if restore.chain:
            match = Match(listener=restore.listener, chain=restore.chain, filter=TCP_PROXY)
        if operation is Operation.INSERT_BEFORE:
            patches.append(ConfigPatch(ApplyTo.NETWORK_FILTER, OUTBOUND, match, "REMOVE", None))
        else:
            names = (each.cluster for each in restore.clusters)
            value = _tcp_proxy(*names, weights=[each.weight for each in restore.clusters])
            patches.append(ConfigPatch(ApplyTo.NETWORK_FILTER, OUTBOUND, match, "REPLACE", value))
    return patches


def _before(output: PortOutput, audience: Audience, mesh: Mesh) -> Iterator[Patch]:
    """Yield the patches for these clients that an override finds."""
    for each in output.outbound:
        if each.audience.comes_before(audience, mesh.root_namespace):
            yield from each.patches


def _outbound_patches(
    patch: Patch, to: OutboundPatches, mesh_wide: Mapping[str, Operation]
) -> list[ConfigPatch]:
    """The entries of one patch ``to`` some clients.

    An override finds the ``mesh_wide`` filters in its listeners, and replaces those.
    """
    if patch.apply_to is ApplyTo.CLUSTER:
        return _cluster_patches(patch, OUTBOUND)
    if patch.name in mesh_wide and patch.operation is not Operation.MERGE:
        target, operation = patch.name, Operation.REPLACE
    else:
        # The mesh-wide filter may have put another filter in the place of tcp_proxy.
        replaced = (name for name, operation in mesh_wide.items() if operation is Operation.REPLACE)
        target, operation = next(replaced, TCP_PROXY), patch.operation
    patches: list[ConfigPatch] = []
    for listener in to.listeners:
        if patch.apply_to is ApplyTo.LISTENER:
            match = Match(listener=listener.name)
            patches.append(
                ConfigPatch(patch.apply_to, OUTBOUND, match, "MERGE", patch.value, patch.plugin)
            )
            continue
        match = Match(listener=listener.name, filter=target)
        patches.append(
            ConfigPatch(patch.apply_to, OUTBOUND, match, str(operation), patch.value, patch.plugin)
        )
        merges = operation is Operation.MERGE
        if listener.has_passthrough and target == TCP_PROXY and not merges:
            patches.append(_spare_passthrough(patch, listener, to.catch_all))
    return patches


def _spare_passthrough(patch: Patch, listener: Listener, catch_all: str) -> ConfigPatch:
    """Undo the patch in the chain for all other addresses.

    It has a tcp_proxy too, and no match can leave it out.
    """
    match = Match(listener=listener.name, chain=PASSTHROUGH_CHAIN, filter=patch.name)
    if patch.operation is Operation.INSERT_BEFORE:
        return ConfigPatch(ApplyTo.NETWORK_FILTER, OUTBOUND, match, "REMOVE", None)
    return ConfigPatch(ApplyTo.NETWORK_FILTER, OUTBOUND, match, "REPLACE", _tcp_proxy(catch_all))


def _tcp_proxy(*clusters: str, weights: Sequence[int] = ()) -> FrozenMessage:
    """Return Istio's own filter to one cluster, or to several by their weights."""
    from envoy.config.listener.v3.listener_components_pb2 import Filter
    from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

    config = TcpProxy(stat_prefix=clusters[0])
    if len(clusters) == 1:
        config.cluster = clusters[0]
    else:
        for name, weight in zip(clusters, weights, strict=True):
            config.weighted_clusters.clusters.add(name=name, weight=weight)
    return FrozenMessage.of(Filter(name=TCP_PROXY, typed_config=pack(config)))


def _cluster_patches(patch: Patch, context: str) -> list[ConfigPatch]:
    """MERGE by host and port, to reach the subsets too; ADD."""
    if patch.operation is Operation.MERGE:
        match = Match(cluster=patch.side.cluster)
        if context == OUTBOUND and patch.subset != "":
            cluster = ClusterName.parse(patch.side.cluster)
            match = Match(service=cluster.host, port=cluster.port, subset=patch.subset or "")
        return [ConfigPatch(ApplyTo.CLUSTER, context, match, "MERGE", patch.value, patch.plugin)]
    return [ConfigPatch(ApplyTo.CLUSTER, context, Match(), "ADD", patch.value)]


def _weight_set_patches(patch: Patch, weight_sets: Iterable[WeightSet]) -> Iterator[ConfigPatch]:
    """A merge into all clusters of a service port, for those that carry its weights."""
    if patch.apply_to is not ApplyTo.CLUSTER or patch.operation is not Operation.MERGE:
        return
    for weight_set in weight_sets if patch.subset is None else ():
        match = Match(cluster=weight_set.cluster)
        yield ConfigPatch(patch.apply_to, OUTBOUND, match, "MERGE", patch.value, patch.plugin)


def _inbound(run: PortRun, side: Inbound, patches: Iterable[Patch]) -> Placement:
    service = run.service
    entries: list[ConfigPatch] = []
    for patch in patches:
        if patch.apply_to is ApplyTo.CLUSTER:
            entries += _cluster_patches(patch, INBOUND)
        elif patch.apply_to is ApplyTo.LISTENER:
            match = Match(listener=VIRTUAL_INBOUND)
            entries.append(
                ConfigPatch(patch.apply_to, INBOUND, match, "MERGE", patch.value, patch.plugin)
            )
        else:
            match = Match(destination_port=side.target_port, filter=TCP_PROXY)
            operation = str(patch.operation)
            entries.append(
                ConfigPatch(patch.apply_to, INBOUND, match, operation, patch.value, patch.plugin)
            )
    return Placement(
        group=InboundGroup(service.namespace, side.target_port, side.selector),
        key=FilterKey(service.namespace, intern(inbound_name(side.selector, side.target_port))),
        plugin=run.plugin,
        service_port=ServicePort(service.host, run.port.number),
        ref=service.ref,
        age=service.age,
        selector=side.selector,
        priority=PRIORITY,
        patches=tuple(entries),
    )


def assemble_outbound(members: Iterable[Placement], instance: str) -> dict[FilterKey, Output]:
    """The filter of an outbound group with what it names; nothing without members.

    ``instance``: the controller that the filter belongs to.
    """
    ordered = sorted(members, key=by_age)
    if not ordered:
        return {}
    companions = {each.key: each for each in companions_of(ordered, instance)}
    envoy_filter = _filter(ordered, ordered, instance, companions)
    return {envoy_filter.key: envoy_filter, **companions}


def assemble_inbound(
    group: InboundGroup,
    members: Iterable[Placement],
    *,
    broader: Iterable[Placement],
    narrower: Iterable[Placement],
    instance: str,
    after: int,
) -> tuple[dict[FilterKey, Output], tuple[Finding, ...]]:
    """The filter of an inbound group, and findings about services in conflict.

    Each workload and target port has one filter: the oldest service decides.

    Args:
        group: what the members share.
        members: the group's placements; nothing comes of none.
        broader: those whose selector covers this group's; their filter reaches its workloads too.
        narrower: those whose selector this group's covers.
        instance: the controller that the filter belongs to.
        after: how many filters for some of the same workloads istiod must apply before this one
        (overlaps.py).
    """
    ordered = sorted(members, key=by_age)
    if not ordered:
        return {}, ()
    widest = min(broader, key=lambda each: (len(each.selector), by_age(each)), default=None)
    winner = widest or ordered[0]
    findings = tuple(
        Finding(
            INBOUND_TAKEN,
            f"{winner.ref} configures port {group.target_port} of the same "
            "workload differently and is older; its filter takes effect",
            placement.ref,
            "spec.ports",
        )
        for placement in ordered
        if placement.patches != winner.patches
    )
    if widest is not None:
        # The broader filter reaches these workloads too; a second one would find no tcp_proxy to
        # replace.
        return {}, findings
    placed = replace(winner, priority=min(PRIORITY + after, LAST_PRIORITY)) if after else winner
    return {winner.key: _filter([placed], [*ordered, *narrower], instance)}, findings


def _filter(
    contents: Sequence[Placement],
    served: Sequence[Placement],
    instance: str,
    companions: Iterable[FilterKey] = (),
) -> EnvoyFilter:
    """The EnvoyFilter with the patches of ``contents``, for the service ports of ``served``."""
    first = contents[0]
    patches = first.patches
    if len(contents) > 1 or len(patches) > 1:
        patches = tuple(dict.fromkeys(patch for each in contents for patch in each.patches))
    return EnvoyFilter(
        key=first.key,
        plugin=first.plugin,
        service_ports=tuple(sorted({each.service_port for each in served})),
        selector=first.selector,
        priority=first.priority,
        # Share the placement's tuple instead of keeping an equal one.
        patches=first.patches if first.patches == patches else patches,
        namespaces=tuple(sorted({each.ref.namespace for each in served})),
        instance=instance,
        companions=tuple(companions),
    )
