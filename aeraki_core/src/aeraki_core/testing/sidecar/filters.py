"""EnvoyFilters as istiod reads them: parsed, checked, and in order for one proxy.

What istiod's webhook refuses, what istiod ignores, and what is not modelled here raises
:class:`EnvoyFilterError`: nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from aeraki_core.errors import AerakiError
from aeraki_core.testing.sidecar.messages import to_message
from aeraki_core.testing.sidecar.proxy import Proxy

__all__ = [
    "EnvoyFilterError",
    "FilterPatch",
    "ListenerMatch",
    "PatchRef",
    "patches_of",
    "scope_miss",
]

INBOUND, OUTBOUND, ANY = "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "ANY"
_CONTEXTS = frozenset({INBOUND, OUTBOUND, ANY, "GATEWAY", "WAYPOINT"})

_FILTER_LISTS = frozenset({"NETWORK_FILTER", "LISTENER_FILTER"})
_INSERTS = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"})
_MERGES = frozenset({"MERGE", "MERGE_AND_REPLACE_LIST"})
# Operations that istiod implements. Inserting into anything but a list of filters is ADD.
_OPERATIONS: Mapping[str, frozenset[str]] = {
    "NETWORK_FILTER": _INSERTS | {"ADD", "REPLACE", "REMOVE", "MERGE"},
    "LISTENER_FILTER": _INSERTS | {"ADD", "REPLACE", "REMOVE", "MERGE"},
    "FILTER_CHAIN": _INSERTS | _MERGES | {"ADD", "REMOVE"},
    "LISTENER": _INSERTS | _MERGES | {"ADD", "REMOVE"},
    "CLUSTER": _INSERTS | _MERGES | {"ADD", "REMOVE"},
}


class EnvoyFilterError(AerakiError):
    """An EnvoyFilter that istiod would refuse or ignore, or that is not modelled.

    The message names the patch.
    """


@dataclass(frozen=True, slots=True, order=True)
class PatchRef:
    """Names one patch of one EnvoyFilter."""

    namespace: str
    name: str
    index: int

    def __str__(self) -> str:
        return f"EnvoyFilter {self.namespace}/{self.name} configPatches[{self.index}]"


@dataclass(frozen=True, slots=True)
class ListenerMatch:
    """``match.listener``; empty fields ask nothing. ``has_chain``: filterChain is given at all."""

    name: str = ""
    port: int = 0
    listener_filter: str = ""
    chain: str = ""
    sni: str = ""
    transport: str = ""
    protocols: tuple[str, ...] = ()
    destination_port: int = 0
    filter: str = ""


@dataclass(frozen=True, slots=True)
class ClusterMatch:
    """``match.cluster``; empty fields ask nothing."""

    name: str = ""
    service: str = ""
    subset: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class FilterPatch:
    """One patch, checked.

    ``operation``: what istiod does; an INSERT where there is no list of filters is ADD.
    """

    ref: PatchRef
    apply_to: str
    operation: str
    context: str
    listener: ListenerMatch
    cluster: ClusterMatch
    version: str
    metadata: Mapping[str, str]
    value: Message | None = field(repr=False)

    def copy(self) -> Any:
        """Return a copy of the patch's value."""
        if self.value is None:
            raise EnvoyFilterError(f"{self.ref}: has no value")
        copied = type(self.value)()
        copied.CopyFrom(self.value)
        return copied


class _FilterReader:
    """Takes the fields of a dictionary one by one and refuses what is left over."""

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise EnvoyFilterError(f"{where}: must be an object, is {type(value).__name__}")
        self.where = where
        self._left = dict(value)

    def take(self, name: str, kind: type[Any] = str) -> Any:
        value = self._left.pop(name, None)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise EnvoyFilterError(f"{self.where}.{name}: must be of type {kind.__name__}")
        return value

    def part(self, name: str) -> _FilterReader | None:
        value = self._left.pop(name, None)
        return None if value is None else _FilterReader(f"{self.where}.{name}", value)

    def done(self) -> None:
        if self._left:
            raise EnvoyFilterError(
                f"{self.where}: {', '.join(sorted(self._left))} is not read by "
                "istiod for a sidecar's TCP, or not modelled here; remove it"
            )


