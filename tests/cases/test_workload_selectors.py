"""DestinationRules and Sidecars with a workloadSelector: workloads have filters of their own."""

from __future__ import annotations

import itertools

import pytest
from aeraki_core.testing import Made

from tests.reach import Client, client_of, made_of

GREETER = "greeter.shop.svc.cluster.local"
LISTENER = "10.96.3.4_20880"
MESH = """
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: shop}
spec:
  clusterIP: 10.96.3.4
  selector: {app: greeter}
  ports: [{name: tcp-dubbo, port: 20880}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter]
  http:
  - match: [{method: {exact: a}}]
    route: [{destination: {host: greeter, subset: v1}}]
  - match: [{method: {exact: b}}]
    route: [{destination: {host: greeter, subset: v2}}]
  - match: [{method: {exact: c}}]
    route: [{destination: {host: greeter, subset: v3}}]
  - route: [{destination: {host: greeter}}]
"""


def rule(
    name: str,
    *subsets: str,
    namespace: str = "web",
    year: int = 2024,
    labels: str | None = None,
    **spec: object,
) -> dict[str, object]:
    """A DestinationRule; ``labels``: of its workloadSelector, ``a=b,c=d``."""
    if labels is not None:
        pairs = dict(pair.split("=") for pair in labels.split(",") if pair)
        spec["workloadSelector"] = {"matchLabels": pairs}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": f"{year}-01-01T00:00:00Z",
        },
        "spec": {
            "host": GREETER,
            "subsets": [{"name": each, "labels": {"version": each}} for each in subsets],
            **spec,
        },
    }


def subsets(made: Made, namespace: str, **labels: str) -> set[str]:
    """The subsets that a client's calls can reach; each has a cluster."""
    client = client_of(made, namespace, labels=labels)
    assert client.filters(LISTENER) == ["dubbo_proxy"]
    assert not client.missing(LISTENER)
    return {each.split("|")[2] for each in client.reaches(LISTENER)} - {""}


SHOP = rule("shop", "v1", "v2", "v3", namespace="shop")


def test_selected_workloads_have_the_subsets_of_their_own_rule() -> None:
    made = made_of(MESH, SHOP, rule("front", "v2", labels="app=front"))
    assert subsets(made, "bank", app="front") == {"v1", "v2", "v3"}
    # istiod gives workloads that no rule of their namespace selects no rule at all.
    assert subsets(made, "web") == set()
    assert subsets(made, "web", app="front") == {"v2"}
    assert subsets(made, "web", app="front", tier="x") == {"v2"}
    assert subsets(made, "web", app="back") == set()
    reasons = {each.message for each in made.findings if each.code.id == "AER0302"}
    assert len(reasons) > 1
    assert all("; DestinationRule web/front, of their namespace, hides" in each for each in reasons)


def test_in_the_namespace_of_the_service() -> None:
    made = made_of(MESH, SHOP, rule("front", "v1", namespace="shop", labels="app=front", year=2025))
    assert subsets(made, "shop") == {"v1", "v2", "v3"}
    assert subsets(made, "shop", app="front") == {"v1"}
    assert subsets(made, "web", app="front") == {"v1", "v2", "v3"}
    names = {
        (each["metadata"]["namespace"], str(each["spec"].get("workloadSelector")))
        for each in made.filters
    }
    assert ("shop", "{'labels': {'app': 'front'}}") in names


@pytest.mark.parametrize("first", ["app", "tier"])
def test_workloads_that_two_rules_select_obey_the_older_one(first: str) -> None:
    years = {"app": 2023, "tier": 2023, first: 2020}
    made = made_of(
        MESH,
        SHOP,
        rule("general", "v1", "v3"),
        rule("app", "v1", labels="app=front", year=years["app"]),
        rule("tier", "v2", labels="tier=gold", year=years["tier"]),
    )
    assert subsets(made, "web") == {"v1", "v3"}
    assert subsets(made, "web", app="front") == {"v1"}
    assert subsets(made, "web", tier="gold") == {"v2"}
    both = {"v1"} if first == "app" else {"v2"}
    assert subsets(made, "web", app="front", tier="gold") == both


