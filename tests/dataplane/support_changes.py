"""Traffic that flows while a sidecar's configuration changes: every protocol in one form.

A :class:`Traffic` connects, calls and changes the route. The threads of a :class:`Load` call
without pause, and record which server answered, what failed, and when.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from aeraki_core.testing import Sidecar

from tests.dataplane.support import Mesh
from tests.dataplane.support_dubbo import (
    DUBBO_PROXY,
    GENERIC_PROXY,
    KNOWN_WARNINGS,
    PROXIES,
    greeters,
)
from tests.dataplane.support_dubbo import PORTS as DUBBO_PORTS
from tests.dataplane.support_dubbo import options as dubbo_options
from tests.dataplane.support_redis import redis_service
from tests.dataplane.support_routes import routed_service, with_routes
from tests.dataplane.support_thrift import PORTS as THRIFT_PORTS
from tests.dataplane.support_thrift import ledgers
from tests.peers.dubbo import DubboClient
from tests.peers.processes import Address
from tests.peers.redis import RedisServer, client
from tests.peers.thrift import ThriftClient

Objects = list[Mapping[str, Any]]

# Of a call that was in flight when its client's connection was cut.
LATE_ANSWERS = ("Downstream has closed or closing", "downstream connection is closed")

ROUTE = "- route: [{{destination: {{host: {name}, subset: {subset}}}}}]"


@dataclass(frozen=True)
class Traffic:
    """One protocol.

    Calls are answered by ``before``, which is ``server``; after ``change`` by ``after``.
    ``bystander`` is another service.
    """

    sidecar: Sidecar
    address: Address
    bystander: Address
    connect: Callable[[Address], Any]
    call: Callable[[Any], str]
    objects: Objects
    changed: Objects
    server: Any
    before: str = "v1"
    after: str = "v2"

    def change(self) -> None:
        """Return when Envoy has the change."""
        self.sidecar.update(objects=self.changed)


@contextmanager
def dubbo(mesh: Mesh, engine: str, drain_seconds: int) -> Iterator[Traffic]:
    mesh.tolerate = (*KNOWN_WARNINGS, *LATE_ANSWERS)
    options = dubbo_options(engine)
    with greeters() as servers:
        http = ROUTE.format(name="greeter", subset="v1")
        address = routed_service(mesh, "greeter", DUBBO_PORTS, servers, http, annotations=options)
        bystander = mesh.service("bystander", DUBBO_PORTS, servers[0].address, annotations=options)
        sidecar = mesh.client(mesh=PROXIES, drain_seconds=drain_seconds)
        changed = with_routes(mesh.objects, "greeter", ROUTE.format(name="greeter", subset="v2"))
        yield Traffic(
            sidecar,
            address,
            bystander,
            DubboClient,
            lambda made: made.call("x").server,
            mesh.objects,
            changed,
            servers[0],
        )


@contextmanager
def thrift(mesh: Mesh, drain_seconds: int) -> Iterator[Traffic]:
    mesh.tolerate = LATE_ANSWERS
    with ledgers() as servers:
        address = routed_service(
            mesh, "ledger", THRIFT_PORTS, servers, ROUTE.format(name="ledger", subset="v1")
        )
        bystander = mesh.service("bystander", THRIFT_PORTS, servers[0].address)
        sidecar = mesh.client(drain_seconds=drain_seconds)
        changed = with_routes(mesh.objects, "ledger", ROUTE.format(name="ledger", subset="v2"))
        yield Traffic(
            sidecar,
            address,
            bystander,
            ThriftClient,
            lambda made: made.call("x")["server"],
            mesh.objects,
            changed,
            servers[0],
        )


@contextmanager
def redis(mesh: Mesh, drain_seconds: int) -> Iterator[Traffic]:
    ports = {"tcp-redis": 6379}
    with RedisServer("v1") as one, RedisServer("v2") as two:
        for server in (one, two):
            with server.client() as direct:
                direct.set("name", server.name)
        address = mesh.service("cache", ports, one.address)
        mesh.service("other", ports, two.address)
        bystander = mesh.service("bystander", ports, one.address)
        spec = "host: [cache]\nredis: [{{route: {{host: {host}}}}}]"
        unrouted = len(mesh.objects)
        mesh.add(redis_service(spec.format(host="other")))
        changed = list(mesh.objects)
        del mesh.objects[unrouted:]
        mesh.add(redis_service(spec.format(host="cache")))
        sidecar = mesh.client(drain_seconds=drain_seconds)
        yield Traffic(
            sidecar,
            address,
            bystander,
            lambda at: client(at, single_connection_client=True),
            lambda made: str(made.get("name")),
            mesh.objects,
            changed,
            one,
        )


def traffic(protocol: str, mesh: Mesh, drain_seconds: int) -> Any:
    """The traffic of that name, as a context manager."""
    if protocol in (DUBBO_PROXY, GENERIC_PROXY):
        return dubbo(mesh, protocol, drain_seconds)
    return {"thrift": thrift, "redis": redis}[protocol](mesh, drain_seconds)


class Load:
    """A context manager: connections that call without pause, each in a thread.

    A connection that fails is replaced.
    """

    def __init__(self, traffic: Traffic, connections: int = 4) -> None:
        self._traffic = traffic
        self._stopping = threading.Event()
        self._notes: list[list[tuple[float, str]]] = [[] for _ in range(connections)]
        self._threads = [threading.Thread(target=self._run, args=(notes,)) for notes in self._notes]

    def _run(self, notes: list[tuple[float, str]]) -> None:
        while not self._stopping.is_set():
            made = self._traffic.connect(self._traffic.address)
            try:
                while not self._stopping.is_set():
                    self._note(notes, self._traffic.call(made))
            except Exception as error:  # noqa: BLE001 each protocol has its own, and all are counted
                notes.append((time.monotonic(), type(error).__name__))
            finally:
                made.close()

    @staticmethod
    def _note(notes: list[tuple[float, str]], server: str) -> None:
        """Only what differs from before, so that the notes stay few."""
        if not notes or notes[-1][1] != server:
            notes.append((time.monotonic(), server))

    @property
    def answered_by(self) -> set[str]:
        """Of each connection the last answer, or its last failure."""
        return {notes[-1][1] if notes else "" for notes in self._notes}

    @property
    def notes(self) -> list[list[tuple[float, str]]]:
        """Of each connection: when somebody else answered for the first time, and each failure."""
        return self._notes

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
