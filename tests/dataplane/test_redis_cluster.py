"""Redis: a real Redis Cluster behind mode CLUSTER and behind mode PROXY.

It has three primaries, one of them with a replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis
from aeraki_core.testing import Sidecar
from redis.crc import key_slot

from tests.dataplane.support import Mesh, Traffic, cluster
from tests.dataplane.support_redis import answer, redis_destination, redis_service
from tests.peers.needs import REDIS, need
from tests.peers.processes import Address
from tests.peers.redis import RedisCluster, RedisServer, client
from tests.waiting import wait_until

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

PORTS = {"tcp-redis": 6379}
KEYS = [f"key:{number}" for number in range(200)]


@pytest.fixture(scope="module")
def running() -> Iterator[RedisCluster]:
    need(*REDIS)
    with RedisCluster(replicas=1) as found:
        yield found


@pytest.fixture
def nodes(running: RedisCluster) -> RedisCluster:
    """The cluster, empty, with its statistics at zero."""
    for server in [*running.servers, *running.replicas]:
        with server.client() as direct:
            if server in running.servers:
                direct.flushall()
            direct.config_resetstat()
    return running


def mode_cluster(name: str = "cache", more: str = "") -> str:
    """A RedisDestination that makes a service a Redis Cluster."""
    spec = (
        f"{{host: {name}, trafficPolicy: {{connectionPool: {{redis: {{mode: CLUSTER{more}}}}}}}}}"
    )
    return redis_destination(spec, name=name)


def nodes_of(name: str, caller: str = "") -> str:
    """The cluster of a service's nodes, as commands for the service or for the caller use it."""
    own = cluster(name, 6379)
    return f"aeraki-redis|{own}|{cluster(caller, 6379)}" if caller else f"aeraki-redis|{own}"


def cluster_service(
    mesh: Mesh, server: RedisServer, name: str = "cache", *, caller: str = ""
) -> Address:
    """Add a Service with a node behind it, for its own callers and those of another Service."""
    mesh.lead_cluster(nodes_of(name), server.address)
    if caller:
        mesh.lead_cluster(nodes_of(name, caller), server.address)
    return mesh.service(name, PORTS)


def client_sidecar(mesh: Mesh, nodes: RedisCluster, *names: str) -> Sidecar:
    """Return a client's sidecar that knows all nodes: it starts without waiting for them.

    ``names``: of the clusters of nodes.
    """
    sidecar = mesh.client()
    everyone = {server.address for server in [*nodes.servers, *nodes.replicas]}
    clusters = names or (nodes_of("cache"),)
    found = sidecar.envoy.clusters
    wait_until(
        lambda: all(set(found()[name]) == everyone for name in clusters),
        10,
        "Envoy to find the nodes",
    )
    return sidecar


def key_of(nodes: RedisCluster, server: RedisServer) -> str:
    """A key that lives at the server."""
    return next(key for key in KEYS if nodes.owner(key) is server)


# -- mode CLUSTER ----------------------------------------------------------------------------------


def test_commands_go_to_the_owner_of_the_slot(mesh: Mesh, nodes: RedisCluster) -> None:
    """Envoy is configured with one node and finds the others."""
    cache = cluster_service(mesh, nodes.servers[1])
    mesh.add(mode_cluster())
    client_sidecar(mesh, nodes)
    with client(cache) as made:
        assert made.mset({key: key for key in KEYS})
        assert made.mget(KEYS) == KEYS
        assert all(made.get(key) == key for key in KEYS)
        made.set("{a}1", 1)
        assert made.rename("{a}1", "{a}2")  # tags are the cluster's own
        with pytest.raises(redis.ResponseError, match="hash to the same slot"):
            made.rename("{a}2", "b")
    assert all(len(server.keys()) > 30 for server in nodes.servers)


