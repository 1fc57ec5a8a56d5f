"""From an event to a written filter: how much runs and is written, and what a fault preserves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aeraki_core.controller.loop import Controller, LoopTiming
from aeraki_core.errors import AerakiError, SinkError
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.findings.codes import NOT_YAML
from aeraki_core.findings.finding import Finding
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.plugins.types import Protocol
from aeraki_core.sinks.base import Written
from aeraki_core.sources.events import Incomplete
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.controller.running import (
    FAST,
    WAIT,
    Feed,
    Running,
    codes,
    key,
    pipeline,
    routes,
    service,
    written,
)
from tests.unit.core.echo import EchoPlugin

# -- cost ------------------------------------------------------------------------------------------


def test_among_a_thousand_services_one_change_runs_one_generator_and_writes_what_differs() -> None:
    feed = Feed(
        *(service(f"s{number}", number) for number in range(1000)),
        *(routes(f"s{n}", "a") for n in range(1000)),
    )
    with Running(feed) as running:
        first = running.next()
        assert first.first
        assert first.generated.calls == 1000
        writes = len(first.written)
        while writes < 2000:
            writes += len(running.next().written)
        feed.put(routes("s7", "b"))
        second = running.next()
        assert second.generated.calls == 1
        assert written(second) == ["update outbound s7", "update inbound s7"]
        assert second.seconds < first.seconds / 20


def test_a_restart_over_an_unchanged_mesh_writes_nothing() -> None:
    objects = [service("cart", 1), service("order", 2), routes("cart", "a")]
    sink = MemorySink()
    Controller(pipeline(), [Feed(*objects)], sink).run_once()
    writes = sink.writes
    again = Controller(pipeline(), [Feed(*reversed(objects))], sink).run_once()
    assert again.written == ()
    assert sink.writes == writes == 4


def test_what_nothing_reads_writes_nothing() -> None:
    feed = Feed(service("cart"), routes("cart", "a"))
    with Running(feed) as running:
        running.next()
        feed.put(routes("cart", "a", labels={"team": "a"}, annotations={"x": "y"}), service("cart"))
        report = running.next()
        assert report.generated.calls == 0
        assert report.written == ()


def test_a_burst_is_one_pass() -> None:
    feed, now = Feed(service("cart")), [0.0]
    with Running(feed, timing=LoopTiming(quiet=0.3, longest=5.0), clock=lambda: now[0]) as running:
        running.next()
        for number in range(30):
            feed.put(routes("cart", f"m{number}"))
            running.controller.call(lambda: None, WAIT)  # it has been taken, by itself
            now[0] += 0.1
        assert running.recorder.reports.empty()
        now[0] += 0.3
        report = running.next()
        assert report.generated.calls == 1
        assert running.recorder.reports.empty()


def test_a_change_after_a_quiet_time_is_written_at_once_and_what_follows_in_one_pass() -> None:
    feed, now = Feed(service("cart"), service("order", 2)), [0.0]
    timing = LoopTiming(quiet=10.0, longest=60.0, lead=0.05)
    with Running(feed, timing=timing, clock=lambda: now[0]) as running:
        running.next()
        now[0] = 100.0
        feed.put(routes("cart", "a"))
        running.controller.call(lambda: None, WAIT)
        now[0] = 100.05
        assert written(running.next()) == ["update outbound cart", "update inbound cart"]
        for number in range(30):
            feed.put(routes("cart", f"m{number}"), routes("order", f"m{number}"))
            running.controller.call(lambda: None, WAIT)
            now[0] += 0.1
        assert running.recorder.reports.empty()
        now[0] += 10.0
        report = running.next()
        assert report.generated.calls == 2
        assert len(report.written) == 4
        assert running.recorder.reports.empty()


# -- before and without sources --------------------------------------------------------------------


def test_nothing_is_written_before_every_source_has_spoken() -> None:
    one, other = Feed(service("cart")), Feed(routes("cart", "a"), name="other", sync=False)
    with Running(one, other) as running:
        one.put(service("order", 2))
        assert running.recorder.said.get(timeout=WAIT) == ("synced", "feed", "")
        other.lose("no such host")
        assert running.recorder.said.get(timeout=WAIT) == ("unsynced", "other", "no such host")
        assert isinstance(running.sink, MemorySink)
        assert running.sink.writes == 0
        other.sync()
        report = running.next()
        assert written(report)[:2] == ["create outbound cart", "create outbound order"]
        assert report.held is None


def test_nothing_is_deleted_while_a_source_is_away() -> None:
    feed = Feed(service("cart"), service("order", 2))
    with Running(feed) as running:
        running.next()
        feed.lose("connection refused")
        feed.drop(service("cart"))
        feed.put(service("new", 3))
        report = running.until(lambda report: report.kept)
        assert all(item.step.action == "create" for item in report.written)
        assert {step.message for step in report.kept} == {
            "source feed is not in sync: connection refused"
        }
        assert codes(report.new_findings) == ["AER0502", "AER0502"]
        feed.sync()
        report = running.until(lambda report: report.written)
        assert [item.step.action for item in report.written] == ["delete", "delete"]
        assert codes(report.resolved_findings) == ["AER0502", "AER0502"]
        assert len(report.released) == 2
        assert running.controller.findings == ()


def test_what_was_never_read_holds_the_filters_that_it_may_be_about() -> None:
    sink = MemorySink()
    before = [
        service("cart"),
        service("order", 2),
        service("gone", 3),
        routes("cart", "a"),
        routes("order", "a"),
    ]
    Controller(pipeline(), [Feed(*before)], sink).run_once()
    kept = dict(sink.filters)
    # The next start finds the file of cart's routes broken; order's routes were changed meanwhile.
    feed = Feed(
        service("cart"), service("order", 2), service("new", 4), routes("order", "b"), sync=False
    )
    with Running(feed, sink=sink) as running:
        feed.sync(Incomplete("a.yaml:3: broken", frozenset({"virtualservice", "cart"})))
        report = running.next()
        assert report.held == "not everything could be read: a.yaml:3: broken"
        assert sink.filters[key("cart")] == kept[key("cart")]
        assert sink.filters[key("gone")] == kept[key("gone")]
        assert sink.filters[key("order")] != kept[key("order")]
        assert key("new") in sink.filters
        feed.put(routes("cart", "c"))
        feed.sync()
        running.until(lambda report: key("cart") in {item.step.key for item in report.written})
        assert sink.filters[key("cart")] != kept[key("cart")]
        assert key("gone") not in sink.filters


def test_one_pass_waits_for_the_sources_but_not_for_ever() -> None:
    controller = Controller(pipeline(), [Feed(sync=False)], MemorySink())
    with pytest.raises(AerakiError, match=r"waiting for source feed; given up after 0\.05 seconds"):
        controller.run_once(patience=0.05)


class Refused(Feed):
    """A source that is refused again and again."""

    def start(self, emit: Any) -> None:
        super().start(emit)
        self.lose("forbidden")


def test_one_pass_says_why_a_source_gives_nothing() -> None:
    controller = Controller(pipeline(), [Refused(sync=False)], MemorySink())
    with pytest.raises(AerakiError, match="source feed is not in sync: forbidden; given up"):
        controller.run_once(patience=0.05)


def test_of_two_sources_the_first_has_the_say() -> None:
    one, other = (
        Feed(service("cart"), service("order", 2)),
        Feed(service("cart"), service("order", 2), name="other"),
    )
    with Running(one, other) as running:
        running.next()
        other.put(service("cart", 1, volume="9"))
        one.drop(service("cart"))  # what the other gives takes its place
        assert {text.split()[0] for text in written(running.next())} == {"update"}
        other.drop(service("cart"))
        assert written(running.next()) == ["delete outbound cart", "delete inbound cart"]


# -- generators that fail --------------------------------------------------------------------------


class Moody(EchoPlugin):
    """Does what the test says: ``raise``, ``garbage``, ``exit``, or its work."""

    mood = ""

    def aeraki_generate(self, protocol: Protocol, context: Any) -> Iterator[Any]:
        match self.mood if context.service.ref.name == "cart" else "":
            case "raise":
                raise RuntimeError("not today")
            case "garbage":
                yield "a patch, surely"
            case "exit":
                raise SystemExit(3)
            case _:
                yield from super().aeraki_generate(protocol, context)

    aeraki_generate.aeraki_impl = EchoPlugin.aeraki_generate.aeraki_impl  # type: ignore[attr-defined]


@pytest.mark.parametrize("mood", ["raise", "garbage", "exit"])
def test_a_generator_that_fails_takes_nothing_away(mood: str) -> None:
    plugin, feed, sink = (
        Moody(),
        Feed(service("cart"), routes("cart", "a"), service("order", 2)),
        MemorySink(),
    )
    with Running(feed, sink=sink, of=pipeline(plugin)) as running:
        running.next()
        good = dict(sink.filters)
        plugin.mood = mood
        feed.put(routes("cart", "b"), service("order", 2, volume="3"))
        report = running.next()
        assert written(report) == ["update outbound order", "update inbound order"]
        assert sink.filters[key("cart")] == good[key("cart")]
        assert codes(report.new_findings) == ["AER0402" if mood == "garbage" else "AER0401"]
        plugin.mood = ""
        feed.put(routes("cart", "c"))
        report = running.next()
        assert codes(report.resolved_findings) == ["AER0402" if mood == "garbage" else "AER0401"]
        assert sink.filters[key("cart")] != good[key("cart")]
        assert running.controller.findings == ()


def test_a_cold_start_with_a_failing_generator_keeps_the_live_filters() -> None:
    sink = MemorySink()
    objects = [service("cart"), service("order", 2)]
    Controller(pipeline(), [Feed(*objects)], sink).run_once()
    live, writes = dict(sink.filters), sink.writes
    plugin = Moody()
    plugin.mood = "raise"
    feed = Feed(*objects)
    with Running(feed, sink=sink, of=pipeline(plugin)) as running:
        report = running.next()
        assert report.written == ()
        assert sink.filters == live
        assert sink.writes == writes
        assert {str(step.key) for step in report.kept} >= {str(key("cart"))}
        assert codes(report.new_findings) == ["AER0502", "AER0502", "AER0401"]
        plugin.mood = ""
        feed.put(service("cart", 1, volume="2"))
        report = running.next()
        assert len(report.written) == 2
        assert running.controller.findings == ()


def test_filters_of_a_plugin_that_is_gone_are_kept_and_said() -> None:
    sink = MemorySink()
    Controller(pipeline(), [Feed(service("cart"))], sink).run_once()
    other = EchoPlugin(name="other")
    feed = Feed(service("cart"))
    with Running(feed, sink=sink, of=pipeline(other)) as running:
        report = running.next()
        assert report.written == ()
        assert {step.action for step in report.kept} == {"orphan"}
        assert codes(report.new_findings) == ["AER0216", "AER0503", "AER0503"]
        feed.drop(service("cart"))
        assert running.next().written == ()
        assert len(sink.filters) == 2


# -- sinks -----------------------------------------------------------------------------------------


def test_a_write_that_fails_is_tried_again_until_it_succeeds() -> None:
    sink = MemorySink()
    sink.refuse = {key("cart"): True}
    with Running(Feed(service("cart")), sink=sink) as running:
        report = running.next()
        assert [item.step.key for item in report.failures] == [key("cart")]
        assert codes(report.new_findings) == ["AER0501"]
        for _ in range(2):
            report = running.next()
            assert [item.step.key for item in report.written] == [key("cart")]
            assert report.generated.calls == 0
        sink.refuse = {}
        report = running.until(lambda report: not report.failures)
        assert codes(report.resolved_findings) == ["AER0501"]
        assert key("cart") in sink.filters


def test_a_write_that_can_never_succeed_is_not_tried_again_without_a_change() -> None:
    sink, feed = MemorySink(), Feed(service("cart"), service("order", 2))
    sink.refuse = {key("cart"): False}
    with Running(feed, sink=sink) as running:
        assert codes(running.next().new_findings) == ["AER0506"]
        feed.put(service("order", 2, volume="2"))
        report = running.next()
        assert key("cart") not in {item.step.key for item in report.written}
        assert codes(running.controller.findings) == ["AER0506"]
        feed.drop(service("cart"))
        assert codes(running.until(lambda report: report.resolved_findings).resolved_findings) == [
            "AER0506"
        ]


class Broken(MemorySink):
    """A sink with a mistake of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = True

    def apply(self, steps: Iterable[Step]) -> Iterator[Written]:
        for number, item in enumerate(super().apply(steps)):
            if self.broken and number == 1:
                raise ZeroDivisionError("mine")
            yield item


