"""A label selector filters a cluster's events; namespaces and objects arrive in any order."""

from __future__ import annotations

import pickle

from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.scope import Scope, named
from aeraki_core.model.selector import parse_selector
from aeraki_core.sources.chain import only_in
from aeraki_core.sources.events import (
    Event,
    Problems,
    Removed,
    Scoped,
    Upserted,
)
from aeraki_core.sources.kubernetes.namespaces import Selection

PROD, DEV = {"env": "prod"}, {"env": "dev"}


def selection(*selectors: str) -> Selection:
    return Selection([parse_selector(text) for text in selectors or ("env=prod",)])


def ref(namespace: str, name: str = "cart") -> ObjectRef:
    return ObjectRef("Service", namespace, name)


def upserted(namespace: str, name: str = "cart") -> Upserted:
    return Upserted("kubernetes", SourceObject(ref(namespace, name), "v1", {}))


def removed(namespace: str, name: str = "cart") -> Removed:
    return Removed("kubernetes", ref(namespace, name))


def test_one_of_several_selectors_must_match() -> None:
    found = selection("env=prod", "team=ours")
    found.replace_all({"one": PROD, "two": {"team": "ours"}, "three": DEV})
    assert found.scope == Scope(frozenset({"one", "two"}), frozenset({"three"}))


def test_what_comes_before_its_namespace_waits() -> None:
    found = selection()
    assert found.counting([upserted("shop"), upserted("bank")]) == []
    change = found.replace_all({"shop": PROD, "bank": DEV})
    assert change.waited == (upserted("shop"),)
    assert not change.anew
    assert change.left == {"bank"}
    assert found.counting([upserted("shop", "two"), upserted("bank", "two")]) == [
        upserted("shop", "two")
    ]


def test_what_came_and_went_before_its_namespace_was_never_there() -> None:
    found = selection()
    found.counting([upserted("shop"), removed("shop")])
    assert found.update({"shop": PROD}).waited == ()


def test_one_that_comes_to_match_waits_until_all_of_it_is_read() -> None:
    found = selection()
    found.replace_all({"shop": DEV})
    assert not found.reads("shop")
    assert found.update({"shop": PROD}).anew
    assert found.reads("shop")
    assert found.entering
    assert not found.scope.covers("shop")  # nothing is known of it yet
    found.counting([upserted("shop", "one"), upserted("shop", "two"), removed("shop", "one")])
    assert found.enter() == [upserted("shop", "two")]
    assert found.scope.watches("shop")
    assert not found.entering


def test_one_that_changes_its_mind_meanwhile_leaves_nothing_behind() -> None:
    found = selection()
    found.replace_all({"shop": DEV})
    found.update({"shop": PROD})
    found.counting([upserted("shop")])
    change = found.update({"shop": DEV})
    assert change.left == {"shop"}
    assert found.enter() == []


def test_one_that_is_deleted_is_followed_to_its_end() -> None:
    found = selection()
    found.replace_all({"shop": PROD})
    found.counting([upserted("shop")])
    found.forget("shop")
    assert found.scope.covers("shop")
    # Its objects may change once more before they go.
    assert found.counting([upserted("shop"), removed("shop")]) == [removed("shop")]
    assert found.update({"shop": PROD}).waited == ()


def test_one_that_is_made_again_without_a_match_takes_along_what_counted() -> None:
    found = selection()
    found.replace_all({"shop": PROD})
    # Already of the new one: the two watches are not in step.
    assert found.counting([upserted("shop")]) == [upserted("shop")]
    found.forget("shop")
    assert found.update({"shop": DEV}).left == {"shop"}
    assert found.counting([upserted("shop")]) == []


def test_one_that_is_made_again_and_matches_is_read_anew() -> None:
    found = selection()
    found.replace_all({"shop": DEV})
    assert found.counting([upserted("shop")]) == []  # already of the new one
    found.forget("shop")
    assert found.update({"shop": PROD}).anew
    assert found.counting([upserted("shop")]) == []
    assert found.enter() == [upserted("shop")]


def test_namespaces_that_come_and_go_leave_nothing_in_memory() -> None:
    found = selection()

    def come_and_go(first: int) -> int:
        for number in range(first, first + 200):
            name = f"pr-{number}"
            found.update({name: PROD if number % 2 else DEV})
            found.counting([upserted(name)])
            found.forget(name)
            found.counting([upserted(name), removed(name)])
        return len(pickle.dumps(found))

    assert come_and_go(1000) == come_and_go(2000)


def test_one_that_never_mattered_costs_nothing() -> None:
    found = selection()
    assert not found.replace_all({"shop": PROD, "bank": DEV}).left
    assert not found.update({"new": DEV}).left
    found.forget("new")
    assert found.scope == Scope(frozenset({"shop"}), frozenset({"bank"}))


def test_a_fresh_list_tells_which_namespaces_are_gone() -> None:
    found = selection()
    found.replace_all({"shop": PROD, "bank": DEV, "old": DEV})
    found.replace_all({"shop": PROD, "bank": DEV})
    assert found.scope == Scope(frozenset({"shop"}), frozenset({"bank"}))


def test_other_labels_change_nothing() -> None:
    found = selection()
    found.replace_all({"shop": PROD, "bank": DEV})
    change = found.update({"shop": {**PROD, "x": "y"}, "bank": {"x": "y"}})
    assert (change.waited, change.left, change.anew) == ((), frozenset(), False)


class TestOnlyIn:
    """The stage for sources that cannot leave anything out by themselves."""

    def test_only_the_namespaces_named_pass(self) -> None:
        said: list[Event] = []
        emit = only_in("feed", named(["shop"]))(lambda *events: said.extend(events))
        problems = Problems("feed", "somewhere", ())
        emit(upserted("shop"), upserted("bank"), removed("bank"), problems)
        emit(upserted("bank"))
        assert said == [Scoped("feed", named(["shop"])), upserted("shop"), problems]

    def test_without_a_choice_everything_passes(self) -> None:
        def emit(*events: Event) -> None: ...

        assert only_in("feed", named([]))(emit) is emit
