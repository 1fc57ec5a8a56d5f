"""Objects of a cluster: what its API server has, kept current by watches.

In: a client and the kinds to read. Out: events. Only the kinds that the store reads are asked for, in whichever version the
cluster serves, and of the Secrets only those that an object refers to, each by its name.

An object is Removed when a watch says so or a fresh full list no longer has it; not when the definition of its kind (the CRD)
was deleted, which takes all its objects along: then the last known ones stay in force, and the source says that it is not synced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aeraki_core.diagnostics import KIND_NOT_SERVED, NOT_READ, Code, Finding
from aeraki_core.errors import RejectedError
from aeraki_core.kube.client import Client, Object
from aeraki_core.kube.errors import ApiError
from aeraki_core.kube.informer import Informer, Tuning
from aeraki_core.kube.resources import Discovery, GroupKind, Resource
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.wire import check
from aeraki_core.sources.base import Emit, Event, Incomplete, Problems, Removed, Synced, Unsynced, Upserted
from aeraki_core.store import SourceObject
from aeraki_core.types import Kind

__all__ = ["KubernetesSource"]

_NAME = "kubernetes"
_STOP = 2.0
_BUILT_IN: tuple[GroupKind, ...] = (("", "Service"), ("discovery.k8s.io", "EndpointSlice"))
# Whole services and their routes are made of these: without them nothing may be taken for gone.
_ISTIO: tuple[GroupKind, ...] = (
    ("networking.istio.io", "ServiceEntry"),
    ("networking.istio.io", "VirtualService"),
    ("networking.istio.io", "DestinationRule"),
)
_SECRET: GroupKind = ("", "Secret")
_NOT_YET = "not all lists have arrived"


class KubernetesSource:
    """The source ``kubernetes``. ``namespaces``: the only ones to read; empty for all."""

    name = _NAME

    def __init__(
        self,
        connect: Callable[[], Client],
        kinds: Iterable[Kind[Any]] = (),
        *,
        namespaces: Iterable[str] = (),
        tuning: Tuning | None = None,
    ) -> None:
        self._connect = connect
        self._kinds = {(kind.group, kind.kind): kind for kind in kinds}
        self._namespaces: tuple[str | None, ...] = tuple(sorted(set(namespaces))) or (None,)
        self._tuning = tuning or Tuning()
        # Guards what is below; events leave under it, so that they leave in order.
        self._lock = threading.RLock()
        self._emit: Emit | None = None
        self._client: Client | None = None
        self._discovery: Discovery | None = None
        self._feeds: list[_Feed] = []
        self._secrets: dict[tuple[str, str], _Feed] = {}
        self._waiting: set[_Feed] = set()
        self._reasons: dict[_Feed, str] = {}
        self._incomplete: dict[_Feed, Incomplete] = {}
        self._said: Event = Unsynced(_NAME, _NOT_YET)

    # -- for the controller -------------------------------------------------------------------------------------------

    def start(self, emit: Emit) -> None:
        """Begin to watch every kind, each in a thread of its own.

        Raises:
            AerakiError: there is no usable configuration. A server that does not answer is no error: it is tried again.
        """
        self._client = self._connect()
        self._discovery = Discovery(self._client)
        with self._lock:
            self._emit = emit
            for kind in (*_BUILT_IN, *_ISTIO, *self._kinds):
                for namespace in self._namespaces:
                    self._feeds.append(_Feed(self, kind, namespace, declared=self._kinds.get(kind)))
            self._waiting.update(self._feeds)
            for feed in self._feeds:
                self._begin(feed)

    def stop(self) -> None:
        """Stop watching; returns when all threads have ended, within two seconds."""
        with self._lock:
            self._emit = None
            feeds = [*self._feeds, *self._secrets.values()]
            self._feeds, self._secrets = [], {}
        self._end(feeds)

    def refresh(self) -> None:
        """Read everything anew from the server: Unsynced at once, Synced again when every list has arrived."""
        with self._lock:
            self._waiting.update(self._feeds)
            self._say()
            feeds = list(self._feeds)
        for feed in feeds:
            feed.informer.refresh()

    # -- for the feeds ------------------------------------------------------------------------------------------------

    def take(self, feed: _Feed, events: Iterable[Event]) -> None:
        """Hand a feed's events on, unless it was stopped meanwhile."""
        with self._lock:
            if self._emit is not None and not feed.forgotten:
                for event in events:
                    self._emit(event)

    def settle(
        self, feed: _Feed, reason: str | None, *, listed: bool = False, incomplete: Incomplete | None = None
    ) -> None:
        """How a feed stands: why it cannot tell what is there, or None."""
        with self._lock:
            self._reasons.pop(feed, None)
            self._incomplete.pop(feed, None)
            if reason is not None:
                self._reasons[feed] = reason
            if incomplete is not None:
                self._incomplete[feed] = incomplete
            if listed:
                self._waiting.discard(feed)
            self._say()

    def want_secrets(self) -> None:
        """Watch exactly the Secrets that objects refer to now; one that nobody refers to any more is Removed."""
        with self._lock:
            if self._emit is None:
                return
            wanted = {key for feed in self._feeds for key in feed.secrets()}
            dropped = [self._secrets.pop(key) for key in self._secrets.keys() - wanted]
            for namespace, name in sorted(wanted - self._secrets.keys()):
                feed = _Feed(self, _SECRET, namespace, name=name)
                self._secrets[namespace, name] = feed
                self._waiting.add(feed)
                self._begin(feed)
            for feed in dropped:
                feed.forget()
                feed.informer.stop()
                self._waiting.discard(feed)

    def is_being_deleted(self, resource: Resource) -> bool:
        """Whether the definition of the kind is gone or going, and so all objects with it.

        Raises:
            RequestError: the server could not be asked.
        """
        if self._client is None or (resource.group, resource.kind) in (*_BUILT_IN, _SECRET):
            return False
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{resource.crd}"
        try:
            found = self._client.request("GET", path).body
        except ApiError as error:
            if error.status == 403:  # without that right nobody can tell; `aeraki rbac` grants it
                return False
            if error.status == 404:
                return True
            raise
        return bool(found["metadata"].get("deletionTimestamp"))

    def _begin(self, feed: _Feed) -> None:
        if self._client is None or self._discovery is None:
            raise RuntimeError("not started")
        discovery, kind = self._discovery, feed.kind
        params = {"fieldSelector": f"metadata.name={feed.name}"} if feed.name else {}
        feed.informer = Informer(
            feed.place,
            self._client,
            lambda: discovery.find(kind),
            feed,
            namespace=feed.namespace,
            params=params,
            tuning=self._tuning,
        )
        feed.informer.start()

    def _say(self) -> None:
        """Tell the controller when it changed whether all is known."""
        reasons = [self._reasons[feed] for feed in self._feeds if feed in self._reasons]
        incomplete = [self._incomplete[feed] for feed in self._feeds if feed in self._incomplete]
        # The one that holds back most is said.
        incomplete.sort(key=lambda item: item.words is not None)
        now: Event
        if reasons or self._waiting:
            now = Unsynced(_NAME, reasons[0] if reasons else _NOT_YET)
        else:
            now = Synced(_NAME, incomplete[0] if incomplete else None)
        if now != self._said and self._emit is not None:
            self._said = now
            self._emit(now)

    def _end(self, feeds: Sequence[_Feed]) -> None:
        for feed in feeds:
            feed.informer.stop()
        deadline = time.monotonic() + _STOP
        for feed in feeds:
            feed.informer.join(max(0.0, deadline - time.monotonic()))