def test_discovery_endpoints(mesh: Mesh, nodes: RedisCluster) -> None:
    """They are asked instead of the service, whose own endpoint is none of the cluster."""
    (host, port), other = nodes.servers[2].address, nodes.servers[0].address
    cache = mesh.service("cache", PORTS)
    mesh.add(mode_cluster(more=f', discoveryEndpoints: ["{host}:{port}", "{other[0]}:{other[1]}"]'))
    client_sidecar(mesh, nodes)
    with client(cache) as made:
        assert made.mset({key: key for key in KEYS})
        assert made.mget(KEYS) == KEYS


def test_a_cluster_with_a_password(mesh: Mesh) -> None:
    """Nodes that Envoy finds get it too. With a wrong one, the sidecar serves the rest."""
    need(*REDIS)
    with RedisCluster(password="of redis") as nodes:
        cache = cluster_service(mesh, nodes.servers[0])
        wrong = cluster_service(mesh, nodes.servers[0], "wrong")
        mesh.add(
            mode_cluster(more=", auth: {plain: {password: of redis}}"),
            mode_cluster("wrong", ", auth: {plain: {password: of anybody}}"),
        )
        mesh.tolerate = ("Unexpected response to cluster slot command",)
        client_sidecar(mesh, nodes)
        with client(cache) as made:
            assert made.mset({key: key for key in KEYS})
            assert made.mget(KEYS) == KEYS
        assert answer(wrong, "GET", "a") == "no upstream host"


def test_a_sidecar_that_starts_before_the_nodes(
    mesh: Mesh, redis_servers: tuple[RedisServer, ...]
) -> None:
    """All other services keep working.

    Without `wait_for_warm_on_init: false` Envoy would have no listener at all.
    """
    nodes = RedisCluster()
    cache = cluster_service(mesh, nodes.servers[0])
    plain = mesh.service("plain", PORTS, redis_servers[0].address)
    mesh.add(mode_cluster())
    sidecar = mesh.client()
    assert answer(plain, "SET", "a", 1) == "OK"
    assert answer(cache, "SET", "a", 1) == "no upstream host"
    with nodes:
        found = sidecar.envoy.clusters
        wait_until(lambda: len(found()[nodes_of("cache")]) == 3, 15, "Envoy to find the nodes")
        assert answer(cache, "SET", "a", 1) == "OK"


def test_a_route_to_a_redis_cluster(
    mesh: Mesh, nodes: RedisCluster, redis_servers: tuple[RedisServer, ...]
) -> None:
    """The service is not a cluster itself and removes the prefix: Redis' key decides the slot."""
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    cluster_service(mesh, nodes.servers[0], "nodes", caller="cache")
    mesh.add(
        mode_cluster("nodes"),
        redis_service(
            """
            host: [cache]
            redis:
              - match: {key: {prefix: "c/", removePrefix: true}}
                route: {host: nodes}
              - route: {host: cache}
            """
        ),
    )
    client_sidecar(mesh, nodes, nodes_of("nodes", caller="cache"))
    with client(cache) as made:
        for key in KEYS:
            made.set(f"c/{key}", key)
            assert made.get(f"c/{key}") == key
        assert made.set("a", 1)
    assert set().union(*(server.keys() for server in nodes.servers)) == set(KEYS)
    assert redis_servers[0].keys() == {"a"}


# -- slots on the move -----------------------------------------------------------------------------


def writes(address: Address, prefix: str) -> Callable[[], None]:
    """Write a key and read it again: the next of fifty on each call."""
    made = client(address)
    numbers = iter(range(10**9))

    def call() -> None:
        number = next(numbers)
        key = f"{prefix}{number % 50}"
        made.set(key, number)
        assert made.get(key) == str(number)

    return call


