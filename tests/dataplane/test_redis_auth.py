"""Redis: passwords of clients and of servers, on both sides of the mesh.

They are plain or in Secrets, with real servers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aeraki_core.testing import secret

from tests.dataplane.support import Mesh
from tests.dataplane.support_redis import answer, redis_destination, redis_service
from tests.peers.needs import REDIS, need
from tests.peers.redis import RedisServer

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

PORTS = {"tcp-redis": 6379}
# As redis-py has them: without the word before them, such as NOAUTH.
WITHOUT = "Authentication required."
WRONG = "invalid password"
WRONG_USER = "invalid username-password pair"


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    """Wants a password."""
    need(*REDIS)
    with RedisServer("locked", password="of redis") as server:
        yield server


@pytest.fixture(scope="module")
def named() -> Iterator[RedisServer]:
    """Wants a username too."""
    need(*REDIS)
    with RedisServer("named", user="app", password="of app") as server:
        yield server


def auth(text: str) -> str:
    """A RedisDestination of `cache` with that ``auth``."""
    return redis_destination(
        f"{{host: cache, trafficPolicy: {{connectionPool: {{redis: {{auth: {text}}}}}}}}}"
    )


# -- what the sidecars give to Redis ---------------------------------------------------------------


def test_redis_without_the_password_that_it_wants(mesh: Mesh, locked: RedisServer) -> None:
    cache = mesh.service("cache", PORTS, locked.address)
    mesh.client()
    assert answer(cache, "SET", "a", 1) == WITHOUT


@pytest.mark.parametrize(
    ("proxy", "said"),
    [("always", "Client sent AUTH, but no password is set"), ("never", "OK"), ("auto", "OK")],
)
def test_clients_that_give_the_password_themselves(
    mesh: Mesh, locked: RedisServer, proxy: str, said: str
) -> None:
    """Many charts do so: such a port is left alone, or a RedisDestination knows the password."""
    annotations = {"redis.aeraki.io/proxy": proxy}
    cache = mesh.service("cache", PORTS, locked.address, annotations=annotations)
    mesh.client()
    assert said in answer(cache, "SET", "a", 1, password="of redis")


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("{plain: {password: of redis}}", {}),
        ("{secret: {name: redis}}", {"password": "of redis"}),
        ("{secret: {name: redis}}", {"token": "of redis\n"}),
        (
            "{secret: {name: redis, passwordField: mine}}",
            {"mine": "of redis", "password": "of somebody else"},
        ),
    ],
    ids=["plain", "secret-password", "secret-token", "secret-field"],
)
def test_a_password(mesh: Mesh, locked: RedisServer, text: str, data: dict[str, str]) -> None:
    cache = mesh.service("cache", PORTS, locked.address)
    mesh.add(auth(text))
    if data:
        mesh.add(secret("redis", data))
    mesh.client()
    assert answer(cache, "SET", "a", 1) == "OK"


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("{plain: {password: of app, username: app}}", {}),
        ("{secret: {name: redis}}", {"password": "of app", "username": "app"}),
        (
            "{secret: {name: redis, passwordField: p, usernameField: u}}",
            {"p": "of app", "u": "app"},
        ),
    ],
    ids=["plain", "secret", "secret-fields"],
)
def test_a_username(mesh: Mesh, named: RedisServer, text: str, data: dict[str, str]) -> None:
    cache = mesh.service("cache", PORTS, named.address)
    mesh.add(auth(text))
    if data:
        mesh.add(secret("redis", data))
    mesh.client()
    assert answer(cache, "SET", "a", 1) == "OK"


def test_a_changed_secret(mesh: Mesh, locked: RedisServer) -> None:
    cache = mesh.service("cache", PORTS, locked.address)
    mesh.add(auth("{secret: {name: redis}}"))
    objects = list(mesh.objects)
    mesh.add(secret("redis", {"password": "of yesterday"}))
    sidecar = mesh.client()
    assert "OK" not in answer(cache, "SET", "a", 1)
    sidecar.update(objects=[*objects, secret("redis", {"password": "of redis"})])
    assert answer(cache, "SET", "a", 1) == "OK"


def test_the_password_of_a_routes_destination(
    mesh: Mesh, locked: RedisServer, named: RedisServer
) -> None:
    """Each service has its own, though clients speak to one address."""
    cache = mesh.service("cache", PORTS, locked.address)
    mesh.service("sessions", {"tcp-redis": 7000}, named.address)
    mesh.add(
        auth("{plain: {password: of redis}}"),
        redis_destination(
            """
            host: sessions
            trafficPolicy:
              connectionPool: {redis: {auth: {plain: {password: of app, username: app}}}}
            """,
            name="sessions",
        ),
        redis_service(
            """
            host: [cache]
            redis:
              - match: {key: {prefix: "s:"}}
                route: {host: sessions}
              - route: {host: cache}
                mirror: [{route: {host: sessions}}]
            """
        ),
    )
    mesh.client()
    assert answer(cache, "SET", "s:1", 1) == "OK"
    assert answer(cache, "SET", "a", 1) == "OK"
    assert answer(cache, "GET", "s:1") == "1"
    assert {"s:1"} <= named.keys()


# -- what clients must give ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "secret"])
def test_clients_must_give_the_password(mesh: Mesh, locked: RedisServer, kind: str) -> None:
    """Not the one that Redis wants: that is the sidecar's."""
    cache = mesh.service("cache", PORTS, locked.address)
    text = "{plain: {password: of clients}}" if kind == "plain" else "{secret: {name: clients}}"
    mesh.add(auth("{plain: {password: of redis}}"), secret("clients", {"password": "of clients"}))
    mesh.add(redis_service(f"{{host: [cache], settings: {{auth: {text}}}}}"))
    mesh.client()
    assert answer(cache, "SET", "a", 1) == WITHOUT
    assert answer(cache, "SET", "a", 1, password="of redis") == WRONG
    assert answer(cache, "SET", "a", 1, password="of clients") == "OK"


