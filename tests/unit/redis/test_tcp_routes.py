"""Commands without a route of a RedisService go where Istio sends the port's connections."""

from __future__ import annotations

from typing import Any

from aeraki_core.testing import generate, objects_in, service, virtual_service

import aeraki_plugins_redis
from tests.reach import client_of, made_of

ALWAYS = {"redis.aeraki.io/proxy": "always"}
CACHE = service("cache", {"tcp-redis": 6379}, annotations=ALWAYS, cluster_ip="10.96.8.1")
QUEUE = service("queue", {"tcp-redis": 6379}, annotations=ALWAYS, cluster_ip="10.96.8.2")
LISTENER = "10.96.8.1_6379"


def cluster(name: str) -> str:
    return f"outbound|6379||{name}.default.svc.cluster.local"


def to(*shares: tuple[str, int]) -> list[dict[str, Any]]:
    route = [{"destination": {"host": host}, "weight": weight} for host, weight in shares]
    return [{"route": route}]


def test_one_destination_is_followed() -> None:
    routes = virtual_service("cache", ["cache"], tcp=to(("queue", 100)))
    client = client_of(made_of([CACHE, QUEUE, routes]), "web")
    assert client.filters(LISTENER) == ["redis_proxy"]
    assert client.reaches(LISTENER) == {cluster("queue")}


def test_several_destinations_leave_the_port_as_it_is() -> None:
    routes = virtual_service("cache", ["cache"], tcp=to(("cache", 80), ("queue", 20)))
    made = made_of([CACHE, QUEUE, routes])
    client = client_of(made, "web")
    assert client.filters(LISTENER) == ["tcp_proxy"]
    assert client.shares(LISTENER) == {cluster("cache"): 80, cluster("queue"): 20}
    assert "RDS0115" in made.findings_text


def test_a_private_route_with_several_gives_its_clients_the_tcp_proxy_back() -> None:
    routes = virtual_service(
        "cache",
        ["cache.default.svc.cluster.local"],
        namespace="crm",
        exportTo=["."],
        tcp=to(("cache.default.svc.cluster.local", 80), ("queue.default.svc.cluster.local", 20)),
    )
    made = made_of([CACHE, QUEUE, routes])
    assert client_of(made, "web").filters(LISTENER) == ["redis_proxy"]
    crm = client_of(made, "crm")
    assert crm.filters(LISTENER) == ["tcp_proxy"]
    assert crm.shares(LISTENER) == {cluster("cache"): 80, cluster("queue"): 20}


def test_a_redis_service_with_a_route_for_all_keys_comes_first() -> None:
    routes = virtual_service("cache", ["cache"], tcp=to(("queue", 100)))
    redis_service = """
        apiVersion: redis.aeraki.io/v1alpha1
        kind: RedisService
        metadata: {name: cache, namespace: default}
        spec: {host: [cache], redis: [{route: {host: cache}}]}
        """
    made = generate(
        CACHE, QUEUE, routes, *objects_in(redis_service), plugins=[aeraki_plugins_redis]
    )
    assert cluster("queue") not in str(made.filter("cache.default"))
    assert [finding.code.id for finding in made.findings] == ["RDS0102"]