def test_any_workload_of_overlapping_selectors_has_what_istiod_gives_it() -> None:
    """Every set of labels, against the clusters that the modelled istiod gives."""
    selectors = ["app=a", "app=b", "tier=x", "app=a,tier=x", "zone=1"]
    known = ["v1", "v2", "v3", "v1 v2", "v2 v3"]
    for order in ([0, 1, 2, 3, 4], [3, 1, 4, 0, 2], [4, 2, 3, 1, 0]):
        made = made_of(
            MESH,
            SHOP,
            *(
                rule(f"r{index}", *known[index].split(), labels=selectors[index], year=2020 + age)
                for age, index in enumerate(order)
            ),
        )
        for app, tier, zone in itertools.product("abc", "xy", "12"):
            labels = {"app": app, "tier": tier, "zone": zone}
            names = [each.name for each in client_of(made, "web", labels=labels).plain.clusters]
            known_subsets = {name.split("|")[2] for name in names if "|" in name} - {""}
            assert subsets(made, "web", **labels) == known_subsets


def test_a_private_rule_merges_into_the_one_with_a_selector() -> None:
    made = made_of(
        MESH,
        SHOP,
        rule("front", "v1", labels="app=front"),
        rule("private", "v2", exportTo=["."], year=2023),
    )
    assert subsets(made, "web") == set()
    assert subsets(made, "web", app="front") == {"v1", "v2"}


def test_a_rule_that_changes_no_route_needs_no_filter() -> None:
    made = made_of(MESH, SHOP)
    tls = {"tls": {"mode": "DISABLE"}}
    more = made_of(
        MESH,
        SHOP,
        rule("f", "v1", "v2", "v3", namespace="shop", labels="app=front", trafficPolicy=tls),
    )
    assert len(more.filters) == len(made.filters)


def test_where_only_some_namespaces_see_the_service() -> None:
    text = MESH.replace(
        "name: greeter, namespace: shop}\nspec:\n  clusterIP",
        "name: greeter, namespace: shop, "
        "annotations: {networking.istio.io/exportTo: 'web,bank'}}\nspec:\n  clusterIP",
    )
    made = made_of(text, SHOP, rule("front", "v2", labels="app=front"), rule("general", "v3"))
    assert subsets(made, "bank", app="front") == {"v1", "v2", "v3"}
    assert subsets(made, "web") == {"v3"}
    assert subsets(made, "web", app="front") == {"v2"}


def test_selectors_of_the_root_namespace_are_reported() -> None:
    made = made_of(
        MESH, SHOP, rule("root", "v2", namespace="istio-system", labels="app=gate", exportTo=["."])
    )
    assert "AER0225" in made.findings_text
    assert "app=gate in istio-system" in made.findings_text
    assert subsets(made, "web", app="gate") == {"v1", "v2", "v3"}


def test_more_selectors_than_the_limit_are_reported() -> None:
    rules = [rule(f"r{number}", "v1", labels=f"l{number}=x") for number in range(6)]
    made = made_of(MESH, SHOP, *rules)
    assert "AER0225" in made.findings_text
    assert subsets(made, "web", l0="x", l1="x") == {"v1"}
    many = [rule(f"r{number}", "v1", labels=f"app=a{number}") for number in range(16)]
    assert "AER0225" not in made_of(MESH, SHOP, *many).findings_text


def sidecar(
    name: str, *hosts: str, labels: str | None = None, year: int = 2024, **spec: object
) -> dict[str, object]:
    """A Sidecar in web; ``labels``: of its workloadSelector."""
    if labels is not None:
        pairs = dict(pair.split("=") for pair in labels.split(",") if pair)
        spec["workloadSelector"] = {"labels": pairs}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {
            "name": name,
            "namespace": "web",
            "creationTimestamp": f"{year}-01-01T00:00:00Z",
        },
        "spec": {"egress": [{"hosts": list(hosts)}], **spec},
    }


ELSEWHERE = (
    MESH.replace(
        "kind: VirtualService\nmetadata: {name: greeter, namespace: shop}",
        "kind: VirtualService\nmetadata: {name: greeter, namespace: platform}",
    )
    .replace("greeter]", f"{GREETER}]")
    .replace("host: greeter", f"host: {GREETER}")
)


def test_the_sidecar_of_some_workloads_decides_which_routes_they_have() -> None:
    made = made_of(
        ELSEWHERE,
        SHOP,
        sidecar("all", "shop/*", year=2020),
        sidecar("front", "shop/*", "platform/*", labels="app=front"),
        sidecar("older", "shop/*", labels="tier=gold", year=2021),
    )
    assert subsets(made, "bank", app="front") == {"v1", "v2", "v3"}
    assert subsets(made, "web") == set()
    assert subsets(made, "web", app="front") == {"v1", "v2", "v3"}
    assert subsets(made, "web", app="front", tier="gold") == set()
    one = made_of(ELSEWHERE, SHOP, sidecar("front", "shop/*", labels="app=front"))
    assert subsets(one, "web") == {"v1", "v2", "v3"}
    assert subsets(one, "web", app="front") == set()


