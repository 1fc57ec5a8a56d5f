"""The controller's loop: events in, one pass after each burst of them, until it is told to stop.

In: a pipeline, sources, a sink. Out: the sink as the sources want it; an :class:`~aeraki_core.controller.observer.Observer` hears
of every pass. One thread, that of :meth:`Controller.run`, owns the pipeline; everybody else puts events on its queue.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aeraki_core.controller.backoff import Backoff
from aeraki_core.controller.debounce import Debounce
from aeraki_core.controller.intake import Intake
from aeraki_core.controller.ledger import Ledger
from aeraki_core.controller.observer import NoObserver, Observer, PassReport
from aeraki_core.controller.writer import Writer
from aeraki_core.diagnostics import Finding
from aeraki_core.envoyfilter import FilterKey, Owner
from aeraki_core.errors import AerakiError
from aeraki_core.pipeline import Pipeline
from aeraki_core.sinks.base import Sink
from aeraki_core.sources.base import Event, Refreshable, Source
from aeraki_core.sources.merge import Merge

__all__ = ["Controller", "Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A pass comes after ``quiet`` without an event, at most ``longest`` after the first; see facts/live.md on bursts.

    A failed write is tried again after ``retry_first``, then twice as long each time, at most ``retry_longest``.
    """

    quiet: float = 0.5
    longest: float = 10.0
    retry_first: float = 1.0
    retry_longest: float = 60.0


@dataclass(frozen=True, slots=True)
class _LiveChanged:
    """Somebody else changed or deleted one of our filters."""

    key: FilterKey


@dataclass(frozen=True, slots=True)
class _Stop:
    """The end."""


_Item = Event | _LiveChanged | _Stop


class Controller:
    """Runs once: :meth:`run_once` or :meth:`run`."""

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Sequence[Source],
        sink: Sink,
        *,
        timing: Timing | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        timing = timing or Timing()
        self._pipeline = pipeline
        self._sources = tuple(sources)
        self._sink = sink
        self._observer = observer or NoObserver()
        self._clock = clock
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._intake = Intake(pipeline, [source.name for source in sources], self._observer)
        self._writer = Writer(pipeline, sink, Backoff(timing.retry_first, timing.retry_longest))
        self._debounce = Debounce(timing.quiet, timing.longest)
        self._ledger = Ledger()
        self._live_changed: set[FilterKey] = set()
        self._first = True

    # -- for others to ask, from an observer ---------------------------------------------------------------------------

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is wrong as of the last pass, in order."""
        return self._ledger.findings

    @property
    def held(self) -> str | None:
        """Why nothing is deleted now; None when deletions are done."""
        return self._intake.held

    # -- running ------------------------------------------------------------------------------------------------------

    def run_once(self, timeout: float | None = None) -> PassReport:
        """One pass over what the sources have, and the end.

        Raises:
            AerakiError: a source or the sink cannot be used; or after ``timeout`` seconds a source has not given everything.
        """
        end = None if timeout is None else self._clock() + timeout
        self._start()
        try:
            self._take_until(lambda: self._intake.ready, end, timeout)
            report = self._pass()
            if self._intake.doubting:
                self._take_until(lambda: self._intake.answered, end, timeout)
                second = self._pass()
                report = replace(second, first=True, written=(*report.written, *second.written))
            return report
        finally:
            self._end()

    def _take_until(self, enough: Callable[[], bool], end: float | None, timeout: float | None) -> None:
        while not enough():
            try:
                self._take(self._queue.get(timeout=None if end is None else max(0.0, end - self._clock())))
            except queue.Empty:
                raise AerakiError(f"after {timeout} seconds not every source has given all that it has") from None

    def run(self, stop: threading.Event) -> None:
        """Pass after pass until ``stop`` is set.

        Raises:
            AerakiError: a source or the sink cannot be used at all.
        """
        self._start()
        threading.Thread(target=self._pass_on, args=(stop,), name="controller-stop", daemon=True).start()
        try:
            while self._wait() and not stop.is_set():
                if self._due():
                    self._pass()
        finally:
            self._end()

    def _start(self) -> None:
        self._sink.start(lambda key: self._queue.put(_LiveChanged(key)))
        try:
            names = [source.name for source in self._sources]
            emit = Merge(self._queue.put, names) if len(names) > 1 else self._queue.put
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
        self._queue.put(_Stop())

    def _wait(self) -> bool:
        """Wait for an event or until a pass is due, and take all events that are there; False at the end."""
        due = self._next()
        try:
            item = self._queue.get(timeout=None if due is None else max(0.0, due - self._clock()))
            while True:
                if isinstance(item, _Stop):
                    return False
                self._take(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            return True

    def _take(self, item: _Item) -> None:
        self._debounce.touch(self._clock())
        if isinstance(item, _LiveChanged):
            self._live_changed.add(item.key)
            self._observer.live_changed(item.key)
        elif not isinstance(item, _Stop):
            self._intake.take(item)

    def _next(self) -> float | None:
        """When the next pass is due; None when nothing is to be done. The first comes as soon as all sources are there."""
        if not self._intake.ready:
            return None
        if self._first:
            return self._clock()
        times = [at for at in (self._debounce.due, self._writer.next_retry) if at is not None]
        return min(times, default=None)

    def _due(self) -> bool:
        due = self._next()
        return due is not None and due <= self._clock()

    # -- a pass -------------------------------------------------------------------------------------------------------

    def _pass(self) -> PassReport:
        start = time.perf_counter()
        self._debounce.reset()
        generated = self._pipeline.run()
        held = self._intake.held
        changed = self._writer.everything() if self._first else generated.changed | self._live_changed
        self._live_changed = set()
        outcome = self._writer.write(changed, self._clock(), held, self._why_held, confirmed=self._intake.confirmed())
        if outcome.doubtful:
            self._confirm()
        came, went = self._ledger.update(
            (*self._pipeline.findings(), *self._intake.problems(), *self._writer.findings())
        )
        report = PassReport(
            self._first,
            generated,
            outcome.written,
            outcome.kept,
            outcome.released,
            came,
            went,
            held,
            time.perf_counter() - start,
        )
        self._first = False
        self._observer.passed(report)
        return report

    def _confirm(self) -> None:
        """Ask every source that can for a fresh full answer; the pass after it does what was put off, if it is still wanted."""
        able = [source for source in self._sources if isinstance(source, Refreshable)]
        self._intake.expect(source.name for source in able)
        for source in able:
            source.refresh()
        if not able:
            self._debounce.touch(self._clock())

    def _why_held(self, owner: Owner) -> str | None:
        return self._intake.why_held(owner.host) or self._pipeline.why_held(owner)
