"""EnvoyFilters of other people, as far as they can meet a filter of ours.

Most EnvoyFilters of a mesh are about HTTP or about gateways. Only patches that anchor at a network
filter of a sidecar, or that remove what ours changes, are kept, without their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aeraki_core.filters.envoyfilter import MANAGED_BY, MANAGER
from aeraki_core.mesh.keys import ForeignFiltersKey, Key
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.memory import Index
from aeraki_core.model.meta import Age, ObjectRef

__all__ = ["ForeignFilter", "ForeignFilters", "ForeignPatch", "PatchTarget"]

_ANY = "ANY"
_CONTEXTS = frozenset({_ANY, "SIDECAR_OUTBOUND", "SIDECAR_INBOUND"})
_HTTP = "envoy.filters.network.http_connection_manager"
_VIRTUAL_INBOUND = "virtualInbound"
_ANCHORED = frozenset({"REPLACE", "REMOVE", "MERGE", "INSERT_BEFORE", "INSERT_AFTER"})
# Upstream Aeraki's filters have a finding of their own, from the sink.
_UPSTREAM = ("manager", "Aeraki")


class PatchTarget(StrEnum):
    """What a patch changes (Istio's EnvoyFilter.ApplyTo)."""

    NETWORK_FILTER = "NETWORK_FILTER"
    FILTER_CHAIN = "FILTER_CHAIN"
    LISTENER = "LISTENER"
    CLUSTER = "CLUSTER"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPatch:
    """One entry of ``configPatches``. Empty fields of the match ask nothing.

    ``port``: the listener's, or inbound that of the filter chain. ``anchor``: the name of the
    network filter that the patch looks for, ``brings``: of the one that it puts there.
    ``cluster``: a whole name; ``host``: of a service. ``some_proxies``: only those of a version or
    with metadata.
    """

    index: int
    target: PatchTarget
    operation: str
    context: str
    listener: str = ""
    port: int = 0
    chain: str = ""
    chain_port: int = 0
    anchor: str = ""
    brings: str = ""
    cluster: str = ""
    host: str = ""
    some_proxies: bool = False

    def meets_outbound(self, listener: str, port: int) -> bool:
        """Report whether it applies to the plain chain of an outbound listener."""
        return (
            self.context != "SIDECAR_INBOUND"
            and self.listener in ("", listener)
            and self.port in (0, port)
            and not self.chain
            and not self.chain_port
        )

    def meets_cluster(self, cluster: str, host: str, port: int) -> bool:
        """Report whether it applies to the outbound cluster of a service port."""
        return (
            self.target is PatchTarget.CLUSTER
            and self.context != "SIDECAR_INBOUND"
            and self.cluster in ("", cluster)
            and self.host in ("", host)
            and self.port in (0, port)
        )

    def meets_inbound(self, target_port: int) -> bool:
        """Report whether it applies to the inbound chains of a target port."""
        return (
            self.context != "SIDECAR_OUTBOUND"
            and self.listener in ("", _VIRTUAL_INBOUND)
            and self.port in (0, target_port)
            and self.chain_port in (0, target_port)
            and not self.chain
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFilter:
    """An EnvoyFilter of somebody else. ``labels``: of the workloads that it is for."""

    ref: ObjectRef
    age: Age
    priority: int
    labels: tuple[tuple[str, str], ...]
    patches: tuple[ForeignPatch, ...]


class ForeignFilters:
    """All of them, by what they can meet: a listener, a port, a cluster's host, or everything."""

    def __init__(self) -> None:
        self._filters: dict[ObjectRef, ForeignFilter] = {}
        self._by_place: Index[str | int, ObjectRef, ForeignFilter] = Index()

    def __contains__(self, ref: object) -> bool:
        return ref in self._filters

    def __len__(self) -> int:
        return len(self._filters)

    def copy_from(self, other: ForeignFilters) -> None:
        """Hold what the others hold now."""
        self._filters = dict(other._filters)
        self._by_place = other._by_place.copy()

    def upsert(self, item: SourceObject) -> set[Key]:
        """Keep an EnvoyFilter that can meet one of ours. Returns the keys whose answer changed."""
        foreign = _parse(item)
        if self._filters.get(item.ref) == foreign:
            return set()
        changed = self.remove(item.ref)
        if foreign is not None:
            self._filters[item.ref] = foreign
            for place in _places(foreign):
                self._by_place.put(place, item.ref, foreign)
            changed.add(ForeignFiltersKey())
        return changed

    def remove(self, ref: ObjectRef) -> set[Key]:
        """Forget an EnvoyFilter. Returns the keys whose answer changed."""
        foreign = self._filters.pop(ref, None)
        if foreign is None:
            return set()
        for place in _places(foreign):
            self._by_place.drop(place, ref)
        return {ForeignFiltersKey()}

    def at(self, *places: str | int) -> Iterator[ForeignFilter]:
        """Yield the filters that may meet a listener's name, a port or a host; each once."""
        filters = {
            foreign.ref: foreign
            for place in (*places, "")
            for foreign in self._by_place.values(place)
        }
        yield from (filters[ref] for ref in sorted(filters))


def _places(foreign: ForeignFilter) -> set[str | int]:
    """Return the keys of an EnvoyFilter: the narrowest match of each patch."""
    return {
        patch.cluster
        or patch.host
        or patch.chain_port
        or patch.port
        or (patch.listener if patch.listener != _VIRTUAL_INBOUND else "")
        for patch in foreign.patches
    }


def _parse(item: SourceObject) -> ForeignFilter | None:
    """Parse an EnvoyFilter; None if it is ours, or can meet no filter of ours.

    istiod ignores what it does not understand, so nothing here is an error.
    """
    labels, spec = _mapping(item.metadata.get("labels")), _mapping(item.content.get("spec"))
    if labels.get(MANAGED_BY) == MANAGER or labels.get(_UPSTREAM[0]) == _UPSTREAM[1]:
        return None
    if spec.get("targetRefs"):
        return None  # sidecars ignore it
    entries = spec.get("configPatches")
    if not isinstance(entries, list | tuple):
        return None
    patches = [_patch(index, _mapping(entry)) for index, entry in enumerate(entries)]
    kept = tuple(patch for patch in patches if patch is not None)
    if not kept:
        return None
    selected = _mapping(_mapping(spec.get("workloadSelector")).get("labels"))
    return ForeignFilter(
        ref=item.ref,
        age=Age(
            str(item.metadata.get("creationTimestamp") or ""), item.ref.name, item.ref.namespace
        ),
        priority=_number(spec.get("priority")),
        labels=tuple(sorted((str(name), str(value)) for name, value in selected.items())),
        patches=kept,
    )


def _patch(index: int, entry: Mapping[str, Any]) -> ForeignPatch | None:
    target, patch = entry.get("applyTo"), _mapping(entry.get("patch"))
    operation = patch.get("operation")
    match = _mapping(entry.get("match"))
    context = match.get("context") or _ANY
    if target not in tuple(PatchTarget) or context not in _CONTEXTS:
        return None
    listener, cluster = _mapping(match.get("listener")), _mapping(match.get("cluster"))
    chain = _mapping(listener.get("filterChain"))
    anchor = _mapping(chain.get("filter")).get("name") or ""
    # Without an anchor an insert goes to an end of the chain, and finds its place in any case.
    anchored = (
        target == PatchTarget.NETWORK_FILTER
        and operation in _ANCHORED
        and anchor not in ("", _HTTP)
    )
    removes = target != PatchTarget.NETWORK_FILTER and operation == "REMOVE"
    name, host = str(cluster.get("name") or ""), str(cluster.get("service") or "")
    port = _number(listener.get("portNumber") or cluster.get("portNumber"))
    if not (anchored or removes) or (target == PatchTarget.CLUSTER and not (name or host or port)):
        return None
    return ForeignPatch(
        index=index,
        target=PatchTarget(target),
        operation=str(operation),
        context=str(context),
        listener=str(listener.get("name") or ""),
        port=port,
        chain=str(chain.get("name") or ""),
        chain_port=_number(chain.get("destinationPort")),
        anchor=str(anchor),
        brings=str(_mapping(patch.get("value")).get("name") or ""),
        cluster=name,
        host=host,
        some_proxies=bool(match.get("proxy")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