def test_a_rule_and_a_sidecar_select_the_same_workloads() -> None:
    made = made_of(
        ELSEWHERE,
        SHOP,
        rule("general", "v1", "v3"),
        rule("gold", "v2", labels="tier=gold"),
        sidecar("front", "shop/*", labels="app=front"),
    )
    assert subsets(made, "web") == {"v1", "v3"}
    assert subsets(made, "web", tier="gold") == {"v2"}
    assert subsets(made, "web", app="front") == set()
    assert subsets(made, "web", app="front", tier="gold") == set()


def entry(name: str, port: str, year: int) -> dict[str, object]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "creationTimestamp": f"{year}-01-01T00:00:00Z",
        },
        "spec": {
            "hosts": [f"{name}.example.net"],
            "resolution": "DNS",
            "ports": [{"number": 9090, "name": port, "protocol": "TCP"}],
        },
    }


def at(client: Client) -> tuple[list[str], set[str]]:
    hosts = {each.rpartition("|")[2] for each in client.reaches("0.0.0.0_9090")}
    return client.filters("0.0.0.0_9090"), hosts


@pytest.mark.parametrize("second", ["tcp", "tcp-thrift"])
def test_a_listener_belongs_to_another_service_for_some_workloads(second: str) -> None:
    protocol = {"tcp": "tcp_proxy", "tcp-thrift": "thrift_proxy"}[second]
    a = (["thrift_proxy"], {"a.example.net"})
    b = ([protocol], {"b.example.net"})
    entries = entry("a", "tcp-thrift", 2020), entry("b", second, 2021)
    some = sidecar("some", "shop/b.example.net", labels="app=jobs")
    made = made_of(*entries, some)
    assert "AER0225" not in made.findings_text
    assert at(client_of(made, "web", labels={"app": "jobs"})) == b
    assert at(client_of(made, "web")) == a
    assert at(client_of(made, "bank", labels={"app": "jobs"})) == a
    # The other way round: the namespace gives it to the one, some workloads to the other.
    made = made_of(
        *entries,
        sidecar("all", "shop/b.example.net"),
        sidecar("some", "shop/a.example.net", labels="app=jobs"),
        sidecar("two", "*/*", labels="tier=gold"),
    )
    assert at(client_of(made, "web")) == b
    assert at(client_of(made, "web", labels={"app": "jobs"})) == a
    assert at(client_of(made, "web", labels={"tier": "gold"})) == a
    assert at(client_of(made, "bank")) == a


def test_a_listener_belongs_to_another_service_for_a_namespace() -> None:
    """Its filter comes after the one that frees the listener, whatever their names."""
    entries = entry("a", "tcp-thrift", 2021), entry("b", "tcp-thrift", 2020)
    made = made_of(*entries, sidecar("all", "shop/a.example.net", labels=""))
    assert at(client_of(made, "web")) == (["thrift_proxy"], {"a.example.net"})
    assert at(client_of(made, "bank")) == (["thrift_proxy"], {"b.example.net"})


def test_the_outbound_policy_of_some_workloads() -> None:
    ranges = entry("a", "tcp-thrift", 2020)
    spec = ranges["spec"]
    assert isinstance(spec, dict)
    spec |= {"resolution": "NONE", "addresses": ["10.8.0.0/16"]}
    deny, allow = {"mode": "REGISTRY_ONLY"}, {"mode": "ALLOW_ANY"}
    made = made_of(
        ranges,
        sidecar("all", "*/*", outboundTrafficPolicy=deny),
        sidecar("some", "*/*", labels="app=jobs", outboundTrafficPolicy=allow),
    )
    for labels, catch_all in (({}, b"BlackHole"), ({"app": "jobs"}, b"Passthrough")):
        client = client_of(made, "web", labels=labels)
        assert client.filters("0.0.0.0_9090") == ["thrift_proxy", "tcp_proxy"]
        chain = client.config.listener("0.0.0.0_9090").default_filter_chain
        assert catch_all in chain.SerializeToString()
