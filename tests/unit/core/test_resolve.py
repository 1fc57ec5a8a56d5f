"""Which object counts for which client. The places are those of istio/istio, pilot/pkg/model."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.mesh.mesh_client import MeshClient
from aeraki_core.mesh.resolve import (
    ClientNamespace,
    destination_rules_for,
    in_export_order,
    objects_for,
    services_for,
    virtual_services_for,
)
from aeraki_core.model.istio import (
    DestinationRule,
    VirtualService,
    parse_destination_rule,
    parse_virtual_service,
)
from aeraki_core.model.meta import Label, ObjectRef
from aeraki_core.model.service import Service, parse_service, parse_service_entry

ROOT = "istio-system"
HOST = "cart.shop.svc.cluster.local"


def created(year: int) -> dict[str, Any]:
    return {"creationTimestamp": f"{year}-01-01T00:00:00Z"}


def kubernetes(namespace: str = "shop", *, year: int = 2026, **annotations: str) -> Service:
    ref = ObjectRef("Service", namespace, "cart")
    content = {"metadata": created(year), "spec": {"clusterIP": "10.0.0.1"}}
    if annotations:
        content["metadata"]["annotations"] = {"networking.istio.io/exportTo": annotations["export"]}
    service = parse_service(ref, content, "cluster.local")
    assert service is not None
    return service


def entry(namespace: str, *, year: int = 2026, name: str = "e", export: str = "*") -> Service:
    ref = ObjectRef("ServiceEntry", namespace, name)
    spec = {"hosts": [HOST], "resolution": "STATIC", "exportTo": export.split(",")}
    (service,) = parse_service_entry(ref, {"metadata": created(year), "spec": spec})
    return service


def rule(
    namespace: str,
    name: str,
    *,
    host: str = HOST,
    year: int = 2026,
    export: str | None = None,
    selector: str = "",
    subset: str = "v1",
) -> DestinationRule:
    spec: dict[str, Any] = {"host": host, "subsets": [{"name": subset}]}
    if export is not None:
        spec["exportTo"] = export.split(",")
    if selector:
        label, value = selector.split("=")
        spec["workloadSelector"] = {"matchLabels": {label: value}}
    ref = ObjectRef("DestinationRule", namespace, name)
    content = {"metadata": created(year), "spec": spec}
    return parse_destination_rule(ref, content, "cluster.local")


def routes(
    namespace: str, name: str, *, host: str = HOST, year: int = 2026, export: str = "*"
) -> VirtualService:
    ref = ObjectRef("VirtualService", namespace, name)
    spec = {"hosts": [host], "exportTo": export.split(",")}
    return parse_virtual_service(ref, {"metadata": created(year), "spec": spec}, "cluster.local")


class TestServices:
    """sidecar.go, selectServices and appendSidecarServices."""

    @pytest.mark.parametrize("client", [None, "web", "shop", "evil"])
    def test_nobody_takes_a_host_from_its_kubernetes_service(self, client: ClientNamespace) -> None:
        own, squatter = kubernetes(year=2026), entry("evil", year=2000)
        assert services_for([squatter, own], client) == ((squatter if client == "evil" else own),)

    def test_of_entries_the_oldest_that_is_visible_counts(self) -> None:
        old = entry("pay", year=2025)
        young = entry("evil", year=2026)
        private = entry("crm", year=2000, export=".")
        everything = [private, old, young]
        assert services_for(everything, None) == (old,)
        assert services_for(everything, "web") == (old,)
        assert services_for(everything, "crm") == (private,)
        assert services_for(everything, "evil") == (young,)

    def test_an_entry_that_is_exported_by_name_comes_before_public_ones(self) -> None:
        public, named = entry("pay", year=2020), entry("crm", year=2026, export="web")
        assert services_for([public, named], "web") == (named,)
        assert services_for([public, named], None) == (public,)

    def test_entries_of_one_namespace_are_one_service(self) -> None:
        first, second = entry("pay", name="a"), entry("pay", name="b")
        assert services_for([first, second], None) == (first, second)

    def test_a_service_that_nobody_sees_is_no_service(self) -> None:
        assert services_for([kubernetes(export="~")], "shop") == ()
        assert services_for([kubernetes(export=".")], None) == ()


class TestDestinationRules:
    """push_context.go, destinationRule and getExportedDestinationRuleFromNamespace."""

    WILDCARD = "*.shop.svc.cluster.local"

    def resolve(
        self, namespace: ClientNamespace, *rules: DestinationRule, labels: tuple[Label, ...] = ()
    ) -> list[str]:
        hosts = (HOST, self.WILDCARD, "*")
        by_host = [[each for each in rules if each.host == host] for host in hosts]
        client = MeshClient(namespace, labels)
        found = destination_rules_for(
            by_host, client, service_namespace="shop", root_namespace=ROOT
        )
        return [each.ref.name for each in found]

    def test_the_clients_own_rule_comes_before_that_of_the_service_and_the_root(self) -> None:
        rules = rule("crm", "crm"), rule("shop", "shop"), rule(ROOT, "root")
        assert self.resolve("crm", *rules) == ["crm"]
        assert self.resolve("web", *rules) == ["shop"]
        assert self.resolve("web", *rules[2:]) == ["root"]
        assert self.resolve(None, *rules) == ["shop"]

    def test_a_rule_of_a_third_namespace_counts_for_nobody_else(self) -> None:
        assert self.resolve("web", rule("crm", "crm")) == []
        assert self.resolve(None, rule("crm", "crm")) == []

    def test_a_wildcard_of_the_service_is_not_hidden_by_an_exact_rule_of_somebody_else(
        self,
    ) -> None:
        rules = rule("shop", "wide", host=self.WILDCARD), rule("other", "exact", export=".")
        assert self.resolve(None, *rules) == ["wide"]
        assert self.resolve("other", *rules) == ["exact"]

    def test_in_one_namespace_the_most_specific_host_counts(self) -> None:
        rules = rule("shop", "wide", host=self.WILDCARD), rule("shop", "exact")
        assert self.resolve(None, *rules) == ["exact"]

    def test_a_more_specific_rule_that_is_not_exported_hides_a_wider_one(self) -> None:
        rules = rule("shop", "wide", host=self.WILDCARD), rule("shop", "exact", export="web")
        assert self.resolve("web", *rules) == ["exact"]
        assert self.resolve("bank", *rules, rule(ROOT, "root")) == ["root"]

    def test_a_private_rule_of_the_service_is_for_its_own_clients(self) -> None:
        assert self.resolve("shop", rule("shop", "private", export=".")) == ["private"]
        assert self.resolve(None, rule("shop", "private", export=".")) == []

    def test_clients_in_the_root_namespace_have_its_private_rules_only(self) -> None:
        rules = rule(ROOT, "public"), rule("shop", "shop")
        assert self.resolve(ROOT, *rules) == ["shop"]
        assert self.resolve(ROOT, *rules, rule(ROOT, "private", export=".")) == ["private"]

    def test_rules_of_one_host_merge_if_they_are_exported_alike(self) -> None:
        """destination_rule.go, mergeDestinationRule; the last that stands alone counts."""
        old = rule("shop", "old", year=2020)
        young = rule("shop", "young", year=2026, subset="v2")
        other = rule("shop", "other", year=2025, export="web")
        assert self.resolve("bank", old, young) == ["old", "young"]
        assert self.resolve("web", old, other) == ["other"]
        assert self.resolve("web", other, rule("shop", "wide", export="web,bank")) == [
            "other",
            "wide",
        ]
        assert self.resolve("bank", old, other) == ["old"]

    def test_a_rule_for_some_workloads_counts_for_them_alone(self) -> None:
        """sidecar.go, DestinationRule: the oldest that selects them, before all without one."""
        general, some = rule("shop", "general", year=2019), rule("shop", "some", selector="app=x")
        older = rule("shop", "older", selector="tier=a", year=2020)
        alike = rule("shop", "alike", selector="app=x", subset="v2", year=2027)
        rules = general, some, older, alike
        x, a = ("app", "x"), ("tier", "a")
        assert self.resolve("shop", *rules) == ["general"]
        assert self.resolve(None, *rules) == ["general"]
        assert self.resolve("shop", *rules, labels=(x,)) == ["some", "alike"]
        assert self.resolve("shop", *rules, labels=(x, a)) == ["older"]
        assert self.resolve("web", *rules, labels=(x,)) == ["general"]
        # It hides rules of other namespaces from all workloads of its own one.
        assert self.resolve("web", general, rule("web", "some", selector="app=x")) == []

    def test_rules_that_are_exported_to_their_namespace_merge_into_those_with_a_selector(
        self,
    ) -> None:
        """destination_rule.go, mergeDestinationRule: both are private."""
        some = rule("shop", "some", selector="app=x")
        x = (("app", "x"),)
        for export, general, selected in (
            (".", [], ["some", "rest"]),
            (".,web", ["rest"], ["some", "rest"]),
            ("shop", ["rest"], ["some"]),
            (None, ["rest"], ["some"]),
        ):
            rules = some, rule("shop", "rest", export=export, subset="v2")
            assert self.resolve("shop", *rules) == general
            assert self.resolve("shop", *rules, labels=x) == selected


class TestVirtualServices:
    """sidecar.go, convertIstioListenerToWrapper; push_context.go, initVirtualServices."""

    def resolve(self, client: ClientNamespace, *virtual_services: VirtualService) -> list[str]:
        hosts = (HOST, "*.shop.svc.cluster.local")
        by_host = [[each for each in virtual_services if host in each.hosts] for host in hosts]
        return [each.ref.name for each in virtual_services_for(by_host, client)]

    def test_private_ones_come_before_named_ones_and_those_before_public_ones(self) -> None:
        private = routes("web", "private", year=2026, export=".")
        named = routes("crm", "named", year=2025, export="web,bank")
        public = routes("shop", "public", year=2020)
        everything = public, named, private
        assert self.resolve("web", *everything) == ["private", "named", "public"]
        assert self.resolve("bank", *everything) == ["named", "public"]
        assert self.resolve(None, *everything) == ["public"]

    def test_the_most_specific_host_comes_first(self) -> None:
        wide = routes("web", "wide", host="*.shop.svc.cluster.local", export=".")
        assert self.resolve("web", wide, routes("shop", "exact")) == ["exact", "wide"]


def test_resources_speak_for_clients_of_their_own_namespace_or_of_their_own_hosts() -> None:
    """The order of DestinationRules, for the objects of plugins' kinds."""
    crm, shop, root = rule("crm", "a"), rule("shop", "b"), rule(ROOT, "c")

    def resolve(client: ClientNamespace, *objects: DestinationRule) -> list[str]:
        found = objects_for(objects, client, service_namespace="shop", root_namespace=ROOT)
        return [each.namespace for each in found]

    assert resolve("crm", crm, shop, root) == ["crm"]
    assert resolve("web", crm, shop, root) == ["shop"]
    assert resolve(None, crm, root) == [ROOT]
    assert resolve(None, crm) == []


def test_listeners_go_by_export_then_by_age() -> None:
    public, private = entry("pay", year=2000), entry("crm", year=2026, export=".")
    assert [*in_export_order([public, private], "crm")] == [private, public]
    assert [*in_export_order([public, private], None)] == [public]