def _parse(content: Mapping[str, Any]) -> tuple[FilterPatch, ...]:
    metadata = content.get("metadata") or {}
    namespace, name = str(metadata.get("namespace") or "default"), str(metadata.get("name") or "")
    where = f"EnvoyFilter {namespace}/{name}"
    if content.get("kind") != "EnvoyFilter":
        raise EnvoyFilterError(f"{where}: its kind is {content.get('kind')!r}, not EnvoyFilter")
    spec = _FilterReader(f"{where} spec", content.get("spec") or {})
    selector = spec.part("workloadSelector")
    targets = spec.take("targetRefs", list)
    spec.take("priority", int)
    if selector is not None:
        selector.take("labels", Mapping)
        selector.done()
        if targets:
            raise EnvoyFilterError(f"{where}: workloadSelector and targetRefs exclude each other")
    items = spec.take("configPatches", list) or []
    spec.done()
    return tuple(_patch(PatchRef(namespace, name, index), item) for index, item in enumerate(items))


def _patch(ref: PatchRef, content: Any) -> FilterPatch:
    reader = _FilterReader(str(ref), content)
    apply_to = reader.take("applyTo")
    if apply_to not in _OPERATIONS:
        raise EnvoyFilterError(
            f"{ref}: applyTo {apply_to} is not modelled; only {', '.join(_OPERATIONS)} are"
        )
    match = reader.part("match") or _FilterReader(f"{ref}.match", {})
    patch = reader.part("patch")
    reader.done()
    if patch is None:
        raise EnvoyFilterError(f"{ref}: has no patch")
    operation = patch.take("operation")
    if operation not in _OPERATIONS[apply_to]:
        raise EnvoyFilterError(f"{ref}: istiod does nothing for {operation} of {apply_to}")
    value = patch.take("value", Mapping)
    patch.done()
    if value is None and operation != "REMOVE":
        raise EnvoyFilterError(f"{ref}: {operation} has no value")
    context = match.take("context") or ANY
    if context not in _CONTEXTS:
        raise EnvoyFilterError(f"{ref}: no such context: {context}")
    proxy = match.part("proxy")
    version = ""
    metadata: Mapping[str, str] = {}
    if proxy is not None:
        version = proxy.take("proxyVersion") or ""
        metadata = proxy.take("metadata", Mapping) or {}
        proxy.done()
    listener, cluster = match.part("listener"), match.part("cluster")
    match.done()
    if (listener if apply_to == "CLUSTER" else cluster) is not None:
        raise EnvoyFilterError(f"{ref}: its match is for another kind of object than {apply_to}")
    filter_patch = FilterPatch(
        ref=ref,
        apply_to=apply_to,
        operation="ADD" if operation in _INSERTS and apply_to not in _FILTER_LISTS else operation,
        context=context,
        listener=_listener_match(listener) if listener else ListenerMatch(),
        cluster=_cluster_match(cluster) if cluster else ClusterMatch(),
        version=version,
        metadata=metadata,
        value=None if value is None else _value(ref, apply_to, value),
    )
    _check(filter_patch)
    return filter_patch


def _listener_match(reader: _FilterReader) -> ListenerMatch:
    name, port = reader.take("name"), reader.take("portNumber", int)
    listener_filter = reader.take("listenerFilter")
    chain = reader.part("filterChain") or _FilterReader(f"{reader.where}.filterChain", {})
    reader.done()
    part = chain.part("filter")
    filter_name = ""
    if part is not None:
        filter_name = part.take("name") or ""
        part.done()
        if not filter_name:
            raise EnvoyFilterError(f"{part.where}: has no name")
    match = ListenerMatch(
        name=name or "",
        port=port or 0,
        listener_filter=listener_filter or "",
        chain=chain.take("name") or "",
        sni=chain.take("sni") or "",
        transport=chain.take("transportProtocol") or "",
        protocols=tuple(filter(None, (chain.take("applicationProtocols") or "").split(","))),
        destination_port=chain.take("destinationPort", int) or 0,
        filter=filter_name,
    )
    chain.done()
    return match


