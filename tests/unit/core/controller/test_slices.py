"""A long pass is cut into slices: other changes are handled in between, and written first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from aeraki_core.controller.loop import LoopTiming
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.plugins.types import Protocol
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.controller.running import WAIT, Feed, Running, key, pipeline, routes, service
from tests.unit.core.echo import EchoPlugin

MANY = 40


def evil(number: int, volume: str = "1") -> SourceObject:
    """A service of the namespace ``evil``, which has very many."""
    item = service(f"e{number:02}", 100 + number, volume=volume)
    content = {**item.content, "metadata": {**item.content["metadata"], "namespace": "evil"}}
    return SourceObject(ObjectRef("Service", "evil", item.ref.name), "v1", content)


class Slow(EchoPlugin):
    """Takes three of the loop's slices for each service of ``evil``, by the test's own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.runs: list[str] = []
        self.second = threading.Event()
        """What the second service of ``evil`` waits for."""
        self.second.set()

    def aeraki_generate(self, protocol: Protocol, context: Any) -> Iterator[Any]:
        self.runs.append(context.service.ref.name)
        if context.service.ref.namespace == "evil":
            self.now += 1.5
            if len(self.runs) == 2:
                assert self.second.wait(WAIT)
        yield from super().aeraki_generate(protocol, context)

    aeraki_generate.aeraki_impl = EchoPlugin.aeraki_generate.aeraki_impl  # type: ignore[attr-defined]


def test_a_change_of_somebody_else_is_written_after_one_slice() -> None:
    plugin = Slow()
    feed = Feed(*(evil(number) for number in range(MANY)), service("cart"))
    timing = LoopTiming(quiet=0.0, longest=0.0)
    with Running(feed, of=pipeline(plugin), timing=timing, clock=lambda: plugin.now) as running:
        running.next()
        plugin.runs.clear()
        feed.say_together(*(evil(number, "2") for number in range(MANY)), routes("cart", "a"))
        seen = 0
        while not any(item.step.key == key("cart") for item in running.next().written):
            seen += 1
        assert seen <= 1
        assert plugin.runs.index("cart") <= 1


def test_questions_are_answered_while_the_first_pass_goes_on_and_nothing_is_written() -> None:
    plugin, sink = Slow(), MemorySink()
    feed = Feed(*(evil(number) for number in range(MANY)))
    with Running(feed, sink=sink, of=pipeline(plugin), clock=lambda: plugin.now) as running:
        generated, writes = running.controller.call(lambda: (len(plugin.runs), sink.writes), WAIT)
        assert writes == 0 or generated == MANY
        report = running.next()
        assert report.first
        assert report.generated.calls == MANY
        while sink.writes < 2 * MANY:
            running.next()


def test_what_a_process_before_wrote_stays_whole_until_everything_is_generated() -> None:
    """A filter of several services would lose those that are not generated yet."""
    plugin, sink = Slow(), MemorySink()
    feed = Feed(*(evil(number) for number in range(MANY)))
    with Running(feed, sink=sink, of=pipeline(Slow())) as running:
        running.next()
        while sink.writes < 2 * MANY:
            running.next()
    before, sink.writes = dict(sink.filters), 0
    feed = Feed(*(evil(number) for number in range(MANY)))
    with Running(feed, sink=sink, of=pipeline(plugin), clock=lambda: plugin.now) as running:
        report = running.next()
        assert report.generated.calls == MANY
        assert report.written == ()
    assert sink.filters == before
    assert sink.writes == 0


def test_long_work_is_progress_and_a_generator_that_hangs_is_none() -> None:
    seen: list[float] = []

    class Hanging(Slow):
        def aeraki_generate(self, protocol: Protocol, context: Any) -> Iterator[Any]:
            yield from super().aeraki_generate(protocol, context)
            seen.append(running.controller.stalled)
            if context.service.ref.name == "cart":
                self.now += 1000.0
                seen.append(running.controller.stalled)

        aeraki_generate.aeraki_impl = EchoPlugin.aeraki_generate.aeraki_impl  # type: ignore[attr-defined]

    plugin = Hanging()
    feed = Feed(*(evil(number) for number in range(MANY)), service("cart"))
    running = Running(feed, of=pipeline(plugin), clock=lambda: plugin.now)
    with running:
        running.next()
    assert max(seen) >= 1000.0
    assert sorted(seen)[-2] <= 1.5


def test_a_service_that_goes_while_it_waits_is_not_generated() -> None:
    plugin = Slow()
    feed = Feed(service("cart"))
    timing = LoopTiming(quiet=0.0, longest=0.0)
    with Running(feed, of=pipeline(plugin), timing=timing, clock=lambda: plugin.now) as running:
        running.next()
        plugin.runs.clear()
        plugin.second.clear()
        feed.say_together(*(evil(number) for number in range(MANY)))
        running.next()
        feed.drop(*(evil(number) for number in range(MANY)))
        plugin.second.set()
        running.controller.call(lambda: None, WAIT)
        running.until(lambda report: not report.generated.left)
        assert len(plugin.runs) < MANY
        assert {item.namespace for item in running.sink.live()} <= {"istio-system", "shop"}
        assert running.controller.findings == ()