def test_a_sink_with_a_mistake_does_not_end_the_controller() -> None:
    sink = Broken()
    with Running(Feed(service("cart"), service("order", 2)), sink=sink) as running:
        report = running.next()
        assert [item.error is None for item in report.written] == [True, False, False, False]
        sink.broken = False
        running.until(lambda report: not running.controller.findings)
        assert len(sink.filters) == 4


def test_what_somebody_else_changes_is_restored_and_said() -> None:
    sink = MemorySink()
    with Running(Feed(service("cart"), service("order", 2)), sink=sink) as running:
        running.next()
        good = dict(sink.filters)
        order = good[key("order")]
        assert isinstance(order, EnvoyFilter)
        sink.tamper(
            key("cart"),
            EnvoyFilter(key("cart"), "echo", order.service_ports, order.selector, 0, order.patches),
        )
        assert running.recorder.said.get(timeout=WAIT)[0] == "synced"
        assert running.recorder.said.get(timeout=WAIT) == ("changed", str(key("cart")))
        report = running.next()
        assert written(report) == ["update outbound cart"]
        assert report.written[0].step.message == "it differs"
        sink.tamper(key("order"), None)
        assert written(running.next()) == ["create outbound order"]
        assert sink.filters == good


class Refusing(MemorySink):
    def start(self, changed: Callable[[FilterKey], None]) -> None:
        raise SinkError("no", retry=True)


