"""The EnvoyFilters of a cluster as they are now: ours, upstream Aeraki's, and other people's, of which only the names are kept.

In: objects from a watch and from the answers to our own writes, by any thread. Out: :class:`~aeraki_core.pipeline.reconcile.Live` values. A
filter is parsed when somebody asks for it: at the start the types that it holds may not be imported yet.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from sys import intern
from zlib import compress, decompress

from aeraki_core.filters.envoyfilter import (
    API_VERSION,
    EnvoyFilter,
    FilterKey,
    ServicePort,
    is_ours,
    is_up_to_date,
)
from aeraki_core.filters.live import Live
from aeraki_core.kube.client import Object
from aeraki_core.sinks.kubernetes.upstream import UPSTREAM_LABEL, UPSTREAM_MANAGER
from aeraki_core.sinks.live import live_of

__all__ = ["LiveEntry", "LiveFilters", "Whose", "key_of"]

_FAST = 1  # of zlib's levels


class Whose(StrEnum):
    """Who manages an EnvoyFilter, by its labels."""

    OURS = "ours"
    UPSTREAM = "upstream"
    FOREIGN = "foreign"


@dataclass(slots=True)
class LiveEntry:
    """One EnvoyFilter. ``raw`` is its JSON, packed, until it has been parsed: a twentieth of the size of dictionaries."""

    whose: Whose
    uid: str
    version: str
    raw: bytes | None = None
    live: Live | None = None


def key_of(content: Object) -> FilterKey:
    """The namespace and name of an object."""
    # One text with the filter that is wanted under that name.
    return FilterKey(intern(content["metadata"]["namespace"]), intern(content["metadata"]["name"]))


class LiveFilters:
    """Usable by many threads at once. ``instance``: filters of other instances are foreign."""

    def __init__(self, instance: str = "") -> None:
        self.instance = instance
        self._lock = threading.Lock()
        self._entries: dict[FilterKey, LiveEntry] = {}
        self._ours = 0
        self._upstream: set[FilterKey] = set()

    def put(self, content: Object, known: EnvoyFilter | None = None) -> LiveEntry | None:
        """Take an object in; returns what was there before if this is news, else None.

        ``known``: the filter that it holds, if the caller knows. An older state never takes the place of a newer one.
        """
        key, version = key_of(content), str(content["metadata"]["resourceVersion"])
        with self._lock:
            before = self._entries.get(key)
            news = before is None or _newer(version, before.version)
            if news or (known is not None and before is not None and before.version == version):
                self._set(key, _entry(key, content, known, self.instance))
        return (before or LiveEntry(Whose.FOREIGN, "", "")) if news else None

    def share(self, item: EnvoyFilter) -> None:
        """If the live filter of that name is this one, keep this one instead of a second; it also tells the namespaces."""
        live = self.live(item.key)
        if live is None or live.filter is item or not is_up_to_date(live.filter, item):
            return
        with self._lock:
            entry = self._entries.get(item.key)
            if entry is not None and entry.live is live:
                entry.live = replace(
                    live, service_ports=item.service_ports, filter=item, namespaces=item.namespaces
                )

    def drop(self, key: FilterKey) -> LiveEntry | None:
        """Forget a filter that is gone; returns what was known of it."""
        with self._lock:
            return self._set(key, None)

    def _set(self, key: FilterKey, entry: LiveEntry | None) -> LiveEntry | None:
        """Under the lock: put or remove an entry and keep the count; returns the one before."""
        before = self._entries.pop(key, None)
        self._upstream.discard(key)
        if entry is not None:
            self._entries[key] = entry
            if entry.whose is Whose.UPSTREAM:
                self._upstream.add(key)
        self._ours += (entry is not None and entry.whose is Whose.OURS) - (
            before is not None and before.whose is Whose.OURS
        )
        return before

    def count(self) -> int:
        """How many filters of ours there are: asked in every pass, so it costs no walk over all."""
        return self._ours

    def entry(self, key: FilterKey) -> LiveEntry | None:
        """What is known of one filter."""
        with self._lock:
            return self._entries.get(key)

    def keys(self, whose: Whose) -> list[FilterKey]:
        """The names of all filters of one manager."""
        with self._lock:
            if whose is Whose.UPSTREAM:  # asked in every pass
                return list(self._upstream)
            return [key for key, entry in self._entries.items() if entry.whose is whose]

    def missing(self, namespace: str | None, present: Set[FilterKey]) -> list[FilterKey]:
        """Filters of the namespace (None: of all) that are known here and not among ``present``."""
        with self._lock:
            return [
                key
                for key in self._entries
                if key not in present and namespace in (None, key.namespace)
            ]

    def service_ports(self) -> set[ServicePort]:
        """The service ports that filters of ours are for."""
        return {
            service_port for live in self.ours().values() for service_port in live.service_ports
        }

    def ours(self) -> Mapping[FilterKey, Live]:
        """All filters of ours, as a view that follows what happens; each is parsed when it is looked at."""
        return _View(self)

    def live(self, key: FilterKey) -> Live | None:
        """One filter of ours, parsed."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.whose is not Whose.OURS:
                return None
            if entry.live is None or (entry.live.filter is None and entry.raw is not None):
                # Tried again next time, if it cannot be read: the plugin that knows its types may be imported then.
                entry.live = live_of(
                    json.loads(decompress(entry.raw) if entry.raw else b"{}"), self.instance
                )
                if entry.live is not None and entry.live.filter is not None:
                    entry.raw = None
            return entry.live


class _View(Mapping[FilterKey, Live]):
    def __init__(self, filters: LiveFilters) -> None:
        self._filters = filters

    def __getitem__(self, key: FilterKey) -> Live:
        found = self._filters.live(key)
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[FilterKey]:
        return iter(self._filters.keys(Whose.OURS))

    def __len__(self) -> int:
        return self._filters.count()

    def __contains__(self, key: object) -> bool:
        entry = self._filters.entry(key) if isinstance(key, FilterKey) else None
        return entry is not None and entry.whose is Whose.OURS


def _entry(key: FilterKey, content: Object, known: EnvoyFilter | None, instance: str) -> LiveEntry:
    metadata = content["metadata"]
    uid, version = str(metadata.get("uid") or ""), str(metadata["resourceVersion"])
    if not is_ours(content, instance):
        labels = metadata.get("labels") or {}
        upstream = labels.get(UPSTREAM_LABEL) == UPSTREAM_MANAGER
        return LiveEntry(Whose.UPSTREAM if upstream else Whose.FOREIGN, uid, version)
    if known is not None:
        return LiveEntry(
            Whose.OURS,
            uid,
            version,
            live=Live.of(known),
        )
    try:
        raw = json.dumps(_essence(content), separators=(",", ":")).encode()
    except (RecursionError, ValueError):
        # Nested deeper than Python's stack: its labels are all that counts.
        raw = json.dumps(_essence({"metadata": metadata})).encode()
    return LiveEntry(Whose.OURS, uid, version, compress(raw, _FAST))


def _essence(content: Object) -> Object:
    """What a filter is read from."""
    metadata = content["metadata"]
    kept = {
        field: metadata[field]
        for field in ("namespace", "name", "labels", "annotations")
        if field in metadata
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "EnvoyFilter",
        "metadata": kept,
        "spec": content.get("spec") or {},
    }


def _newer(version: str, before: str) -> bool:
    """Whether it is of a later state. Versions of one kind are numbers that grow (Kubernetes 1.35 says so; etcd always did)."""
    if version.isdecimal() and before.isdecimal():
        return int(version) > int(before)
    return version != before
