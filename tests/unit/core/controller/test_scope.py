"""Filters of services whose namespace is not watched are somebody else's, until that changes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from aeraki_core.controller.observer import PassReport
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort
from aeraki_core.model.scope import EVERYWHERE, Scope, named
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.sources.events import Removed, Scoped
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.controller.running import Feed, Running, codes, service, written

SHOP = [service(f"s{number:02}", number) for number in range(12)]


def stray(namespace: str, number: int = 0) -> EnvoyFilter:
    """A filter that nothing here makes, for a service of the namespace."""
    host = f"other-{number}.example.org"
    key = FilterKey("istio-system", f"aeraki-outbound-{host}-7000")
    return EnvoyFilter(key, "echo", (ServicePort(host, 7000),), (), -10, (), (namespace,))


def strays(namespace: str, count: int) -> list[EnvoyFilter]:
    return [stray(namespace, number) for number in range(count)]


def kept(report: PassReport) -> set[tuple[Action, str]]:
    return {(step.action, step.message) for step in report.kept}


def scoped(scope: Scope) -> Scoped:
    return Scoped("feed", scope)


class Narrow(Feed):
    """A source that reads only some namespaces, and says so before anything else."""

    def __init__(self, scope: Scope, objects: Iterable[object] = ()) -> None:
        super().__init__(*objects, sync=False)  # type: ignore[arg-type]
        self._scope = scope

    def start(self, emit: object) -> None:
        super().start(emit)  # type: ignore[arg-type]
        self.say(scoped(self._scope))
        self.sync()


def test_they_stay_and_are_said_once_for_each_namespace() -> None:
    sink = MemorySink([*strays("bank", 3), stray("office", 9)])
    with Running(Narrow(named(["shop"]), SHOP), sink=sink) as running:
        first = running.next()
        assert kept(first) == {
            (Action.OUTSIDE, "namespace bank is not watched here"),
            (Action.OUTSIDE, "namespace office is not watched here"),
        }
        assert "delete" not in " ".join(written(first))
        found = [item for item in first.new_findings if item.code.id == "AER0510"]
        assert len(found) == 2
        assert all(item.key in sink.filters for item in strays("bank", 3))


@pytest.mark.parametrize(
    "after", [EVERYWHERE, named(["shop", "bank"]), Scope(frozenset({"shop"}), frozenset())]
)
def test_they_are_judged_as_soon_as_their_namespace_is_watched_or_gone(after: Scope) -> None:
    sink = MemorySink([stray("bank")])
    feed = Narrow(Scope(frozenset({"shop"}), frozenset({"bank"})), SHOP[:1])
    with Running(feed, sink=sink) as running:
        running.next()
        feed.say(scoped(after))
        report = running.until(lambda report: report.written)
        assert written(report) == ["delete outbound other"]
        assert codes(running.controller.findings) == []


def test_what_goes_out_of_sight_leaves_its_filters() -> None:
    feed = Narrow(Scope(frozenset({"shop"}), frozenset()), SHOP[:2])
    with Running(feed) as running:
        first = running.next()
        before = dict(running.sink.live())
        assert len(written(first)) == len(before) == 4
        feed.say(
            scoped(Scope(frozenset(), frozenset({"shop"}))),
            *(Removed("feed", item.ref) for item in SHOP[:2]),
        )
        report = running.next()
        assert written(report) == []
        assert kept(report) == {(Action.OUTSIDE, "namespace shop is not watched here")}
        assert dict(running.sink.live()) == before
        assert codes(running.controller.findings) == ["AER0510"]


def test_those_of_others_do_not_make_many_deletions_look_like_few() -> None:
    """All of ours at once must be confirmed, however many somebody else has."""
    sink = MemorySink(strays("bank", 200))
    feed = Narrow(named(["shop"]), SHOP)
    with Running(feed, sink=sink) as running:
        running.next()
        before = len(sink.filters)
        feed.drop(*SHOP)
        report = running.next()
        assert written(report) == []
        assert "must confirm" in next(iter(report.kept)).message
        assert len(sink.filters) == before
