"""Redis: how commands are treated, with real servers.

Covers time-outs, batches, tags, statistics, and the faults that users inject.
"""

from __future__ import annotations

import time

import pytest
from aeraki_core.testing import Made, generate, service

from tests.dataplane.support import Mesh, cluster
from tests.dataplane.support_redis import answer, redis_service
from tests.peers.redis import RedisServer, client

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

Three = tuple[RedisServer, RedisServer, RedisServer]

PORTS = {"tcp-redis": 6379}
FAULT = "Fault Injected: Error"
COARSE = 0.05  # seconds by which Envoy's clock may be early


def test_a_server_that_does_not_answer_in_time(mesh: Mesh, redis_servers: Three) -> None:
    one, *_ = redis_servers
    cache = mesh.service("cache", PORTS, one.address)
    mesh.add(redis_service("{host: [cache], settings: {opTimeout: 100ms}}"))
    mesh.client()
    assert answer(cache, "SET", "a", 1) == "OK"
    with one.frozen():
        assert answer(cache, "GET", "a") == "upstream failure"
    assert answer(cache, "GET", "a") == "1"


def test_batches(mesh: Mesh, redis_servers: Three) -> None:
    """A batch that is not full waits; a full one does not."""
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.add(
        redis_service(
            "{host: [cache], settings: {maxBufferSizeBeforeFlush: 1000, bufferFlushTimeout: 3s}}"
        )
    )
    mesh.client()
    began = time.monotonic()
    assert answer(cache, "SET", "a", "x") == "OK"
    alone = time.monotonic()
    assert answer(cache, "SET", "a", "x" * 1000) == "OK"
    full = time.monotonic()
    assert alone - began >= 3 - COARSE
    assert full - alone < alone - began


@pytest.mark.parametrize("tags", [True, False])
def test_hashtags(mesh: Mesh, redis_servers: Three, tags: bool) -> None:
    cache = mesh.service("cache", PORTS, *(server.address for server in redis_servers))
    mesh.add(
        redis_service(f"{{host: [cache], settings: {{enableHashtagging: {str(tags).lower()}}}}}")
    )
    mesh.client()
    with client(cache) as redis:
        for number in range(60):
            redis.set(f"{{user}}:{number}", number)
        used = [server for server in redis_servers if server.keys()]
        assert len(used) == (1 if tags else 3)
        if tags:
            transaction = redis.pipeline()
            transaction.incr("{user}:1").incr("{user}:2")
            assert transaction.execute() == [2, 3]
            assert (
                redis.eval(
                    "return redis.call('get', KEYS[1]) + redis.call('get', KEYS[2])",
                    2,
                    "{user}:1",
                    "{user}:2",
                )
                == 5
            )
            assert redis.rename("{user}:1", "{user}:one")


@pytest.mark.parametrize("enabled", [True, False])
def test_statistics_of_each_command(mesh: Mesh, redis_servers: Three, enabled: bool) -> None:
    """The filter counts commands in any case; the setting adds what its clusters answered."""
    name = cluster("cache", 6379)
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.add(
        redis_service(
            f"{{host: [cache], settings: {{enableCommandStats: {str(enabled).lower()}}}}}"
        )
    )
    sidecar = mesh.client()
    answer(cache, "SET", "a", 1)
    answer(cache, "LPUSH", "a", 1)
    stats = sidecar.envoy.stats()
    assert (
        stats[f"redis.{name}.command.set.success"]
        == stats[f"redis.{name}.command.lpush.total"]
        == 1
    )
    upstream = f"cluster.{name}.redis_cluster.upstream_commands."
    found = {
        key.removeprefix(upstream): value
        for key, value in stats.items()
        if key.startswith(upstream) and value
    }
    assert found == (
        {"set.total": 1, "set.success": 1, "lpush.total": 1, "lpush.failure": 1} if enabled else {}
    )


def test_a_read_policy_without_a_redis_cluster(mesh: Mesh, redis_servers: Three) -> None:
    """There are no replicas: reads go where keys were written, and a finding reports it."""
    cache = mesh.service("cache", PORTS, *(server.address for server in redis_servers))
    mesh.add(redis_service("{host: [cache], settings: {readPolicy: REPLICA}}"))
    assert mesh.client().made.codes == ("RDS0207",)
    with client(cache) as redis:
        for number in range(50):
            redis.set(f"key:{number}", number)
        assert all(redis.get(f"key:{number}") == str(number) for number in range(50))


