"""Watching the objects that Aeraki writes in a cluster, from the start of the sink to its end.

One list and watch of each kind for the whole cluster or for each watched namespace. Of companions
only ours are asked for: a mesh may have thousands of other ServiceEntries. Where none are written,
those that are left over are looked for, and a list that cannot be read is no error. Everything that
they bring goes into :class:`~aeraki_core.sinks.kubernetes.live.LiveFilters`, and what is news goes
to ``heard``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from aeraki_core.errors import AerakiError
from aeraki_core.filters.envoyfilter import MANAGED_BY, MANAGER, FilterKey
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.kube.client import Client, Object
from aeraki_core.kube.decode import DecodedObject
from aeraki_core.kube.informer import (
    Changed,
    Deleted,
    Failed,
    Informer,
    ListBegan,
    ListEnded,
    ListNews,
    NotServed,
    Page,
    Recovered,
    Tuning,
)
from aeraki_core.kube.resources import Discovery
from aeraki_core.sinks.kubernetes.live import LiveEntry, LiveFilters, key_of
from aeraki_core.sinks.kubernetes.writer import resource_of

__all__ = ["FilterNews", "FilterWatch"]

_log = logging.getLogger(__name__)
_STOP = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterNews:
    """A filter is new, other or gone.

    ``before`` is what was known of it; ``content`` the object, if there is one.
    """

    key: FilterKey
    before: LiveEntry
    content: Object | None
    deleted: bool


class FilterWatch:
    """``namespaces``: None alone for the whole cluster.

    ``heard`` is called from the informers' threads. ``written``: the kinds that must be readable.
    """

    def __init__(
        self,
        client: Client,
        filters: LiveFilters,
        namespaces: Sequence[str | None],
        heard: Callable[[FilterNews], None],
        *,
        written: Collection[OutputKind] = (OutputKind.ENVOY_FILTER,),
        tuning: Tuning | None = None,
    ) -> None:
        discovery = Discovery(client)
        self._lists = [
            _FilterList(
                client,
                discovery,
                filters,
                kind,
                namespace,
                heard,
                tuning,
                is_needed=kind in written,
            )
            for kind in OutputKind
            for namespace in namespaces
        ]

    def start(self, patience: float) -> None:
        """Read everything, and watch it from then on. Each page may take ``patience`` seconds.

        Raises:
            AerakiError: the server does not answer in time, refuses, or knows no EnvoyFilters.
        """
        for each in self._lists:
            each.informer.start()
        for each in self._lists:
            each.wait(patience)
        for each in self._lists:
            if each.problem is not None and each.is_needed:
                raise AerakiError(f"the live {each.kind}s cannot be read: {each.problem}")

    def refresh(self) -> None:
        """Read everything anew."""
        for each in self._lists:
            each.informer.refresh()

    def stop(self) -> None:
        """End, within about two seconds."""
        for each in self._lists:
            each.informer.stop()
        deadline = time.monotonic() + _STOP
        for each in self._lists:
            each.informer.join(max(0.0, deadline - time.monotonic()))


class _FilterList:
    """The list of one namespace, or of the cluster.

    ``problem``: why it could not be read so far. ``is_needed``: then nothing starts without it.
    """

    def __init__(
        self,
        client: Client,
        discovery: Discovery,
        filters: LiveFilters,
        kind: OutputKind,
        namespace: str | None,
        heard: Callable[[FilterNews], None],
        tuning: Tuning | None,
        *,
        is_needed: bool,
    ) -> None:
        self.kind = kind
        self.is_needed = is_needed
        self._filters = filters
        self._namespace = namespace
        self._heard = heard
        self._answered = threading.Event()
        self._last_page = time.monotonic()
        self._present: set[FilterKey] = set()
        self.problem: str | None = "the API server did not answer in time"
        self.informer = Informer(
            f"{kind}{f' {namespace}' if namespace else ''}",
            client,
            lambda: discovery.find((resource_of(kind).group, kind), resource_of(kind).version),
            self._handle,
            namespace=namespace,
            params={"labelSelector": f"{MANAGED_BY}={MANAGER}"} if kind.is_named else {},
            tuning=tuning,
            # Without live weights most accounts have no right to these kinds, and need none.
            level=logging.WARNING if is_needed else logging.INFO,
        )

    def wait(self, patience: float) -> None:
        """Wait until the list was read, or cannot be.

        At most so many seconds without another page of it.
        """
        while (
            not self._answered.is_set()
            and (left := self._last_page + patience - time.monotonic()) > 0
        ):
            self._answered.wait(left)

    def _handle(self, news: ListNews) -> None:
        """News of the list, in the informer's thread."""
        match news:
            case ListBegan():
                self._present = set()
            case Page(_, objects):
                self._last_page = time.monotonic()
                for decoded in objects:
                    self._present.add(key_of(decoded.content, self.kind))
                    self._put(decoded)
            case ListEnded():
                for key in self._filters.missing(self.kind, self._namespace, self._present):
                    self._drop(key, None)
                self._present = set()
                self.problem = None
                self._answered.set()
            case Changed(_, objects):
                for decoded in objects:
                    self._put(decoded)
            case Deleted(_, objects):
                for content in objects:
                    self._drop(key_of(content, self.kind), content)
            case NotServed():
                self.problem = f"the cluster knows no {self.kind}s; install Istio first"
                self._answered.set()
            case Failed(reason):
                self.problem = reason
                if not self.is_needed:
                    self._answered.set()
            case Recovered():
                self.problem = None

    def _put(self, decoded: DecodedObject) -> None:
        content, key = decoded.content, key_of(decoded.content, self.kind)
        if decoded.problem is not None:
            # The last known filter stays: the author of such an object does not decide about a
            # filter.
            _log.warning("%s %s is ignored: %s", key.kind, key.place, decoded.problem)
            return
        before = self._filters.put(content, kind=self.kind)
        if before is not None:
            self._heard(FilterNews(key=key, before=before, content=content, deleted=False))

    def _drop(self, key: FilterKey, content: Object | None) -> None:
        before = self._filters.drop(key)
        if before is not None:
            self._heard(FilterNews(key=key, before=before, content=content, deleted=True))
