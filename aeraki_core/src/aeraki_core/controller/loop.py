"""The controller's loop: events in, one pass after each burst of them.

One thread, that of :meth:`Controller.run`, owns the pipeline; everybody else puts events on its
queue. A pass generates what changed and writes what differs. Neither takes the loop for long: what
is not done after half a second waits while the loop looks at its queue. Endpoints that carry
weights wait for no burst: a pass of their own follows at once, because a pod that is gone gets
calls until then.

One of several replicas leads. The others do the same without writing, so each could lead at once; a
replica that becomes the leader looks at every filter.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from aeraki_core.controller.debounce import Debounce
from aeraki_core.controller.intake import Follow, Intake
from aeraki_core.controller.observer import (
    FilterChanged,
    LeadershipChanged,
    Observer,
    PassReport,
)
from aeraki_core.controller.writer import FilterWriter, Outcome
from aeraki_core.errors import AerakiError
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.findings.by_place import FindingsByPlace
from aeraki_core.findings.finding import Finding
from aeraki_core.findings.ledger import Ledger
from aeraki_core.pipeline.pipeline import Pass, Pipeline
from aeraki_core.sinks.base import Sink
from aeraki_core.sources.events import Event, Refreshable, Removed, Source, Synced, Upserted
from aeraki_core.sources.gaps import Gaps
from aeraki_core.sources.merge import merged

__all__ = ["Controller", "LoopTiming"]


@dataclass(frozen=True, slots=True)
class LoopTiming:
    """Seconds.

    ``quiet``: a burst of changes is over when so long nothing changed; a pass follows.
    ``longest``: a pass comes at most so long after the first change.
    ``lead``: the first change after a quiet time waits only so long for what belongs to it.
    ``retry_first``: when a failed write is tried again; then after twice as long each time.
    ``retry_longest``: the longest wait between two tries.
    ``linger``: a companion outlives the filters that name it so long. Connections that drain (45 s
    by default) still have the old filter, and so need its cluster.
    """

    quiet: float = 0.5
    longest: float = 10.0
    lead: float = 0.05
    retry_first: float = 1.0
    retry_longest: float = 60.0
    linger: float = 120.0


@dataclass(frozen=True, slots=True)
class _LiveChanged:
    """Somebody else changed or deleted one of our filters."""

    key: FilterKey


@dataclass(frozen=True, slots=True)
class _Leads:
    """This replica starts or stops leading."""

    leads: bool


@dataclass(frozen=True, slots=True)
class _Question:
    """A question about something that only the loop's thread may look at."""

    function: Callable[[], Any]
    answer: Future[Any]


@dataclass(frozen=True, slots=True)
class _StopLoop:
    """The end."""


_SLICE = 0.5
"""Seconds of generating after which the loop looks at what else there is."""

_Item = tuple[Event, ...] | _LiveChanged | _Leads | _Question | _StopLoop
T = TypeVar("T")


