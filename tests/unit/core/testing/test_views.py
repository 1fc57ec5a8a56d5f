"""What one client sees: rules, routes, services and Sidecar resources, as istiod finds them."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.testing import (
    Proxy,
    SidecarConfig,
    destination_rule,
    model_sidecar,
    service,
    service_entry,
    virtual_service,
)

HOST = "cart.shop.svc.cluster.local"
CLUSTER = f"outbound|7000||{HOST}"
CART = service("cart", {"tcp-echo": 7000}, namespace="shop", cluster_ip="10.96.0.1")


def sidecar(
    namespace: str, *, name: str = "default", labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    if labels:
        spec["workloadSelector"] = {"labels": labels}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def limit(number: int) -> dict[str, Any]:
    return {"connectionPool": {"tcp": {"maxConnections": number}}}


def rule(namespace: str, number: int, host: str = HOST, **spec: Any) -> dict[str, Any]:
    return destination_rule(
        f"limit-{number}", host, namespace=namespace, trafficPolicy=limit(number), **spec
    )


def limit_of(config: SidecarConfig) -> int:
    return int(config.cluster(CLUSTER).circuit_breakers.thresholds[0].max_connections.value)


def clusters(config: SidecarConfig) -> set[str]:
    return {item.name for item in config.outbound_clusters if item.name.startswith("outbound|")}


def listeners(config: SidecarConfig) -> list[str]:
    return [item.name for item in config.outbound if item.name != "virtualOutbound"]


# -- DestinationRules ------------------------------------------------------------------------------


def test_the_clients_rule_counts_before_the_services_and_the_roots() -> None:
    rules = [rule("client", 1), rule("shop", 2), rule("istio-system", 3)]
    for namespace, expected in (("client", 1), ("shop", 2), ("other", 2)):
        assert limit_of(model_sidecar([CART, *rules], Proxy(namespace))) == expected
    assert limit_of(model_sidecar([CART, rules[2]], Proxy("other"))) == 3


def test_within_a_namespace_the_most_specific_host_counts() -> None:
    rules = [rule("shop", 1, "*.shop.svc.cluster.local"), rule("shop", 2)]
    assert limit_of(model_sidecar([CART, *rules], Proxy("shop"))) == 2


def test_a_wildcard_of_the_client_hides_the_services_exact_rule() -> None:
    rules = [rule("client", 1, "*.local"), rule("shop", 2)]
    assert limit_of(model_sidecar([CART, *rules], Proxy("client"))) == 1


def test_a_private_rule_is_for_its_own_namespace_alone() -> None:
    rules = [rule("shop", 1, exportTo=["."])]
    assert limit_of(model_sidecar([CART, *rules], Proxy("shop"))) == 1
    assert limit_of(model_sidecar([CART, *rules], Proxy("other"))) == 2**32 - 1


def test_a_rule_for_a_chosen_namespace_hides_a_less_specific_one_from_the_others() -> None:
    rules = [rule("shop", 1, exportTo=["friend"]), rule("shop", 2, "*.shop.svc.cluster.local")]
    assert limit_of(model_sidecar([CART, *rules], Proxy("friend"))) == 1
    # The namespace's most specific exported host decides, even for those who do not see it.
    assert limit_of(model_sidecar([CART, *rules], Proxy("other"))) == 2**32 - 1


def test_a_rule_with_a_selector_is_for_those_workloads_of_its_namespace() -> None:
    rules = [
        rule("client", 1, workloadSelector={"matchLabels": {"app": "a"}}),
        rule("client", 2),
    ]
    assert limit_of(model_sidecar([CART, *rules], Proxy("client", labels={"app": "a"}))) == 1
    assert limit_of(model_sidecar([CART, *rules], Proxy("client", labels={"app": "b"}))) == 2


def test_a_client_with_a_rule_of_its_own_lacks_the_services_subsets() -> None:
    rules = [destination_rule("d", "cart", {"v2": {}}, namespace="shop"), rule("client", 1)]
    assert f"outbound|7000|v2|{HOST}" in clusters(model_sidecar([CART, *rules], Proxy("other")))
    assert clusters(model_sidecar([CART, *rules], Proxy("client"))) == {CLUSTER}


def test_rules_of_one_host_are_united() -> None:
    rules = [
        destination_rule("a", "cart", {"v1": {}}, namespace="shop"),
        destination_rule("b", "cart", {"v2": {}}, namespace="shop", trafficPolicy=limit(4)),
    ]
    config = model_sidecar([CART, *rules], Proxy("other"))
    assert clusters(config) == {CLUSTER, *(f"outbound|7000|v{n}|{HOST}" for n in (1, 2))}
    assert limit_of(config) == 4


# -- services and routes ---------------------------------------------------------------------------


def entry(namespace: str, host: str, address: str, created: str, **spec: Any) -> dict[str, Any]:
    return service_entry(
        "e",
        [host],
        {"tcp": 7000},
        namespace=namespace,
        addresses=[address],
        created=created,
        **spec,
    )


def test_a_kubernetes_service_wins_its_host_from_an_older_entry() -> None:
    squatter = entry("evil", HOST, "10.9.9.9", "2020-01-01T00:00:00Z")
    config = model_sidecar([CART, squatter], Proxy("other"))
    assert listeners(config) == ["10.96.0.1_7000"]
    assert config.cluster(CLUSTER).type == config.cluster(CLUSTER).EDS


def test_the_clients_own_entry_wins_the_host_for_that_client() -> None:
    theirs = entry("a", "x.example.com", "10.1.1.1", "2020-01-01T00:00:00Z")
    mine = entry("b", "x.example.com", "10.2.2.2", "2021-01-01T00:00:00Z")
    assert listeners(model_sidecar([theirs, mine], Proxy("b"))) == ["10.2.2.2_7000"]
    assert listeners(model_sidecar([theirs, mine], Proxy("c"))) == ["10.1.1.1_7000"]


def test_a_private_entry_takes_a_shared_listener_in_its_namespace_alone() -> None:
    shared = service_entry("s", ["s.example.com"], {"tcp": 7000}, created="2020-01-01T00:00:00Z")
    private = service_entry("p", ["p.example.com"], {"tcp": 7000}, namespace="crm", exportTo=["."])
    for namespace, host in (("crm", "p.example.com"), ("other", "s.example.com")):
        listener = model_sidecar([shared, private], Proxy(namespace)).listener("0.0.0.0_7000")
        assert f"outbound|7000||{host}".encode() in listener.SerializeToString()


def test_a_private_route_counts_before_an_older_public_one() -> None:
    def route(name: str, subset: str, created: str, **spec: Any) -> dict[str, Any]:
        to = [{"destination": {"host": HOST, "subset": subset}}]
        return virtual_service(
            name, [HOST], namespace="client", created=created, tcp=[{"route": to}], **spec
        )

    objects = [
        CART,
        route("public", "v1", "2020-01-01T00:00:00Z"),
        route("private", "v2", "2021-01-01T00:00:00Z", exportTo=["."]),
    ]
    for namespace, subset in (("client", "v2"), ("other", "v1")):
        listener = model_sidecar(objects, Proxy(namespace)).listener("10.96.0.1_7000")
        assert f"outbound|7000|{subset}|{HOST}".encode() in listener.SerializeToString()


# -- Sidecar resources -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        (["*/*"], True),
        (["shop/*"], True),
        (["shop/cart.shop.svc.cluster.local"], True),
        (["*/*.shop.svc.cluster.local"], True),
        (["./*"], False),
        (["~/*"], False),
        (["*/*", "~shop/cart.shop.svc.cluster.local"], False),
        (["other/*"], False),
    ],
)
def test_a_sidecar_decides_what_its_namespace_sees(hosts: list[str], seen: bool) -> None:
    objects = [CART, sidecar("client", egress=[{"hosts": hosts}])]
    config = model_sidecar(objects, Proxy("client"))
    assert bool(listeners(config)) is seen
    assert (CLUSTER in clusters(config)) is seen
    assert listeners(model_sidecar(objects, Proxy("other"))) == ["10.96.0.1_7000"]


def test_the_roots_sidecar_is_for_namespaces_without_one() -> None:
    objects = [
        CART,
        sidecar("istio-system", egress=[{"hosts": ["./*"]}]),
        sidecar("client", egress=[{"hosts": ["shop/*"]}]),
    ]
    assert listeners(model_sidecar(objects, Proxy("other"))) == []
    assert listeners(model_sidecar(objects, Proxy("client"))) == ["10.96.0.1_7000"]


def test_a_sidecar_with_a_selector_counts_before_the_namespaces_own() -> None:
    objects = [
        CART,
        sidecar("client", egress=[{"hosts": ["shop/*"]}]),
        sidecar("client", name="z", labels={"app": "a"}, egress=[{"hosts": ["./*"]}]),
    ]
    assert listeners(model_sidecar(objects, Proxy("client", labels={"app": "a"}))) == []
    assert listeners(model_sidecar(objects, Proxy("client"))) == ["10.96.0.1_7000"]


def test_an_egress_listener_of_its_own_is_where_it_says_and_nowhere_else() -> None:
    own = {
        "port": {"number": 7000, "protocol": "TCP", "name": "tcp"},
        "bind": "127.0.0.9",
        "captureMode": "NONE",
        "hosts": ["shop/*"],
    }
    config = model_sidecar([CART, sidecar("client", egress=[own])], Proxy("client"))
    assert listeners(config) == ["127.0.0.9_7000"]
    assert not config.listener("127.0.0.9_7000").HasField("bind_to_port")
    captured = model_sidecar(
        [CART, sidecar("client", egress=[{"port": own["port"], "hosts": ["shop/*"]}])],
        Proxy("client"),
    )
    assert listeners(captured) == ["10.96.0.1_7000"]
    assert not captured.listener("10.96.0.1_7000").bind_to_port.value


def test_a_catch_all_listener_adds_nothing_to_a_listener_of_its_own() -> None:
    port = {"number": 80, "protocol": "HTTP", "name": "http"}
    webs = [
        service("a", {"http": 80}, namespace="a", cluster_ip="10.96.1.1"),
        service("b", {"http": 80}, namespace="b", cluster_ip="10.96.1.2"),
    ]
    egress = [{"port": port, "hosts": ["a/*"]}, {"hosts": ["*/*"]}]
    config = model_sidecar([*webs, sidecar("client", egress=egress)], Proxy("client"))
    assert listeners(config) == ["0.0.0.0_80"]
    assert b"b.b.svc" not in config.listener("0.0.0.0_80").SerializeToString()


def test_the_destinations_of_an_imported_route_have_clusters() -> None:
    to = [{"destination": {"host": HOST}}]
    objects = [
        CART,
        virtual_service("v", ["x.example.com"], namespace="client", tcp=[{"route": to}]),
        sidecar("client", egress=[{"hosts": ["./*"]}]),
    ]
    config = model_sidecar(objects, Proxy("client"))
    assert clusters(config) == {CLUSTER}
    assert listeners(config) == []


def test_an_ingress_listener_takes_the_place_of_the_services_ports() -> None:
    cart = service("cart", {"tcp-echo": (7000, 9000)}, namespace="shop", selector={"app": "cart"})
    port = {"number": 9443, "protocol": "TCP", "name": "tcp"}
    own = sidecar("shop", ingress=[{"port": port, "defaultEndpoint": "127.0.0.1:19443"}])
    config = model_sidecar([cart, own], Proxy("shop", labels={"app": "cart"}))
    chains = config.listener("virtualInbound").filter_chains
    ports = {item.filter_chain_match.destination_port.value for item in chains}
    assert 9443 in ports
    assert 9000 not in ports
    assert "10.244.255.1_9443" in {item.name for item in chains}
    (group,) = config.cluster("inbound|9443||").load_assignment.endpoints
    assert group.lb_endpoints[0].endpoint.address.socket_address.port_value == 19443


def test_a_sidecar_can_refuse_unknown_addresses() -> None:
    own = sidecar("client", outboundTrafficPolicy={"mode": "REGISTRY_ONLY"})
    config = model_sidecar([CART, own], Proxy("client"))
    catch_all = config.listener("virtualOutbound").filter_chains[-1]
    assert b"BlackHoleCluster" in catch_all.SerializeToString()


def test_a_route_leads_its_own_namespace_to_a_service_that_is_exported_elsewhere() -> None:
    entry = service_entry(
        "db", ["db.example.com"], {"tcp": 9}, namespace="shop", exportTo=["other"]
    )
    route = virtual_service(
        "to-db",
        [HOST],
        namespace="shop",
        tcp=[{"route": [{"destination": {"host": "db.example.com"}}]}],
    )
    there = clusters(model_sidecar([CART, entry, route], Proxy("shop")))
    assert "outbound|9||db.example.com" in there
    assert "outbound|9||db.example.com" not in clusters(
        model_sidecar([CART, entry, route], Proxy("web"))
    )


def test_a_route_for_another_source_leads_nowhere() -> None:
    entry = service_entry("db", ["db.example.com"], {"tcp": 9}, namespace="shop", exportTo=["."])
    route = virtual_service(
        "to-db",
        [HOST],
        namespace="shop",
        http=[
            {
                "match": [{"sourceNamespace": "web"}],
                "route": [{"destination": {"host": "db.example.com"}}],
            }
        ],
    )
    imports = sidecar("shop", egress=[{"hosts": [f"./{HOST}"]}])
    there = clusters(model_sidecar([CART, entry, route, imports], Proxy("shop")))
    assert there == {CLUSTER}


def test_on_an_address_of_its_own_http_and_tcp_exclude_each_other() -> None:
    web = service("web", {"http": 7000}, namespace="shop", cluster_ip="10.96.0.2")
    own = {"bind": "127.0.0.1", "captureMode": "NONE", "hosts": ["*/*"]}
    config = model_sidecar([CART, web, sidecar("shop", egress=[own])], Proxy("shop"))
    (chain,) = config.listener("127.0.0.1_7000").filter_chains
    # The older service has it, here the first by name.
    assert [item.name for item in chain.filters] == ["envoy.filters.network.tcp_proxy"]


def test_entries_merge_only_where_they_are_exported_by_the_same_words() -> None:
    first = service_entry("a", ["db.example.com"], {"tcp": 9}, namespace="shop")
    for exported, ports in ((None, {9, 10}), (["*"], {9})):
        more: dict[str, Any] = {"exportTo": exported} if exported else {}
        second = service_entry("b", ["db.example.com"], {"tcp": 10}, namespace="shop", **more)
        config = model_sidecar([first, second], Proxy("shop"))
        assert clusters(config) == {f"outbound|{port}||db.example.com" for port in ports}


def test_the_destinations_of_a_delegate_have_clusters() -> None:
    entry = service_entry("db", ["db.example.com"], {"tcp": 9}, namespace="other")
    root = virtual_service("root", [HOST], namespace="shop", http=[{"delegate": {"name": "more"}}])
    delegate = virtual_service(
        "more",
        [],
        namespace="shop",
        http=[{"route": [{"destination": {"host": "db.example.com"}}]}],
    )
    imports = sidecar("shop", egress=[{"hosts": [f"./{HOST}"]}])
    there = clusters(model_sidecar([CART, entry, root, delegate, imports], Proxy("shop")))
    assert there == {CLUSTER, "outbound|9||db.example.com"}