class Unwatchable(Feed):
    def start(self, emit: Any) -> None:
        raise AerakiError("no such path")


def test_what_cannot_be_used_at_all_is_an_error_and_leaves_nothing_running() -> None:
    with pytest.raises(SinkError):
        Controller(pipeline(), [Feed()], Refusing()).run(threading.Event())
    one = Feed()
    with pytest.raises(AerakiError, match="no such path"):
        Controller(pipeline(), [one, Unwatchable()], MemorySink()).run_once()
    assert one.stopped


# -- the rest --------------------------------------------------------------------------------------


def test_problems_of_a_place_come_and_go() -> None:
    feed = Feed(service("cart"))
    with Running(feed) as running:
        running.next()
        wrong = Finding(NOT_YAML, "no", source="a.yaml", line=3)
        feed.problems("a.yaml", wrong)
        assert running.next().new_findings == (wrong,)
        feed.problems("a.yaml", wrong)
        assert running.next().new_findings == ()
        feed.problems("a.yaml")
        assert running.next().resolved_findings == (wrong,)


def test_it_stops_without_a_last_pass() -> None:
    feed = Feed(service("cart"))
    with Running(feed, timing=LoopTiming(quiet=30.0, longest=60.0)) as running:
        running.next()
        feed.put(service("order", 2))
        running.end()
        assert feed.stopped
        assert isinstance(running.sink, MemorySink)
        assert key("order") not in running.sink.filters