class Controller:
    """Runs once: :meth:`run_once` or :meth:`run`.

    ``may_write``: asked before each pass writes. None: there is no election, and it always may.
    With it the controller stands by until :meth:`lead` says otherwise.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Sequence[Source],
        sink: Sink,
        *,
        timing: LoopTiming | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        may_write: Callable[[], bool] | None = None,
    ) -> None:
        timing = timing or LoopTiming()
        self._pipeline = pipeline
        self._sources = tuple(sources)
        self._sink = sink
        self._observer = observer or (lambda event: None)
        self._clock = clock
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._intake = Intake(pipeline, [source.name for source in sources], self._observer)
        self._writer = FilterWriter(
            pipeline,
            sink,
            retry_first=timing.retry_first,
            retry_longest=timing.retry_longest,
            linger=timing.linger,
            clock=clock,
            progress=self._progress,
        )
        self._debounce = Debounce(timing.quiet, timing.longest, timing.lead)
        self._troubles = FindingsByPlace()
        self._ledger = Ledger(
            pipeline.unlocated, self._intake.problems, self._troubles, locate=pipeline.locate
        )
        self._live_changed: set[FilterKey] = set()
        self._first = True
        self._may_write = may_write or (lambda: True)
        self._leads = may_write is None
        self._everything = True
        self._urgent = False
        self._busy_since: float | None = None
        self._progress_at = clock()
        self._slices = Pass()
        self.passes = 0
        """How many passes have ended."""
        self.passed_at: float | None = None
        """When the last pass ended, in seconds since the epoch; None before the first."""

    # -- for other threads ------------------------------------------------------------------------

    def lead(self, leads: bool) -> None:
        """This replica starts or stops leading."""
        self._queue.put(_Leads(leads))

    def call(self, function: Callable[[], T], timeout: float) -> T:
        """Return the function's result from the loop's thread, between two passes.

        Raises:
            TimeoutError: the loop did not call it within ``timeout`` seconds. What the function
                raises is raised too.
        """
        answer: Future[T] = Future()
        self._queue.put(_Question(function, answer))
        try:
            return answer.result(timeout)
        except TimeoutError:
            answer.cancel()
            raise

    def post(self, *events: Event) -> None:
        """Queue events of sources or of others, such as of proxies that refuse a filter."""
        self._queue.put(events)

    @property
    def busy(self) -> float:
        """For how many seconds the loop has been at work; 0 while it waits for something to do."""
        since = self._busy_since
        return 0.0 if since is None else max(0.0, self._clock() - since)

    @property
    def stalled(self) -> float:
        """Return for how many seconds the loop has worked without progress; 0 while it waits.

        Progress is an accepted event, a generator run or a written filter: many of them may take
        long.
        """
        since = self._busy_since
        return 0.0 if since is None else max(0.0, self._clock() - max(since, self._progress_at))

    @property
    def queued(self) -> int:
        """Return how many events wait for intake; events that came together count as one."""
        return self._queue.qsize()

    @property
    def waiting(self) -> str | None:
        """What the first pass waits for; None after it."""
        if not self._first:
            return None
        sources = self._intake.waiting
        return (
            f"waiting for source {', '.join(sources)}"
            if sources
            else "the first pass has not ended"
        )

    @property
    def leading(self) -> bool:
        """Whether this replica writes."""
        return self._leads

    # -- for others to ask, from an observer or a call --------------------------------------------

    def problem(self, key: FilterKey) -> str | None:
        """Return why a live filter differs from the desired one; None if it does not."""
        return self._writer.problem(key)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong as of the last pass, in order."""
        return self._ledger.findings

    @property
    def held(self) -> str | None:
        """Why nothing is deleted now; None when deletions are done."""
        return self._intake.held

    # -- running ----------------------------------------------------------------------------------

    def run_once(self, patience: float = 30.0) -> PassReport:
        """Run one pass over the content of the sources, and end.

        Raises:
            AerakiError: a source or the sink cannot be used; or one source has not given
                everything, and none has given anything for ``patience`` seconds.
        """
        self._start()
        try:
            self._handle_until(lambda: self._intake.ready, patience)
            report: PassReport | None = None
            while report is None or self._urgent or self._intake.doubting:
                if self._intake.doubting:
                    self._handle_until(lambda: self._intake.answered, patience)
                later = self._pass()
                if report is not None and later is not None:
                    later = replace(later, first=True, written=(*report.written, *later.written))
                report = later or report
            return report
        finally:
            self._end()

    def _handle_until(self, enough: Callable[[], bool], patience: float) -> None:
        end = self._clock() + patience
        while not enough():
            try:
                item = self._queue.get(timeout=max(0.0, end - self._clock()))
            except queue.Empty:
                why = self._intake.held or f"waiting for source {', '.join(self._intake.waiting)}"
                raise AerakiError(
                    f"{why}; given up after {patience:g} seconds without anything more of it"
                ) from None
            if _is_news(item):
                end = self._clock() + patience
            self._handle(item)

    def run(self, stop: threading.Event) -> None:
        """Pass after pass until ``stop`` is set.

        Raises:
            AerakiError: a source or the sink cannot be used at all.
        """
        self._start()
        threading.Thread(
            target=self._pass_on, args=(stop,), name="controller-stop", daemon=True
        ).start()
        try:
            while self._wait() and not stop.is_set():
                if self._due():
                    self._pass()
                elif self._pipeline.weights_moved and not self._first:
                    self._follow_endpoints()
        finally:
            self._end()

    def _start(self) -> None:
        self._sink.start(lambda key: self._queue.put(_LiveChanged(key)))
        try:
            emit = merged([source.name for source in self._sources])(self.post)
            for source in self._sources:
                source.start(emit)
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        for source in self._sources:
            source.stop()
        self._sink.stop()

    def _pass_on(self, stop: threading.Event) -> None:
        stop.wait()
        self._queue.put(_StopLoop())

    def _wait(self) -> bool:
        """Wait for an event or until a pass is due, and take in all events that are there.

        False at the end.
        """
        due = self._next()
        if self._pipeline.weights_moved and self._intake.ready:
            due = self._clock()
        self._busy_since = None
        try:
            item = self._queue.get(timeout=None if due is None else max(0.0, due - self._clock()))
            while True:
                self._busy_since = self._clock()
                if isinstance(item, _StopLoop):
                    return False
                self._handle(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            self._busy_since = self._clock()
            return True

    def _progress(self) -> None:
        self._progress_at = self._clock()

    def _handle(self, item: _Item) -> None:
        self._progress()
        match item:
            case _Question(function, answer):
                _answer(function, answer)
                return
            case _Leads(leads):
                self._set_leads(leads)
            case _LiveChanged(key):
                self._live_changed.add(key)
                if self._leads:
                    self._observer(FilterChanged(key))
            case _StopLoop():
                pass
            case _:
                self._accept_events(item)
                return
        self._debounce.touch(self._clock())

    def _accept_events(self, events: tuple[Event, ...]) -> None:
        """Take events in, and let the pass come that must follow."""
        follow = Follow.NONE
        for event in events:
            self._progress()
            follow = max(follow, self._intake.accept(event))
        match follow:
            case Follow.SOON:
                self._debounce.touch_soon(self._clock())
            case Follow.AFTER_BURST:
                self._debounce.touch(self._clock())

    def _set_leads(self, leads: bool) -> None:
        # Also if it led before: other replicas may have written meanwhile.
        self._everything = self._urgent = True
        self._leads = leads
        self._observer(LeadershipChanged(leads))

    def _next(self) -> float | None:
        """When the next pass is due; None when there is nothing to do.

        The first comes as soon as every source has given everything.
        """
        if not self._intake.ready:
            return None
        if self._first or self._urgent:
            return self._clock()
        times = [at for at in (self._debounce.due, self._writer.next_try) if at is not None]
        return min(times, default=None)

    def _due(self) -> bool:
        due = self._next()
        return due is not None and due <= self._clock()

    # -- a pass -----------------------------------------------------------------------------------

    def _pass(self) -> PassReport | None:
        """Generate and write what changed, for a while. The next pass, at once, does the rest.

        None: the first pass has not ended. Nothing is written before everything is generated.
        """
        start = time.perf_counter()
        self._debounce.reset(self._clock())
        self._slices = self._slices.and_then(self._pipeline.run(self._slice()))
        if self._slices.left and self._first:
            self._urgent = True
            return None
        generated, self._slices = self._slices, Pass()
        self._urgent = generated.left
        return self._finish(generated, start)

    def _follow_endpoints(self) -> None:
        """A pass over the endpoints that carry weights alone.

        It waits for no burst, and it neither ends nor prolongs that of other changes.
        """
        start = time.perf_counter()
        self._finish(self._pipeline.follow_endpoints(), start)

    def _finish(self, generated: Pass, start: float) -> PassReport:
        """Write what was generated, and report."""
        gaps, full = self._intake.gaps, self._everything
        outcome = self._write(generated.changed, gaps)
        if outcome.doubtful:
            self._confirm()
        self._troubles.put("writer", self._writer.findings())
        self._troubles.put("sink", self._sink.findings())
        new, over = self._ledger.update()
        report = PassReport(
            first=self._first,
            generated=generated,
            written=outcome.written,
            kept=outcome.kept,
            released=outcome.released,
            new_findings=new,
            resolved_findings=over,
            held=gaps.deletions,
            seconds=time.perf_counter() - start,
            standby=not self._leads,
            full=full and not self._everything,
        )
        self._first = False
        self.passes += 1
        self.passed_at = time.time()
        self._observer(report)
        return report

    def _slice(self) -> Callable[[], bool]:
        """Asked after each generator: whether the loop has been generating for long enough."""
        end = self._clock() + _SLICE

        def enough() -> bool:
            self._progress()
            return self._progress_at > end

        return enough

    def _write(self, changed: frozenset[FilterKey], gaps: Gaps) -> Outcome:
        """Write what differs, if this replica leads."""
        if not self._leads:
            released = self._writer.stand_by()
            self._urgent |= self._writer.compare_ahead(changed | self._live_changed)
            self._live_changed = set()
            return Outcome(released=released)
        if not self._may_write():
            return self._put_off(Outcome())
        full = self._everything
        keys = self._writer.everything() if full else changed | self._live_changed
        self._live_changed = set()
        self._everything = False
        confirmed = self._intake.confirmed()
        outcome = self._writer.write(keys, self._clock(), gaps, confirmed=confirmed, full=full)
        self._urgent |= outcome.left
        return self._put_off(outcome) if outcome.skipped else outcome

    def _put_off(self, outcome: Outcome) -> Outcome:
        """The Lease ended before the election reported it.

        The next leader handles what was not written.
        """
        self._everything = True
        self._debounce.touch(self._clock())
        return outcome

    def _confirm(self) -> None:
        """Ask every source that can for a fresh full answer.

        The pass after it does what is still wanted.
        """
        refreshable = [source for source in self._sources if isinstance(source, Refreshable)]
        self._intake.expect(source.name for source in refreshable)
        for source in refreshable:
            source.refresh()
        if not refreshable:
            self._debounce.touch(self._clock())


def _is_news(item: _Item) -> bool:
    """Report whether a source produced an event. A failed retry does not count."""
    return isinstance(item, tuple) and any(
        isinstance(event, Upserted | Removed | Synced) for event in item
    )


def _answer(function: Callable[[], Any], answer: Future[Any]) -> None:
    if not answer.set_running_or_notify_cancel():
        return  # nobody waits for the answer any more
    try:
        answer.set_result(function())
    except Exception as error:  # noqa: BLE001 it is raised where it was asked for
        answer.set_exception(error)
