"""The order of many writes: the latest change first, and replacements before deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest
from aeraki_core.controller.loop import Controller
from aeraki_core.controller.observer import PassReport
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.mesh.store import SourceObject
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.sinks.base import Written
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.controller.running import Feed, Running, codes, key, pipeline, service, written

SERVICES = 600


class Watched(MemorySink):
    """Calls back before it does the next step."""

    def __init__(self, before_first: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.before_next: Callable[[], None] | None = before_first

    def apply(self, steps: Iterable[Step]) -> Iterator[Written]:
        given = list(steps)
        if given and self.before_next is not None:
            before, self.before_next = self.before_next, None
            before()
        yield from super().apply(given)


def test_what_changes_while_much_is_written_overtakes_it() -> None:
    last = SERVICES - 1
    feed = Feed(*(service(f"s{number:03}", number) for number in range(SERVICES)))
    sink = Watched(lambda: feed.put(service(f"s{last}", last, volume="2"), service("late", 700)))
    with Running(feed, sink=sink) as running:
        first = running.next()
        assert f"create outbound s{last}" not in written(first)
        second = running.next()
        assert {f"create outbound {name}" for name in ("late", f"s{last}")} <= set(
            written(second)[:4]
        )
        running.until(lambda report: len(sink.filters) == 2 * (SERVICES + 1))
        assert sink.writes == 2 * (SERVICES + 1)


def test_one_pass_writes_all_there_is() -> None:
    sink = MemorySink()
    objects = [service(f"s{number:03}", number) for number in range(SERVICES)]
    report = Controller(pipeline(), [Feed(*objects)], sink).run_once()
    assert report.first
    assert len(report.written) == len(sink.filters) == 2 * SERVICES


def test_many_deletions_are_confirmed_once_and_all_done() -> None:
    objects = [service(f"s{number:03}", number) for number in range(SERVICES)]
    feed = Feed(*objects)
    with Running(feed) as running:
        running.until(lambda report: len(running.sink.live()) == 2 * SERVICES)
        feed.drop(*objects)
        kept = 0
        while running.sink.live():
            kept += bool(running.next().kept)
        assert kept == 1


# -- what takes another's place --------------------------------------------------------------------

ELSEWHERE = FilterKey("shop", key("cart").name)


def exported(item: SourceObject, to: str) -> SourceObject:
    metadata = item.content["metadata"]
    annotations = {**metadata["annotations"], "networking.istio.io/exportTo": to}
    return replace(
        item, content={**item.content, "metadata": {**metadata, "annotations": annotations}}
    )


@pytest.mark.parametrize("retry", [True, False])
def test_a_filter_stays_until_what_takes_its_place_is_written(retry: bool) -> None:
    feed, sink = Feed(service("cart"), service("order", 2)), MemorySink()
    with Running(feed, sink=sink) as running:
        running.next()
        sink.refuse = {ELSEWHERE: retry}
        feed.put(exported(service("cart"), "."))
        report = running.next()
        assert {str(item.step.key): item.error for item in report.failures} == {
            str(ELSEWHERE): "refused",
            str(key("cart")): "the filter that takes its place could not be written yet",
        }
        feed.drop(service("order", 2))  # has nothing to do with it
        assert "delete outbound order" in written(running.until(written))
        assert key("cart") in sink.filters
        assert set(codes(running.controller.findings)) <= {"AER0501", "AER0502", "AER0506"}
        sink.refuse = {}
        if not retry:
            feed.put(exported(service("cart", volume="2"), "."))
        done = running.until(lambda report: "delete outbound cart" in written(report))
        assert [text for text in written(done) if "outbound" in text] == [
            "create outbound cart",
            "delete outbound cart",
        ]
        assert ELSEWHERE in sink.filters
        assert running.controller.findings == ()


def test_a_deletion_that_was_taken_back_must_be_confirmed_again() -> None:
    objects = [service(f"s{number:03}", number) for number in range(SERVICES)]
    feed, sink, done = Feed(*objects), Watched(), 0

    def count(report: PassReport) -> int:
        nonlocal done
        done += len(report.written)
        return done

    with Running(feed, sink=sink) as running:
        running.until(lambda report: count(report) == 2 * SERVICES)
        sink.before_next = lambda: feed.put(*objects)
        feed.drop(*objects)
        running.until(
            lambda report: count(report) == 2 * SERVICES + 1000
        )  # 500 are deleted, then made again
        feed.drop(*objects[: SERVICES // 2])
        report = running.until(lambda report: report.written or report.kept)
        assert len(report.kept) == SERVICES
        assert not report.written