class _Feed:
    """One list of one kind, told as events. ``declared``: the plugin's kind. ``name``: the only object of interest (a Secret)."""

    informer: Informer

    def __init__(
        self,
        source: KubernetesSource,
        kind: GroupKind,
        namespace: str | None,
        *,
        declared: Kind[Any] | None = None,
        name: str = "",
    ) -> None:
        self._source = source
        self._declared = declared
        self._secrets: dict[ObjectRef, frozenset[tuple[str, str]]] = {}
        self._known: dict[ObjectRef, str] = {}
        self._problem: str | None = None
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.forgotten = False
        scope = "/".join(part for part in (namespace, name) if part)
        self.place = f"{kind[1]}{f'.{kind[0]}' if kind[0] else ''}{f' {scope}' if scope else ''}"

    def secrets(self) -> set[tuple[str, str]]:
        """Namespace and name of every Secret that its objects refer to."""
        return {key for keys in list(self._secrets.values()) for key in keys}

    def forget(self) -> None:
        """Nobody wants it any more: what it gave is Removed, and it says nothing from now on."""
        self._source.take(self, [Removed(_NAME, ref) for ref in list(self._known)])
        self._problems(None, NOT_READ)
        self.forgotten = True

    def listed(self, resource: Resource, items: Sequence[Object]) -> None:
        """A fresh full list: the difference to what was known."""
        fresh = {_ref(resource, item): item for item in items}
        gone = [ref for ref in self._known if ref not in fresh]
        if gone and self._source.is_being_deleted(resource):
            self.failed(f"the definition of {self.place} is being deleted; what was known of it stays")
            return
        events: list[Event] = [Removed(_NAME, ref) for ref in gone]
        events += [
            _upserted(resource, ref, item) for ref, item in fresh.items() if self._known.get(ref) != _version(item)
        ]
        self._known = {ref: _version(item) for ref, item in fresh.items()}
        self._source.take(self, events)
        self._refer(fresh, gone)
        self._problems(None, NOT_READ)
        self._settle(None, listed=True)

    def changed(self, resource: Resource, item: Object) -> None:
        """An object is new or changed."""
        ref = _ref(resource, item)
        if self._known.get(ref) != _version(item):
            self._known[ref] = _version(item)
            self._source.take(self, [_upserted(resource, ref, item)])
            self._refer({ref: item}, ())

    def deleted(self, resource: Resource, items: Sequence[Object]) -> None:
        """Objects were deleted; not by anybody's wish if their kind is."""
        if self._source.is_being_deleted(resource):
            self._problems(f"the definition of {self.place} is being deleted", KIND_NOT_SERVED)
            self._settle(f"the definition of {self.place} is being deleted; what was known of it stays")
            return
        gone = [ref for ref in (_ref(resource, item) for item in items) if self._known.pop(ref, None) is not None]
        self._source.take(self, [Removed(_NAME, ref) for ref in gone])
        self._refer({}, gone)

    def absent(self) -> None:
        """The kind is not served. A plugin's kind that never was is only worth a word: there are no objects of it."""
        reason = f"the cluster does not serve {self.place}"
        self._problems(reason, KIND_NOT_SERVED)
        missing = None
        if self._known:
            missing = Incomplete(f"{reason} any more; what was known of it stays")
        elif self._declared is None:
            missing = Incomplete(reason, words=None)
        self._settle(None, listed=True, incomplete=missing)

    def failed(self, reason: str) -> None:
        """The server does not answer, or refuses."""
        self._problems(reason, NOT_READ)
        # A Secret that cannot be read holds nobody up: who needs it keeps its last good filter.
        self._settle(reason if self.kind != _SECRET else None, listed=self.kind == _SECRET)

    def current(self) -> None:
        """It answers again."""
        self._problems(None, NOT_READ)
        self._settle(None)

    def _settle(self, reason: str | None, *, listed: bool = False, incomplete: Incomplete | None = None) -> None:
        self._source.settle(self, reason, listed=listed, incomplete=incomplete)

    def _refer(self, items: Mapping[ObjectRef, Object], gone: Iterable[ObjectRef]) -> None:
        """Remember which Secrets the objects refer to; an object that its model rejects refers to what it did before."""
        if self._declared is None:
            return
        before = self.secrets()
        for ref in gone:
            self._secrets.pop(ref, None)
        for ref, item in items.items():
            try:
                spec = check(self._declared.spec, item.get("spec"))
            except RejectedError:
                continue
            names = frozenset((ref.namespace, name) for name in self._declared.secrets(spec))
            if names:
                self._secrets[ref] = names
            else:
                self._secrets.pop(ref, None)
        if self.secrets() != before:
            self._source.want_secrets()

    def _problems(self, message: str | None, code: Code) -> None:
        if message == self._problem:
            return
        self._problem = message
        findings = () if message is None else (Finding(code, message),)
        self._source.take(self, [Problems(_NAME, self.place, findings)])


def _ref(resource: Resource, item: Object) -> ObjectRef:
    metadata = item["metadata"]
    return ObjectRef(resource.kind, metadata.get("namespace") or "", metadata["name"])


def _version(item: Object) -> str:
    """Tells one state of an object from another, also of one that was deleted and made again."""
    metadata = item["metadata"]
    return f"{metadata.get('uid')}/{metadata['resourceVersion']}"


def _upserted(resource: Resource, ref: ObjectRef, item: Object) -> Upserted:
    item["metadata"].pop("managedFields", None)  # a third of an object's size, and nobody reads it
    return Upserted(_NAME, SourceObject(ref, resource.api_version, item))
