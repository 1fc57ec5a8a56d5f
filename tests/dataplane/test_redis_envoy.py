"""Redis: the facts of docs/protocols/redis.md about Envoy's filter itself.

They fail when a new Envoy behaves differently.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.dataplane.support import Mesh, cluster
from tests.dataplane.support_redis import answer, redis_destination
from tests.peers.processes import Address, free_address
from tests.peers.redis import RedisServer, client

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

Three = tuple[RedisServer, RedisServer, RedisServer]

PORTS = {"tcp-redis": 6379}


@pytest.fixture
def single(mesh: Mesh, redis_servers: Three) -> Address:
    """A service of one server, behind a client's sidecar."""
    at = mesh.service("cache", PORTS, redis_servers[0].address)
    mesh.client()
    return at


REFUSED = (
    "SUBSCRIBE a, BLPOP a 1, XREAD STREAMS a 0, WAIT 1 1, DBSIZE, "
    "COMMAND, RESET, MONITOR, XGROUP a b, XINFO a b, FCALL a 0"
)


def test_commands_that_do_not_pass(single: Address) -> None:
    answers = {command: answer(single, *command.split()) for command in REFUSED.split(", ")}
    assert [
        command for command, text in answers.items() if not str(text).startswith("unknown command")
    ] == []


def test_resp3_is_refused(single: Address) -> None:
    assert answer(single, "HELLO", 3) == "NOPROTO unsupported protocol version"
    with pytest.raises(redis.RedisError), client(single, protocol=3) as made:
        made.get("a")


def test_a_large_value(single: Address) -> None:
    with client(single) as made:
        made.set("a", "x" * 5_000_000)
        assert made.strlen("a") == len(str(made.get("a"))) == 5_000_000


def test_clients_share_a_connection(mesh: Mesh, single: Address) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            assert stack.enter_context(client(single)).set("a", 1)
        assert (
            mesh.sidecars[0].envoy.stats()[f"cluster.{cluster('cache', 6379)}.upstream_cx_active"]
            == 1
        )


def test_select_is_for_all_clients(single: Address) -> None:
    """Silently wrong, as the page says: one client's SELECT moves another's keys."""
    with client(single) as one, client(single) as other:
        one.set("a", 1)
        assert other.execute_command("SELECT", 1)
        assert one.get("a") is None
        assert other.execute_command("SELECT", 0)
        assert one.get("a") == "1"


def test_watch_does_not_see_other_clients(single: Address) -> None:
    """Silently wrong too: the transaction should have been given up."""
    with client(single) as one, client(single) as other, one.pipeline() as transaction:
        transaction.watch("a")
        other.set("a", "of the other")
        transaction.multi()
        transaction.append("a", "!")
        assert transaction.execute() == [13]


def test_a_command_of_several_keys_runs_where_its_first_key_lives(
    mesh: Mesh, redis_servers: Three
) -> None:
    """Silently wrong with independent instances: keys written there are not found again."""
    at = mesh.service("cache", PORTS, *(server.address for server in redis_servers))
    mesh.client()
    keys = [f"key:{number}" for number in range(50)]
    with client(at) as made:
        made.mset(dict.fromkeys(keys, "old"))
        shares = {server: server.keys() for server in redis_servers}
        home = next(server for server in redis_servers if keys[0] in shares[server])
        foreign = next(key for key in keys if key not in shares[home])
        made.set(keys[0], "new")
        assert made.rename(keys[0], foreign)
        assert made.get(foreign) == "old"
    assert home.keys() - shares[home] == {foreign}


def test_how_long_connecting_may_take(mesh: Mesh) -> None:
    """Istio's default, 10 seconds, is more than this client waits."""
    address = free_address()
    at = mesh.service("cache", PORTS, address)
    mesh.add(
        redis_destination(
            "{host: cache, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 100ms}}}}"
        ),
    )
    mesh.client()
    with ExitStack() as stack:
        # A listener whose queue is full takes no connection and refuses none.
        stack.enter_context(socket.create_server(address, backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        with (
            client(at, socket_timeout=5) as made,
            pytest.raises(redis.ResponseError, match="upstream failure"),
        ):
            made.get("a")


def test_keepalive_probes(mesh: Mesh, redis_servers: Three) -> None:
    """The kernel shows a timer for connections that have probes."""
    at = mesh.service("cache", PORTS, redis_servers[0].address)
    plain = mesh.service("plain", PORTS, redis_servers[1].address)
    mesh.add(
        redis_destination(
            "{host: cache, trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {time: 60s}}}}}"
        ),
    )
    mesh.client()
    assert answer(at, "SET", "a", 1) == answer(plain, "SET", "a", 1) == "OK"
    assert keepalive_timers(redis_servers[0].address) == {True}
    assert keepalive_timers(redis_servers[1].address) == {False}


def keepalive_timers(server: Address) -> set[bool]:
    """Return whether connections to that address have a keepalive timer on the client side."""
    remote = f":{server[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[5].startswith("02:") for row in rows if row[2].endswith(remote) and row[3] == "01"}
