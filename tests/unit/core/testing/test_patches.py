"""Effects of each operation and match of an EnvoyFilter on a sidecar, as istiod applies them."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.testing import (
    EnvoyFilterError,
    Patched,
    PatchRef,
    Proxy,
    apply_filters,
    destination_rule,
    model_sidecar,
    service,
    service_entry,
    unmatched,
)

from tests.unit.core.testing.objects import (
    CART,
    ECHO,
    ECHO_FILTER,
    ROOT,
    TCP_PROXY,
    envoy_filter,
    patch,
    tcp_filter,
)

LISTENER = "10.96.0.1_7000"
HERE: dict[str, Any] = {"listener": {"name": LISTENER}}
WORKLOAD = Proxy("shop", labels={"app": "cart"})
OBJECTS = [
    service(
        "cart",
        {"tcp-echo": (7000, 9000)},
        namespace="shop",
        cluster_ip="10.96.0.1",
        selector={"app": "cart"},
    ),
    service("other", {"tcp-echo": 7000}, namespace="shop", cluster_ip="10.96.0.2"),
]


def here() -> dict[str, Any]:
    return {"listener": {"name": LISTENER}}


def applied(*filters: dict[str, Any], proxy: Proxy = WORKLOAD, objects: Any = OBJECTS) -> Patched:
    return apply_filters(model_sidecar(objects, proxy), filters)


def filters_of(result: Patched, listener: str = LISTENER) -> list[list[str]]:
    """The names of the filters of each chain; the default chain last."""
    found = result.config.listener(listener)
    chains = list(found.filter_chains)
    if found.HasField("default_filter_chain"):
        chains.append(found.default_filter_chain)
    return [[item.name for item in chain.filters] for chain in chains]


def config_of(result: Patched, listener: str = LISTENER) -> Any:
    from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

    config = TcpProxy()
    assert result.config.listener(listener).filter_chains[0].filters[-1].typed_config.Unpack(config)
    return config


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("REPLACE", [ECHO]),
        ("INSERT_BEFORE", [ECHO, TCP_PROXY]),
        ("INSERT_FIRST", [ECHO, TCP_PROXY]),
        ("INSERT_AFTER", [TCP_PROXY, ECHO]),
        ("ADD", [TCP_PROXY, ECHO]),
    ],
)
def test_network_filter_operations(operation: str, expected: list[str]) -> None:
    result = applied(envoy_filter(patch(operation, ECHO_FILTER, **here())))
    assert filters_of(result) == [expected]
    assert filters_of(result, "10.96.0.2_7000") == [[TCP_PROXY]]
    assert result.hits == {PatchRef(ROOT, "f", 0): 1}
    assert result.misses == {}


def test_remove_a_network_filter() -> None:
    result = applied(
        envoy_filter(
            patch("INSERT_BEFORE", ECHO_FILTER, **here()),
            patch("REMOVE", filter=TCP_PROXY, **here()),
        )
    )
    assert filters_of(result) == [[ECHO]]


@pytest.mark.parametrize(("operation", "at"), [("INSERT_BEFORE", 0), ("INSERT_AFTER", 1)])
def test_insert_without_a_filter_to_find_goes_to_the_end_of_that_side(
    operation: str, at: int
) -> None:
    result = applied(envoy_filter(patch(operation, ECHO_FILTER, filter=None, **here())))
    assert filters_of(result)[0].index(ECHO) == at


def test_merge_a_network_filter_keeps_what_it_does_not_say() -> None:
    result = applied(envoy_filter(patch("MERGE", tcp_filter(idle_timeout="7s"), **here())))
    config = config_of(result)
    assert config.cluster == f"outbound|7000||{CART}"
    assert config.idle_timeout.seconds == 7


def test_merges_come_after_what_moves_filters() -> None:
    merge_first = envoy_filter(
        patch(
            "MERGE",
            {"name": ECHO, "typed_config": tcp_filter(stat_prefix="merged")["typed_config"]},
            filter=ECHO,
        ),
        patch("REPLACE", {**tcp_filter(stat_prefix="new", cluster="c"), "name": ECHO}, **here()),
    )
    config = config_of(applied(merge_first))
    assert (config.stat_prefix, config.cluster) == ("merged", "c")


def test_merging_another_type_is_refused() -> None:
    with pytest.raises(
        EnvoyFilterError, match=r"EnvoyFilter istio-system/f configPatches\[0\].*cannot be merged"
    ):
        applied(envoy_filter(patch("MERGE", {**ECHO_FILTER, "name": TCP_PROXY}, **here())))


def test_listener_merge_appends_to_lists_and_replaces_durations() -> None:
    value = {
        "per_connection_buffer_limit_bytes": 1024,
        "listener_filters_timeout": "2s",
        "filter_chains": [{"name": "more", "filters": [ECHO_FILTER]}],
    }
    result = applied(envoy_filter(patch("MERGE", value, to="LISTENER", **here())))
    listener = result.config.listener(LISTENER)
    assert listener.per_connection_buffer_limit_bytes.value == 1024
    assert listener.listener_filters_timeout.seconds == 2
    assert filters_of(result) == [[TCP_PROXY], [ECHO]]


def test_listener_merge_and_replace_list_replaces_lists() -> None:
    value = {"filter_chains": [{"name": "only", "filters": [ECHO_FILTER]}]}
    result = applied(envoy_filter(patch("MERGE_AND_REPLACE_LIST", value, to="LISTENER", **here())))
    assert filters_of(result) == [[ECHO]]


def test_remove_and_add_listeners() -> None:
    value = {
        "name": "mine",
        "address": {"socket_address": {"address": "10.0.0.9", "port_value": 1}},
    }
    result = applied(
        envoy_filter(
            patch("REMOVE", to="LISTENER", **here()),
            patch("ADD", value, to="LISTENER", context="ANY"),
        )
    )
    names = [item.name for item in result.config.listeners]
    assert LISTENER not in names
    assert names.count("mine") == 1


def test_filter_chain_operations() -> None:
    chain = {"name": "more", "filters": [ECHO_FILTER]}
    added = applied(envoy_filter(patch("ADD", chain, to="FILTER_CHAIN", **here())))
    assert filters_of(added) == [[TCP_PROXY], [ECHO]]
    merged = applied(envoy_filter(patch("MERGE", {"name": "named"}, to="FILTER_CHAIN", **here())))
    assert merged.config.listener(LISTENER).filter_chains[0].name == "named"
    removed = applied(envoy_filter(patch("REMOVE", to="FILTER_CHAIN", **here())))
    assert filters_of(removed) == []


def test_listener_filter_operations() -> None:
    inspector = {"name": "a", "typed_config": tcp_filter()["typed_config"]}
    result = applied(
        envoy_filter(
            patch("ADD", {"name": "z"}, to="LISTENER_FILTER", **here()),
            patch("INSERT_FIRST", inspector, to="LISTENER_FILTER", **here()),
            patch(
                "REPLACE",
                {"name": "y"},
                to="LISTENER_FILTER",
                listener={"name": LISTENER, "listenerFilter": "z"},
            ),
        )
    )
    assert [item.name for item in result.config.listener(LISTENER).listener_filters] == ["a", "y"]


def test_cluster_merge_by_service_reaches_every_subset_and_no_other_service() -> None:
    value = {"per_connection_buffer_limit_bytes": 5, "lb_policy": "MAGLEV"}
    result = applied(envoy_filter(patch("MERGE", value, to="CLUSTER", cluster={"service": CART})))
    cluster = result.config.cluster(f"outbound|7000||{CART}")
    assert cluster.per_connection_buffer_limit_bytes.value == 5
    assert cluster.lb_policy == cluster.MAGLEV
    other = result.config.cluster("outbound|7000||other.shop.svc.cluster.local")
    assert not other.HasField("per_connection_buffer_limit_bytes")


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        ({"name": f"outbound|7000||{CART}"}, 1),
        ({"portNumber": 7000}, 2),
        ({"portNumber": 7001}, 0),
        ({"service": CART, "portNumber": 7000, "subset": "v9"}, 0),
        ({}, 4),  # two services, PassthroughCluster, BlackHoleCluster
    ],
)
def test_what_a_cluster_match_asks(match: dict[str, Any], hits: int) -> None:
    result = applied(
        envoy_filter(patch("MERGE", {"alt_stat_name": "x"}, to="CLUSTER", cluster=match))
    )
    assert sum(result.hits.values()) == hits


def test_inbound_clusters_match_by_the_services_behind_them() -> None:
    match = {"service": CART}
    value = {"alt_stat_name": "x"}
    result = applied(
        envoy_filter(patch("MERGE", value, to="CLUSTER", context="SIDECAR_INBOUND", cluster=match))
    )
    assert result.config.cluster("inbound|9000||").alt_stat_name == "x"
    assert sum(result.hits.values()) == 1


def test_a_removed_and_added_cluster_is_not_istios_any_more() -> None:
    name = f"outbound|7000||{CART}"
    result = applied(
        envoy_filter(
            patch("REMOVE", to="CLUSTER", cluster={"name": name}),
            patch("ADD", {"name": name, "type": "STATIC"}, to="CLUSTER"),
        )
    )
    cluster = result.config.cluster(name)
    assert cluster.type == cluster.STATIC
    assert name not in result.config.istio_clusters


def test_inbound_patches_reach_every_chain_of_the_port_and_no_other() -> None:
    match: dict[str, Any] = {"listener": {"filterChain": {"destinationPort": 9000}}}
    result = applied(
        envoy_filter(patch("REPLACE", ECHO_FILTER, context="SIDECAR_INBOUND", **match))
    )
    chains = result.config.listener("virtualInbound").filter_chains
    echoing = [
        chain.filter_chain_match.destination_port.value
        for chain in chains
        if chain.filters[0].name == ECHO
    ]
    assert echoing == [9000, 9000, 9000]


@pytest.mark.parametrize(
    "chain",
    [
        {"transportProtocol": "raw_buffer", "destinationPort": 9000},
        {"applicationProtocols": "istio,istio-h2", "destinationPort": 9000},
    ],
)
def test_chains_match_by_what_they_match_on(chain: dict[str, Any]) -> None:
    match: dict[str, Any] = {"listener": {"filterChain": chain}}
    result = applied(
        envoy_filter(patch("REPLACE", ECHO_FILTER, context="SIDECAR_INBOUND", **match))
    )
    assert sum(result.hits.values()) == 1


def test_a_port_match_reaches_every_listener_of_the_port() -> None:
    result = applied(envoy_filter(patch("REPLACE", ECHO_FILTER, listener={"portNumber": 7000})))
    assert filters_of(result) == filters_of(result, "10.96.0.2_7000") == [[ECHO]]
    assert TCP_PROXY in filters_of(result, "virtualOutbound")[0]


def test_a_port_match_reaches_the_chains_of_virtual_inbound() -> None:
    match: dict[str, Any] = {"listener": {"portNumber": 9000}}
    result = applied(
        envoy_filter(patch("REPLACE", ECHO_FILTER, context="SIDECAR_INBOUND", **match))
    )
    assert sum(result.hits.values()) == 3


def test_without_a_listener_every_chain_is_reached() -> None:
    result = applied(envoy_filter(patch("REPLACE", ECHO_FILTER)))
    assert filters_of(result, "virtualOutbound") == [[ECHO], [ECHO]]


def test_without_a_chain_name_the_passthrough_chain_is_reached_too() -> None:
    entry = service_entry("e", ["e.example.com"], {"tcp": 7000}, addresses=["10.1.0.0/16"])
    listener = {"name": "0.0.0.0_7000"}
    result = applied(
        envoy_filter(patch("REPLACE", ECHO_FILTER, listener=listener)), objects=[entry]
    )
    assert filters_of(result, "0.0.0.0_7000") == [[ECHO], [ECHO]]


def test_a_chain_name_keeps_the_others_out() -> None:
    entry = service_entry("e", ["e.example.com"], {"tcp": 7000}, addresses=["10.1.0.0/16"])
    listener = {"name": "0.0.0.0_7000", "filterChain": {"name": "PassthroughFilterChain"}}
    result = applied(
        envoy_filter(patch("REPLACE", ECHO_FILTER, listener=listener)), objects=[entry]
    )
    assert filters_of(result, "0.0.0.0_7000") == [[TCP_PROXY], [ECHO]]


def names_in_order(*filters: dict[str, Any], proxy: Proxy = WORKLOAD) -> list[str]:
    return filters_of(applied(*filters, proxy=proxy))[0][:-1]


def inserting(name: str, **fields: Any) -> dict[str, Any]:
    """Insert a filter of its own name before tcp_proxy: it shows the order of application."""
    return envoy_filter(
        patch("INSERT_BEFORE", {**ECHO_FILTER, "name": name}, **here()), name=name, **fields
    )


def test_the_order_is_priority_root_namespace_age_name() -> None:
    given = [
        inserting("own", namespace="shop", created="2020-01-01T00:00:00Z"),
        inserting("late", priority=10),
        inserting("b", created="2026-01-01T00:00:00Z"),
        inserting("a", created="2026-01-01T00:00:00Z"),
        inserting("old", created="2025-01-01T00:00:00Z"),
        inserting("early", priority=-10, namespace="shop"),
    ]
    assert names_in_order(*given) == ["early", "old", "a", "b", "own", "late"]


def test_only_the_root_namespace_and_the_proxys_own_apply() -> None:
    result = applied(envoy_filter(patch("REPLACE", ECHO_FILTER, **here()), namespace="elsewhere"))
    assert filters_of(result) == [[TCP_PROXY]]
    assert result.misses == {
        PatchRef("elsewhere", "f", 0): "it is for proxies in namespace elsewhere"
    }


def test_a_workload_selector_must_select() -> None:
    selector: dict[str, Any] = {"workloadSelector": {"labels": {"app": "cart"}}}
    item = envoy_filter(patch("REPLACE", ECHO_FILTER, **here()), namespace="shop", **selector)
    assert filters_of(applied(item)) == [[ECHO]]
    other = applied(item, proxy=Proxy("shop", labels={"app": "other"}))
    assert filters_of(other) == [[TCP_PROXY]]


def test_target_refs_keep_sidecars_out() -> None:
    item = envoy_filter(
        patch("REPLACE", ECHO_FILTER, **here()), targetRefs=[{"kind": "Gateway", "name": "g"}]
    )
    assert list(applied(item).misses.values()) == ["it has targetRefs, which sidecars ignore"]


@pytest.mark.parametrize(
    ("proxy", "hit"),
    [
        ({"proxyVersion": r"^1\.30.*"}, True),
        ({"proxyVersion": r"^1\.29.*"}, False),
        ({"metadata": {"A": "b"}}, False),
    ],
)
def test_a_match_on_the_proxy(proxy: dict[str, Any], hit: bool) -> None:
    result = applied(envoy_filter(patch("REPLACE", ECHO_FILTER, proxy=proxy, **here())))
    assert bool(result.hits) is hit


def test_patches_that_match_nowhere_are_told() -> None:
    item = envoy_filter(
        patch("REPLACE", ECHO_FILTER, **here()),
        patch("REPLACE", ECHO_FILTER, listener={"name": "10.96.0.77_7000"}),
        patch(
            "REPLACE",
            ECHO_FILTER,
            context="SIDECAR_INBOUND",
            listener={"filterChain": {"destinationPort": 9000}},
        ),
    )
    found = unmatched([applied(item, proxy=Proxy("shop")), applied(item, proxy=WORKLOAD)])
    assert list(found) == [PatchRef(ROOT, "f", 1)]
    assert "it matches no NETWORK_FILTER" in found[PatchRef(ROOT, "f", 1)]


def test_the_given_configuration_stays_as_it_was() -> None:
    config = model_sidecar(OBJECTS, WORKLOAD)
    before = [
        item.SerializeToString(deterministic=True) for item in config.listeners + config.clusters
    ]
    apply_filters(
        config,
        [
            envoy_filter(
                patch("REPLACE", ECHO_FILTER),
                patch("MERGE", {"alt_stat_name": "x"}, to="CLUSTER"),
                patch("MERGE", {"stat_prefix": "x"}, to="LISTENER"),
            )
        ],
    )
    assert [
        item.SerializeToString(deterministic=True) for item in config.listeners + config.clusters
    ] == before


REFUSED = [
    (patch("REPLACE", ECHO_FILTER, filter=None, **HERE), "needs match.listener.filterChain.filter"),
    (patch("MERGE", ECHO_FILTER, filter=None), "needs match.listener.filterChain.filter"),
    (patch("REPLACE", {"name": "x"}, to="CLUSTER"), "istiod does nothing for REPLACE of CLUSTER"),
    (
        patch("MERGE_AND_REPLACE_LIST", ECHO_FILTER),
        "istiod does nothing for MERGE_AND_REPLACE_LIST of NETWORK_FILTER",
    ),
    (patch("REPLACE", {}, to="HTTP_FILTER"), "applyTo HTTP_FILTER is not modelled"),
    (patch("ADD", {}, to="EXTENSION_CONFIG"), "applyTo EXTENSION_CONFIG is not modelled"),
    (patch("REPLACE"), "REPLACE has no value"),
    (patch("REPLACE", {"name": "x", "typed": {}}), "its value is no NETWORK_FILTER.*typed"),
    (
        patch("REPLACE", {"typed_config": {"@type": "type.googleapis.com/no.such.Type"}}),
        "no.such.Type",
    ),
    (
        patch("REPLACE", ECHO_FILTER, cluster={"name": "x"}),
        "its match is for another kind of object",
    ),
    (patch("REPLACE", ECHO_FILTER, listener={"portName": "tcp"}), "portName is not read by istiod"),
    (patch("REPLACE", ECHO_FILTER, routeConfiguration={}), "routeConfiguration"),
    (patch("REPLACE", ECHO_FILTER, context="SIDECAR"), "no such context: SIDECAR"),
    (patch("REPLACE", ECHO_FILTER, listener={"filterChain": {"filter": {}}}), "has no name"),
    (
        patch("REPLACE", ECHO_FILTER, listener={"portNumber": "7000"}),
        "portNumber: must be of type int",
    ),
    (
        {"applyTo": "NETWORK_FILTER", "patch": {"operation": "FROBNICATE", "value": {}}},
        "FROBNICATE",
    ),
    ({"applyTo": "NETWORK_FILTER"}, "has no patch"),
]


@pytest.mark.parametrize(("bad", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_cannot_be_applied_is_refused_by_name(bad: dict[str, Any], words: str) -> None:
    good = patch("REPLACE", ECHO_FILTER, **here())
    with pytest.raises(
        EnvoyFilterError, match=rf"EnvoyFilter istio-system/f configPatches\[1\].*{words}"
    ):
        applied(envoy_filter(good, bad))


def test_a_bad_filter_of_another_namespace_is_refused_too() -> None:
    with pytest.raises(EnvoyFilterError, match="elsewhere/f"):
        applied(envoy_filter(patch("REPLACE"), namespace="elsewhere"))


def test_the_same_filter_twice_is_refused() -> None:
    with pytest.raises(EnvoyFilterError, match="EnvoyFilter istio-system/f is given twice"):
        applied(envoy_filter(), envoy_filter())


def test_selector_and_target_refs_exclude_each_other() -> None:
    with pytest.raises(EnvoyFilterError, match="exclude each other"):
        applied(envoy_filter(workloadSelector={"labels": {}}, targetRefs=[{"name": "g"}]))


# -- merges into istiod's clusters -----------------------------------------------------------------

CLUSTER = "outbound|7000||cart.shop.svc.cluster.local"
TLS = "envoy.transport_sockets.tls"


def tls(name: str = TLS, **context: Any) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    return {"transport_socket": {"name": name, "typed_config": {"@type": kind, **context}}}


def merged(value: dict[str, Any], *more: dict[str, Any]) -> Patched:
    change = patch("MERGE", value, to="CLUSTER", cluster={"name": CLUSTER})
    return applied(envoy_filter(change), objects=[*OBJECTS, *more])


def context_of(socket: Any) -> Any:
    from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

    context = UpstreamTlsContext()
    assert socket.typed_config.Unpack(context)
    return context


def simple_tls(**more: Any) -> dict[str, Any]:
    policy = {"tls": {"mode": "SIMPLE", "sni": "a.example.com", **more}}
    return destination_rule("d", "cart", namespace="shop", trafficPolicy=policy)


def test_a_merged_transport_socket_joins_the_one_of_auto_mtls() -> None:
    result = merged(tls(sni="b.example.com"))
    mutual, plain = result.config.cluster(CLUSTER).transport_socket_matches
    assert context_of(mutual.transport_socket).sni == "b.example.com"
    assert context_of(mutual.transport_socket).common_tls_context.alpn_protocols == ["istio"]
    assert plain.name == "tlsMode-disabled"
    assert unmatched([result]) == {}


def test_a_socket_of_another_name_has_no_effect_beside_auto_mtls() -> None:
    (reason,) = unmatched([merged(tls("envoy.transport_sockets.other"))]).values()
    assert (
        "has transport_socket_matches, none of them named envoy.transport_sockets.other" in reason
    )


def test_a_merged_transport_socket_joins_the_destination_rules_own() -> None:
    cluster = merged(tls(max_session_keys=3), simple_tls()).config.cluster(CLUSTER)
    context = context_of(cluster.transport_socket)
    assert (context.sni, context.max_session_keys.value) == ("a.example.com", 3)


def test_a_transport_socket_stands_where_there_is_none() -> None:
    disabled = simple_tls(mode="DISABLE")
    cluster = merged(tls(sni="b.example.com"), disabled).config.cluster(CLUSTER)
    assert context_of(cluster.transport_socket).sni == "b.example.com"


def test_beside_a_transport_socket_other_fields_are_dropped() -> None:
    result = merged({**tls(sni="b.example.com"), "lb_policy": "MAGLEV"})
    cluster = result.config.cluster(CLUSTER)
    assert cluster.lb_policy != cluster.MAGLEV
    (reason,) = unmatched([result]).values()
    assert "drops the patch's other fields" in reason


def test_thresholds_behind_istiods_own_have_no_effect() -> None:
    result = merged({"circuit_breakers": {"thresholds": [{"max_connections": 5}]}})
    limits = result.config.cluster(CLUSTER).circuit_breakers.thresholds
    assert [item.max_connections.value for item in limits] == [2**32 - 1, 5]
    (reason,) = unmatched([result]).values()
    assert "MERGE appends to lists" in reason


def test_replacing_the_list_of_thresholds_takes_effect() -> None:
    change = patch(
        "MERGE_AND_REPLACE_LIST",
        {"circuit_breakers": {"thresholds": [{"max_connections": 5}]}},
        to="CLUSTER",
        cluster={"name": CLUSTER},
    )
    result = applied(envoy_filter(change))
    (limits,) = result.config.cluster(CLUSTER).circuit_breakers.thresholds
    assert limits.max_connections.value == 5
    assert unmatched([result]) == {}


def test_a_merge_comes_after_a_replacement_of_a_later_priority() -> None:
    early = envoy_filter(patch("MERGE", tcp_filter(stat_prefix="x"), **here()), name="a")
    late = envoy_filter(patch("REPLACE", ECHO_FILTER, **here()), name="b", priority=10)
    result = applied(early, late)
    assert filters_of(result) == [[ECHO]]
    assert list(unmatched([result])) == [PatchRef(ROOT, "a", 0)]
