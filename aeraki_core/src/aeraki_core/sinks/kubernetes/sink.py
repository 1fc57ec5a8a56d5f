"""Filters as EnvoyFilters of a cluster.

In: steps. Out: server-side applies and deletions, sent in one burst by a bounded number of threads. What is live comes from one
watch, not from a list for each pass. What somebody else changes or deletes is told to the controller, which restores it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor

from aeraki_core.errors import AerakiError
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.findings.codes import UPSTREAM_FILTER
from aeraki_core.findings.finding import Finding
from aeraki_core.findings.text import and_more
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
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.sinks.base import Written
from aeraki_core.sinks.kubernetes.live import LiveEntry, LiveFilters, Whose, key_of
from aeraki_core.sinks.kubernetes.upstream import superseded
from aeraki_core.sinks.kubernetes.writer import FIELD_MANAGER, NOT_OURS_MESSAGE, RESOURCE, ApiWriter

__all__ = ["KubernetesSink"]

_log = logging.getLogger(__name__)
_STOP = 2.0


class KubernetesSink:
    """The sink ``kubernetes``.

    ``namespaces``: the only ones to look at and to write to; empty for all. ``instance``: filters of other instances are not ours.
    ``workers``: writes at once. ``adopt_upstream``: delete upstream Aeraki's filters of the service ports that ours are live for.
    ``start_timeout``: seconds that a page of the first list may take. ``may_write`` is asked before each single write; None: it
    always may.
    """

    name = "kubernetes"

    def __init__(
        self,
        connect: Callable[[], Client],
        *,
        namespaces: Iterable[str] = (),
        workers: int = 8,
        dry_run: bool = False,
        adopt_upstream: bool = False,
        start_timeout: float = 30.0,
        tuning: Tuning | None = None,
        may_write: Callable[[], bool] | None = None,
        instance: str = "",
    ) -> None:
        self._connect = connect
        self._may_write = may_write or (lambda: True)
        self._namespaces: tuple[str | None, ...] = tuple(sorted(set(namespaces))) or (None,)
        self._workers = workers
        self._dry_run = dry_run
        self._adopt = adopt_upstream
        self._start_timeout = start_timeout
        self._tuning = tuning
        self._filters = LiveFilters(instance)
        self._feeds: list[_Feed] = []
        self._pool: ThreadPoolExecutor | None = None
        self._writer: ApiWriter | None = None
        self._changed: Callable[[FilterKey], None] = lambda key: None
        self._lock = threading.Lock()
        self._in_flight: set[FilterKey] = set()
        self._seen_in_flight: set[FilterKey] = set()
        self._blocked: set[FilterKey] = set()
        self._adopted: set[FilterKey] = set()

    # -- for the controller -------------------------------------------------------------------------------------------

    def start(self, changed: Callable[[FilterKey], None]) -> None:
        """Read what is live, and watch it.

        Raises:
            AerakiError: there is no usable configuration, the server did not answer in time, or it knows no EnvoyFilters.
        """
        client = self._connect().only_if(self._may_write)
        discovery = Discovery(client)
        self._writer = ApiWriter(client, self._filters, dry_run=self._dry_run)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="write")
        for namespace in self._namespaces:
            feed = _Feed(self, namespace)
            name = f"EnvoyFilter{f' {namespace}' if namespace else ''}"
            feed.informer = Informer(
                name,
                client,
                lambda: discovery.find(("networking.istio.io", "EnvoyFilter"), RESOURCE.version),
                feed.take,
                namespace=namespace,
                tuning=self._tuning,
            )
            self._feeds.append(feed)
            feed.informer.start()
        for feed in self._feeds:
            feed.wait(self._start_timeout)
        problem = next((feed.problem for feed in self._feeds if feed.problem is not None), None)
        if problem is not None:
            self.stop()
            raise AerakiError(f"the live EnvoyFilters cannot be read: {problem}")
        self._changed = changed

    def live(self) -> Mapping[FilterKey, Live]:
        """All filters of ours; a view that follows what happens."""
        return self._filters.ours()

    def apply(self, steps: Iterable[Step]) -> Sequence[Written]:
        """Do the steps in one burst; with ``adopt_upstream`` then delete what they supersede. Without steps, only the latter."""
        if self._pool is None or self._writer is None:
            raise RuntimeError("not started")
        given = list(steps)
        keys = {step.key for step in given}
        with self._lock:
            self._in_flight |= keys
        try:
            self._writer.begin()
            done = list(self._pool.map(self._write, given))
            if self._adopt and self._may_write():
                self._supersede(self._pool, self._writer)
            return done
        finally:
            self._land(given)

    def share(self, item: EnvoyFilter) -> None:
        """Hold one value for what is live and wanted, where they are equal."""
        self._filters.share(item)

    def findings(self) -> tuple[Finding, ...]:
        """Filters of upstream Aeraki that are in force beside ours."""
        upstream = sorted(self._filters.keys(Whose.UPSTREAM))
        if not upstream:
            return ()
        again = [key for key in upstream if key in self._adopted]
        message = f"filters of upstream Aeraki (label manager: Aeraki) are in force: {and_more(upstream, 3)}"
        if again:
            message = (
                f"upstream Aeraki still runs: it wrote again what was adopted: {and_more(again, 3)}"
            )
        return (
            Finding(
                UPSTREAM_FILTER,
                message,
                ObjectRef("EnvoyFilter", upstream[0].namespace, upstream[0].name),
            ),
        )

    def refresh(self) -> None:
        """Read all live filters anew from the server."""
        for feed in self._feeds:
            feed.informer.refresh()

    def stop(self) -> None:
        """End all threads, within about two seconds; writes that were sent are not called back."""
        self._changed = lambda key: None
        for feed in self._feeds:
            feed.informer.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + _STOP
        for feed in self._feeds:
            feed.informer.join(max(0.0, deadline - time.monotonic()))

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(self, step: Step) -> Written:
        if self._writer is None:
            raise RuntimeError("not started")
        if self._namespaces != (None,) and step.key.namespace not in self._namespaces:
            # Nothing is known of what is there; what we wrote could neither be restored nor removed.
            error = f"namespace {step.key.namespace} is not watched here; name it in --watch-namespaces or --filter-namespaces"
            return Written(step, error)
        written = self._writer.write(step)
        if written.skipped:
            return written
        with self._lock:
            if written.error == NOT_OURS_MESSAGE:
                self._blocked.add(step.key)
            else:
                self._blocked.discard(step.key)
        return written

    def _supersede(self, pool: ThreadPoolExecutor, writer: ApiWriter) -> None:
        """Delete upstream's filters that ours stand for now. One that comes back is not fought over: upstream still runs."""
        upstream = [key for key in self._filters.keys(Whose.UPSTREAM) if key not in self._adopted]
        keys = superseded(upstream, self._filters.service_ports()) if upstream else []
        for key, error in zip(keys, pool.map(writer.delete, keys), strict=True):
            if error is None:
                _log.info(
                    "EnvoyFilter %s of upstream Aeraki is superseded by ours and deleted", key
                )
                if not self._dry_run:
                    self._adopted.add(key)
            else:
                _log.warning(
                    "EnvoyFilter %s of upstream Aeraki could not be deleted: %s", key, error
                )

    def _land(self, steps: Iterable[Step]) -> None:
        """The burst is over: tell of what somebody else did meanwhile."""
        with self._lock:
            self._in_flight.clear()
            seen, self._seen_in_flight = self._seen_in_flight, set()
        for step in steps:
            if step.key in seen and not self._known_as_taken(step.key):
                live = self._filters.live(step.key)
                if (live.filter if live is not None else None) != step.after:
                    self._changed(step.key)

    def _known_as_taken(self, key: FilterKey) -> bool:
        """Whether the name is still somebody else's, as our last write found it: there is nothing to do, and it has been said."""
        entry = self._filters.entry(key)
        with self._lock:
            return key in self._blocked and entry is not None and entry.whose is not Whose.OURS

    # -- for the feeds ------------------------------------------------------------------------------------------------

    def take(self, item: Object) -> None:
        """An EnvoyFilter as the server has it now."""
        before = self._filters.put(item)
        if before is not None:
            self._tell(key_of(item), before, item)

    def gone(self, key: FilterKey, item: Object | None) -> None:
        """An EnvoyFilter was deleted."""
        before = self._filters.drop(key)
        if before is not None:
            self._tell(key, before, item, deleted=True)

    def missing(self, namespace: str | None, present: Set[FilterKey]) -> None:
        """A fresh list holds only these."""
        for key in self._filters.missing(namespace, present):
            self.gone(key, None)

    def _tell(
        self, key: FilterKey, before: LiveEntry, item: Object | None, *, deleted: bool = False
    ) -> None:
        after = self._filters.entry(key)
        if not self._may_write():
            return  # the leader's doing, or for the leader to mend
        with self._lock:
            if key in self._in_flight:
                self._seen_in_flight.add(key)  # most likely our own write
                return
            freed = key in self._blocked and after is None
            if freed:
                self._blocked.remove(key)
        ours = before.whose is Whose.OURS or (after is not None and after.whose is Whose.OURS)
        if before.whose is Whose.OURS and before.uid:
            _log.warning("EnvoyFilter %s was %s", key, _doing(item, deleted=deleted))
        if ours or freed:
            self._changed(key)


