"""Listeners and clusters of a modelled sidecar, as istiod makes them (docs/internals/istio.md)."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.model.mesh import Mesh
from aeraki_core.testing import (
    MutualTls,
    Proxy,
    SidecarConfig,
    destination_rule,
    endpoint_slice,
    model_sidecar,
    service,
    service_entry,
    virtual_service,
)

SHOP = Proxy("shop")
PORTS = {"tcp-echo": 7000}


def cart(**fields: Any) -> dict[str, Any]:
    return service(
        "cart", {"tcp-echo": (7000, 9000)}, namespace="shop", cluster_ip="10.96.0.1", **fields
    )


def names(config: SidecarConfig) -> list[str]:
    return [item.name for item in config.outbound if item.name != "virtualOutbound"]


def upstreams(listener: Any) -> list[str]:
    """What the tcp_proxy of each chain of a listener leads to; the default chain last."""
    chains = list(listener.filter_chains)
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    return [_cluster(chain.filters[-1]) for chain in chains]


def _cluster(item: Any) -> str:
    from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

    config = TcpProxy()
    item.typed_config.Unpack(config)
    if config.WhichOneof("cluster_specifier") == "weighted_clusters":
        return "+".join(f"{each.name}:{each.weight}" for each in config.weighted_clusters.clusters)
    return str(config.cluster)


def test_a_cluster_ip_has_one_listener_with_one_chain() -> None:
    config = model_sidecar([cart()], SHOP)
    assert names(config) == ["10.96.0.1_7000"]
    assert upstreams(config.listener("10.96.0.1_7000")) == [
        "outbound|7000||cart.shop.svc.cluster.local"
    ]


def test_a_dual_stack_service_has_the_listener_of_the_proxys_family() -> None:
    dual = cart(clusterIPs=["10.96.0.1", "fd00::1"])
    assert names(model_sidecar([dual], SHOP)) == ["10.96.0.1_7000"]
    assert names(model_sidecar([dual], Proxy("shop", ip="fd00::9"))) == ["fd00::1_7000"]
    config = model_sidecar([dual], Proxy("shop", dual_stack=True))
    assert names(config) == ["10.96.0.1_7000"]
    (extra,) = config.listener("10.96.0.1_7000").additional_addresses
    assert extra.address.socket_address.address == "fd00::1"
    assert names(model_sidecar([dual], Proxy("shop", ip="fd00::9", dual_stack=True))) == [
        "10.96.0.1_7000"
    ]


def test_an_allocated_address_of_a_family_that_the_proxy_lacks_is_no_listener() -> None:
    entry = service_entry("e", ["e.example.com"], PORTS, auto_addresses=["240.240.0.1"])
    assert names(model_sidecar([entry], Proxy("shop", ip="fd00::9"))) == ["::_7000"]
    config = model_sidecar([entry], Proxy("shop", ip="fd00::9", dual_stack=True))
    assert names(config) == ["240.240.0.1_7000"]


def test_a_headless_service_has_a_listener_for_each_endpoint_but_the_proxys_own() -> None:
    objects = [
        service("cart", PORTS, namespace="shop", cluster_ip="None"),
        endpoint_slice("cart", ["10.244.0.1", "10.244.0.2", "10.244.0.3"], PORTS, namespace="shop"),
    ]
    config = model_sidecar(objects, Proxy("shop", ip="10.244.0.2"))
    assert names(config) == ["10.244.0.1_7000", "10.244.0.3_7000"]
    (cluster,) = (item for item in config.clusters if "cart" in item.name)
    assert cluster.type == cluster.ORIGINAL_DST


def test_a_headless_service_without_endpoints_has_none() -> None:
    assert names(model_sidecar([service("cart", PORTS, cluster_ip="None")])) == []


def test_a_service_entry_has_a_listener_for_each_address() -> None:
    entry = service_entry("e", ["e.example.com"], PORTS, addresses=["10.1.0.1", "10.1.0.2/32"])
    assert names(model_sidecar([entry])) == ["10.1.0.1_7000", "10.1.0.2_7000"]


def test_a_range_is_a_chain_of_the_wildcard_listener_beside_a_passthrough_chain() -> None:
    entry = service_entry("e", ["e.example.com"], PORTS, addresses=["10.1.0.0/16"])
    config = model_sidecar([entry])
    listener = config.listener("0.0.0.0_7000")
    (prefix,) = listener.filter_chains[0].filter_chain_match.prefix_ranges
    assert (prefix.address_prefix, prefix.prefix_len.value) == ("10.1.0.0", 16)
    assert listener.default_filter_chain.name == "PassthroughFilterChain"
    assert upstreams(listener) == ["outbound|7000||e.example.com", "PassthroughCluster"]


def test_registry_only_passes_nothing_through() -> None:
    entry = service_entry("e", ["e.example.com"], PORTS, addresses=["10.1.0.0/16"])
    config = model_sidecar([entry], mesh=Mesh(registry_only=True))
    assert upstreams(config.listener("0.0.0.0_7000"))[-1] == "BlackHoleCluster"


def test_without_an_address_the_wildcard_listener_is_the_services_own() -> None:
    listener = model_sidecar([service_entry("e", ["e.example.com"], PORTS)]).listener(
        "0.0.0.0_7000"
    )
    assert upstreams(listener) == ["outbound|7000||e.example.com"]
    assert not listener.HasField("default_filter_chain")


def test_a_range_and_an_entry_without_address_share_a_listener() -> None:
    objects = [
        service_entry("all", ["all.example.com"], PORTS),
        service_entry("range", ["range.example.com"], PORTS, addresses=["10.1.0.0/16"]),
    ]
    listener = model_sidecar(objects).listener("0.0.0.0_7000")
    assert upstreams(listener) == [
        "outbound|7000||range.example.com",
        "outbound|7000||all.example.com",
    ]


def test_of_two_entries_without_address_the_older_has_the_listener() -> None:
    objects = [
        service_entry("a", ["new.example.com"], PORTS, created="2026-02-01T00:00:00Z"),
        service_entry("b", ["old.example.com"], PORTS, created="2026-01-01T00:00:00Z"),
    ]
    assert upstreams(model_sidecar(objects).listener("0.0.0.0_7000")) == [
        "outbound|7000||old.example.com"
    ]


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        (Proxy(), "240.240.0.1_7000"),
        (Proxy(dns_capture=False), "0.0.0.0_7000"),
        (Proxy(ip="fd00::9"), "2001:2::1_7000"),
        (Proxy(ip="fd00::9", dns_capture=False), "::_7000"),
    ],
)
def test_an_allocated_address_counts_only_with_dns_capture(proxy: Proxy, expected: str) -> None:
    entry = service_entry(
        "e", ["e.example.com"], PORTS, auto_addresses=["240.240.0.1", "2001:2::1"]
    )
    assert names(model_sidecar([entry], proxy)) == [expected]


def test_export_to_hides_a_service_from_other_namespaces() -> None:
    hidden = cart(annotations={"networking.istio.io/exportTo": "."})
    assert names(model_sidecar([hidden], SHOP)) == ["10.96.0.1_7000"]
    assert names(model_sidecar([hidden], Proxy("other"))) == []


def test_a_udp_port_has_no_listener() -> None:
    web = service("web", {}, cluster_ip="10.96.0.2")
    web["spec"]["ports"] = [{"port": 80, "name": "tcp-x", "protocol": "UDP"}]
    assert names(model_sidecar([web])) == []


def test_http_services_share_the_wildcard_listener_beside_a_passthrough_chain() -> None:
    objects = [
        service("web", {"http-web": 80}, cluster_ip="10.96.0.2"),
        service("api", {"grpc-api": 80}, cluster_ip="10.96.0.3"),
    ]
    config = model_sidecar(objects)
    assert names(config) == ["0.0.0.0_80"]
    listener = config.listener("0.0.0.0_80")
    assert listener.filter_chains[0].filters[0].name.endswith("http_connection_manager")
    assert listener.default_filter_chain.name == "PassthroughFilterChain"


def test_a_tcp_port_without_an_address_takes_what_http_leaves() -> None:
    objects = [
        service("web", {"http-web": 7000}, cluster_ip="10.96.0.2"),
        service_entry("e", ["e.example.com"], PORTS),
    ]
    listener = model_sidecar(objects).listener("0.0.0.0_7000")
    assert len(listener.filter_chains) == 1
    assert not listener.default_filter_chain.name
    assert upstreams(listener)[-1] == "outbound|7000||e.example.com"


@pytest.mark.parametrize("name", ["mongo", "mysql-db", "tcp", "TCP-x"])
def test_istiod_takes_these_names_for_tcp(name: str) -> None:
    listener = model_sidecar([service("x", {name: 7000}, cluster_ip="10.96.0.2")]).outbound[0]
    assert listener.name == "10.96.0.2_7000"
    assert not listener.listener_filters


def test_istiod_counts_queries_of_ports_named_mongo() -> None:
    listener = model_sidecar([service("x", {"mongo": 7000}, cluster_ip="10.96.0.2")]).outbound[0]
    names = [item.name.rpartition(".")[2] for item in listener.filter_chains[0].filters]
    assert names == ["mongo_proxy", "tcp_proxy"]


def test_a_server_first_database_shares_its_listener_with_no_other_protocol() -> None:
    database = service_entry("db", ["db.example.com"], {"db": 3306}, created="2026-01-01T00:00:00Z")
    database["spec"]["ports"][0]["protocol"] = "MySQL"
    web = service("web", {"http-web": 3306}, created="2026-02-01T00:00:00Z")
    listener = model_sidecar([database, web]).listener("0.0.0.0_3306")
    assert upstreams(listener) == ["outbound|3306||db.example.com"]


def test_a_tls_port_without_an_address_is_told_apart_by_server_name() -> None:
    entry = service_entry("e", ["e.example.com"], {"tls": 443})
    entry["spec"]["ports"][0]["protocol"] = "TLS"
    listener = model_sidecar([entry]).listener("0.0.0.0_443")
    assert list(listener.filter_chains[0].filter_chain_match.server_names) == ["e.example.com"]
    assert listener.default_filter_chain.name == "PassthroughFilterChain"


def test_a_port_of_unknown_protocol_looks_for_http_first() -> None:
    (listener, _) = model_sidecar([service("x", {"echo": 7000}, cluster_ip="10.96.0.2")]).outbound
    assert [item.name for item in listener.listener_filters] == [
        "envoy.filters.listener.http_inspector"
    ]
    assert list(listener.filter_chains[0].filter_chain_match.application_protocols) == [
        "http/1.1",
        "h2c",
    ]
    assert listener.default_filter_chain.filters[0].name == "envoy.filters.network.tcp_proxy"


def test_tcp_routes_of_a_virtual_service_are_in_tcp_proxy() -> None:
    routes = virtual_service(
        "v",
        ["cart"],
        namespace="shop",
        tcp=[
            {"match": [{"port": 1}], "route": [{"destination": {"host": "nowhere"}}]},
            {
                "route": [
                    {"destination": {"host": "cart", "subset": "v1"}, "weight": 80},
                    {"destination": {"host": "cart", "subset": "v2"}, "weight": 20},
                    {"destination": {"host": "cart", "subset": "v3"}, "weight": 0},
                ]
            },
        ],
    )
    listener = model_sidecar([cart(), routes], SHOP).listener("10.96.0.1_7000")
    host = "cart.shop.svc.cluster.local"
    assert upstreams(listener) == [f"outbound|7000|v1|{host}:80+outbound|7000|v2|{host}:20"]


def test_each_subset_has_a_cluster_with_the_rules_load_balancer() -> None:
    rule = destination_rule(
        "d",
        "cart",
        {"v1": {"version": "v1"}},
        namespace="shop",
        trafficPolicy={
            "loadBalancer": {"simple": "ROUND_ROBIN"},
            "connectionPool": {"tcp": {"connectTimeout": "3s"}},
        },
    )
    config = model_sidecar([cart(), rule], SHOP)
    for subset in ("", "v1"):
        cluster = config.cluster(f"outbound|7000|{subset}|cart.shop.svc.cluster.local")
        assert (cluster.type, cluster.lb_policy) == (cluster.EDS, cluster.ROUND_ROBIN)
        assert cluster.connect_timeout.seconds == 3


def test_a_cluster_has_istiods_thresholds_metadata_and_choice_of_tls() -> None:
    cluster = model_sidecar([cart()], SHOP).cluster("outbound|7000||cart.shop.svc.cluster.local")
    (thresholds,) = cluster.circuit_breakers.thresholds
    assert thresholds.max_connections.value == 2**32 - 1
    assert [item.name for item in cluster.transport_socket_matches] == [
        "tlsMode-istio",
        "tlsMode-disabled",
    ]
    (described,) = cluster.metadata.filter_metadata["istio"]["services"]
    assert described["host"] == "cart.shop.svc.cluster.local"


def test_an_external_service_has_no_mutual_tls() -> None:
    config = model_sidecar([service_entry("e", ["e.example.com"], PORTS)])
    cluster = config.cluster("outbound|7000||e.example.com")
    assert not cluster.transport_socket_matches
    assert cluster.metadata.filter_metadata["istio"]["external"]


def test_a_destination_rule_shapes_limits_outliers_and_tls() -> None:
    policy = {
        "connectionPool": {"tcp": {"maxConnections": 5, "tcpKeepalive": {"time": "60s"}}},
        "outlierDetection": {"consecutive5xxErrors": 3, "interval": "7s"},
        "tls": {"mode": "SIMPLE", "sni": "db.example.com"},
    }
    rule = destination_rule("d", "cart", namespace="shop", trafficPolicy=policy)
    cluster = model_sidecar([cart(), rule], SHOP).cluster(
        "outbound|7000||cart.shop.svc.cluster.local"
    )
    assert cluster.circuit_breakers.thresholds[0].max_connections.value == 5
    assert cluster.upstream_connection_options.tcp_keepalive.keepalive_time.value == 60
    assert cluster.outlier_detection.consecutive_5xx.value == 3
    assert cluster.outlier_detection.interval.seconds == 7
    assert cluster.transport_socket.name == "envoy.transport_sockets.tls"
    assert cluster.metadata.filter_metadata["istio"]["config"].endswith("/shop/destination-rule/d")


def test_a_ports_own_policy_inherits_nothing_and_a_subsets_policy_is_laid_over() -> None:
    policy = {
        "connectionPool": {"tcp": {"maxConnections": 5}},
        "portLevelSettings": [{"port": {"number": 7000}, "loadBalancer": {"simple": "RANDOM"}}],
    }
    rule = destination_rule("d", "cart", namespace="shop", trafficPolicy=policy)
    rule["spec"]["subsets"] = [
        {"name": "v1", "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 9}}}}
    ]
    config = model_sidecar([cart(), rule], SHOP)
    whole = config.cluster("outbound|7000||cart.shop.svc.cluster.local")
    subset = config.cluster("outbound|7000|v1|cart.shop.svc.cluster.local")
    assert whole.circuit_breakers.thresholds[0].max_connections.value == 2**32 - 1
    assert subset.circuit_breakers.thresholds[0].max_connections.value == 9
    assert whole.lb_policy == subset.lb_policy == whole.RANDOM


def test_passthrough_makes_a_cluster_original_dst() -> None:
    rule = destination_rule(
        "d",
        "cart",
        namespace="shop",
        trafficPolicy={"loadBalancer": {"simple": "PASSTHROUGH"}},
    )
    cluster = model_sidecar([cart(), rule], SHOP).cluster(
        "outbound|7000||cart.shop.svc.cluster.local"
    )
    assert (cluster.type, cluster.lb_policy) == (cluster.ORIGINAL_DST, cluster.CLUSTER_PROVIDED)


def test_a_dns_cluster_leads_to_the_target_port() -> None:
    entry = service_entry("e", ["e.example.com"], {"tcp": 7000})
    entry["spec"]["ports"][0]["targetPort"] = 7443
    (group,) = (
        model_sidecar([entry]).cluster("outbound|7000||e.example.com").load_assignment.endpoints
    )
    target = group.lb_endpoints[0].endpoint.address.socket_address
    assert (target.address, target.port_value) == ("e.example.com", 7443)


def test_maglev_of_a_destination_rule() -> None:
    policy = {
        "loadBalancer": {"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 1009}}}
    }
    config = model_sidecar(
        [cart(), destination_rule("d", "cart", namespace="shop", trafficPolicy=policy)], SHOP
    )
    cluster = config.cluster("outbound|7000||cart.shop.svc.cluster.local")
    assert cluster.lb_policy == cluster.MAGLEV
    assert cluster.maglev_lb_config.table_size.value == 1009


@pytest.mark.parametrize(("mode", "chains"), [("PERMISSIVE", 3), ("STRICT", 1), ("DISABLE", 1)])
def test_a_workload_has_chains_by_target_port(mode: str, chains: int) -> None:
    objects = [
        cart(selector={"app": "cart"}),
        service("also", {"tcp-b": (1, 9000)}, selector={"app": "cart"}),
    ]
    proxy = Proxy("shop", labels={"app": "cart", "v": "1"}, mutual_tls=MutualTls(mode))
    config = model_sidecar(objects, proxy)
    ports = [
        item.filter_chain_match.destination_port.value
        for item in config.listener("virtualInbound").filter_chains
    ]
    assert ports.count(9000) == chains
    assert config.cluster("inbound|9000||").name in config.hosts
    assert config.hosts["inbound|9000||"] == (
        "cart.shop.svc.cluster.local",
    )  # `also` is of another namespace


def test_a_named_target_port_has_the_numbers_of_the_endpoints() -> None:
    objects = [
        service("cart", {"tcp-echo": (7000, "echo")}, namespace="shop", selector={"app": "cart"}),
        endpoint_slice("cart", ["10.244.0.1"], {"tcp-echo": 9001}, namespace="shop"),
    ]
    config = model_sidecar(objects, Proxy("shop", labels={"app": "cart"}))
    assert "inbound|9001||" in config.hosts


def test_a_client_has_no_service_chains() -> None:
    config = model_sidecar([cart(selector={"app": "cart"})], Proxy("shop", labels={"app": "other"}))
    assert config.hosts == {}


def test_a_listener_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(KeyError, match=r"10\.96\.0\.1_7000"):
        model_sidecar([cart()], SHOP).listener("10.96.0.9_7000")


def authentication(namespace: str, mode: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": mode.lower(), "namespace": namespace},
        "spec": {"mtls": {"mode": mode}, **spec},
    }


def test_automatic_tls_is_for_namespaces_that_take_it() -> None:
    name = "outbound|7000||cart.shop.svc.cluster.local"
    off, on = authentication("istio-system", "DISABLE"), authentication("shop", "STRICT")
    some = authentication("shop", "DISABLE", selector={"matchLabels": {"app": "cart"}})

    def sockets(*policies: dict[str, Any]) -> list[str]:
        matches = model_sidecar([cart(), *policies], SHOP).cluster(name).transport_socket_matches
        return [item.name for item in matches]

    assert sockets(off) == []
    assert sockets(off, on) == sockets(some) == ["tlsMode-istio", "tlsMode-disabled"]


def test_a_rule_gives_tcp_proxy_its_timeouts_and_the_hash_of_the_source() -> None:
    from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

    policy = {
        "connectionPool": {"tcp": {"idleTimeout": "30s", "maxConnectionDuration": "1h"}},
        "loadBalancer": {"consistentHash": {"useSourceIp": True}},
    }
    rule = destination_rule("r", "cart", {}, namespace="shop", trafficPolicy=policy)
    (chain,) = model_sidecar([cart(), rule], SHOP).listener("10.96.0.1_7000").filter_chains
    config = TcpProxy()
    chain.filters[-1].typed_config.Unpack(config)
    assert config.idle_timeout.seconds == 30
    assert config.max_downstream_connection_duration.seconds == 3600
    assert config.hash_policy[0].HasField("source_ip")


def test_a_subset_of_passthrough_speaks_mutual_tls_to_every_endpoint() -> None:
    policy = {"loadBalancer": {"simple": "PASSTHROUGH"}}
    labels = {"v1": {"version": "v1"}}
    rule = destination_rule("r", "cart", labels, namespace="shop", trafficPolicy=policy)
    config = model_sidecar([cart(), rule], SHOP)
    host = "cart.shop.svc.cluster.local"
    assert not config.cluster(f"outbound|7000||{host}").HasField("transport_socket")
    subset = config.cluster(f"outbound|7000|v1|{host}")
    assert subset.type == subset.ORIGINAL_DST
    assert subset.transport_socket.name == "envoy.transport_sockets.tls"


def test_mutual_tls_says_that_grpc_is_http2() -> None:
    from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

    api = service("api", {"grpc": 7000}, namespace="shop", cluster_ip="10.96.0.3")
    cluster = model_sidecar([api], SHOP).cluster("outbound|7000||api.shop.svc.cluster.local")
    context = UpstreamTlsContext()
    cluster.transport_socket_matches[0].transport_socket.typed_config.Unpack(context)
    assert list(context.common_tls_context.alpn_protocols) == ["istio", "h2"]
