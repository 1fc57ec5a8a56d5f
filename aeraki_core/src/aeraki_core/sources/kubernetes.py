"""Objects of a cluster: what its API server has, kept current by watches.

In: a client and the kinds to read. Out: events. Only the kinds that the store reads are asked for, in whichever version the
cluster serves, and of the Secrets only those that an object refers to, each by its name.

Each list is a feed (kubernetes_feed.py); here they add up to one source.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aeraki_core.kube.client import Client
from aeraki_core.kube.errors import ApiError
from aeraki_core.kube.informer import Informer, Tuning
from aeraki_core.kube.resources import Discovery, GroupKind, Resource
from aeraki_core.sources.base import Emit, Event, Incomplete, Synced, Unsynced
from aeraki_core.sources.kubernetes_feed import NAME, SECRET, Feed
from aeraki_core.types import Kind

__all__ = ["KubernetesSource"]

_STOP = 2.0
_BUILT_IN: tuple[GroupKind, ...] = (("", "Service"), ("discovery.k8s.io", "EndpointSlice"))
# Whole services and their routes are made of these: without them nothing may be taken for gone.
_ISTIO: tuple[GroupKind, ...] = (
    ("networking.istio.io", "ServiceEntry"),
    ("networking.istio.io", "VirtualService"),
    ("networking.istio.io", "DestinationRule"),
)
_NOT_YET = "not all lists have arrived"


class KubernetesSource:
    """The source ``kubernetes``. ``namespaces``: the only ones to read; empty for all."""

    name = NAME

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
        self._feeds: list[Feed] = []
        self._secrets: dict[tuple[str, str], Feed] = {}
        self._waiting: set[Feed] = set()
        self._reasons: dict[Feed, str] = {}
        self._incomplete: dict[Feed, Incomplete] = {}
        self._said: Event = Unsynced(NAME, _NOT_YET)

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
                    self._feeds.append(Feed(self, kind, namespace, declared=self._kinds.get(kind)))
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

    def take(self, feed: Feed, events: Iterable[Event]) -> None:
        """Hand a feed's events on, unless it was stopped meanwhile."""
        with self._lock:
            if self._emit is not None and not feed.forgotten:
                self._emit(*events)

    def settle(
        self, feed: Feed, reason: str | None, *, listed: bool = False, incomplete: Incomplete | None = None
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
                feed = Feed(self, SECRET, namespace, name=name)
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
        if self._client is None or (resource.group, resource.kind) in (*_BUILT_IN, SECRET):
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

    def _begin(self, feed: Feed) -> None:
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
            now = Unsynced(NAME, reasons[0] if reasons else _NOT_YET)
        else:
            now = Synced(NAME, incomplete[0] if incomplete else None)
        if now != self._said and self._emit is not None:
            self._said = now
            self._emit(now)

    def _end(self, feeds: Sequence[Feed]) -> None:
        for feed in feeds:
            feed.informer.stop()
        deadline = time.monotonic() + _STOP
        for feed in feeds:
            feed.informer.join(max(0.0, deadline - time.monotonic()))
