"""All filters are looked at in parts, and what that may do is decided at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from aeraki_core.controller.writer import FilterWriter, Outcome
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.sources.gaps import NO_GAPS
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.controller.running import pipeline, service

SERVICES, PART = 60, 50


def a_pipeline(*numbers: int) -> Pipeline:
    """All filters of these services."""
    of = pipeline()
    for number in numbers:
        of.upsert(service(f"s{number:02}", number))
    of.run()
    return of


def a_writer(sink: MemorySink, *numbers: int) -> FilterWriter:
    """A writer for these services."""
    return FilterWriter(a_pipeline(*numbers), sink, part=PART)


def rounds(writer: FilterWriter, *, confirmed: bool = False) -> list[Outcome]:
    """A look at all filters, until nothing is left."""
    outcomes = [writer.write(writer.everything(), 0.0, NO_GAPS, confirmed=confirmed, full=True)]
    while outcomes[-1].left:
        outcomes.append(writer.write((), 0.0, NO_GAPS, confirmed=confirmed))
    return outcomes


def count(outcomes: list[Outcome], action: Action) -> list[int]:
    return [sum(each.step.action is action for each in one.written) for one in outcomes]


def test_each_filter_is_written_once_and_then_none() -> None:
    sink = MemorySink()
    outcomes = rounds(a_writer(sink, *range(SERVICES)))
    assert count(outcomes, Action.CREATE) == [PART, PART, 2 * SERVICES - 2 * PART]
    assert sink.writes == 2 * SERVICES
    assert [one.written for one in rounds(a_writer(sink, *range(SERVICES)))] == [(), (), ()]


def test_few_deletions_are_done_at_the_end() -> None:
    sink = MemorySink()
    rounds(a_writer(sink, *range(SERVICES)))
    outcomes = rounds(a_writer(sink, *range(2, SERVICES)))
    assert count(outcomes, Action.DELETE) == [0, 0, 4]
    assert len(sink.filters) == 2 * SERVICES - 4


def test_many_deletions_do_not_pass_for_few_because_they_come_in_parts() -> None:
    sink = MemorySink()
    rounds(a_writer(sink, *range(SERVICES)))
    writer = a_writer(sink, *range(SERVICES // 2))
    outcomes = rounds(writer)
    assert [one.doubtful for one in outcomes] == [False, False, True]
    assert sum(count(outcomes, Action.DELETE)) == 0
    assert len(sink.filters) == 2 * SERVICES
    confirmed = writer.write((), 0.0, NO_GAPS, confirmed=True)
    assert count([confirmed], Action.DELETE) == [SERVICES]
    assert len(sink.filters) == SERVICES


def test_what_changes_meanwhile_is_looked_at_at_once() -> None:
    sink = MemorySink()
    of = pipeline()
    for number in range(SERVICES):
        of.upsert(service(f"s{number:02}", number))
    of.run()
    writer = FilterWriter(of, sink, part=PART)
    writer.write(writer.everything(), 0.0, NO_GAPS, full=True)
    of.upsert(service("late", 99))
    changed = of.run().changed
    second = writer.write(changed, 0.0, NO_GAPS)
    assert {each.step.key for each in second.written[:2]} == changed


class Looked(MemorySink):
    """Counts how often each live filter is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: Counter[FilterKey] = Counter()

    def live(self) -> Mapping[FilterKey, Live]:
        return _Looking(self.looks, super().live())


class _Looking(Mapping[FilterKey, Live]):
    def __init__(self, looks: Counter[FilterKey], live: Mapping[FilterKey, Live]) -> None:
        self._looks, self._live = looks, live

    def __getitem__(self, key: FilterKey) -> Live:
        self._looks[key] += 1
        return self._live[key]

    def __iter__(self) -> Iterator[FilterKey]:
        return iter(self._live)

    def __len__(self) -> int:
        return len(self._live)


def test_no_round_of_a_cold_start_plans_again_what_waits() -> None:
    services = 700
    sink = Looked()
    writer = FilterWriter(a_pipeline(*range(services)), sink, clock=lambda: 0.0)
    outcomes = rounds(writer)
    assert [len(one.written) for one in outcomes] == [500, 500, 400]
    assert len(sink.looks) == 2 * services
    assert set(sink.looks.values()) == {1}