def _cluster_match(reader: _FilterReader) -> ClusterMatch:
    match = ClusterMatch(
        name=reader.take("name") or "",
        service=reader.take("service") or "",
        subset=reader.take("subset") or "",
        port=reader.take("portNumber", int) or 0,
    )
    reader.done()
    return match


def _check(patch: FilterPatch) -> None:
    if patch.operation in ("REPLACE", "REMOVE", "MERGE"):
        asked = {
            "NETWORK_FILTER": ("filterChain.filter", patch.listener.filter),
            "LISTENER_FILTER": ("listenerFilter", patch.listener.listener_filter),
        }.get(patch.apply_to)
        # MERGE without one is applied by istiod to every network filter, of any type: never meant.
        if asked is not None and not asked[1]:
            raise EnvoyFilterError(
                f"{patch.ref}: {patch.operation} of "
                f"{patch.apply_to} needs match.listener.{asked[0]}"
            )
    if patch.apply_to == "LISTENER_FILTER" and patch.listener.filter:
        raise EnvoyFilterError(f"{patch.ref}: LISTENER_FILTER matches no network filter")


def _value(ref: PatchRef, apply_to: str, value: Mapping[str, Any]) -> Message:
    from envoy.config.cluster.v3.cluster_pb2 import Cluster
    from envoy.config.listener.v3.listener_components_pb2 import (
        Filter,
        FilterChain,
        ListenerFilter,
    )
    from envoy.config.listener.v3.listener_pb2 import Listener

    kinds: dict[str, type[Message]] = {
        "CLUSTER": Cluster,
        "FILTER_CHAIN": FilterChain,
        "LISTENER": Listener,
        "LISTENER_FILTER": ListenerFilter,
        "NETWORK_FILTER": Filter,
    }
    try:
        return to_message(kinds[apply_to], value)
    except ValueError as error:
        raise EnvoyFilterError(f"{ref}: its value is no {apply_to}: {error}") from None


def scope_miss(content: Mapping[str, Any], proxy: Proxy, root_namespace: str) -> str | None:
    """Return why an EnvoyFilter is not for the proxy; None if it is."""
    namespace = str((content.get("metadata") or {}).get("namespace") or "default")
    spec = content.get("spec") or {}
    if spec.get("targetRefs"):
        return "it has targetRefs, which sidecars ignore"
    if namespace not in (root_namespace, proxy.namespace):
        return f"it is for proxies in namespace {namespace}"
    labels = (spec.get("workloadSelector") or {}).get("labels") or {}
    if not proxy.has_labels(labels):
        return "its workloadSelector selects other workloads"
    return None


def patches_of(
    filters: Iterable[Mapping[str, Any]], root_namespace: str
) -> list[tuple[Mapping[str, Any], tuple[FilterPatch, ...]]]:
    """Return each EnvoyFilter with its patches, in the order in which istiod applies them.

    That order is: priority, the root namespace before others, creation time, name.

    Raises:
        EnvoyFilterError: one cannot be applied as it is.
    """

    def order(content: Mapping[str, Any]) -> tuple[int, bool, str, str]:
        metadata, spec = content.get("metadata") or {}, content.get("spec") or {}
        namespace = str(metadata.get("namespace") or "default")
        return (
            int(spec.get("priority") or 0),
            namespace != root_namespace,
            str(metadata.get("creationTimestamp") or ""),
            f"{metadata.get('name')}.{namespace}",
        )

    parsed = [(content, _parse(content)) for content in filters]
    seen: set[tuple[str, str]] = set()
    for content, _ in parsed:
        metadata = content.get("metadata") or {}
        key = (str(metadata.get("namespace") or "default"), str(metadata.get("name") or ""))
        if key in seen:
            raise EnvoyFilterError(f"EnvoyFilter {key[0]}/{key[1]} is given twice")
        seen.add(key)
    return sorted(parsed, key=lambda pair: order(pair[0]))
