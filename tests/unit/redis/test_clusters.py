"""Which clusters change, and whose they stay."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aeraki_core.testing import (
    Made,
    Proxy,
    destination_rule,
    generate,
    resource,
    secret,
    service,
    service_entry,
    virtual_service,
)
from aeraki_plugins_redis.resources import REDIS_DESTINATION, REDIS_SERVICE
from envoy.config.listener.v3.listener_pb2 import Listener
from google.protobuf.json_format import MessageToJson

import aeraki_plugins_redis

ALWAYS = {"redis.aeraki.io/proxy": "always"}
CACHE = service("cache", {"tcp-redis": 6379}, annotations=ALWAYS)
NAME = "outbound|6379||cache.default.svc.cluster.local"
NODES = f"aeraki-redis|{NAME}"
LISTENER = "10.96.0.10_6379"
CLUSTER = {"connectionPool": {"redis": {"mode": "CLUSTER"}}}


def made(*objects: dict[str, Any]) -> Made:
    return generate(*objects, plugins=[aeraki_plugins_redis])


def names_in(listener: Listener) -> set[str]:
    """Everything that the filters of its chains name."""
    filters = [each for chain in listener.filter_chains for each in chain.filters]
    return set(re.findall(r'"cluster": "([^"]+)"', " ".join(map(MessageToJson, filters))))


def policy(**load_balancer: Any) -> dict[str, Any]:
    return {"loadBalancer": load_balancer}


HASH = policy(consistentHash={"useSourceIp": True, "maglev": {"tableSize": 1009}})
ROUND_ROBIN = policy(simple="ROUND_ROBIN")


@pytest.mark.parametrize(
    ("given", "shards"),
    [
        (HASH, False),
        (ROUND_ROBIN, True),
        (ROUND_ROBIN | {"portLevelSettings": [{"port": {"number": 6379}, **HASH}]}, False),
        (HASH | {"portLevelSettings": [{"port": {"number": 6379}, **ROUND_ROBIN}]}, True),
        # Settings for a port take the place of all others, in Istio too.
        (HASH | {"portLevelSettings": [{"port": {"number": 6379}}]}, True),
        (HASH | {"portLevelSettings": [{"port": {"number": 7000}, **ROUND_ROBIN}]}, False),
    ],
)
def test_the_key_decides_in_any_case(given: dict[str, Any], shards: bool) -> None:
    result = made(CACHE, destination_rule("cache", "cache", trafficPolicy=given))
    merges = [patch["patch"]["value"] for patch in result.patches("CLUSTER")]
    assert merges == ([{"lb_policy": "MAGLEV"}] if shards else [])
    assert result.codes == ()


def test_the_load_balancer_passthrough_leaves_plain_tcp() -> None:
    rule = destination_rule("cache", "cache", trafficPolicy=policy(simple="PASSTHROUGH"))
    result = made(CACHE, rule)
    assert result.filters == ()
    assert result.codes == ("RDS0101",)


@pytest.mark.parametrize("resolution", ["NONE", "DYNAMIC_DNS"])
def test_a_service_without_endpoints_stays_plain_tcp(resolution: str) -> None:
    entry = service_entry(
        "out",
        ["*.redis.example.com" if resolution == "DYNAMIC_DNS" else "redis.example.com"],
        {"tcp-redis": 6379},
        addresses=["240.0.0.1"],
        resolution=resolution,
        annotations=ALWAYS,
    )
    result = made(entry)
    assert result.filters == ()
    assert "RDS0101" in result.codes


def test_a_redis_cluster_needs_no_endpoints_of_istio() -> None:
    entry = service_entry(
        "out",
        ["redis.example.com"],
        {"tcp-redis": 6379},
        addresses=["240.0.0.1"],
        resolution="NONE",
    )
    destination = resource(
        REDIS_DESTINATION, "out", host="redis.example.com", trafficPolicy=CLUSTER
    )
    result = made(entry, destination)
    assert [patch["patch"]["operation"] for patch in result.patches("CLUSTER")] == ["ADD"]
    assert result.codes == ()


def test_a_redis_cluster_that_is_headless_is_left_alone() -> None:
    nodes = service("nodes", {"tcp-redis": 6379}, cluster_ip="None")
    result = made(nodes, resource(REDIS_DESTINATION, "nodes", host="nodes", trafficPolicy=CLUSTER))
    assert result.filters == ()
    assert "RDS0101" in result.codes


def test_clients_with_routes_of_their_own_have_a_redis_cluster_once() -> None:
    """A VirtualService for one namespace gives its clients a second, separate filter."""
    route = {"match": [{"port": 9121}], "route": [{"destination": {"host": "cache"}}]}
    routing = virtual_service("cache", ["cache"], exportTo=["web"], tcp=[route])
    result = made(
        CACHE, routing, resource(REDIS_DESTINATION, "cache", host="cache", trafficPolicy=CLUSTER)
    )
    names = [cluster.name for cluster in result.sidecar(Proxy("web")).config.clusters]
    assert names.count(NODES) == 1


def test_clients_that_want_another_redis_cluster_have_it() -> None:
    own = resource(
        REDIS_DESTINATION,
        "cache",
        namespace="web",
        host="cache.default.svc.cluster.local",
        trafficPolicy={
            "connectionPool": {**CLUSTER["connectionPool"], "tcp": {"connectTimeout": "3s"}}
        },
    )
    everybodys = resource(REDIS_DESTINATION, "cache", host="cache", trafficPolicy=CLUSTER)
    result = made(CACHE, everybodys, own)
    assert "AER0221" not in result.codes
    for client, name, seconds in (
        ("default", NODES, 10),
        ("web", NODES.replace("redis", "redis-web"), 3),
    ):
        config = result.sidecar(Proxy(client)).config
        assert name in names_in(config.listener(LISTENER))
        assert config.cluster(name).connect_timeout.seconds == seconds


def test_istios_cluster_of_a_redis_cluster_stays_for_clients_that_do_not_import_it() -> None:
    """A client without the service must not get its cluster from us (seed 183)."""
    nothing = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "default", "namespace": "web"},
        "spec": {"egress": [{"hosts": ["./*"]}]},
    }
    destination = resource(REDIS_DESTINATION, "cache", host="cache", trafficPolicy=CLUSTER)
    result = made(CACHE, destination, nothing)
    names = {each.name for each in result.sidecar(Proxy("web")).config.outbound_clusters}
    assert NAME not in names
    plain = made(CACHE).sidecar(Proxy("default")).config.cluster(NAME)
    assert result.sidecar(Proxy("default")).config.cluster(NAME).type == plain.type


def test_a_route_to_a_redis_cluster_elsewhere_asks_its_nodes() -> None:
    """The port needs no filter of its own, nor a name that says Redis."""
    nodes = service("nodes", {"tcp": 7000}, cluster_ip="10.96.0.12")
    mode = resource(REDIS_DESTINATION, "nodes", host="nodes", trafficPolicy=CLUSTER)
    routes = [{"route": {"host": "nodes"}}]
    result = made(
        CACHE, nodes, mode, resource(REDIS_SERVICE, "cache", host=["cache"], redis=routes)
    )
    config = result.sidecar(Proxy("web")).config
    name = f"aeraki-redis|outbound|7000||nodes.default.svc.cluster.local|{NAME}"
    assert name in names_in(config.listener(LISTENER))
    assert config.cluster(name).cluster_type.name == "envoy.clusters.redis"


def test_a_route_changes_no_cluster_of_another_service() -> None:
    """The port is not known to speak Redis, and its other clients would get the change as well."""
    plain = service("plain", {"tcp": 7000}, cluster_ip="10.96.0.12")
    routes = [{"route": {"host": "plain"}}]
    result = made(CACHE, plain, resource(REDIS_SERVICE, "cache", host=["cache"], redis=routes))
    assert "plain.default" not in str(result.patches("CLUSTER"))
    (finding,) = result.findings
    assert (finding.code.id, str(finding.ref)) == ("RDS0106", "RedisService default/cache")


def test_a_service_that_nothing_asks_about_is_named() -> None:
    """Its clients may send AUTH or SUBSCRIBE, which redis_proxy does not pass on."""
    result = made(service("cache", {"tcp-redis": 6379}))
    assert len(result.filters) == 1
    (finding,) = result.findings
    assert (finding.code.id, str(finding.ref)) == ("RDS0112", "Service default/cache")
    assert "AUTH of clients is refused" in finding.message


def test_auto_waits_for_an_object() -> None:
    auto = service("cache", {"tcp-redis": 6379}, annotations={"redis.aeraki.io/proxy": "auto"})
    assert made(auto).filters == ()
    assert len(made(auto, resource(REDIS_DESTINATION, "cache", host="cache")).filters) == 1


def test_one_service_can_be_left_alone() -> None:
    left = service("cache", {"tcp-redis": 6379}, annotations={"redis.aeraki.io/proxy": "never"})
    result = made(left, resource(REDIS_DESTINATION, "cache", host="cache"))
    assert result.filters == ()
    assert result.codes == ()


@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL", "ISTIO_MUTUAL"])
def test_a_redis_cluster_behind_tls_keeps_what_istio_does(mode: str) -> None:
    """The password would go out in clear otherwise."""
    rule = destination_rule("cache", "cache", trafficPolicy={"tls": {"mode": mode}})
    cluster = resource(REDIS_DESTINATION, "cache", host="cache", trafficPolicy=CLUSTER)
    result = made(service("cache", {"tcp-redis": 6379}), rule, cluster)
    assert result.filters == ()
    assert result.codes == ("RDS0113",)


def test_a_redis_cluster_starts_at_the_target_port() -> None:
    entry = service_entry(
        "out", ["redis.example.com"], {"tcp-redis": 6379}, addresses=["240.0.0.1"]
    )
    entry["spec"]["ports"][0]["targetPort"] = 6380
    cluster = resource(REDIS_DESTINATION, "out", host="redis.example.com", trafficPolicy=CLUSTER)
    (added,) = [
        patch["patch"]["value"]
        for patch in made(entry, cluster).patches("CLUSTER")
        if patch["patch"]["operation"] == "ADD"
    ]
    (endpoint,) = added["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"]["port_value"] == 6380


def test_a_redis_cluster_keeps_what_a_rule_gives_the_cluster_of_istio() -> None:
    policies = {
        "outlierDetection": {"consecutive5xxErrors": 3, "interval": "1s"},
        "connectionPool": {"tcp": {"maxConnections": 5, "connectTimeout": "2s"}},
    }
    rule = destination_rule("cache", "cache", trafficPolicy=policies)
    destination = resource(REDIS_DESTINATION, "cache", host="cache", trafficPolicy=CLUSTER)
    result = made(CACHE, rule, destination)
    assert result.codes == ("RDS0118",)
    cluster = result.sidecar(Proxy("web")).config.cluster(NODES)
    plain = made(CACHE, rule).sidecar(Proxy("web")).config.cluster(NAME)
    assert cluster.cluster_type.name == "envoy.clusters.redis"
    assert cluster.circuit_breakers == plain.circuit_breakers
    assert cluster.outlier_detection == plain.outlier_detection
    assert cluster.connect_timeout == plain.connect_timeout


def test_no_object_speaks_for_all_hosts() -> None:
    result = made(CACHE, resource(REDIS_SERVICE, "all", host=["*"], settings={"opTimeout": "1s"}))
    assert result.codes == ("AER0106",)
    assert len(result.filters) == 1


def test_a_duration_that_envoy_cannot_take_is_refused() -> None:
    endless = resource(
        REDIS_SERVICE, "cache", host=["cache"], settings={"opTimeout": "99999999999h"}
    )
    (finding,) = made(CACHE, endless).findings
    assert (finding.code.id, finding.field) == ("AER0106", "spec.settings.opTimeout")


def test_clients_may_give_the_password_of_before() -> None:
    auth = {"plain": {"password": "new", "previousPassword": "old"}}
    settings = resource(REDIS_SERVICE, "cache", host=["cache"], settings={"auth": auth})
    (patch,) = made(CACHE, settings).patches("NETWORK_FILTER")
    passwords = patch["patch"]["value"]["typed_config"]["downstream_auth_passwords"]
    assert [each["inline_string"] for each in passwords] == ["new", "old"]


@pytest.mark.parametrize(
    ("extra", "given"),
    [
        ({"type": "Opaque"}, True),
        ({"type": "kubernetes.io/basic-auth"}, True),
        ({"type": "kubernetes.io/tls"}, False),
        ({"type": "kubernetes.io/tls", "label": True}, True),
        ({"type": "kubernetes.io/service-account-token"}, False),
        ({"type": "kubernetes.io/service-account-token", "label": True}, False),
    ],
)
def test_only_secrets_that_opt_in_are_used(extra: dict[str, Any], given: bool) -> None:
    content = secret("redis", {"password": "open-sesame"})
    content["type"] = extra["type"]
    if extra.get("label"):
        content["metadata"]["labels"] = {"aeraki.io/secret": "true"}
    auth = {"secret": {"name": "redis"}}
    result = made(
        CACHE, content, resource(REDIS_SERVICE, "cache", host=["cache"], settings={"auth": auth})
    )
    assert ("open-sesame" in result.yaml) is given
    assert ("AER0117" in result.codes) is not given
