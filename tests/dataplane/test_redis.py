"""Redis: where keys go, with real servers.

Covers sharding, routes by prefix, mirrors, and other services' clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from aeraki_core.testing import Sandbox, destination_rule, generate, service_entry

from tests.dataplane.support import Mesh, cluster
from tests.dataplane.support_redis import answer, redis_service
from tests.peers.processes import Address
from tests.peers.redis import RedisServer, client
from tests.waiting import wait_until

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

Three = tuple[RedisServer, RedisServer, RedisServer]

KEYS = [f"key:{number}" for number in range(200)]
PORTS = {"tcp-redis": 6379}


def write(address: Address, keys: Iterable[str] = KEYS) -> None:
    with client(address) as redis:
        for key in keys:
            redis.set(key, f"value of {key}")


def read_back(address: Address, keys: Iterable[str] = KEYS) -> int:
    """How many of the keys have their value."""
    with client(address) as redis:
        return sum(redis.get(key) == f"value of {key}" for key in keys)


# -- sharding --------------------------------------------------------------------------------------


def test_each_key_lives_at_one_of_three_servers(mesh: Mesh, redis_servers: Three) -> None:
    cache = mesh.service("cache", PORTS, *(server.address for server in redis_servers))
    mesh.client()
    write(cache)
    assert read_back(cache) == len(KEYS)
    shares = [server.keys() for server in redis_servers]
    assert all(len(share) > 30 for share in shares)
    assert sum(map(len, shares)) == len(KEYS)


def test_without_the_merge_into_the_cluster_keys_go_astray(
    sidecars: Sandbox, loopback: Callable[[], str], redis_servers: Three
) -> None:
    mesh = Mesh(sidecars, loopback)
    cache = mesh.service("cache", PORTS)
    made = generate(mesh.objects)
    for item in made.filters:
        patches = item["spec"]["configPatches"]
        assert patches.pop()["applyTo"] == "CLUSTER"
        assert [patch["applyTo"] for patch in patches] == ["NETWORK_FILTER"]
    servers = [server.address for server in redis_servers]
    sidecars.run(made.objects, made.filters, endpoints={cluster("cache", 6379): servers})
    write(cache)
    assert read_back(cache) < len(KEYS)


def test_every_sidecar_finds_a_key_at_the_same_server(
    mesh: Mesh, loopback: Callable[[], str], redis_servers: Three
) -> None:
    """The order in which istiod lists the endpoints does not matter."""
    servers = [server.address for server in redis_servers]
    cache = mesh.service("cache", PORTS, *servers)
    mesh.client()
    mesh.lead("cache", 6379, *reversed(servers))
    other = (loopback(), 6379)
    mesh.client(bind={f"{cache[0]}_6379": other})
    write(cache)
    assert read_back(other) == len(KEYS)


@pytest.mark.parametrize(
    "load_balancer",
    [
        {"simple": "ROUND_ROBIN"},
        {"consistentHash": {"maglev": {"tableSize": 1021}}},
        {"consistentHash": {"ringHash": {}}},
    ],
    ids=lambda value: str(value)[:30],
)
def test_with_a_load_balancer_of_the_users(
    mesh: Mesh, redis_servers: Three, load_balancer: dict[str, object]
) -> None:
    cache = mesh.service("cache", PORTS, *(server.address for server in redis_servers))
    mesh.add(destination_rule("cache", "cache", trafficPolicy={"loadBalancer": load_balancer}))
    mesh.client()
    write(cache)
    assert read_back(cache) == len(KEYS)


def test_commands_over_several_servers_are_split_and_joined(
    mesh: Mesh, redis_servers: Three
) -> None:
    cache = mesh.service("cache", PORTS, *(server.address for server in redis_servers))
    mesh.client()
    with client(cache) as redis:
        assert redis.mset({key: key for key in KEYS})
        assert redis.mget(KEYS) == KEYS
        assert redis.exists(*KEYS) == redis.touch(*KEYS) == len(KEYS)
        pipeline = redis.pipeline(transaction=False)
        for key in KEYS:
            pipeline.get(key)
        assert pipeline.execute() == KEYS
        assert redis.unlink(*KEYS[:50]) == 50
        assert redis.delete(*KEYS) == 150
    assert [server.keys() for server in redis_servers] == [set(), set(), set()]


def test_a_service_entry(mesh: Mesh, loopback: Callable[[], str], redis_servers: Three) -> None:
    ip = loopback()
    mesh.add(
        service_entry(
            "outside",
            ["redis.example.com"],
            {"tcp-redis": 6379},
            addresses=[ip],
            annotations={"redis.aeraki.io/proxy": "always"},
        )
    )
    mesh.lead("redis.example.com", 6379, *(server.address for server in redis_servers))
    mesh.client()
    write((ip, 6379))
    assert read_back((ip, 6379)) == len(KEYS)


def test_a_headless_service_stays_plain_tcp(
    mesh: Mesh, loopback: Callable[[], str], redis_servers: Three
) -> None:
    """redis_proxy would find no server there, and lacks SUBSCRIBE: Redis itself answers."""
    ip = loopback()
    mesh.headless("nodes", PORTS, ip)
    mesh.lead("nodes", 6379, redis_servers[0].address)
    assert mesh.client().made.codes == ("RDS0117",)
    assert answer((ip, 6379), "SUBSCRIBE", "news") == ["subscribe", "news", 1]


# -- routes ----------------------------------------------------------------------------------------


def test_the_longest_prefix_decides(mesh: Mesh, redis_servers: Three) -> None:
    one, two, three = redis_servers
    cache = mesh.service("cache", PORTS, one.address)
    mesh.service("sessions", PORTS, two.address)
    mesh.service("admins", PORTS, three.address)
    mesh.add(
        redis_service(
            """
            host: [cache]
            redis:
              - match: {key: {prefix: "session:"}}
                route: {host: sessions}
              - match: {key: {prefix: "session:admin:"}}
                route: {host: admins}
              - route: {host: cache}
            """
        )
    )
    assert mesh.client().made.codes == ()
    keys = ["session:1", "session:admin:1", "session", "SESSION:1", "other"]
    write(cache, keys)
    assert two.keys() == {"session:1"}
    assert three.keys() == {"session:admin:1"}
    assert one.keys() == {"session", "SESSION:1", "other"}
    assert read_back(cache, keys) == len(keys)
    with client(cache) as redis:
        assert redis.mget(keys) == [f"value of {key}" for key in keys]


def test_a_prefix_can_be_removed(mesh: Mesh, redis_servers: Three) -> None:
    one, two, three = redis_servers
    cache = mesh.service("cache", PORTS, one.address)
    mesh.service("sessions", PORTS, two.address)
    mesh.service("kept", PORTS, three.address)
    mesh.add(
        redis_service(
            """
            host: [cache.default.svc.cluster.local]
            redis:
              - match: {key: {prefix: "s/", removePrefix: true}}
                route: {host: sessions}
              - match: {key: {prefix: "k/", removePrefix: false}}
                route: {host: kept}
              - route: {host: cache}
            """
        )
    )
    mesh.client()
    keys = ["s/1", "k/1", "s1"]
    write(cache, keys)
    assert [server.keys() for server in (one, two, three)] == [{"s1"}, {"1"}, {"k/1"}]
    assert read_back(cache, keys) == 3
    with client(cache) as redis:
        assert redis.mget(keys) == [f"value of {key}" for key in keys]


@pytest.mark.parametrize("insensitive", [True, False])
def test_the_case_of_a_prefix(mesh: Mesh, redis_servers: Three, insensitive: bool) -> None:
    one, two, _ = redis_servers
    cache = mesh.service("cache", PORTS, one.address)
    mesh.service("sessions", PORTS, two.address)
    mesh.add(
        redis_service(
            f"""
            host: [cache]
            settings: {{caseInsensitive: {str(insensitive).lower()}}}
            redis:
              - match: {{key: {{prefix: "Session:"}}}}
                route: {{host: sessions}}
              - route: {{host: cache}}
            """
        )
    )
    mesh.client()
    write(cache, ["Session:1", "sEssiOn:2", "x"])
    assert two.keys() == ({"Session:1", "sEssiOn:2"} if insensitive else {"Session:1"})


def test_a_key_that_no_route_fits_goes_to_the_service(mesh: Mesh, redis_servers: Three) -> None:
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.add(
        redis_service(
            """
            host: [cache]
            redis:
              - match: {key: {prefix: "a"}}
                route: {host: cache}
            """
        )
    )
    mesh.client()
    assert answer(cache, "SET", "b", 1) == "OK"
    assert answer(cache, "SET", "a", 1) == "OK"


def test_a_route_to_nowhere_fails_and_the_others_do_not(mesh: Mesh, redis_servers: Three) -> None:
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.service("down", PORTS)
    mesh.add(
        redis_service(
            """
            host: [cache]
            redis:
              - match: {key: {prefix: "absent:"}}
                route: {host: absent}
              - match: {key: {prefix: "port:"}}
                route: {host: cache, port: 7000}
              - match: {key: {prefix: "down:"}}
                route: {host: down}
              - route: {host: cache}
            """
        )
    )
    assert mesh.client().made.codes == ("RDS0103", "RDS0104")
    with client(cache) as redis:
        for key in ("absent:1", "port:1", "down:1"):
            assert answer(cache, "SET", key, 1) == "no upstream host"
        assert redis.set("x", 1)
    assert redis_servers[0].keys() == {"x"}


def test_which_port_a_route_means(mesh: Mesh, redis_servers: Three) -> None:
    """Without one: the port of the same name, else of the same number, else the only one."""
    one, two, _ = redis_servers
    cache = mesh.service("cache", PORTS)
    for name, ports, right in (
        ("named", {"tcp-a": 6379, "tcp-redis": 7000}, 7000),
        ("numbered", {"tcp-redis-a": 6379, "tcp-redis-b": 7000}, 6379),
        ("only", {"tcp-redis-only": 7001}, 7001),
        ("given", {"tcp-redis": 6379, "tcp-redis-b": 7002}, 7002),
    ):
        mesh.service(name, ports, two.address)
        mesh.lead(name, right, one.address)
    mesh.add(
        redis_service(
            """
            host: [cache]
            redis:
              - match: {key: {prefix: "named:"}}
                route: {host: named, port: 0}
              - match: {key: {prefix: "numbered:"}}
                route: {host: numbered}
              - match: {key: {prefix: "only:"}}
                route: {host: only}
              - match: {key: {prefix: "given:"}}
                route: {host: given.default.svc.cluster.local, port: 7002}
            """
        )
    )
    mesh.client()
    keys = {"named:1", "numbered:1", "only:1", "given:1"}
    write(cache, keys)
    assert one.keys() == keys


def test_a_route_to_a_port_that_is_not_named_as_redis_changes_nothing_for_its_own_clients(
    mesh: Mesh, redis_servers: Three
) -> None:
    one, two, _ = redis_servers
    cache = mesh.service("cache", PORTS, one.address)
    plain = mesh.service("plain", {"tcp": 7000}, two.address)
    mesh.add(
        redis_service(
            """
            host: [cache]
            redis: [{route: {host: plain}}]
            """
        )
    )
    mesh.client()
    write(cache)
    assert read_back(cache) == len(KEYS)
    assert len(two.keys()) == len(KEYS)
    assert answer(plain, "SUBSCRIBE", "news") == [
        "subscribe",
        "news",
        1,
    ]  # its own clients see no filter


def test_changed_routes_move_the_next_command_of_new_connections(
    mesh: Mesh, redis_servers: Three
) -> None:
    one, two, _ = redis_servers
    cache = mesh.service("cache", PORTS, one.address)
    mesh.service("sessions", PORTS, two.address)
    sidecar = mesh.client()
    write(cache, ["a"])
    mesh.add(redis_service("{host: [cache], redis: [{route: {host: sessions}}]}"))
    sidecar.update(objects=mesh.objects)
    write(cache, ["b"])
    assert [one.keys(), two.keys()] == [{"a"}, {"b"}]


# -- mirrors ---------------------------------------------------------------------------------------


def test_a_mirror_without_reads(mesh: Mesh, redis_servers: Three) -> None:
    one, two, three = redis_servers
    cache = mesh.service("cache", PORTS, one.address)
    mesh.service("copy", {"tcp-redis": 7000}, two.address)
    mesh.service("audit", PORTS, three.address)
    mesh.add(
        redis_service(
            """
            host: [cache]
            redis:
              - route: {host: cache}
                mirror:
                  - route: {host: copy, port: 7000}
                    excludeReadCommands: true
                  - route: {host: audit}
            """
        )
    )
    sidecar = mesh.client()
    write(cache)
    assert read_back(cache) == len(KEYS)
    settled(sidecar.envoy.stats, cluster("copy", 7000), cluster("audit", 6379))
    assert one.keys() == two.keys() == three.keys() == set(KEYS)
    assert one.commands()["get"] == three.commands()["get"] == len(KEYS)
    assert "get" not in two.commands()


def test_a_mirror_of_a_share(mesh: Mesh, redis_servers: Three) -> None:
    one, two, three = redis_servers
    cache = mesh.service("cache", PORTS, one.address)
    mesh.service("half", PORTS, two.address)
    mesh.service("none", PORTS, three.address)
    mesh.add(
        redis_service(
            """
            host: [cache]
            redis:
              - route: {host: cache}
                mirror:
                  - route: {host: half}
                    percentage: {value: 50}
                  - route: {host: none}
                    percentage: {value: 0}
            """
        )
    )
    sidecar = mesh.client()
    keys = [f"key:{number}" for number in range(400)]
    write(cache, keys)
    settled(sidecar.envoy.stats, cluster("half", 6379))
    assert len(one.keys()) == 400
    assert 140 <= len(two.keys()) <= 260  # six standard deviations
    assert three.keys() == set()


def test_a_mirror_that_is_down_harms_nobody(mesh: Mesh, redis_servers: Three) -> None:
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.service("down", PORTS)
    mesh.add(
        redis_service(
            "{host: [cache], redis: [{route: {host: cache}, mirror: [{route: {host: down}}]}]}"
        )
    )
    mesh.client()
    write(cache)
    assert read_back(cache) == len(KEYS)


def settled(stats: Callable[[], dict[str, int]], *clusters: str) -> None:
    """Wait until every copy is answered: the answer to the client does not imply it."""

    def quiet() -> bool:
        now = stats()
        return all(now[f"cluster.{name}.upstream_rq_active"] == 0 for name in clusters)

    wait_until(quiet, 10, "the copies to be answered")