def test_a_slot_moves_while_traffic_flows(mesh: Mesh, nodes: RedisCluster) -> None:
    """No call fails: Envoy follows ASK while the slot moves, and MOVED afterwards."""
    cache = cluster_service(mesh, nodes.servers[0])
    mesh.add(mode_cluster(), redis_service("{host: [cache], settings: {enableRedirection: true}}"))
    sidecar = client_sidecar(mesh, nodes)
    slot, owner = key_slot(b"a"), nodes.owner("a")
    target = next(server for server in nodes.servers if server is not owner)
    moved_keys = {f"{{a}}{number}" for number in range(50)}
    with Traffic(writes(cache, "{a}"), writes(cache, "b:")) as traffic:
        traffic.flow()
        with nodes.moving_slot(slot, target):
            traffic.flow()
        traffic.flow()
    assert traffic.errors == []
    assert moved_keys <= target.keys()
    assert not moved_keys & owner.keys()
    redirected = f"cluster.{nodes_of('cache')}.upstream_internal_redirect_succeeded_total"
    assert sidecar.envoy.stats(redirected)[redirected] > 0


def test_without_redirection_clients_see_a_slot_move(mesh: Mesh, nodes: RedisCluster) -> None:
    cache = cluster_service(mesh, nodes.servers[0])
    mesh.add(mode_cluster())
    client_sidecar(mesh, nodes)
    slot, owner = key_slot(b"a"), nodes.owner("a")
    target = next(server for server in nodes.servers if server is not owner)
    with (
        client(cache) as made,
        pytest.raises(redis.exceptions.AskError),
        nodes.moving_slot(slot, target),
    ):
        made.get("a")
    nodes.move_slot(slot, target)
    with client(cache) as made:
        wait_until(
            lambda: made.set("a", 1),
            10,
            "Envoy to ask for the slots again",
            swallow=(redis.ResponseError,),
        )


# -- reads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "primary_reads", "replica_reads"),
    [
        ("MASTER", True, False),
        ("PREFER_MASTER", True, False),
        ("REPLICA", False, True),
        ("PREFER_REPLICA", False, True),
        ("ANY", True, True),
    ],
)
def test_read_policies(
    mesh: Mesh, nodes: RedisCluster, policy: str, primary_reads: bool, replica_reads: bool
) -> None:
    primary, replica = nodes.servers[0], nodes.replicas[0]
    cache = cluster_service(mesh, primary)
    mesh.add(
        mode_cluster(), redis_service(f"{{host: [cache], settings: {{readPolicy: {policy}}}}}")
    )
    assert client_sidecar(mesh, nodes).made.codes == ("RDS0118",)
    key, other = key_of(nodes, primary), key_of(nodes, nodes.servers[1])
    with client(cache) as made:
        made.set(key, 1)
        wait_until(lambda: replica.keys() == {key}, 10, "the replica to have the key")
        assert [made.get(key) for _ in range(40)] == ["1"] * 40
    reads = [server.commands().get("get", 0) for server in (primary, replica)]
    assert [bool(count) for count in reads] == [primary_reads, replica_reads]
    assert sum(reads) == 40
    # In a shard without replicas, only REPLICA finds no node to read from.
    assert answer(cache, "SET", other, 1) == "OK"
    assert answer(cache, "GET", other) == ("no upstream host" if policy == "REPLICA" else "1")


# -- a Redis Cluster that nobody declared ----------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "follows"),
    [
        ("{enableRedirection: true}", True),
        ("{enableRedirection: true, maxUpstreamUnknownConnections: 0}", False),
        ("{}", False),
    ],
    ids=["redirection", "no-connections-to-others", "default"],
)
def test_mode_proxy_before_a_node_of_a_cluster(
    mesh: Mesh, nodes: RedisCluster, settings: str, follows: bool
) -> None:
    cache = mesh.service("cache", PORTS, nodes.servers[0].address)
    mesh.add(redis_service(f"{{host: [cache], settings: {settings}}}"))
    mesh.client()
    own, foreign = key_of(nodes, nodes.servers[0]), key_of(nodes, nodes.servers[1])
    said = partial(answer, cache, "SET")
    assert said(own, 1) == "OK"
    host, port = nodes.servers[1].address
    assert said(foreign, 1) == ("OK" if follows else f"{key_slot(foreign.encode())} {host}:{port}")
