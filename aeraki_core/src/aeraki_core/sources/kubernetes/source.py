"""The objects of a cluster: the content of its API server, kept current by watches.

Only the kinds that the store reads are requested, in the version that the cluster serves. Of the
Secrets, only those that an object refers to are read, each by its name; of the Pods, only those of
services with live weights. Named namespaces are listed one by one, so that a Role in each is
enough. Those that a label selects are picked from lists of the whole cluster (namespaces.py).

News flows one way. Each list has an informer, a thread that reads and puts its news on one queue. A
single coordinator thread handles the news, keeps the state (feed.py, namespaces.py, secrets.py),
and hands on events. No other thread touches that state, so it needs no lock.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aeraki_core.filters.envoyfilter import MANAGED_BY, MANAGER
from aeraki_core.kube.client import Client
from aeraki_core.kube.errors import ApiError
from aeraki_core.kube.informer import Deleted, Informer, ListEnded, ListNews, Tuning
from aeraki_core.kube.resources import ApiResource, Discovery, GroupKind
from aeraki_core.model.gateway_api import GATEWAY_API, ROUTE_KINDS
from aeraki_core.model.mesh import LiveWeights, Mesh
from aeraki_core.model.resource import LoadedKind
from aeraki_core.model.scope import EVERYWHERE, Scope, named
from aeraki_core.model.selector import LabelSelector
from aeraki_core.sources.chain import passing
from aeraki_core.sources.events import Emit, Event, Removed, Scoped, Synced, Unsynced
from aeraki_core.sources.kubernetes import needed
from aeraki_core.sources.kubernetes.feed import NAME, Feed, SideFeed, UpstreamFeed
from aeraki_core.sources.kubernetes.namespaces import NAMESPACE, NamespaceFeed, Selection
from aeraki_core.sources.kubernetes.pods import POD, PodFeed, PodReferences, PodSelection
from aeraki_core.sources.kubernetes.secrets import (
    SECRET,
    SecretFeed,
    SecretName,
    SecretReferences,
)
from aeraki_core.sources.upstream_kinds import UPSTREAM_KINDS

__all__ = ["KubernetesSource"]

_log = logging.getLogger(__name__)
_STOP = 2.0
_RETRY = 5.0  # seconds before a list is read again that could not be taken in
_SLICE: GroupKind = ("discovery.k8s.io", "EndpointSlice")
_BUILT_IN: tuple[GroupKind, ...] = (("", "Service"), _SLICE)
# Whole services and their routes are made of these: without them nothing counts as gone.
_ISTIO: tuple[GroupKind, ...] = (
    ("networking.istio.io", "ServiceEntry"),
    ("networking.istio.io", "VirtualService"),
    ("networking.istio.io", "DestinationRule"),
    ("networking.istio.io", "Sidecar"),
)
_FILTER: GroupKind = ("networking.istio.io", "EnvoyFilter")
_WORKLOAD: GroupKind = ("networking.istio.io", "WorkloadEntry")
_NOT_YET = "not all lists have arrived"


@dataclass(frozen=True, slots=True)
class _FeedNews:
    """News of one list; ``definition_deleted``: the kind's definition is gone or going."""

    feed: Feed | NamespaceFeed
    news: ListNews
    definition_deleted: bool = False


@dataclass(frozen=True, slots=True)
class _Refresh:
    """Everything is to be read again. ``emitted`` is set once the controller has the event."""

    emitted: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class _StopCoordinator:
    """The end."""


