"""Shared by tests with real traffic: sidecars with the plugins' filters in a real Envoy.

Most tests begin with ``mesh`` (support.py). Below it are ``sidecars``, which runs any objects, and
``loopback``, which provides addresses. ``sidecar.update(objects=...)`` changes the mesh: the
plugins run again, and Envoy has the result when the call returns.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest
from aeraki_core.testing import Sandbox

from tests.dataplane.support import Mesh
from tests.peers.needs import REDIS, need
from tests.peers.redis import RedisServer

_numbers = count(os.getpid())
# No server and no client of the tests has it: above the ports that the system gives to clients.
_CLAIM = 65535


@pytest.fixture
def sidecars(envoy_sandbox: Sandbox) -> Sandbox:
    """Runs sidecars; on a failure their logs and configurations are shown."""
    return envoy_sandbox


@pytest.fixture
def loopback() -> Iterator[Callable[[], str]]:
    """Provide addresses of 127/8 that no other test uses, in this process or another.

    Services can have any port there. Two Envoys can listen at one address and share its
    connections. So a socket that excludes a second one claims the address.
    """
    with ExitStack() as claims:

        def address() -> str:
            while True:
                third, fourth = divmod(next(_numbers) % 62_500, 250)
                found = f"127.100.{third}.{fourth + 1}"
                claim = socket.socket()
                try:
                    claim.bind((found, _CLAIM))
                except OSError:
                    claim.close()
                else:
                    claims.enter_context(claim)
                    return found

        yield address


@pytest.fixture
def mesh(sidecars: Sandbox, loopback: Callable[[], str]) -> Iterator[Mesh]:
    """A mesh of services before real servers; none of its sidecars may crash or warn."""
    found = Mesh(sidecars, loopback)
    yield found
    found.check()


@pytest.fixture(scope="module")
def running_redis() -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """Three servers that know nothing of each other."""
    need(*REDIS)
    with RedisServer("one") as one, RedisServer("two") as two, RedisServer("three") as three:
        yield one, two, three


@pytest.fixture
def redis_servers(
    running_redis: tuple[RedisServer, RedisServer, RedisServer],
) -> tuple[RedisServer, RedisServer, RedisServer]:
    """The same for one test: empty, their statistics at zero."""
    for server in running_redis:
        with server.client() as direct:
            direct.flushall()
            direct.config_resetstat()
    return running_redis
