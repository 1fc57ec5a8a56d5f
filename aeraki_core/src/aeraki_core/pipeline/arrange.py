"""In which EnvoyFilter each patch lives: names, namespaces, scopes, order. No plugin knows of these.

In: the output of service ports. Out: :class:`Placement` values by group, and for each group the EnvoyFilters. A group is
an outbound
filter, or the inbound filters of one namespace, target port and selector; groups.py keeps them.
Facts: facts/istio.md, "EnvoyFilter", "Addresses and outbound TCP listeners", "Inbound".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from sys import intern

from google.protobuf.any_pb2 import Any as AnyMessage

from aeraki_core.filters.envoyfilter import ConfigPatch, EnvoyFilter, FilterKey, Match, ServicePort
from aeraki_core.filters.names import inbound_name, outbound_name, packed_name
from aeraki_core.filters.patch import ApplyTo, FrozenMessage, Inbound, Operation, Patch
from aeraki_core.findings.codes import INBOUND_TAKEN
from aeraki_core.findings.finding import Finding
from aeraki_core.model.listeners import Listener
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import Age, ObjectRef
from aeraki_core.pipeline.generate import OutboundPatches, PortOutput

__all__ = ["Arrangement", "Group", "Placement", "assemble", "by_age", "place"]

TCP_PROXY = "envoy.filters.network.tcp_proxy"
PASSTHROUGH_CHAIN = "PassthroughFilterChain"
VIRTUAL_INBOUND = "virtualInbound"
OUTBOUND, INBOUND = "SIDECAR_OUTBOUND", "SIDECAR_INBOUND"

# Not 0: relative operations want a set order (analyzers IST0151, IST0155). Below 0: a user's own filters come after and can
# change ours. An override must find what the mesh-wide filter made.
PRIORITY, OVERRIDE_PRIORITY, LAST_PRIORITY = -10, -9, -1


class Arrangement(StrEnum):
    """SERVICE: one outbound filter for each service port. NAMESPACE: one for each namespace of services and plugin."""

    SERVICE = "service"
    NAMESPACE = "namespace"


Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """Patches of one service port for one filter. ``age`` decides who is the older where two want the same place."""

    group: Group
    key: FilterKey
    plugin: str
    service_port: ServicePort
    ref: ObjectRef
    age: Age
    selector: tuple[tuple[str, str], ...]
    priority: int
    patches: tuple[ConfigPatch, ...]


def place(output: PortOutput, mesh: Mesh, arrangement: Arrangement) -> tuple[Placement, ...]:
    """File the patches of one service port. Nothing is placed for an audience without patches."""
    found = [_outbound(output, item, mesh, arrangement) for item in output.outbound if item.patches]
    by_side: dict[Inbound, list[Patch]] = defaultdict(list)
    for patch in output.inbound:
        if isinstance(patch.side, Inbound):
            by_side[patch.side].append(patch)
    found += [_inbound(output, side, patches) for side, patches in by_side.items()]
    return tuple(found)


def _outbound(
    output: PortOutput, item: OutboundPatches, mesh: Mesh, arrangement: Arrangement
) -> Placement:
    audience, service = item.audience, output.service
    namespace = audience.namespace or mesh.root_namespace
    labels = ",".join(f"{key}={value}" for key, value in audience.labels)
    if arrangement is Arrangement.NAMESPACE and not audience.labels and not audience.overrides:
        name = packed_name(output.plugin, service.namespace)
    else:
        name = outbound_name(service.host, output.port.number, scope=labels)
    key = FilterKey(namespace, intern(name))
    there = _mesh_wide_filters(output) if audience.overrides else {}
    patches: list[ConfigPatch] = []
    for patch in item.patches:
        if (
            audience.overrides
            and patch.apply_to is ApplyTo.CLUSTER
            and patch.operation is not Operation.MERGE
        ):
            continue  # the mesh-wide filter adds it already, and Envoy refuses two clusters of one name
        patches += _outbound_patches(patch, item.listeners, there, mesh)
    return Placement(
        ("outbound", *key),
        key,
        output.plugin,
        ServicePort(service.host, output.port.number),
        service.ref,
        service.age,
        audience.labels,
        OVERRIDE_PRIORITY if audience.overrides else PRIORITY,
        tuple(patches),
    )


def _mesh_wide_filters(output: PortOutput) -> dict[str, Operation]:
    """The network filters that an overriding filter finds in the listeners, by name, and how they came there."""
    return {
        patch.name: patch.operation
        for item in output.outbound
        if not item.audience.overrides
        for patch in item.patches
        if patch.apply_to is ApplyTo.NETWORK_FILTER
    }


def _outbound_patches(
    patch: Patch, listeners: Sequence[Listener], there: Mapping[str, Operation], mesh: Mesh
) -> list[ConfigPatch]:
    """``there``: the filters that are in the listeners already, where tcp_proxy is by itself."""
    if patch.apply_to is ApplyTo.CLUSTER:
        return _cluster_patches(patch, OUTBOUND)
    # Clients of an overriding filter may need another filter than all others do.
    in_place = next(
        (name for name, operation in there.items() if operation is Operation.REPLACE), TCP_PROXY
    )
    target, operation = (
        (patch.name, Operation.REPLACE) if patch.name in there else (in_place, patch.operation)
    )
    found: list[ConfigPatch] = []
    for listener in listeners:
        if patch.apply_to is ApplyTo.LISTENER:
            found.append(
                ConfigPatch(
                    patch.apply_to, OUTBOUND, Match(listener=listener.name), "MERGE", patch.value
                )
            )
            continue
        match = Match(listener=listener.name, filter=target)
        found.append(ConfigPatch(patch.apply_to, OUTBOUND, match, str(operation), patch.value))
        if listener.ranges and target == TCP_PROXY:
            found.append(_spare_passthrough(patch, listener, mesh))
    return found


def _spare_passthrough(patch: Patch, listener: Listener, mesh: Mesh) -> ConfigPatch:
    """Undo the patch in the chain for all other addresses: it has a tcp_proxy too, and no match leaves it out by name."""
    match = Match(listener=listener.name, chain=PASSTHROUGH_CHAIN, filter=patch.name)
    if patch.operation is Operation.INSERT_BEFORE:
        return ConfigPatch(ApplyTo.NETWORK_FILTER, OUTBOUND, match, "REMOVE", None)
    cluster = "BlackHoleCluster" if mesh.registry_only else "PassthroughCluster"
    return ConfigPatch(ApplyTo.NETWORK_FILTER, OUTBOUND, match, "REPLACE", _tcp_proxy(cluster))


def _tcp_proxy(cluster: str) -> FrozenMessage:
    from envoy.config.listener.v3.listener_components_pb2 import Filter
    from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

    packed = AnyMessage()
    packed.Pack(TcpProxy(stat_prefix=cluster, cluster=cluster), deterministic=True)
    return FrozenMessage.of(Filter(name=TCP_PROXY, typed_config=packed))


def _cluster_patches(patch: Patch, context: str) -> list[ConfigPatch]:
    """MERGE by host and port, so that subsets are met too; REPLACE as REMOVE and ADD, for istiod knows no other way."""
    if patch.operation is Operation.MERGE:
        match = Match(cluster=patch.side.cluster)
        parts = patch.side.cluster.split("|")
        if context == OUTBOUND and patch.subset is None:
            match = Match(service=parts[3], port=int(parts[1]))
        elif context == OUTBOUND and patch.subset:
            match = Match(service=parts[3], port=int(parts[1]), subset=patch.subset)
        return [ConfigPatch(ApplyTo.CLUSTER, context, match, "MERGE", patch.value)]
    add = ConfigPatch(ApplyTo.CLUSTER, context, Match(), "ADD", patch.value)
    if patch.operation is Operation.ADD:
        return [add]
    return [ConfigPatch(ApplyTo.CLUSTER, context, Match(cluster=patch.name), "REMOVE", None), add]


def _inbound(output: PortOutput, side: Inbound, patches: Iterable[Patch]) -> Placement:
    service = output.service
    found: list[ConfigPatch] = []
    for patch in patches:
        if patch.apply_to is ApplyTo.CLUSTER:
            found += _cluster_patches(patch, INBOUND)
        elif patch.apply_to is ApplyTo.LISTENER:
            found.append(
                ConfigPatch(
                    patch.apply_to, INBOUND, Match(listener=VIRTUAL_INBOUND), "MERGE", patch.value
                )
            )
        else:
            match = Match(destination_port=side.target_port, filter=TCP_PROXY)
            found.append(
                ConfigPatch(patch.apply_to, INBOUND, match, str(patch.operation), patch.value)
            )
    return Placement(
        (
            "inbound",
            service.namespace,
            str(side.target_port),
            *(f"{key}={value}" for key, value in side.selector),
        ),
        FilterKey(service.namespace, intern(inbound_name(side.selector, side.target_port))),
        output.plugin,
        ServicePort(service.host, output.port.number),
        service.ref,
        service.age,
        side.selector,
        PRIORITY,
        tuple(found),
    )


def assemble(
    members: Iterable[Placement],
    broader: Iterable[Placement] = (),
    narrower: Iterable[Placement] = (),
    *,
    instance: str = "",
    after: int = 0,
) -> tuple[dict[FilterKey, EnvoyFilter], tuple[Finding, ...]]:
    """The filters of one group, for the controller ``instance``, and what two services of it do not agree about.

    Inbound there is one filter for each workload and target port: the oldest service decides, and a selector that is ``broader``
    covers this group's; ``narrower`` ones are covered by it. ``after``: of filters that share workloads with it, how many in a row
    istiod must apply before (overlaps.py).
    """
    ordered = sorted(members, key=by_age)
    if not ordered:
        return {}, ()
    if ordered[0].group[0] == "inbound":
        return _assemble_inbound(ordered, broader, narrower, instance, after)
    by_key: dict[FilterKey, list[Placement]] = defaultdict(list)
    for item in ordered:
        by_key[item.key].append(item)
    return {key: _filter(items, items, instance) for key, items in by_key.items()}, ()


def by_age(item: Placement) -> tuple[Age, ServicePort, FilterKey]:
    """Sorts placements, the oldest service first."""
    return (item.age, item.service_port, item.key)


def _assemble_inbound(
    ordered: list[Placement],
    broader: Iterable[Placement],
    narrower: Iterable[Placement],
    instance: str,
    after: int,
) -> tuple[dict[FilterKey, EnvoyFilter], tuple[Finding, ...]]:
    widest = min(broader, key=lambda item: (len(item.selector), by_age(item)), default=None)
    winner = widest or ordered[0]
    findings = tuple(
        Finding(
            INBOUND_TAKEN,
            f"{winner.ref} is for the same workload's port {item.group[2]} and wants another filter; "
            f"that of {winner.ref} is in force",
            item.ref,
            "spec.ports",
        )
        for item in ordered
        if item.patches != winner.patches
    )
    if widest is not None:
        return {}, findings
    placed = replace(winner, priority=min(PRIORITY + after, LAST_PRIORITY)) if after else winner
    return {winner.key: _filter([placed], [*ordered, *narrower], instance)}, findings


def _filter(
    contents: Sequence[Placement], service_ports: Sequence[Placement], instance: str
) -> EnvoyFilter:
    first = contents[0]
    patches = tuple(dict.fromkeys(patch for item in contents for patch in item.patches))
    return EnvoyFilter(
        first.key,
        first.plugin,
        tuple(sorted({item.service_port for item in service_ports})),
        first.selector,
        first.priority,
        first.patches if first.patches == patches else patches,  # one value, not two that are equal
        tuple(sorted({item.ref.namespace for item in service_ports})),
        instance,
    )
