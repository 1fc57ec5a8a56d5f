"""A user who may write in one namespace cannot affect the filters of others, by counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort
from aeraki_core.filters.live import Live
from aeraki_core.pipeline.reconcile import UNREPLACED, Action, Step, differences
from aeraki_core.sinks.base import Obstacle, Written
from aeraki_core.sinks.carry_out import carry_out
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.controller.running import Feed, Running, codes, key, service, written
from tests.unit.core.controller.test_guard import Again
from tests.unit.core.controller.test_rounds import exported

HOST = "cart.shop.svc.cluster.local"
MANY = [service(f"s{number:02}", number) for number in range(12)]


def a_filter(where: FilterKey, *namespaces: str, plugin: str = "echo") -> EnvoyFilter:
    return EnvoyFilter(where, plugin, (ServicePort(HOST, 7000),), (), -10, (), namespaces)


def a_live(item: EnvoyFilter) -> Live:
    return Live(item.key, item.plugin, item.service_ports, item, item.namespaces)


# -- holding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unwritten", "deleted", "held"),
    [
        (("evil",), ("shop",), False),
        (("shop",), ("shop",), True),
        (("evil", "shop"), ("shop",), True),
        (("evil",), (), True),  # an older version wrote it: nobody knows whose it is
    ],
)
def test_a_filter_that_cannot_be_written_holds_only_those_of_the_same_namespace(
    unwritten: tuple[str, ...], deleted: tuple[str, ...], held: bool
) -> None:
    fresh = a_filter(FilterKey("nowhere", key("cart").name), *unwritten)
    old = a_filter(key("cart"), *deleted)
    sink = MemorySink([old])
    sink.refuse = {fresh.key: True}
    steps = [*differences([old.key], {}, {old.key: a_live(old)})]
    steps += differences([fresh.key], {fresh.key: fresh}, {})
    errors = [done.error for done in carry_out(sink, steps)]
    assert errors == ["refused", UNREPLACED if held else None]
    assert (old.key in sink.filters) is held


# -- forged labels ---------------------------------------------------------------------------------


def test_filters_with_forged_labels_go_without_a_fresh_full_answer() -> None:
    forged = [
        a_filter(FilterKey("evil", f"aeraki-outbound-{number}"), "shop") for number in range(60)
    ]
    feed, sink = Again(*MANY), MemorySink(forged)
    with Running(feed, sink=sink) as running:
        first = running.next()
        assert sum(item.step.action is Action.DELETE for item in first.written) == 60
        assert feed.asked == 0
        assert len(sink.filters) == 24


def test_forged_filters_do_not_make_many_deletions_look_like_few() -> None:
    forged = [
        a_filter(FilterKey("evil", f"aeraki-outbound-{number}"), "shop", plugin="none")
        for number in range(200)
    ]
    feed, sink = Again(*MANY), MemorySink(forged)
    with Running(feed, sink=sink) as running:
        first = running.next()
        # However many there are, only some of them are named.
        assert len(codes(first.new_findings)) == 21
        feed.drop(*MANY)
        report = running.next()
        assert written(report) == []
        assert "24 of 24 filters would be deleted at once" in next(iter(report.kept)).message
        assert feed.asked == 1


# -- namespaces that take no filters ---------------------------------------------------------------


class Closed(MemorySink):
    """A namespace ``nowhere`` that does not exist, or is being deleted, until the test opens it."""

    def __init__(self, obstacle: Obstacle | None) -> None:
        super().__init__()
        self.obstacle = obstacle
        self.tries: list[FilterKey] = []

    def apply(self, steps: Iterable[Step]) -> Iterator[Written]:
        for step in steps:
            if step.key.namespace != "nowhere":
                yield from super().apply([step])
                continue
            self.tries.append(step.key)
            if self.obstacle is None:
                yield from super().apply([step])
            else:
                yield Written(step, "no such namespace", retry=True, obstacle=self.obstacle)


def elsewhere(number: int) -> FilterKey:
    return FilterKey("nowhere", key(f"s{number:02}").name)


@pytest.mark.parametrize("obstacle", [Obstacle.NO_NAMESPACE, Obstacle.TERMINATING])
def test_one_filter_tries_for_all_whether_the_namespace_is_there_now(obstacle: Obstacle) -> None:
    feed = Feed(*(exported(item, "nowhere") for item in MANY), service("cart", 90))
    sink = Closed(obstacle)
    with Running(feed, sink=sink) as running:
        first = running.next()
        assert len(first.failures) == len(MANY)
        assert "create outbound cart" in written(first)
        for tries in range(1, 4):
            report = running.until(lambda report: report.failures)
            assert len(report.failures) == 1
            feed.put(service("cart", 90, volume=str(tries + 1)))
            assert "update outbound cart" in written(
                running.until(lambda report: "update outbound cart" in written(report))
            )
        if obstacle is Obstacle.NO_NAMESPACE:
            assert set(codes(running.controller.findings)) == {"AER0513"}
            (finding, *_) = running.controller.findings
            assert finding.message == "no namespace nowhere; filters that wait for it: 1"
        else:
            assert running.controller.findings == ()
        sink.obstacle = None
        running.until(lambda report: not report.failures and elsewhere(11) in sink.filters)
        assert all(elsewhere(number) in sink.filters for number in range(12))
        assert running.controller.findings == ()


def test_a_filter_that_waits_for_a_namespace_and_is_not_wanted_any_more_is_forgotten() -> None:
    feed = Feed(exported(service("cart"), "nowhere"))
    sink = Closed(Obstacle.NO_NAMESPACE)
    with Running(feed, sink=sink) as running:
        running.next()
        feed.put(service("cart"))
        running.until(lambda report: key("cart") in sink.filters)
        tries = len(sink.tries)
        feed.put(service("order", 2))
        running.until(lambda report: key("order") in sink.filters)
        assert len(sink.tries) == tries
        assert running.controller.findings == ()
