"""The controller that watches a service's namespace judges its filter; others ignore it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aeraki_core.filters.envoyfilter import (
    EnvoyFilter,
    FilterKey,
    ServicePort,
    from_dict,
    is_ours,
    to_dict,
)
from aeraki_core.filters.live import Live, namespaces_of
from aeraki_core.filters.output import is_up_to_date
from aeraki_core.model.scope import EVERYWHERE, Scope, named
from aeraki_core.pipeline.reconcile import Action, Holds, reconcile

HOST = "cart.shop.svc.cluster.local"
KEY = FilterKey("istio-system", f"aeraki-outbound-{HOST}-7000")


def a_filter(*namespaces: str, instance: str = "", priority: int = 10) -> EnvoyFilter:
    return EnvoyFilter(
        KEY, "echo", (ServicePort(HOST, 7000),), (), priority, (), namespaces, instance
    )


def a_live(item: EnvoyFilter) -> Live:
    return Live.of(item)


def decide(
    want: EnvoyFilter | None,
    have: EnvoyFilter,
    scope: Scope,
    *,
    active: tuple[str, ...] = ("echo",),
) -> tuple[Action, str] | None:
    outside = scope.why_outside(namespaces_of(a_live(have), "cluster.local"))
    plan = reconcile(
        [KEY],
        {KEY: want} if want else {},
        {KEY: a_live(have)},
        active_plugins=active,
        holds=Holds(outside={KEY: outside} if outside else {}),
    )
    steps = [*plan.steps, *plan.kept]
    return (steps[0].action, steps[0].message) if steps else None


class TestScope:
    def test_where_namespaces_are_named_every_other_is_somebody_elses(self) -> None:
        scope = named(["shop"])
        assert scope.watches("shop")
        assert not scope.watches("bank")
        assert scope.why_outside(["shop"]) is None
        assert scope.why_outside(["bank"]) == "namespace bank is not watched here"
        assert scope.why_outside(["bank", "shop"]) == "namespace bank is not watched here"

    def test_where_they_are_selected_one_that_does_not_exist_is_nobodys(self) -> None:
        scope = Scope(frozenset({"shop"}), frozenset({"bank"}))
        assert scope.why_outside(["gone"]) is None
        assert scope.why_outside(["bank"]) is not None

    def test_what_does_not_tell_is_ours_only_where_everything_is(self) -> None:
        assert EVERYWHERE.why_outside([]) is None
        assert "does not say" in str(named(["shop"]).why_outside([]))

    def test_objects_without_a_namespace_always_count(self) -> None:
        assert named(["shop"]).watches("")


class TestWhat:
    @pytest.mark.parametrize(
        "scope", [EVERYWHERE, named(["shop"]), Scope(frozenset({"shop"}), frozenset({"bank"}))]
    )
    def test_ours_goes_with_its_service(self, scope: Scope) -> None:
        assert decide(None, a_filter("shop"), scope) == (
            Action.DELETE,
            "no service asks for it any more",
        )

    @pytest.mark.parametrize(
        "scope", [named(["shop"]), Scope(frozenset({"shop"}), frozenset({"bank"}))]
    )
    def test_another_namespaces_stays(self, scope: Scope) -> None:
        assert decide(None, a_filter("bank"), scope) == (
            Action.OUTSIDE,
            "namespace bank is not watched here",
        )
        assert decide(None, a_filter("bank", "shop"), scope) == (
            Action.OUTSIDE,
            "namespace bank is not watched here",
        )

    def test_it_is_no_orphan_that_prune_would_remove(self) -> None:
        found = decide(None, a_filter("bank"), named(["shop"]), active=())
        assert found is not None
        assert found[0] is Action.OUTSIDE

    def test_of_a_namespace_that_is_gone_it_goes(self) -> None:
        found = decide(None, a_filter("gone"), Scope(frozenset({"shop"}), frozenset({"bank"})))
        assert found is not None
        assert found[0] is Action.DELETE

    def test_the_same_host_in_another_namespace_is_not_fought_over(self) -> None:
        found = decide(a_filter("shop", priority=1), a_filter("bank"), named(["shop"]))
        assert found == (
            Action.KEEP,
            "it is for a service of the same host: namespace bank is not watched here",
        )

    def test_but_it_is_if_its_label_says_that_it_is_ours(self) -> None:
        found = decide(
            a_filter("shop", instance="one"), a_filter("bank", instance="one"), named(["shop"])
        )
        assert found is not None
        assert found[0] is Action.UPDATE

    def test_one_that_was_for_both_namespaces_is_changed(self) -> None:
        found = decide(a_filter("shop"), a_filter("bank", "shop"), named(["shop"]))
        assert found is not None
        assert found[0] is Action.UPDATE


class TestOlderVersions:
    """Their filters have no label that says the namespace."""

    def test_they_are_in_force_as_they_are(self) -> None:
        assert is_up_to_date(a_filter(), a_filter("shop"))
        assert not is_up_to_date(a_filter(priority=1), a_filter("shop"))
        assert not is_up_to_date(a_filter("bank"), a_filter("shop"))
        assert not is_up_to_date(None, a_filter("shop"))
        assert decide(a_filter("shop"), a_filter(), named(["shop"])) is None

    def test_the_host_of_a_kubernetes_service_tells(self) -> None:
        assert namespaces_of(a_live(a_filter()), "cluster.local") == ("shop",)
        assert namespaces_of(a_live(a_filter()), "other.domain") == ()

    @pytest.mark.parametrize("host", ["cart.example.org", "cart.corp", "cart"])
    def test_the_host_of_a_service_entry_does_not(self, host: str) -> None:
        item = replace(a_filter(), service_ports=(ServicePort(host, 7000),))
        assert namespaces_of(a_live(item), "cluster.local") == ()
        both = replace(a_filter(), service_ports=(ServicePort(host, 7000), ServicePort(HOST, 7000)))
        assert namespaces_of(a_live(both), "cluster.local") == ()

    def test_what_does_not_tell_stays_where_namespaces_are_selected(self) -> None:
        item = replace(a_filter(), service_ports=(ServicePort("cart.corp", 7000),))
        found = decide(None, item, Scope(frozenset({"shop"}), frozenset({"bank"})))
        assert found is not None
        assert found[0] is Action.OUTSIDE

    def test_an_inbound_filter_is_in_its_services_namespace(self) -> None:
        key = FilterKey("shop", "aeraki-inbound-app-cart-7000")
        item = replace(a_filter(), key=key, service_ports=(ServicePort("cart.example.org", 7000),))
        assert namespaces_of(a_live(item), "cluster.local") == ("shop",)


class TestLabels:
    @pytest.mark.parametrize(
        "item",
        [a_filter("shop"), a_filter("bank", "shop"), a_filter(), a_filter("a", instance="b")],
    )
    def test_they_are_read_back(self, item: EnvoyFilter) -> None:
        assert from_dict(to_dict(item)) == item

    def test_one_namespace_is_a_label_to_select_by(self) -> None:
        assert to_dict(a_filter("shop"))["metadata"]["labels"]["aeraki.io/namespace"] == "shop"

    def test_without_an_instance_nothing_names_one(self) -> None:
        assert "aeraki.io/instance" not in to_dict(a_filter("shop"))["metadata"]["labels"]

    @pytest.mark.parametrize(
        ("label", "instance", "ours"),
        [
            ("", "", True),
            ("", "blue", True),  # what an only controller wrote is for whoever follows it
            ("blue", "blue", True),
            ("blue", "", False),
            ("blue", "green", False),
        ],
    )
    def test_a_filter_of_another_instance_is_not_ours(
        self, label: str, instance: str, ours: bool
    ) -> None:
        assert is_ours(to_dict(a_filter("shop", instance=label)), instance) is ours