def test_live_filters_are_asked_for_after_the_generators_ran() -> None:
    """A sink reads a filter only with its types loaded; plugins import theirs on first use."""
    order: list[str] = []

    class Asked(MemorySink):
        def live(self) -> Mapping[FilterKey, Live]:
            order.append("live")
            return super().live()

    class Told(EchoPlugin):
        def aeraki_generate(self, protocol: Protocol, context: Any) -> Iterator[Any]:
            order.append("generate")
            yield from super().aeraki_generate(protocol, context)

        aeraki_generate.aeraki_impl = EchoPlugin.aeraki_generate.aeraki_impl  # type: ignore[attr-defined]

    Controller(pipeline(Told()), [Feed(service("cart"))], Asked(), timing=FAST).run_once()
    assert order[0] == "generate"


def test_a_port_that_loses_its_protocol_is_reported_at_the_service_with_the_deletion() -> None:
    feed = Feed(service("cart"), service("order", 2))
    with Running(feed) as running:
        running.next()
        item = service("cart")
        spec = {**item.content["spec"], "ports": [{"name": "tcp-ecko", "port": 7000}]}
        feed.put(replace(item, content={**item.content, "spec": spec}))
        report = running.next()
        assert written(report) == ["delete outbound cart", "delete inbound cart"]
        (lost,) = (finding for finding in report.new_findings if finding.code.id == "AER0215")
        assert lost.ref == item.ref
        assert lost.message.startswith("port 7000 spoke echo and speaks no protocol now: ")
        assert "tcp-ecko" in lost.message
        feed.put(service("cart"))
        assert "AER0215" in codes(running.next().resolved_findings)
        feed.drop(service("cart"))
        assert "AER0215" not in codes(running.next().new_findings)
