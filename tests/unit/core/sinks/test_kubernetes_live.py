"""What is known of a cluster's EnvoyFilters, from objects that come in any order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aeraki_core.filters.envoyfilter import EnvoyFilter
from aeraki_core.filters.output import to_dict
from aeraki_core.sinks.kubernetes.live import LiveFilters, Whose

from tests.unit.core.controller.running import key, pipeline, service


def wanted(**options: str) -> EnvoyFilter:
    """The filter that one of the mesh's services asks for."""
    of = pipeline()
    of.upsert(service("cart", 1, **options))
    of.run()
    envoy_filter = of.filters[key("cart")]
    assert isinstance(envoy_filter, EnvoyFilter)
    return envoy_filter


def on_server(item: EnvoyFilter, version: int, **labels: str) -> dict[str, Any]:
    content = to_dict(item)
    content["metadata"] |= {"uid": "1", "resourceVersion": str(version)}
    if labels:
        content["metadata"]["labels"] = labels
    return content


def test_a_live_filter_that_equals_the_wanted_one_is_held_once() -> None:
    filters, item = LiveFilters(), wanted()
    filters.put(on_server(wanted(), 5))
    filters.unify(item)
    live = filters.live(item.key)
    assert live is not None
    assert live.filter is item


def test_of_one_that_an_older_version_wrote_the_wanted_one_tells_the_namespaces() -> None:
    filters, item = LiveFilters(), wanted()
    filters.put(on_server(replace(item, namespaces=()), 5))
    before = filters.live(item.key)
    assert before is not None
    assert before.namespaces == ()
    filters.unify(item)
    live = filters.live(item.key)
    assert live is not None
    assert live.filter is item
    assert live.namespaces == ("shop",)


def test_a_live_filter_that_differs_from_the_wanted_one_stays_what_it_is() -> None:
    filters = LiveFilters()
    filters.put(on_server(wanted(volume="2"), 5))
    filters.unify(wanted(volume="3"))
    live = filters.live(key("cart"))
    assert live is not None
    assert live.filter == wanted(volume="2")


def test_an_older_state_never_takes_the_place_of_a_newer_one() -> None:
    filters = LiveFilters()
    assert filters.put(on_server(wanted(volume="2"), 10)) is not None
    assert filters.put(on_server(wanted(volume="3"), 9)) is None
    live = filters.live(key("cart"))
    assert live is not None
    assert live.filter == wanted(volume="2")


def test_filters_of_upstream_are_known_until_they_go_or_become_ours() -> None:
    filters, item = LiveFilters(), wanted()
    filters.put(on_server(item, 5, manager="Aeraki"))
    assert filters.keys(Whose.UPSTREAM) == [item.key]
    assert filters.count() == 0
    filters.put(on_server(item, 6))
    assert filters.keys(Whose.UPSTREAM) == []
    assert filters.count() == 1
    filters.put(on_server(item, 7, manager="Aeraki"))
    filters.drop(item.key)
    assert filters.keys(Whose.UPSTREAM) == []


def test_one_that_lost_our_label_is_not_ours_and_is_not_forgotten() -> None:
    filters, item = LiveFilters(), wanted()
    content = on_server(item, 5)
    del content["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    filters.put(content)
    assert item.key not in filters.ours()
    assert filters.keys(Whose.UNLABELLED) == [item.key]
    filters.put(on_server(item, 6))
    assert filters.keys(Whose.UNLABELLED) == []
    assert item.key in filters.ours()


def test_somebody_elses_filter_of_a_name_like_ours_is_foreign() -> None:
    filters, item = LiveFilters(), wanted()
    filters.put(on_server(item, 5, team="a"))
    filters.put(on_server(replace(item, key=key("x")), 6, manager="Aeraki"))
    assert filters.keys(Whose.UNLABELLED) == []
    assert filters.keys(Whose.UPSTREAM) == [key("x")]
