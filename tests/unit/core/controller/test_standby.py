"""A replica that does not lead reads and generates all, and writes nothing; calls into the loop."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping

import pytest
from aeraki_core.controller.loop import Controller
from aeraki_core.controller.observer import ControllerEvent, Observers, PassReport
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.filters.output import Output
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.controller.running import (
    FAST,
    WAIT,
    Feed,
    Recorder,
    key,
    pipeline,
    routes,
    service,
    written,
)


class Replica:
    """A context in which a controller runs that takes part in an election."""

    def __init__(self, feed: Feed, sink: MemorySink) -> None:
        self.recorder = Recorder()
        self.may = True
        self.sink = sink
        self.controller = Controller(
            pipeline(),
            [feed],
            sink,
            timing=FAST,
            observer=self.recorder,
            may_write=lambda: self.may,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.controller.run, args=(self._stop,))

    def __enter__(self) -> Replica:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()

    def next(self) -> PassReport:
        return self.recorder.reports.get(timeout=WAIT)

    def until_written(self) -> PassReport:
        while not (report := self.next()).written:
            pass
        return report


def test_a_standby_keeps_up_and_writes_nothing_until_it_leads() -> None:
    feed = Feed(service("cart"))
    with Replica(feed, MemorySink()) as replica:
        first = replica.next()
        assert first.standby
        assert first.generated.calls == 1
        feed.put(service("order", 2))
        second = replica.next()
        assert second.generated.calls == 1
        assert replica.sink.writes == 0
        assert replica.controller.waiting is None
        replica.controller.lead(True)
        third = replica.until_written()
        assert third.full
        assert third.generated.calls == 0  # its caches are warm
        assert sorted(written(third)) == [
            f"create {side} {name}"
            for side in ("inbound", "outbound")
            for name in ("cart", "order")
        ]
        replica.controller.lead(False)
        feed.drop(service("cart"))
        while not (report := replica.next()).standby:
            pass
        assert key("cart") in replica.sink.filters
        assert report.written == ()


class ReadLate(MemorySink):
    """Reads a live filter when it is first asked for, as the sink of a cluster does."""

    def __init__(self, filters: Iterable[Output]) -> None:
        super().__init__(filters)
        self.unread = set(self.filters)
        self.readings = 0

    def live(self) -> Mapping[FilterKey, Live]:
        return _Reading(self, super().live())

    def unify(self, want: Output) -> None:
        self.live().get(want.key)

    def another_wrote(self, key: FilterKey) -> None:
        self.unread.add(key)
        self.tamper(key, self.filters[key])


class _Reading(Mapping[FilterKey, Live]):
    def __init__(self, sink: ReadLate, live: Mapping[FilterKey, Live]) -> None:
        self._sink, self._live = sink, live

    def __getitem__(self, key: FilterKey) -> Live:
        if key in self._sink.unread:
            self._sink.unread.discard(key)
            self._sink.readings += 1
        return self._live[key]

    def __iter__(self) -> Iterator[FilterKey]:
        return iter(self._live)

    def __len__(self) -> int:
        return len(self._live)


def test_a_standby_reads_what_is_live_before_it_leads() -> None:
    objects = [service(f"s{number:03}", number) for number in range(300)]
    before = MemorySink()
    Controller(pipeline(), [Feed(*objects)], before).run_once()
    sink = ReadLate(before.filters.values())
    feed = Feed(*objects)
    with Replica(feed, sink) as replica:
        while sink.unread:
            assert replica.next().standby
        assert sink.readings == 600
        # What the leader writes meanwhile is read, too.
        sink.another_wrote(key("s007"))
        while sink.unread:
            assert replica.next().standby
        feed.put(routes("s007", "b"))
        while not (report := replica.next()).generated.calls:
            pass
        replica.controller.lead(True)
        report = replica.until_written()
        assert sorted(written(report)) == ["update inbound s007", "update outbound s007"]
        assert sink.readings == 601


def test_a_lease_that_ends_before_the_election_says_so_puts_everything_off() -> None:
    feed = Feed(service("cart"))
    with Replica(feed, MemorySink()) as replica:
        replica.controller.lead(True)
        replica.until_written()
        replica.may = False
        feed.put(routes("cart", "b"))
        report = replica.next()
        assert report.generated.calls == 1
        assert report.written == ()
        replica.may = True
        assert len(replica.until_written().written) == 2


def test_a_call_is_answered_between_two_passes() -> None:
    with Replica(Feed(service("cart")), MemorySink()) as replica:
        replica.next()
        names = replica.controller.call(lambda: threading.current_thread().name, WAIT)
        assert names != threading.current_thread().name
        with pytest.raises(ZeroDivisionError):
            replica.controller.call(lambda: 1 // 0, WAIT)


def test_a_loop_that_hangs_is_seen() -> None:
    release, hangs = threading.Event(), threading.Event()

    def hang(event: ControllerEvent) -> None:
        if isinstance(event, PassReport):
            hangs.set()
            release.wait(WAIT)

    now = [100.0]
    stop = threading.Event()
    controller = Controller(
        pipeline(),
        [Feed(service("cart"))],
        MemorySink(),
        timing=FAST,
        observer=hang,
        clock=lambda: now[0],
    )
    assert controller.waiting == "waiting for source feed"
    thread = threading.Thread(target=controller.run, args=(stop,))
    thread.start()
    try:
        assert hangs.wait(WAIT)
        now[0] += 400
        assert controller.busy >= 400
        with pytest.raises(TimeoutError):
            controller.call(lambda: None, 0.01)
    finally:
        stop.set()
        release.set()
        thread.join(WAIT)


def test_an_observer_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Raising:
        def __call__(self, event: ControllerEvent) -> None:
            raise RuntimeError("no")

    recorder = Recorder()
    observer = Observers([Raising(), recorder])
    Controller(pipeline(), [Feed(service("cart"))], MemorySink(), observer=observer).run_once()
    assert recorder.reports.get(timeout=WAIT).first
    assert "Raising failed" in caplog.text
