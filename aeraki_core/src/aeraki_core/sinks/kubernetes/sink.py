"""Filters as EnvoyFilters of a cluster.

Steps become server-side applies and deletions, sent by a bounded number of threads. What is live
comes from one watch, not from a list for each pass; what somebody else changes or deletes goes to
the controller, which restores it. Three parts have a life of their own: what is watched (watch.py),
what is being written (flight.py), and what of upstream Aeraki's is superseded (adoption.py).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.filters.output import Output
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.findings.codes import UNLABELLED_FILTER, UPSTREAM_FILTER
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.client import Client, Object
from aeraki_core.kube.informer import Tuning
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.sinks.base import Written
from aeraki_core.sinks.kubernetes.adoption import Adoption
from aeraki_core.sinks.kubernetes.flight import Flight
from aeraki_core.sinks.kubernetes.live import LiveFilters, Whose
from aeraki_core.sinks.kubernetes.watch import FilterNews, FilterWatch
from aeraki_core.sinks.kubernetes.writer import FIELD_MANAGER, NOT_OURS_MESSAGE, ApiWriter

__all__ = ["KubernetesSink"]

_log = logging.getLogger(__name__)
_NAMED = 20


class KubernetesSink:
    """The sink ``kubernetes``.

    ``namespaces``: the only ones to look at and to write to; empty for all.
    ``workers``: writes at once.
    ``dry_run``: the server checks everything and keeps nothing.
    ``adopt_upstream``: delete upstream Aeraki's filters of the service ports that ours are live
    for.
    ``start_timeout``: seconds that a page of the first list may take.
    ``may_write``: asked before each single write; None: it always may.
    ``instance``: filters of other instances are not ours.
    ``kinds``: the kinds that are written. What is left of the others is looked at where it can be.
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
        kinds: Collection[OutputKind] = (OutputKind.ENVOY_FILTER,),
    ) -> None:
        self._kinds = kinds
        self._connect = connect
        self._may_write = may_write or (lambda: True)
        self._namespaces: tuple[str | None, ...] = tuple(sorted(set(namespaces))) or (None,)
        self._workers = workers
        self._dry_run = dry_run
        self._adopt = adopt_upstream
        self._start_timeout = start_timeout
        self._tuning = tuning
        self._filters = LiveFilters(instance)
        self._flight = Flight(self._filters)
        self._adoption = Adoption(self._filters, dry_run=dry_run)
        self._watch: FilterWatch | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._writer: ApiWriter | None = None
        self._changed: Callable[[FilterKey], None] = lambda key: None

    def start(self, changed: Callable[[FilterKey], None]) -> None:
        """Read what is live, and watch it.

        Raises:
            AerakiError: there is no usable configuration, the server did not answer in time, or it
            knows
                no EnvoyFilters.
        """
        client = self._connect().only_if(self._may_write)
        self._writer = ApiWriter(client, self._filters, dry_run=self._dry_run)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="write")
        self._watch = FilterWatch(
            client,
            self._filters,
            self._namespaces,
            self._heard,
            written=self._kinds,
            tuning=self._tuning,
        )
        try:
            self._watch.start(self._start_timeout)
        except BaseException:
            self.stop()
            raise
        self._changed = changed

    def live(self) -> Mapping[FilterKey, Live]:
        """All filters of ours; a view that follows what happens."""
        return self._filters.ours()

    def unify(self, want: Output) -> None:
        """Hold one value for what is live and desired, where they are equal."""
        self._filters.unify(want)

    def refresh(self) -> None:
        """Read all live filters anew from the server."""
        if self._watch is not None:
            self._watch.refresh()

    def stop(self) -> None:
        """End all threads, within about two seconds; writes that were sent are not called back."""
        self._changed = lambda key: None
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        if self._watch is not None:
            self._watch.stop()

    # -- writing ----------------------------------------------------------------------------------

    def apply(self, steps: Iterable[Step]) -> Iterator[Written]:
        """Do the steps, as many at once as there are writers; the results come in their order.

        With ``adopt_upstream`` then delete what they supersede. Without steps, only the latter.
        """
        if self._pool is None or self._writer is None:
            raise RuntimeError("not started")
        sent: list[Step] = []
        results: deque[Future[Written]] = deque()
        ended: SimpleQueue[Future[Written]] = SimpleQueue()
        running = 0
        self._writer.begin()
        try:
            for step in steps:
                self._flight.begin(step)
                sent.append(step)
                results.append(self._pool.submit(self._write, step))
                results[-1].add_done_callback(ended.put)
                running += 1
                # Each writer has its next step at hand, so none waits for a slow one.
                if running == 2 * self._workers:
                    ended.get()
                    running -= 1
                while results and results[0].done():
                    yield results.popleft().result()
            while results:
                yield results.popleft().result()
            if self._adopt and self._may_write():
                self._adoption.run(self._pool, self._writer)
        finally:
            wait(results)
            for key in self._flight.end(sent):
                self._changed(key)

    def _write(self, step: Step) -> Written:
        if self._writer is None:
            raise RuntimeError("not started")
        if self._namespaces != (None,) and step.key.namespace not in self._namespaces:
            # Nothing is known of what is there; what we wrote could neither be restored nor
            # removed.
            error = (
                f"namespace {step.key.namespace} is not watched here;"
                " name it in --watch-namespaces or --filter-namespaces"
            )
            return Written(step, error)
        written = self._writer.write(step)
        if not written.skipped:
            self._flight.set_foreign(step.key, is_foreign=written.error == NOT_OURS_MESSAGE)
        return written

    # -- what the watch says ----------------------------------------------------------------------

    def _heard(self, news: FilterNews) -> None:
        if not self._may_write():
            # The leader wrote it, or restores it. A standby compares it for the next takeover.
            self._changed(news.key)
            return
        if not self._flight.is_for_the_controller(news):
            return
        if news.before.whose is Whose.OURS and news.before.uid:
            _log.warning("%s %s was %s", news.key.kind, news.key.place, _what_happened(news))
        self._changed(news.key)

    def findings(self) -> tuple[Finding, ...]:
        """Live filters that stand beside ours and should not."""
        return (*self._upstream_findings(), *self._unlabelled_findings())

    def _upstream_findings(self) -> Iterator[Finding]:
        policies = sorted(self._filters.keys(Whose.UPSTREAM_POLICY))
        if policies:
            message = (
                "filters of upstream Aeraki enforce its authorization policies, so they are never "
                f"adopted; nothing here refuses calls in their place: {_some(policies)}"
            )
            yield Finding(UPSTREAM_FILTER, message, _ref(policies[0]))
        upstream = sorted(self._filters.keys(Whose.UPSTREAM))
        if not upstream:
            return
        names = _some(upstream)
        message = f"filters of upstream Aeraki (label manager: Aeraki) are in the cluster: {names}"
        again = [key for key in upstream if key in self._adoption.adopted]
        if again:
            message = f"upstream Aeraki still runs: it wrote again what was adopted: {_some(again)}"
        yield Finding(UPSTREAM_FILTER, message, _ref(upstream[0]))

    def _unlabelled_findings(self) -> Iterator[Finding]:
        unlabelled = sorted(self._filters.keys(Whose.UNLABELLED))
        for key in unlabelled[:_NAMED]:
            message = (
                f"{key} has a name and labels of Aeraki's, but not the label that it is managed"
            )
            yield Finding(UNLABELLED_FILTER, message, _ref(key))
        if len(unlabelled) > _NAMED:
            yield Finding(UNLABELLED_FILTER, f"and {len(unlabelled) - _NAMED} more")


def _ref(key: FilterKey) -> ObjectRef:
    return ObjectRef(key.kind, key.namespace, key.name)


def _what_happened(news: FilterNews) -> str:
    if news.deleted:
        return "deleted by somebody else"
    metadata = (news.content or {}).get("metadata") or {}
    fields: list[Object] = metadata.get("managedFields") or []
    managers = ((str(field.get("time") or ""), str(field.get("manager"))) for field in fields)
    others = [each for each in managers if each[1] != FIELD_MANAGER]
    return f"changed by {max(others)[1] if others else 'somebody else'}"


def _some(keys: Sequence[FilterKey]) -> str:
    shown = ", ".join(str(key) for key in keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"
