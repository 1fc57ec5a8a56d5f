"""Objects of a cluster: what its API server has, kept current by watches.

In: a client, the kinds to read, and of which namespaces. Out: events. Only the kinds that the store reads are asked for, in
whichever version the cluster serves, and of the Secrets only those that an object refers to, each by its name.

Each list is a feed (kubernetes_feed.py); here they add up to one source. Namespaces that are named are listed one by one, so that a
Role in each is enough; those that a label selects are left of lists of the whole cluster (kubernetes_namespaces.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aeraki_core.findings.codes import NOT_READ
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.client import Client
from aeraki_core.kube.errors import ApiError
from aeraki_core.kube.informer import Informer, Tuning
from aeraki_core.kube.resources import ApiResource, Discovery, GroupKind
from aeraki_core.model.resource import LoadedKind
from aeraki_core.model.scope import EVERYWHERE, Scope, named
from aeraki_core.model.selector import LabelSelector
from aeraki_core.sources.events import (
    Emit,
    Event,
    Incomplete,
    Problems,
    Removed,
    Scoped,
    Synced,
    Unsynced,
)
from aeraki_core.sources.kubernetes.feed import NAME, SECRET, Feed
from aeraki_core.sources.kubernetes.namespaces import NAMESPACE, Change, NamespaceFeed, Selection

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
    """The source ``kubernetes``.

    ``namespaces``: the only ones to read; ``selectors``: only those whose labels one of them matches. Empty for all.
    """

    name = NAME

    def __init__(
        self,
        connect: Callable[[], Client],
        kinds: Iterable[LoadedKind[Any]] = (),
        *,
        namespaces: Iterable[str] = (),
        selectors: Iterable[LabelSelector] = (),
        tuning: Tuning | None = None,
    ) -> None:
        self._connect = connect
        self._kinds = {(kind.group, kind.kind): kind for kind in kinds}
        self._named = named(namespaces)
        self._namespaces: tuple[str | None, ...] = tuple(sorted(self._named.watched or ())) or (
            None,
        )
        self._tuning = tuning or Tuning()
        # Guards what is below, and what feeds know; events leave under it, so that they leave in order.
        self.lock = threading.RLock()
        self.round = 0
        selectors = tuple(selectors)
        self._selection = Selection(selectors) if selectors else None
        self._namespace_feed: NamespaceFeed | None = None
        self._emit: Emit | None = None
        self._client: Client | None = None
        self._discovery: Discovery | None = None
        self._feeds: list[Feed] = []
        self._secrets: dict[tuple[str, str], Feed] = {}
        self._waiting: set[Feed | NamespaceFeed] = set()
        self._reasons: dict[Feed | NamespaceFeed, str] = {}
        self._incomplete: dict[Feed, Incomplete] = {}
        self._said: Event = Unsynced(NAME, _NOT_YET)
        self._scope: Scope = EVERYWHERE

    # -- for the controller -------------------------------------------------------------------------------------------

    def start(self, emit: Emit) -> None:
        """Begin to watch every kind, each in a thread of its own.

        Raises:
            AerakiError: there is no usable configuration. A server that does not answer is no error: it is tried again.
        """
        self._client = self._connect()
        self._discovery = Discovery(self._client)
        with self.lock:
            self._emit = emit
            self._tell_scope()
            if self._selection is not None:
                self._namespace_feed = NamespaceFeed(self)
            for kind in (*_BUILT_IN, *_ISTIO, *self._kinds):
                for namespace in self._namespaces:
                    self._feeds.append(Feed(self, kind, namespace, declared=self._kinds.get(kind)))
            self._waiting.update(self._all_feeds())
            for feed in self._all_feeds():
                self._begin(feed)

    def stop(self) -> None:
        """Stop watching; returns when all threads have ended, within two seconds."""
        with self.lock:
            self._emit = None
            feeds = [*self._all_feeds(), *self._secrets.values()]
            self._feeds, self._secrets, self._namespace_feed = [], {}, None
        self._end(feeds)

    def refresh(self) -> None:
        """Read everything anew from the server: Unsynced at once, Synced again when every list has arrived."""
        with self.lock:
            self._read_anew(self._all_feeds())

    # -- for the feeds ------------------------------------------------------------------------------------------------

    def take(self, feed: Feed, events: Iterable[Event]) -> None:
        """Hand a feed's events on, unless it was stopped meanwhile."""
        with self.lock:
            if self._emit is None or feed.forgotten:
                return
            counting = list(events) if self._selection is None else self._selection.counting(events)
            if counting:
                self._emit(*counting)

    def settle(
        self,
        feed: Feed,
        reason: str | None,
        *,
        listed: bool = False,
        incomplete: Incomplete | None = None,
    ) -> None:
        """How a feed stands: why it cannot tell what is there, or None."""
        with self.lock:
            self._incomplete.pop(feed, None)
            if incomplete is not None:
                self._incomplete[feed] = incomplete
            self.stand(feed, reason, listed=listed)

    def stand(
        self, feed: Feed | NamespaceFeed, reason: str | None, *, listed: bool = False
    ) -> None:
        """How a feed stands, also that of the namespaces."""
        with self.lock:
            before = self._reasons.pop(feed, None)
            if reason is not None:
                self._reasons[feed] = reason
            if feed is self._namespace_feed and reason != before and self._emit is not None:
                self._emit(
                    Problems(
                        NAME, feed.place, () if reason is None else (Finding(NOT_READ, reason),)
                    )
                )
            if listed:
                self._waiting.discard(feed)
            if self._selection is not None and self._selection.entering and not self._waiting:
                self._follow(self._selection.enter())
            self._say()

    def reads(self, namespace: str) -> bool:
        """Whether objects of the namespace are, or may be, of use."""
        return self._selection is None or self._selection.reads(namespace)

    def want_secrets(self) -> None:
        """Watch exactly the Secrets that objects refer to now; one that nobody refers to any more is Removed."""
        with self.lock:
            if self._emit is None:
                return
            selection = self._selection
            wanted = {
                key
                for feed in self._feeds
                for key in feed.secrets()
                if selection is None or selection.watches(key[0])
            }
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

    def is_being_deleted(self, resource: ApiResource) -> bool:
        """Whether the definition of the kind is gone or going, and so all objects with it.

        Raises:
            RequestError: the server could not be asked.
        """
        if self._client is None or (resource.group, resource.kind) in (
            *_BUILT_IN,
            SECRET,
            NAMESPACE,
        ):
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

    # -- for the feed of namespaces -----------------------------------------------------------------------------------

    def know(self, namespaces: Mapping[str, Mapping[str, str]], *, everything: bool) -> None:
        """Namespaces with their labels; ``everything``: there are no others."""
        with self.lock:
            if self._selection is None or self._emit is None:
                return
            change = (
                self._selection.know_all(namespaces)
                if everything
                else self._selection.know(namespaces)
            )
            self._follow([*self._out_of_sight(change), *change.waited])
            if change.anew:
                self._read_anew(self._feeds)

    def forget(self, namespaces: Sequence[str]) -> None:
        """Namespaces were deleted."""
        with self.lock:
            if self._selection is not None:
                for name in namespaces:
                    self._selection.forget(name)
                self._follow(())

    def _out_of_sight(self, change: Change) -> list[Event]:
        """What was given of namespaces that are not watched any more."""
        feeds = self._feeds if change.left else ()
        return [Removed(NAME, ref) for feed in feeds for ref in feed.drop(change.left)]

    def _follow(self, events: Iterable[Event]) -> None:
        """Tell, as one, which namespaces count now and what follows from that."""
        self._tell_scope(*events)
        self.want_secrets()

    def _tell_scope(self, *events: Event) -> None:
        now = self._selection.scope if self._selection is not None else self._named
        changed = (Scoped(NAME, now),) if now != self._scope else ()
        self._scope = now
        if self._emit is not None and (changed or events):
            self._emit(*changed, *events)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _all_feeds(self) -> list[Feed | NamespaceFeed]:
        """All but those of Secrets; that of the namespaces first."""
        return [*([self._namespace_feed] if self._namespace_feed is not None else ()), *self._feeds]

    def _read_anew(self, feeds: Sequence[Feed | NamespaceFeed]) -> None:
        self.round += 1  # a list that is under way is not fresh enough
        self._waiting.update(feeds)
        self._say()
        for feed in feeds:
            feed.informer.refresh()

    def _begin(self, feed: Feed | NamespaceFeed) -> None:
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
        reasons = [self._reasons[feed] for feed in self._all_feeds() if feed in self._reasons]
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

    def _end(self, feeds: Sequence[Feed | NamespaceFeed]) -> None:
        for feed in feeds:
            feed.informer.stop()
        deadline = time.monotonic() + _STOP
        for feed in feeds:
            feed.informer.join(max(0.0, deadline - time.monotonic()))
