"""Several sources as one."""

from __future__ import annotations

from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.events import Event, Removed, Synced, Upserted
from aeraki_core.sources.merge import merged

REF = ObjectRef("Service", "shop", "cart")


def given(source: str, state: int = 1) -> Upserted:
    return Upserted(source, SourceObject(REF, "v1", {"state": state}))


def told(*events: Event, order: tuple[str, ...] = ("kubernetes", "istiod")) -> list[Event]:
    found: list[Event] = []
    merge = merged(order)(lambda *given: found.extend(given))
    for event in events:
        merge(event)
    return found


def test_the_better_source_has_the_say() -> None:
    better, other = given("kubernetes"), given("istiod", 2)
    assert told(better, other) == [better]
    assert told(other, better) == [other, better]
    assert told(better, other, given("istiod", 3)) == [better]


def test_what_only_the_other_gives_counts() -> None:
    only, changed, gone = given("istiod"), given("istiod", 2), Removed("istiod", REF)
    assert told(only, changed, gone) == [only, changed, gone]


def test_what_kubernetes_removed_stays_gone_while_istiod_still_shows_it() -> None:
    gone = Removed("kubernetes", REF)
    assert told(given("kubernetes"), given("istiod"), gone, Removed("istiod", REF)) == [
        given("kubernetes"),
        gone,
    ]


def test_it_comes_back_when_somebody_speaks_of_it_anew() -> None:
    start = (given("kubernetes"), given("istiod"), Removed("kubernetes", REF))
    assert told(*start, given("istiod", 2))[-1] == given("istiod", 2)
    assert told(*start, given("istiod", 2), Removed("istiod", REF))[-1] == Removed("istiod", REF)
    assert told(*start, given("kubernetes", 3))[-1] == given("kubernetes", 3)
    assert told(*start, given("kubernetes", 3), Removed("kubernetes", REF))[-1] == Removed(
        "kubernetes", REF
    )


def test_another_source_that_is_no_mirror_inherits() -> None:
    events = (given("files"), given("kubernetes", 2), Removed("files", REF))
    assert told(*events, order=("files", "kubernetes")) == [given("files"), given("kubernetes", 2)]
    assert told(*events, Removed("kubernetes", REF), order=("files", "kubernetes"))[-1] == Removed(
        "kubernetes", REF
    )


def test_what_the_lesser_removes_was_not_in_force() -> None:
    assert told(given("kubernetes"), given("istiod"), Removed("istiod", REF)) == [
        given("kubernetes")
    ]


def test_what_nobody_gave_cannot_go_and_the_rest_passes() -> None:
    assert told(Removed("istiod", REF), Synced("istiod")) == [Synced("istiod")]