class _Feed:
    """One namespace's (or the cluster's) list. ``told``: it was listed, or cannot be."""

    informer: Informer

    def __init__(self, sink: KubernetesSink, namespace: str | None) -> None:
        self._sink = sink
        self._namespace = namespace
        self.told = threading.Event()
        self.problem: str | None = "the API server did not answer in time"
        self._heard = time.monotonic()
        self._present: set[FilterKey] = set()

    def wait(self, patience: float) -> None:
        """Wait until the list was read, or cannot be; at most so many seconds without another page of it."""
        while not self.told.is_set() and (left := self._heard + patience - time.monotonic()) > 0:
            self.told.wait(left)

    def take(self, news: ListNews) -> None:
        """News of the list, in the informer's thread."""
        match news:
            case ListBegan():
                self._present = set()
            case Page(_, objects):
                self._heard = time.monotonic()
                for found in objects:
                    self._present.add(key_of(found.content))
                    self._take_object(found)
            case ListEnded():
                self._sink.missing(self._namespace, self._present)
                self._present = set()
                self.problem = None
                self.told.set()
            case Changed(_, objects):
                for found in objects:
                    self._take_object(found)
            case Deleted(_, objects):
                for content in objects:
                    self._sink.gone(key_of(content), content)
            case NotServed():
                self.problem = "the cluster knows no EnvoyFilters; install Istio first"
                self.told.set()
            case Failed(reason):
                self.problem = reason
            case Recovered():
                self.problem = None

    def _take_object(self, found: DecodedObject) -> None:
        """Take a filter in. Of one that cannot be read, what is known stays: it is not ours."""
        if found.problem is None:
            self._sink.take(found.content)
        else:
            _log.warning("EnvoyFilter %s is ignored: %s", key_of(found.content), found.problem)


def _doing(item: Object | None, *, deleted: bool) -> str:
    if deleted:
        return "deleted by somebody else"
    fields: list[Object] = ((item or {}).get("metadata") or {}).get("managedFields") or []
    others = [(str(each.get("time") or ""), str(each.get("manager"))) for each in fields]
    others = [each for each in others if each[1] != FIELD_MANAGER]
    return f"changed by {max(others)[1] if others else 'somebody else'}"
