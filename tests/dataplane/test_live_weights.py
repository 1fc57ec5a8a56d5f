"""Live weights in a real Envoy: connections that stay open, and pods that are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Protocol, Self

import pytest
from aeraki_core.model.mesh import LiveWeights, parse_proxy_rule
from aeraki_core.model.mesh import Mesh as Settings
from aeraki_core.testing import Sidecar, destination_rule
from thrift.Thrift import TException

from tests.dataplane.support import Mesh
from tests.dataplane.support_routes import virtual_service
from tests.peers.dubbo import DubboClient, DubboServer
from tests.peers.processes import Address, free_port
from tests.peers.thrift import FRAMED_BINARY, Flavour, ThriftClient, ThriftServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

SETTINGS = Settings(
    live_weights=LiveWeights.ALL,
    proxy_rules=(parse_proxy_rule("envoy.filters.network.generic_proxy"),),
)
VERSIONS = ("v1", "v2", "v3")
KNOWN_WARNINGS = ("marked as work-in-progress", "dubbo: it's empty data", "dubbo response status:")


class Calls(Protocol):
    """One client's connection."""

    def answer(self) -> str: ...
    def business_error(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: Any) -> None: ...


class DubboCalls(DubboClient):
    def answer(self) -> str:
        return self.call("whoami").server

    def business_error(self) -> None:
        answer = self.call("whoami", attachments={"peer-status": "40"})
        assert answer.status == 40


class ThriftCalls(ThriftClient):
    def __init__(self, address: Address) -> None:
        super().__init__(address, FRAMED_BINARY)

    def answer(self) -> str:
        return str(self.call("whoami")["server"])

    def business_error(self) -> None:
        with suppress(Exception):
            self.call("fail", "not found")


class Engine:
    """A protocol by one of its filters."""

    def __init__(
        self,
        port: str,
        annotations: dict[str, str],
        server: Callable[[str, Address], Any],
        calls: Callable[[Address], Calls],
    ) -> None:
        self.port, self.annotations = port, annotations
        self.server, self.calls = server, calls


ENGINES = {
    "dubbo_proxy": Engine(
        "tcp-dubbo", {"dubbo.aeraki.io/engine": "dubbo_proxy"}, DubboServer, DubboCalls
    ),
    "generic_proxy": Engine(
        "tcp-dubbo", {"dubbo.aeraki.io/engine": "generic_proxy"}, DubboServer, DubboCalls
    ),
    "thrift": Engine(
        "tcp-thrift", {}, lambda name, at: ThriftServer(name, FRAMED_BINARY, at), ThriftCalls
    ),
}


class Canary:
    """The service `store` of pods that each have an address of their own."""

    def __init__(self, mesh: Mesh, engine: Engine, loopback: Callable[[], str]) -> None:
        self.mesh, self.engine = mesh, engine
        mesh.tolerate = KNOWN_WARNINGS
        number = free_port()
        self.pods = {name: (loopback(), number) for name in ("v1-a", "v1-b", "v2-a")}
        self.at = mesh.service("store", {engine.port: 7000}, annotations=engine.annotations)
        mesh.add(destination_rule("store", "store", {v: {"version": v} for v in VERSIONS}))
        mesh.add(*map(self._pod, self.pods), self._slice())
        self.fixed = list(mesh.objects)

    def run(self, second: int) -> Sidecar:
        self.mesh.objects = self.objects(second)
        return self.mesh.client(mesh=SETTINGS)

    def objects(self, second: int, mirror: str = "") -> list[Any]:
        weights = "".join(
            f"  - {{destination: {{host: store, subset: v{number}}}, weight: {weight}}}\n"
            for number, weight in ((1, 100 - second), (2, second))
        )
        self.mesh.objects = list(self.fixed)
        also = f"  mirror: {{host: store, subset: {mirror}}}\n" if mirror else ""
        self.mesh.add(virtual_service("store", f"- route:\n{weights}{also}"))
        return list(self.mesh.objects)

    def _pod(self, name: str) -> dict[str, Any]:
        labels = {"app": "store", "version": name.partition("-")[0]}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": labels},
            "spec": {"serviceAccountName": "store"},
            "status": {"podIP": self.pods[name][0]},
        }

    def _slice(self) -> dict[str, Any]:
        labels = {"kubernetes.io/service-name": "store"}
        (number,) = {port for _, port in self.pods.values()}
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "store-x", "namespace": "default", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": [ip], "targetRef": {"kind": "Pod", "name": name}}
                for name, (ip, _) in self.pods.items()
            ],
            "ports": [{"name": self.engine.port, "port": number}],
        }


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.fixture
def canary(mesh: Mesh, engine: Engine, loopback: Callable[[], str]) -> Canary:
    return Canary(mesh, engine, loopback)


