"""What a feed makes of a list that comes in pages, whole or broken off, and of what a watch says after it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest
from aeraki_core.kube.client import Object
from aeraki_core.kube.resources import ApiResource
from aeraki_core.model.resource import Kind, LoadedKind
from aeraki_core.sources.events import Event, Incomplete, Removed, Upserted
from aeraki_core.sources.kubernetes.feed import Feed
from pydantic import BaseModel

DEMOS = ApiResource("demo.aeraki.io", "v1", "Demo", "demos")


class DemoSpec(BaseModel):
    password: str = ""


DEMO = LoadedKind.of(
    Kind(
        group="demo.aeraki.io",
        version="v1",
        kind="Demo",
        plural="demos",
        spec=DemoSpec,
        summary="for tests",
        secrets=lambda spec: [spec.password] if spec.password else [],
    ),
    "demo",
)


class Source:
    """Keeps what a feed says: the events of each call, and whether the feed is complete."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.round = 0
        self.calls: list[list[str]] = []
        self.objects: dict[str, Object] = {}
        self.complete = False
        self.reason: str | None = None
        self.asked_for_secrets = 0
        self.going = False

    def reads(self, namespace: str) -> bool:
        return True

    def take(self, feed: Feed, events: Iterable[Event]) -> None:
        said = []
        for event in events:
            match event:
                case Upserted(object=item):
                    said.append(f"+{item.ref.name}")
                    self.objects[item.ref.name] = dict(item.content)
                case Removed(ref=ref):
                    said.append(f"-{ref.name}")
                    del self.objects[ref.name]
        if said:
            self.calls.append(said)

    def settle(
        self,
        feed: Feed,
        reason: str | None,
        *,
        listed: bool = False,
        incomplete: Incomplete | None = None,
    ) -> None:
        self.complete |= listed
        self.reason = reason

    def want_secrets(self) -> None:
        self.asked_for_secrets += 1

    def is_being_deleted(self, resource: ApiResource) -> bool:
        return self.going

    def said(self) -> list[list[str]]:
        """The events of each call since this was last asked."""
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def feed(source: Source) -> Feed:
    return Feed(source, ("demo.aeraki.io", "Demo"), None, declared=DEMO)


def demo(name: str, version: int = 1, **more: Any) -> Object:
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        **more,
    }
    return {"apiVersion": "demo.aeraki.io/v1", "kind": "Demo", "metadata": metadata, "spec": {}}


def listed(feed: Feed, *pages: list[Object]) -> None:
    feed.listing()
    for page in pages:
        feed.page(DEMOS, page)
    feed.listed(DEMOS)


def test_pages_of_the_first_list_go_on_as_they_come(source: Source, feed: Feed) -> None:
    feed.listing()
    feed.page(DEMOS, [demo("a"), demo("b")])
    assert source.said() == [["+a", "+b"]]
    assert not source.complete
    feed.page(DEMOS, [demo("c")])
    feed.listed(DEMOS)
    assert source.said() == [["+c"]]
    assert source.complete


def test_after_a_first_list_that_broke_off_what_it_had_and_the_next_has_not_is_gone(
    source: Source, feed: Feed
) -> None:
    feed.listing()
    feed.page(DEMOS, [demo("a"), demo("b")])
    source.said()
    feed.failed("no answer")
    feed.listing()
    feed.page(DEMOS, [demo("b", 2)])
    assert source.said() == [["+b"]]
    feed.page(DEMOS, [demo("c")])
    feed.listed(DEMOS)
    assert source.said() == [["+c"], ["-a"]]
    assert source.complete
    assert source.reason is None


def test_a_later_list_is_told_as_one_when_it_is_complete(source: Source, feed: Feed) -> None:
    listed(feed, [demo("a"), demo("b"), demo("c")])
    source.said()
    feed.listing()
    feed.page(DEMOS, [demo("a", 2), demo("b")])
    feed.page(DEMOS, [demo("d")])
    assert source.said() == []
    feed.listed(DEMOS)
    assert source.said() == [["-c", "+a", "+d"]]


def test_a_later_list_that_breaks_off_takes_nothing_away(source: Source, feed: Feed) -> None:
    listed(feed, [demo("a"), demo("b"), demo("c")])
    source.said()
    feed.listing()
    feed.page(DEMOS, [demo("a")])
    feed.failed("no answer")
    listed(feed, [demo("a"), demo("b")], [demo("c", 2)])
    assert source.said() == [["+c"]]


def test_objects_that_go_with_the_definition_of_their_kind_stay(source: Source, feed: Feed) -> None:
    listed(feed, [demo("a"), demo("b")])
    source.said()
    source.going = True
    listed(feed, [demo("b", 2)])
    assert source.said() == []
    assert "being deleted" in str(source.reason)
    source.going = False
    listed(feed, [demo("b", 2)])
    assert source.said() == [["-a", "+b"]]


def test_a_kind_that_comes_later_is_told_as_one(source: Source, feed: Feed) -> None:
    feed.absent()
    feed.listing()
    feed.page(DEMOS, [demo("a")])
    feed.page(DEMOS, [demo("b")])
    assert source.said() == []
    feed.listed(DEMOS)
    assert source.said() == [["+a", "+b"]]


def test_what_nobody_reads_of_an_object_is_not_kept(source: Source, feed: Feed) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{...}", "team": "x"}
    listed(feed, [demo("a", managedFields=[{"manager": "kubectl"}], annotations=annotations)])
    assert source.objects["a"]["metadata"]["annotations"] == {"team": "x"}
    assert "managedFields" not in source.objects["a"]["metadata"]


def test_secrets_are_asked_for_when_others_are_needed_than_before(
    source: Source, feed: Feed
) -> None:
    def with_password(name: str, version: int, password: str) -> Object:
        return {**demo(name, version), "spec": {"password": password}}

    listed(feed, [with_password("a", 1, "one"), with_password("b", 1, "one")])
    assert feed.secrets() == {("shop", "one")}
    assert source.asked_for_secrets == 1
    feed.changed(DEMOS, with_password("b", 2, "one"))
    feed.deleted(DEMOS, [demo("b", 3)])
    assert feed.secrets() == {("shop", "one")}
    assert source.asked_for_secrets == 1
    feed.changed(DEMOS, with_password("a", 4, "two"))
    assert feed.secrets() == {("shop", "two")}
    feed.deleted(DEMOS, [demo("a", 5)])
    assert feed.secrets() == set()
    assert source.asked_for_secrets == 3