class KubernetesSource:
    """The source ``kubernetes``.

    ``namespaces``: the only ones to read; ``selectors``: only those whose labels one of them
    matches. Empty for all. ``mesh``: says whether weights are live, so that Pods are read.
    """

    name = NAME

    def __init__(
        self,
        connect: Callable[[], Client],
        kinds: Iterable[LoadedKind[Any]] = (),
        *,
        namespaces: Iterable[str] = (),
        selectors: Iterable[LabelSelector] = (),
        mesh: Mesh | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self._mesh = mesh or Mesh()
        self._connect = connect
        self._kinds = {(kind.group, kind.kind): kind for kind in kinds}
        self._scope = named(namespaces)
        self._selectors = tuple(selectors)
        self._tuning = tuning or Tuning()
        self._queue: queue.SimpleQueue[_FeedNews | _Refresh | _StopCoordinator] = (
            queue.SimpleQueue()
        )
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, emit: Emit) -> None:
        """Begin to watch every kind, each in a thread of its own.

        Raises:
            AerakiError: there is no usable configuration. A server that does not answer is no
                error: it is asked again.
        """
        client = self._connect()
        coordinator = _Coordinator(
            _Informers(client, self._queue, self._tuning),
            emit,
            kinds=self._kinds,
            scope=self._scope,
            selectors=self._selectors,
            mesh=self._mesh,
        )
        self._thread = threading.Thread(
            target=coordinator.run,
            args=(self._queue, self._stopped),
            name=f"source-{NAME}",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when all threads have ended, within about two seconds."""
        self._stopped.set()
        self._queue.put(_StopCoordinator())
        if self._thread is not None:
            self._thread.join(_STOP)

    def refresh(self) -> None:
        """Read everything again from the server.

        Unsynced before this returns, Synced again when every list has arrived.
        """
        request = _Refresh()
        self._queue.put(request)
        while self._thread is not None and self._thread.is_alive():
            if request.emitted.wait(0.1):
                return


class _Informers:
    """Starts and ends the informers of feeds. Their news goes to the queue."""

    def __init__(self, client: Client, news: queue.SimpleQueue[Any], tuning: Tuning) -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._queue = news
        self._tuning = tuning
        self._informers: dict[Feed | NamespaceFeed, Informer] = {}

    def start(self, feed: Feed | NamespaceFeed) -> None:
        """Begin to follow the feed's list."""
        kind = feed.kind

        def report(news: ListNews) -> None:
            # Asked here, in the informer's thread: the coordinator waits for no server.
            deleted = isinstance(news, ListEnded | Deleted) and self._is_going(news.resource)
            self._queue.put(_FeedNews(feed, news, deleted))

        informer = Informer(
            feed.place,
            self._client,
            lambda: self._discovery.find(kind),
            report,
            namespace=feed.namespace,
            params=feed.params,
            tuning=self._tuning,
        )
        self._informers[feed] = informer
        informer.start()

    def follows(self, feed: Feed | NamespaceFeed) -> bool:
        """Report whether the feed's list is followed. A forgotten one may still send late news."""
        return feed in self._informers

    def refresh(self, feed: Feed | NamespaceFeed) -> None:
        """Read the feed's list again."""
        if feed in self._informers:
            self._informers[feed].refresh()

    def forget(self, feed: Feed) -> None:
        """Stop following the feed's list, without waiting for the end of its thread."""
        self._informers.pop(feed).stop()

    def end(self) -> None:
        """End all threads."""
        for informer in self._informers.values():
            informer.stop()
        deadline = time.monotonic() + _STOP
        for informer in self._informers.values():
            informer.join(max(0.0, deadline - time.monotonic()))

    def _is_going(self, resource: ApiResource) -> bool:
        """Report whether the definition of the kind is being deleted, and so all its objects.

        Raises:
            RequestError: the server could not be asked.
        """
        if (resource.group, resource.kind) in (*_BUILT_IN, SECRET, POD, NAMESPACE):
            return False
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{resource.crd}"
        try:
            definition = self._client.request("GET", path).body
        except ApiError as error:
            if error.status == 403:  # nobody can tell without that right; `aeraki rbac` grants it
                return False
            if error.status == 404:
                return True
            raise
        return bool((definition.get("metadata") or {}).get("deletionTimestamp"))


class _Coordinator:
    """Owns all that the source knows. Everything here runs in one thread."""

    def __init__(
        self,
        informers: _Informers,
        emit: Emit,
        *,
        kinds: dict[GroupKind, LoadedKind[Any]],
        scope: Scope,
        selectors: Sequence[LabelSelector],
        mesh: Mesh,
    ) -> None:
        self._informers = informers
        self._kinds = kinds
        self._selection = Selection(selectors) if selectors else None
        self._namespace_feed = (
            NamespaceFeed(self._selection) if self._selection is not None else None
        )
        self._scope = scope
        self._said_scope = EVERYWHERE
        self._feeds: list[Feed] = []
        self._secrets: dict[SecretName, SecretFeed] = {}
        self._references = SecretReferences(kinds)
        self._pods: dict[PodSelection, PodFeed] = {}
        self._pod_references = PodReferences(mesh)
        has_weights = mesh.live_weights is not LiveWeights.OFF
        self._slice = needed.READY_SLICE if has_weights else needed.SLICE
        self._state: Event = Unsynced(NAME, _NOT_YET)
        self._emit = emit
        # What comes of objects passes the selection first; what the selection lets in does not.
        self._emit_selected = (
            passing(self._selection.counting)(self._hand_on)
            if self._selection is not None
            else self._hand_on
        )

    def run(
        self,
        messages: queue.SimpleQueue[_FeedNews | _Refresh | _StopCoordinator],
        stopped: threading.Event,
    ) -> None:
        """Take messages until ``stopped`` is set; a last message wakes the thread for that."""
        self._start()
        while not stopped.is_set():
            match messages.get():
                case _Refresh(emitted):
                    self._read_again(self._all_feeds())
                    emitted.set()
                case _FeedNews() as message if self._informers.follows(message.feed):
                    self._handle(message)
        self._informers.end()

    def _start(self) -> None:
        reads = self._selection.reads if self._selection is not None else lambda namespace: True
        self._hand_on(*self._scoped())
        for kind in (*_BUILT_IN, *_ISTIO, *self._kinds):
            for namespace in sorted(self._scope.watched or ()) or (None,):
                feed = Feed(
                    kind,
                    namespace,
                    optional=kind in self._kinds,
                    reads=reads,
                    needed=self._slice if kind == _SLICE else None,
                )
                self._feeds.append(feed)
        for namespace in sorted(self._scope.watched or ()) or (None,):
            # Our own filters are left out: there may be thousands.
            labels = f"{MANAGED_BY}!={MANAGER}"
            self._feeds.append(
                SideFeed(_FILTER, namespace, about="of others", labels=labels, reads=reads)
            )
            self._feeds.append(SideFeed(_WORKLOAD, namespace, about="ports", reads=reads))
            for upstream in UPSTREAM_KINDS:
                self._feeds.append(UpstreamFeed(upstream, namespace, about="names", reads=reads))
            for route in ((GATEWAY_API, name) for name in ROUTE_KINDS):
                self._feeds.append(SideFeed(route, namespace, about="parents", reads=reads))
        if self._scope.watched is None:
            self._feeds.append(SideFeed(NAMESPACE, about="annotations", needed=needed.NAMESPACE))
        for each in self._all_feeds():
            self._informers.start(each)

    def _all_feeds(self) -> list[Feed | NamespaceFeed]:
        """All but those of Secrets and Pods; that of the namespaces first."""
        return [*([self._namespace_feed] if self._namespace_feed is not None else ()), *self._feeds]

    # -- news ------------------------------------------------------------------------------------

    def _handle(self, message: _FeedNews) -> None:
        feed = message.feed
        try:
            if isinstance(feed, NamespaceFeed):
                self._handle_namespaces(feed, message.news)
            else:
                events = feed.handle(message.news, definition_deleted=message.definition_deleted)
                self._emit_selected(*self._without_shared(feed, events))
        except Exception as error:  # noqa: BLE001 -- a dead thread would leave everything stale
            _log.exception("reading %s", feed.place)
            feed.reason = f"{type(error).__name__}: {error}"
            feed.ask_again()
            later = threading.Timer(_RETRY, self._informers.refresh, [feed])
            later.daemon = True
            later.start()
        self._enter()
        self._report_completeness()

    def _without_shared(self, feed: Feed, events: list[Event]) -> list[Event]:
        """The events without removals of Pods that another selector still selects."""
        if not isinstance(feed, PodFeed):
            return events
        others = [other for other in self._pods.values() if other is not feed]
        return [
            event
            for event in events
            if not (isinstance(event, Removed) and any(each.holds(event.ref) for each in others))
        ]

    def _handle_namespaces(self, feed: NamespaceFeed, news: ListNews) -> None:
        change = feed.handle(news)
        self._hand_on(*feed.problems())
        dropped: list[Event] = []
        if change.left:
            dropped = [event for each in self._feeds for event in each.drop(change.left)]
        self._hand_on(*self._scoped(), *dropped, *change.waited)
        if change.anew:
            self._read_again(self._feeds)

    def _enter(self) -> None:
        """Let in the namespaces that came to match, once everything in them has been read."""
        selection = self._selection
        if selection is None or not selection.entering:
            return
        if not any(feed.stale for feed in (*self._all_feeds(), *self._followed())):
            entered = selection.enter()
            self._hand_on(*self._scoped(), *entered)

    def _read_again(self, feeds: Collection[Feed | NamespaceFeed]) -> None:
        for feed in feeds:
            feed.ask_again()
        self._report_completeness()
        for feed in feeds:
            self._informers.refresh(feed)

    # -- events ----------------------------------------------------------------------------------

    def _hand_on(self, *events: Event) -> None:
        """Hand events on as one, then follow the Secrets that they refer to."""
        if events:
            self._emit(*events)
        if self._references.follow(events):
            self._follow_secrets()
        if self._pod_references.follow(events):
            self._follow_pods()

    def _scoped(self) -> list[Event]:
        """Return the namespaces that count, if they changed."""
        scope = self._selection.scope if self._selection is not None else self._scope
        if scope == self._said_scope:
            return []
        self._said_scope = scope
        return [Scoped(NAME, scope)]

    def _follow_secrets(self) -> None:
        """Watch exactly the Secrets that objects refer to; one that none refers to is Removed."""
        wanted = self._references.wanted
        dropped = [self._secrets.pop(name) for name in self._secrets.keys() - wanted]
        for secret in sorted(wanted - self._secrets.keys()):
            feed = SecretFeed(secret)
            self._secrets[secret] = feed
            self._informers.start(feed)
        for feed in dropped:
            self._informers.forget(feed)
            if events := feed.drop_all():
                self._emit(*events)

    def _follow_pods(self) -> None:
        """Watch exactly the Pods that weights need; one that none needs is Removed."""
        wanted = self._pod_references.wanted
        dropped = [self._pods.pop(selection) for selection in self._pods.keys() - wanted]
        for selection in sorted(wanted - self._pods.keys()):
            feed = PodFeed(selection)
            self._pods[selection] = feed
            self._informers.start(feed)
        for feed in dropped:
            self._informers.forget(feed)
            if events := self._without_shared(feed, feed.drop_all()):
                self._emit(*events)

    def _followed(self) -> list[Feed]:
        """The feeds that other objects ask for."""
        return [*self._secrets.values(), *self._pods.values()]

    def _report_completeness(self) -> None:
        """Emit an event if the completeness of the state changed."""
        feeds = self._all_feeds()
        asked = (*feeds, *self._pods.values())
        reason = next((feed.reason for feed in asked if feed.reason is not None), None)
        stale = any(feed.stale for feed in (*feeds, *self._followed()))
        now: Event
        if reason is not None or stale:
            now = Unsynced(NAME, reason or _NOT_YET)
        else:
            incomplete = [feed.incomplete for feed in self._feeds if feed.incomplete is not None]
            # The one that holds back most.
            incomplete.sort(key=lambda each: each.words is not None)
            now = Synced(NAME, incomplete[0] if incomplete else None)
        if now != self._state:
            self._state = now
            self._emit(now)