@contextmanager
def running(canary: Canary, *names: str) -> Iterator[None]:
    """Servers on the addresses of these pods."""
    with ExitStack() as servers:
        for name in names:
            servers.enter_context(canary.engine.server(name, canary.pods[name]))
        yield


def outcomes(canary: Canary, number: int) -> Counter[str]:
    """Who answers so many calls, each over a connection of its own; "" for one that fails."""
    answers = Counter[str]()
    for _ in range(number):
        try:
            with canary.engine.calls(canary.at) as calls:
                answers[calls.answer()] += 1
        except (AssertionError, OSError, EOFError, TException):
            answers[""] += 1
    return answers


def test_open_connections_obey_each_step(canary: Canary) -> None:
    sidecar = canary.run(0)
    with running(canary, *canary.pods), canary.engine.calls(canary.at) as calls:
        for second in (0, 30, 100, 60, 0):
            sidecar.update(objects=canary.objects(second))
            answers = Counter(calls.answer()[:2] for _ in range(200))
            # Round robin by weight shares calls out exactly, give or take a turn.
            assert abs(answers["v2"] - 2 * second) <= 4, (second, answers)
    canary.mesh.check()


# generic_proxy tells Envoy's outlier detection nothing.
EJECTS = pytest.mark.parametrize("engine", ["dubbo_proxy", "thrift"], indirect=True)


@EJECTS
def test_a_pod_that_is_gone_costs_three_calls(canary: Canary) -> None:
    """While no controller follows the pods. Those of the others are shared out as before."""
    sidecar = canary.run(20)
    with running(canary, "v1-a", "v2-a"):
        answers = outcomes(canary, 150)
        ejections = Counter[str]()
        for name, value in sidecar.envoy.stats("cluster.").items():
            ejections[name.rpartition(".")[2]] += value
        # Envoy takes the pod back after 30 s, and learns again.
        is_back = not ejections["ejections_active"]
        assert ejections["ejections_enforced_total"] > 0
        assert answers[""] <= 3 * ejections["ejections_enforced_total"] + 2 * is_back
        assert abs(answers["v2-a"] - 150 * 20 / 60) <= 8


def test_servers_of_another_transport_and_a_mirror_beside_the_weights(
    mesh: Mesh, loopback: Callable[[], str]
) -> None:
    """What a plugin merges into the service's clusters is in that of the weights, too."""
    annotations = {
        "thrift.aeraki.io/transport": "framed",
        "thrift.aeraki.io/server-transport": "header",
    }
    header = Flavour("header", "binary")
    engine = Engine("tcp-thrift", annotations, partial(ThriftServer, flavour=header), ThriftCalls)
    canary = Canary(mesh, engine, loopback)
    servers = {name: ThriftServer(name, header, at) for name, at in canary.pods.items()}
    mirror = ThriftServer("v3", header)
    mesh.lead("store", 7000, mirror.address, subset="v3")
    with ExitStack() as running:
        for server in (*servers.values(), mirror):
            running.enter_context(server)
        mesh.objects = canary.objects(30, mirror="v3")
        mesh.client(mesh=SETTINGS)
        with canary.engine.calls(canary.at) as calls:
            answers = Counter(calls.answer()[:2] for _ in range(100))
        assert abs(answers["v2"] - 30) <= 4
        mirror.wait_for_calls(100)
    canary.mesh.check()


def test_answers_with_an_error_eject_nobody(canary: Canary) -> None:
    canary.run(50)
    with running(canary, *canary.pods), canary.engine.calls(canary.at) as calls:
        for _ in range(60):
            calls.business_error()
        answers = Counter(calls.answer()[:2] for _ in range(100))
        assert abs(answers["v2"] - 50) <= 4


@EJECTS
def test_all_come_back_at_once(canary: Canary) -> None:
    """A client without a network ejects every pod. That ends with the cause, not 5 s later."""
    sidecar = canary.run(50)

    def ignores_ejections() -> bool:
        assert outcomes(canary, 10) == {"": 10}
        stats = sidecar.envoy.stats("cluster.outbound|7070|")
        return any(value for name, value in stats.items() if name.endswith("lb_healthy_panic"))

    wait_until(ignores_ejections, 60, "all pods to be ejected")
    with running(canary, *canary.pods):
        answers = outcomes(canary, 40)
        assert "" not in answers
        assert set(answers) == set(canary.pods)
