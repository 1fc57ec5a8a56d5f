"""Applies EnvoyFilters to a modelled sidecar, as istiod does.

For each listener come LISTENER patches, then LISTENER_FILTER, FILTER_CHAIN, NETWORK_FILTER patches.
MERGE patches of a network filter come after all that insert, replace or remove filters, whatever
their priority. Istio source: pilot/pkg/networking/core/envoyfilter/listener_patch.go and
cluster_patch.go.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aeraki_core.model.mesh import Mesh
from aeraki_core.testing.sidecar.chains import PASSTHROUGH_CHAIN
from aeraki_core.testing.sidecar.filters import (
    ANY,
    INBOUND,
    OUTBOUND,
    EnvoyFilterError,
    FilterPatch,
    PatchRef,
    patches_of,
    scope_miss,
)
from aeraki_core.testing.sidecar.matching import (
    chain_matches,
    cluster_matches,
    listener_matches,
    proxy_matches,
)
from aeraki_core.testing.sidecar.merge import merge, merge_any
from aeraki_core.testing.sidecar.model import SidecarConfig, model_sidecar
from aeraki_core.testing.sidecar.objects import MeshObjects
from aeraki_core.testing.sidecar.proxy import Proxy

__all__ = ["Patched", "apply_filters", "patched_sidecar", "unmatched"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patched:
    """A configuration after its EnvoyFilters.

    ``hits``: how many places each patch matched.
    ``misses``: why a patch matched nothing on this proxy.
    ``ineffective``: why a patch matched and still changes nothing that Envoy obeys.
    """

    config: SidecarConfig
    hits: Mapping[PatchRef, int]
    misses: Mapping[PatchRef, str]
    ineffective: Mapping[PatchRef, str]


def unmatched(results: Iterable[Patched]) -> dict[PatchRef, str]:
    """The patches without effect on any of the proxies, each with a reason.

    The reason is that of a proxy that the patch was meant for, where there is one.
    """
    results = list(results)
    effective = {ref for result in results for ref in result.hits if ref not in result.ineffective}
    reasons: dict[PatchRef, str] = {}
    for result in results:
        for ref, reason in (*result.misses.items(), *result.ineffective.items()):
            expected = reason.startswith(_NO_PLACE) or ref in result.ineffective
            if ref not in effective and (ref not in reasons or expected):
                reasons[ref] = f"on {result.config.proxy}: {reason}"
    return dict(sorted(reasons.items()))


_NO_PLACE = "it matches no"


def apply_filters(config: SidecarConfig, filters: Iterable[Mapping[str, Any]]) -> Patched:
    """The configuration with all EnvoyFilters that are for its proxy.

    Raises:
        EnvoyFilterError: one, also one for other proxies, is not of a form that istiod would apply.
    """
    hits: Counter[PatchRef] = Counter()
    misses: dict[PatchRef, str] = {}
    mine: list[FilterPatch] = []
    for content, patches in patches_of(filters, config.root_namespace):
        reason = scope_miss(content, config.proxy, config.root_namespace)
        for patch in patches:
            why = reason or proxy_matches(patch, config.proxy)
            if why is None and patch.context not in (INBOUND, OUTBOUND, ANY):
                why = f"its context is {patch.context}"
            if why is None:
                mine.append(patch)
            elif patch.listener.chain != PASSTHROUGH_CHAIN:
                misses[patch.ref] = why
    outward = _Side(OUTBOUND, mine, hits, config.hosts)
    inward = _Side(INBOUND, mine, hits, config.hosts)
    # Of several clusters of one name istiod keeps the first.
    outer, inner = (
        outward.clusters(config.outbound_clusters),
        inward.clusters(config.inbound_clusters),
    )
    patched = replace(
        config,
        outbound=outward.listeners(config.outbound),
        inbound=inward.listeners(config.inbound),
        outbound_clusters=outer,
        inbound_clusters=tuple(
            item for item in inner if item.name not in {each.name for each in outer}
        ),
        istio_clusters=config.istio_clusters - outward.removed - inward.removed,
    )
    for patch in mine:
        # A patch that spares the passthrough chain has nothing to do where there is none.
        if patch.ref not in hits and patch.listener.chain != PASSTHROUGH_CHAIN:
            misses[patch.ref] = f"{_NO_PLACE} {patch.apply_to} of this proxy"
    return Patched(
        config=patched,
        hits=dict(hits),
        misses=misses,
        ineffective=outward.ineffective | inward.ineffective,
    )


def patched_sidecar(
    objects: MeshObjects | Iterable[Mapping[str, Any]],
    filters: Iterable[Mapping[str, Any]] = (),
    proxy: Proxy | None = None,
    *,
    mesh: Mesh | None = None,
) -> Patched:
    """A proxy's configuration with its EnvoyFilters.

    Raises:
        EnvoyFilterError: a filter is not of a form that istiod would apply.
    """
    return apply_filters(model_sidecar(objects, proxy, mesh=mesh), filters)


def _copy(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


class _Side:
    """The patches of one side of a proxy, by what they apply to."""

    def __init__(
        self,
        context: str,
        patches: Sequence[FilterPatch],
        hits: Counter[PatchRef],
        hosts: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.context = context
        self.hits = hits
        self.hosts = hosts
        self.removed: set[str] = set()
        self.ineffective: dict[PatchRef, str] = {}
        self.by_target: dict[str, list[FilterPatch]] = defaultdict(list)
        for patch in patches:
            if patch.context in (context, ANY):
                self.by_target[patch.apply_to].append(patch)

    def _adds(self, target: str) -> list[FilterPatch]:
        """ADD patches; without a context of their own they are for the outbound side alone."""
        return [
            patch
            for patch in self.by_target[target]
            if patch.operation == "ADD" and (patch.context != ANY or self.context == OUTBOUND)
        ]

    # -- clusters

    def clusters(self, clusters: Iterable[Any]) -> tuple[Any, ...]:
        patched = []
        for cluster in map(_copy, clusters):
            if self._keep_cluster(cluster):
                patched.append(cluster)
            else:
                self.removed.add(cluster.name)
        for patch in self._adds("CLUSTER"):
            patched.append(patch.copy())
            self.hits[patch.ref] += 1
        first: dict[str, Any] = {}
        for item in patched:
            first.setdefault(item.name, item)
        return tuple(first.values())

    def _keep_cluster(self, cluster: Any) -> bool:
        for patch in self.by_target["CLUSTER"]:
            if patch.operation == "ADD" or not cluster_matches(cluster, patch, self.hosts):
                continue
            self.hits[patch.ref] += 1
            if patch.operation == "REMOVE":
                return False
            self._merge_cluster(cluster, patch)
        return True

    def _merge_cluster(self, cluster: Any, patch: FilterPatch) -> None:
        """Merge a value; of one with a transport socket istiod merges that and nothing else."""
        value = patch.copy()
        if not value.HasField("transport_socket"):
            merge(cluster, value, replace_lists=patch.operation != "MERGE")
            self._note_double_thresholds(cluster, patch)
            return
        if len(value.ListFields()) > 1 + bool(value.name):
            self.ineffective[patch.ref] = (
                "istiod merges the transport_socket and drops the patch's other fields; "
                "put them in a patch of their own"
            )
        name = value.transport_socket.name
        sockets = [item.transport_socket for item in cluster.transport_socket_matches]
        if not sockets and cluster.HasField("transport_socket"):
            sockets = [cluster.transport_socket]
        same = next((socket for socket in sockets if socket.name == name), None)
        if same is not None:
            self._merge_socket(same, value.transport_socket, patch)
        elif cluster.transport_socket_matches:
            self.ineffective[patch.ref] = (
                f"istiod drops it: cluster {cluster.name} has transport_socket_matches, none of "
                f"them named {name}"
            )
        else:
            cluster.transport_socket.CopyFrom(value.transport_socket)

    def _merge_socket(self, socket: Any, value: Any, patch: FilterPatch) -> None:
        if socket.HasField("typed_config") and value.HasField("typed_config"):
            try:
                merge_any(socket.typed_config, value.typed_config)
            except ValueError as error:
                raise EnvoyFilterError(f"{patch.ref}: {error}") from None

    def _note_double_thresholds(self, cluster: Any, patch: FilterPatch) -> None:
        """Envoy obeys the first entry of a priority, and MERGE appends behind istiod's own."""
        priorities = [item.priority for item in cluster.circuit_breakers.thresholds]
        if len(priorities) > len(set(priorities)):
            self.ineffective[patch.ref] = (
                f"MERGE appends to lists, and cluster {cluster.name} has circuit_breakers."
                "thresholds of that priority already, which Envoy obeys"
            )

    # -- listeners

    def listeners(self, listeners: Iterable[Any]) -> tuple[Any, ...]:
        patched = [item for item in map(_copy, listeners) if self._keep_listener(item)]
        for patch in self._adds("LISTENER"):
            patched.append(patch.copy())
            self.hits[patch.ref] += 1
        return tuple(patched)

    def _keep_listener(self, listener: Any) -> bool:
        for patch in self.by_target["LISTENER"]:
            if patch.operation == "ADD" or not listener_matches(listener, patch):
                continue
            self.hits[patch.ref] += 1
            if patch.operation == "REMOVE":
                return False
            merge(listener, patch.copy(), replace_lists=patch.operation != "MERGE")
        for patch in self.by_target["LISTENER_FILTER"]:
            if listener_matches(listener, patch):
                name = patch.listener.listener_filter
                self._edit(listener.listener_filters, patch, name)
                if patch.operation == "MERGE":
                    for item in listener.listener_filters:
                        if item.name == name:
                            self._merge_filter(item, patch, rename=False)
        self._patch_chains(listener)
        return True

    def _patch_chains(self, listener: Any) -> None:
        kept = [item for item in listener.filter_chains if self._keep_chain(listener, item)]
        if listener.HasField("default_filter_chain"):
            chain = listener.default_filter_chain
            if chain.filters and not self._keep_chain(listener, chain):
                listener.ClearField("default_filter_chain")
        for patch in self.by_target["FILTER_CHAIN"]:
            if patch.operation == "ADD" and listener_matches(listener, patch):
                kept.append(patch.copy())
                self.hits[patch.ref] += 1
        copies = [_copy(item) for item in kept]
        del listener.filter_chains[:]
        listener.filter_chains.extend(copies)

    def _keep_chain(self, listener: Any, chain: Any) -> bool:
        if not chain.filters:
            return False  # istiod drops a chain without filters
        for patch in self.by_target["FILTER_CHAIN"]:
            if patch.operation == "ADD" or not (
                listener_matches(listener, patch) and chain_matches(listener, chain, patch)
            ):
                continue
            self.hits[patch.ref] += 1
            if patch.operation == "REMOVE":
                return False
            value = patch.copy()
            socket, own = value.transport_socket, chain.transport_socket
            if value.HasField("transport_socket") and socket.name == own.name:
                self._merge_socket(own, socket, patch)
            else:
                merge(chain, value, replace_lists=patch.operation != "MERGE")
        self._patch_filters(listener, chain)
        return True

    # -- filters

    def _patch_filters(self, listener: Any, chain: Any) -> None:
        patches = [
            patch
            for patch in self.by_target["NETWORK_FILTER"]
            if listener_matches(listener, patch) and chain_matches(listener, chain, patch)
        ]
        for patch in patches:
            self._edit(chain.filters, patch, patch.listener.filter)
        for item in chain.filters:
            for patch in patches:
                if patch.operation == "MERGE" and patch.listener.filter == item.name:
                    self._merge_filter(item, patch, rename=True)

    def _edit(self, filters: Any, patch: FilterPatch, name: str) -> None:
        """Do what moves filters, which MERGE does not.

        ``name``: the filter that the patch asks for, or empty.
        """
        at = next((index for index, item in enumerate(filters) if item.name == name), -1)
        match patch.operation:
            case "ADD":
                at = len(filters)
            case "INSERT_FIRST":
                at = 0
            case "INSERT_BEFORE":
                at = at if name else 0
            case "INSERT_AFTER":
                at = (at + 1 if at >= 0 else -1) if name else len(filters)
            case "REPLACE" if at >= 0:
                filters[at].CopyFrom(patch.copy())
                self.hits[patch.ref] += 1
                return
            case "REMOVE" if at >= 0:
                left = [_copy(item) for item in filters if item.name != name]
                del filters[:]
                filters.extend(left)
                self.hits[patch.ref] += 1
                return
            case _:
                return
        if at >= 0:
            filters.insert(at, patch.copy())
            self.hits[patch.ref] += 1

    def _merge_filter(self, item: Any, patch: FilterPatch, *, rename: bool) -> None:
        value = patch.copy()
        if not item.HasField("typed_config"):
            return  # istiod passes over a filter without one
        if value.HasField("typed_config"):
            try:
                merge_any(item.typed_config, value.typed_config)
            except ValueError as error:
                raise EnvoyFilterError(f"{patch.ref}: {error}") from None
        if rename and value.name:
            item.name = value.name
        self.hits[patch.ref] += 1