def test_clients_must_give_the_username(mesh: Mesh, named: RedisServer) -> None:
    cache = mesh.service("cache", PORTS, named.address)
    mesh.add(
        auth("{plain: {password: of app, username: app}}"),
        redis_service(
            "{host: [cache], settings: {auth: {plain: {password: of clients, username: client}}}}",
        ),
    )
    mesh.client()
    assert answer(cache, "SET", "a", 1) == WITHOUT
    assert answer(cache, "SET", "a", 1, user="app", password="of clients") == WRONG_USER
    assert answer(cache, "SET", "a", 1, user="client", password="of clients") == "OK"


# -- the workloads' side ---------------------------------------------------------------------------


def inbound(mesh: Mesh, server: RedisServer, text: str = "") -> tuple[str, int]:
    """A service that asks for a filter at its workloads, and where its one workload is reached."""
    _, port = server.address
    mesh.service(
        "cache", {"tcp-redis": (6379, port)}, annotations={"redis.aeraki.io/inbound": "true"}
    )
    if text:
        mesh.add(auth(text))
    return mesh.workload("cache", port)


def test_a_workload_gets_no_filter_of_itself(
    mesh: Mesh, redis_servers: tuple[RedisServer, ...]
) -> None:
    mesh.service("cache", {"tcp-redis": (6379, 6380)})
    at = mesh.workload("cache", 6380, redis_servers[0].address)
    assert answer(at, "SUBSCRIBE", "news") == ["subscribe", "news", 1]


def test_a_workload_with_a_filter(mesh: Mesh, redis_servers: tuple[RedisServer, ...]) -> None:
    at = inbound(mesh, redis_servers[0])
    assert answer(at, "SET", "a", 1) == "OK"
    assert redis_servers[0].keys() == {"a"}
    assert answer(at, "SUBSCRIBE", "news").startswith("unknown command")
    stats = mesh.sidecars[0].envoy.stats(
        f"redis.inbound|{redis_servers[0].address[1]}||.command.set"
    )
    assert [value for name, value in stats.items() if name.endswith("set.success")] == [1]


def test_a_workloads_filter_asks_for_the_password_of_redis(mesh: Mesh, locked: RedisServer) -> None:
    at = inbound(mesh, locked, "{plain: {password: of redis}}")
    assert answer(at, "SET", "a", 1) == WITHOUT
    assert answer(at, "SET", "a", 1, password="of anybody") == WRONG
    assert answer(at, "SET", "a", 1, password="of redis") == "OK"


def test_both_sides_at_once(mesh: Mesh, named: RedisServer) -> None:
    """The client sends no password; the sidecars of the client and of the workload send it."""
    at = inbound(mesh, named, "{plain: {password: of app, username: app}}")
    mesh.lead("cache", 6379, at)
    sidecar = mesh.client()
    cache = next(
        address for name, address in sidecar.envoy.listeners().items() if name.endswith("_6379")
    )
    assert answer(cache, "SET", "a", 1) == "OK"
    assert answer(cache, "GET", "a") == "1"
