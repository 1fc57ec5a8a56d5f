"""A feed's events from a list in pages, whole or broken off, and from the watch after it."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.kube.decode import DecodedObject, Object
from aeraki_core.kube.informer import (
    Changed,
    Deleted,
    Failed,
    ListBegan,
    ListEnded,
    ListNews,
    NotServed,
    Page,
)
from aeraki_core.kube.resources import ApiResource
from aeraki_core.sources.events import Event, Problems, Removed, Upserted
from aeraki_core.sources.kubernetes import needed
from aeraki_core.sources.kubernetes.feed import Feed, SideFeed, UpstreamFeed
from aeraki_core.sources.kubernetes.needed import Needed

DEMOS = ApiResource("demo.aeraki.io", "v1", "Demo", "demos")


@pytest.fixture
def feed() -> Feed:
    return Feed(("demo.aeraki.io", "Demo"), optional=True)


def demo(name: str, version: int = 1, **more: Any) -> Object:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": str(version), **more}
    return {"apiVersion": "demo.aeraki.io/v1", "kind": "Demo", "metadata": metadata, "spec": {}}


def page(*objects: Object, problem: str | None = None) -> Page:
    return Page(DEMOS, tuple(DecodedObject(content, problem) for content in objects))


def told(feed: Feed, *news: ListNews, definition_deleted: bool = False) -> list[list[str]]:
    """The objects in the events of each news that has some."""
    calls = [feed.handle(each, definition_deleted=definition_deleted) for each in news]
    return [words for events in calls if (words := shown(events))]


def shown(events: list[Event]) -> list[str]:
    words = []
    for event in events:
        match event:
            case Upserted(object=upserted):
                words.append(f"{'?' if upserted.problem else '+'}{upserted.ref.name}")
            case Removed(ref=ref):
                words.append(f"-{ref.name}")
    return words


def listed(feed: Feed, *pages: Page, definition_deleted: bool = False) -> list[list[str]]:
    news: tuple[ListNews, ...] = (ListBegan(), *pages, ListEnded(DEMOS))
    return told(feed, *news, definition_deleted=definition_deleted)


def test_pages_of_the_first_list_go_on_as_they_come(feed: Feed) -> None:
    assert told(feed, ListBegan(), page(demo("a"), demo("b"))) == [["+a", "+b"]]
    assert feed.stale
    assert told(feed, page(demo("c")), ListEnded(DEMOS)) == [["+c"]]
    assert not feed.stale


def test_after_a_first_list_that_broke_off_what_the_next_has_not_is_gone(feed: Feed) -> None:
    told(feed, ListBegan(), page(demo("a"), demo("b")), Failed("no answer"))
    assert feed.reason == "no answer"
    assert told(feed, ListBegan(), page(demo("b", 2))) == [["+b"]]
    assert told(feed, page(demo("c")), ListEnded(DEMOS)) == [["+c"], ["-a"]]
    assert not feed.stale
    assert feed.reason is None


def test_a_later_list_is_told_as_one_when_it_is_complete(feed: Feed) -> None:
    listed(feed, page(demo("a"), demo("b"), demo("c")))
    assert told(feed, ListBegan(), page(demo("a", 2), demo("b")), page(demo("d"))) == []
    assert told(feed, ListEnded(DEMOS)) == [["-c", "+a", "+d"]]


def test_a_later_list_that_breaks_off_takes_nothing_away(feed: Feed) -> None:
    listed(feed, page(demo("a"), demo("b"), demo("c")))
    assert told(feed, ListBegan(), page(demo("a")), Failed("no answer")) == []
    assert listed(feed, page(demo("a"), demo("b")), page(demo("c", 2))) == [["+c"]]


def test_only_a_list_that_begins_after_it_was_asked_for_is_fresh(feed: Feed) -> None:
    listed(feed, page(demo("a")))
    told(feed, ListBegan(), page(demo("a")))
    feed.ask_again()
    told(feed, ListEnded(DEMOS))
    assert feed.stale
    listed(feed, page(demo("a")))
    assert not feed.stale


def test_objects_that_go_with_the_definition_of_their_kind_stay(feed: Feed) -> None:
    listed(feed, page(demo("a"), demo("b")))
    assert listed(feed, page(demo("b", 2)), definition_deleted=True) == []
    assert "being deleted" in str(feed.reason)
    assert told(feed, Deleted(DEMOS, (demo("a", 3),)), definition_deleted=True) == []
    assert listed(feed, page(demo("b", 2))) == [["-a", "+b"]]


def test_a_kind_that_comes_later_is_told_as_one(feed: Feed) -> None:
    assert told(feed, NotServed(), ListBegan(), page(demo("a")), page(demo("b"))) == []
    assert told(feed, ListEnded(DEMOS)) == [["+a", "+b"]]


def test_changes_that_came_together_go_on_together(feed: Feed) -> None:
    listed(feed, page(demo("a")))
    changed = Changed(DEMOS, (DecodedObject(demo("a", 2)), DecodedObject(demo("b"))))
    assert told(feed, changed, changed) == [["+a", "+b"]]
    assert told(feed, Deleted(DEMOS, (demo("a", 3), demo("never")))) == [["-a"]]


def test_what_nobody_reads_of_an_object_is_not_kept(feed: Feed) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{...}", "team": "x"}
    given = demo("a", managedFields=[{"manager": "kubectl"}], annotations=annotations)
    feed.handle(ListBegan())
    [upserted] = feed.handle(page(given))
    assert isinstance(upserted, Upserted)
    metadata = upserted.object.content["metadata"]
    assert metadata["annotations"] == {"team": "x"}
    assert "managedFields" not in metadata


def test_an_object_that_cannot_be_read_is_there_and_says_why(feed: Feed) -> None:
    listed(feed, page(demo("a"), demo("b")))
    assert listed(feed, page(demo("a", 2), problem="too deep"), page(demo("b"))) == [["?a"]]
    assert listed(feed, page(demo("a", 3), demo("b"))) == [["+a"]]


def test_a_list_that_cannot_be_read_is_a_problem_until_it_can(feed: Feed) -> None:
    [problems] = feed.handle(Failed("no answer"))
    assert isinstance(problems, Problems)
    assert [finding.message for finding in problems.findings] == ["no answer"]
    assert feed.handle(Failed("no answer")) == []
    feed.handle(ListBegan())
    assert feed.handle(ListEnded(DEMOS)) == [Problems("kubernetes", feed.place, ())]


@pytest.mark.parametrize("news", [Failed("forbidden"), NotServed()])
def test_nothing_waits_for_a_side_list_that_cannot_be_read(news: ListNews) -> None:
    feed = SideFeed(("demo.aeraki.io", "Demo"), about="options")
    listed(feed, page(demo("a")))
    feed.ask_again()
    (problems,) = [*feed.handle(ListBegan()), *feed.handle(news)]
    assert isinstance(problems, Problems)
    assert problems.findings
    assert (feed.stale, feed.reason, feed.incomplete) == (False, None, None)


def test_an_object_of_upstream_is_reported_as_long_as_it_is_there() -> None:
    routers = ApiResource("metaprotocol.aeraki.io", "v1alpha1", "MetaRouter", "metarouters")
    feed = UpstreamFeed(("metaprotocol.aeraki.io", "MetaRouter"), about="names")
    router = {**demo("old"), "kind": "MetaRouter"}
    feed.handle(ListBegan())
    (found,) = feed.handle(Page(routers, (DecodedObject(router, None),)))
    assert isinstance(found, Problems)
    assert [(each.code.id, str(each.ref)) for each in found.findings] == [
        ("AER0118", "MetaRouter shop/old")
    ]
    feed.handle(ListEnded(routers))
    (gone,) = feed.handle(Deleted(routers, (router,)))
    assert gone == Problems("kubernetes", found.place, ())


def test_a_kind_that_a_cluster_need_not_serve_is_no_problem() -> None:
    feed = UpstreamFeed(("metaprotocol.aeraki.io", "MetaRouter"), about="names")
    assert feed.handle(ListBegan()) + feed.handle(NotServed()) == []
    assert not feed.stale


SLICES = ApiResource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")


def slice_of(*addresses: str, version: int = 1, ready: bool = True) -> Object:
    metadata = {
        "name": "a",
        "namespace": "shop",
        "resourceVersion": str(version),
        "labels": {"kubernetes.io/service-name": "cart"},
        "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": str(version)},
    }
    endpoints = [
        {
            "addresses": [address],
            "conditions": {"ready": ready, "serving": True},
            "targetRef": {"kind": "Pod", "name": address, "uid": "1"},
        }
        for address in addresses
    ]
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": None}


@pytest.mark.parametrize(
    ("fields", "readiness"), [(needed.SLICE, []), (needed.READY_SLICE, ["+a"])]
)
def test_a_change_that_nobody_reads_is_no_event(fields: Needed, readiness: list[str]) -> None:
    feed = Feed(("discovery.k8s.io", "EndpointSlice"), needed=fields)
    first = DecodedObject(slice_of("10.0.0.1"))
    assert told(feed, ListBegan(), Page(SLICES, (first,)), ListEnded(SLICES)) == [["+a"]]

    def changed(*addresses: str, version: int, ready: bool = True) -> list[str]:
        content = slice_of(*addresses, version=version, ready=ready)
        return shown(feed.handle(Changed(SLICES, (DecodedObject(content),))))

    assert changed("10.0.0.1", version=2) == []
    assert changed("10.0.0.1", version=3, ready=False) == readiness
    assert changed("10.0.0.1", "10.0.0.2", version=4) == ["+a"]
    # A list that finds nothing new says nothing either.
    again = DecodedObject(slice_of("10.0.0.1", "10.0.0.2", version=5))
    assert told(feed, ListBegan(), Page(SLICES, (again,)), ListEnded(SLICES)) == []


def test_what_changes_and_changes_back_together_is_no_event() -> None:
    feed = Feed(("discovery.k8s.io", "EndpointSlice"), needed=needed.SLICE)
    forms = [DecodedObject(slice_of(address, version=2)) for address in ("10.0.0.1", "10.0.0.9")]
    assert told(feed, ListBegan(), Page(SLICES, (forms[0],)), ListEnded(SLICES)) == [["+a"]]
    assert told(feed, Changed(SLICES, (forms[1], forms[0]))) == []


def test_an_object_that_cannot_be_read_is_an_event_whatever_it_lacks() -> None:
    feed = Feed(("discovery.k8s.io", "EndpointSlice"), needed=needed.SLICE)
    good = slice_of("10.0.0.1")
    assert told(feed, ListBegan(), Page(SLICES, (DecodedObject(good),)), ListEnded(SLICES)) == [
        ["+a"]
    ]
    bad = DecodedObject(slice_of("10.0.0.1", version=2), "it is nested more than 100 deep")
    assert told(feed, Changed(SLICES, (bad,))) == [["?a"]]
    assert told(feed, Changed(SLICES, (DecodedObject(good),))) == [["+a"]]