# -- faults ----------------------------------------------------------------------------------------


def test_errors_for_some_commands(mesh: Mesh, redis_servers: Three) -> None:
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.add(redis_service("{host: [cache], faults: [{type: ERROR, commands: [GET, incr]}]}"))
    mesh.client()
    assert answer(cache, "SET", "a", 1) == "OK"
    assert answer(cache, "GET", "a") == answer(cache, "get", "a") == FAULT
    assert answer(cache, "INCR", "a") == FAULT
    assert answer(cache, "STRLEN", "a") == 1
    assert "incr" not in redis_servers[0].commands()


def test_errors_for_a_share_of_all_commands(mesh: Mesh, redis_servers: Three) -> None:
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.add(redis_service("{host: [cache], faults: [{type: ERROR, percentage: {value: 30}}]}"))
    mesh.client()
    with client(cache) as redis:
        pipeline = redis.pipeline(transaction=False)
        for number in range(1000):
            pipeline.set("a", number)
        found = [str(item) for item in pipeline.execute(raise_on_error=False)]
    assert set(found) == {"True", FAULT}
    assert 210 <= found.count(FAULT) <= 390  # six standard deviations


def test_delays_for_some_commands(mesh: Mesh, redis_servers: Three) -> None:
    """Other commands are not held up."""
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.add(
        redis_service("{host: [cache], faults: [{type: DELAY, delay: 400ms, commands: [GET]}]}")
    )
    sidecar = mesh.client()
    began = time.monotonic()
    assert answer(cache, "SET", "a", 1) == "OK"
    undelayed = time.monotonic() - began
    began = time.monotonic()
    assert answer(cache, "GET", "a") == "1"
    delayed = time.monotonic() - began
    assert delayed >= 0.4 - COARSE
    assert undelayed < delayed
    stats = sidecar.envoy.stats(f"redis.{cluster('cache', 6379)}.command.")
    assert {
        key.split(".")[-2:][0]: value
        for key, value in stats.items()
        if key.endswith("delay_fault") and value
    } == {"get": 1}


def test_an_error_can_be_late(mesh: Mesh, redis_servers: Three) -> None:
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.add(
        redis_service("{host: [cache], faults: [{type: ERROR, delay: 300ms, commands: [GET]}]}")
    )
    mesh.client()
    began = time.monotonic()
    assert answer(cache, "GET", "a") == FAULT
    assert time.monotonic() - began >= 0.3 - COARSE


def with_fault_for(commands: list[str]) -> Made:
    return generate(
        service("cache", PORTS),
        redis_service(
            f"{{host: [cache], faults: [{{type: ERROR, commands: [{', '.join(commands)}]}}]}}"
        ),
    )


def test_the_commands_that_a_fault_can_meet_are_those_of_envoy(
    mesh: Mesh, redis_servers: Three
) -> None:
    """Asked one by one: every command that this Envoy knows, and every one that Redis has.

    A fault for a command that meets none is a finding, and for one that does it is none.
    """
    cache = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.add(redis_service("{host: [cache], faults: [{type: ERROR}]}"))
    sidecar = mesh.client()
    prefix = f"redis.{cluster('cache', 6379)}.command."
    known = {
        key.removeprefix(prefix).split(".total")[0]
        for key in sidecar.envoy.stats(prefix)
        if key.endswith(".total")
    }
    with redis_servers[0].client() as direct:
        of_redis = {str(name) for name in direct.execute_command("COMMAND LIST")}
    commands = sorted(known | of_redis)
    assert len(known) > 150
    met = {name for name in commands if answer(cache, name, "a", "1", "1", "1") == FAULT}
    found = with_fault_for(commands).findings
    vain = {item.message.split("'")[1] for item in found if item.code.id == "RDS0203"}
    assert sorted(met & vain) == [], "Envoy passes them on, yet they are reported"
    assert sorted(set(commands) - met - vain) == [], (
        "Envoy does not pass them on, yet they are not reported"
    )
