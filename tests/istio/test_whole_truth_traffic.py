"""Real calls of every protocol through two sidecars that intercept them, with our filters as istiod hands them out."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import pytest

from tests.dataplane.support_routes import assert_share
from tests.istio.truth import (
    GROUP,
    chains_at,
    listener_of,
    outbound,
    proxy,
    subsets,
    weights,
)
from tests.kubernetes.running import Running
from tests.peers import needs, zookeeper
from tests.peers.dubbo import DubboClient, DubboServer
from tests.peers.processes import Address
from tests.peers.sockets import ThreadedServer
from tests.peers.thrift import ThriftClient, ThriftServer
from tests.rig import sidecar as sidecar_module
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import PodFactory
from tests.rig.interception import Pod
from tests.rig.sidecar import Sidecar
from tests.rig.waiting import wait_until
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

DUBBO = Port("tcp-dubbo", 20880, 30880)
THRIFT = Port("tcp-thrift", 9090, 19090)
ZOOKEEPER = Port("tcp-zookeeper", 2181, 12181)
ANYWHERE = "0.0.0.0"


class Caller(Protocol):
    """A connection that names who answers a call."""

    def __call__(self) -> str: ...


@contextmanager
def dubbo_caller(address: Address) -> Iterator[Caller]:
    with DubboClient(address) as client:
        yield lambda: client.call("hello", "x").server


@contextmanager
def thrift_caller(address: Address) -> Iterator[Caller]:
    with ThriftClient(address) as client:
        yield lambda: str(client.call("hello", "x")["server"])


@dataclass(frozen=True)
class Peer:
    """A protocol with servers and clients of our own."""

    port: Port
    server: Callable[[str, Address], ThreadedServer[Any]]
    caller: Callable[[Address], AbstractContextManager[Caller]]

    @property
    def name(self) -> str:
        return self.port.name.removeprefix("tcp-")


PEERS = {
    "dubbo": Peer(DUBBO, DubboServer, dubbo_caller),
    "thrift": Peer(THRIFT, lambda name, at: ThriftServer(name, address=at), thrift_caller),
}


@contextmanager
def serving(pod: Pod, server: ThreadedServer[Any]) -> Iterator[None]:
    with pod.inside():
        server.start()
    try:
        yield
    finally:
        server.stop()


@dataclass
class Load:
    """Calls without end, by threads of the client's pod; what went wrong, and who answered."""

    pod: Pod
    caller: Callable[[], AbstractContextManager[Caller]]
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def one_connection(self) -> None:
        self._go_on("open", lambda: True)

    def many_connections(self) -> None:
        self._go_on("new", lambda: False)

    def _go_on(self, kind: str, keep: Callable[[], bool]) -> None:
        with self.pod.inside():
            while not self.stopped.is_set():
                try:
                    with self.caller() as call:
                        self.answers[kind, call()] += 1
                        while keep() and not self.stopped.is_set():
                            self.answers[kind, call()] += 1
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is a failed call
                    self.failures.append(f"{kind}: {error!r}")

    def calls(self, kind: str) -> int:
        return sum(count for (each, _), count in list(self.answers.items()) if each == kind)

    def wait_more(self, count: int) -> Counter[tuple[str, str]]:
        """Wait until each kind of connection has made so many calls more; returns what came of them and later ones."""
        before = Counter(self.answers)
        goal = {kind: self.calls(kind) + count for kind in ("open", "new")}
        wait_until(
            lambda: all(self.calls(kind) >= least for kind, least in goal.items()),
            60,
            f"{count} calls more",
            seen=lambda: (self.answers, self.failures[:10]),
        )
        return Counter(self.answers) - before

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=each) for each in (self.one_connection, self.many_connections)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()


def share(answers: Counter[tuple[str, str]], kind: str, server: str) -> tuple[int, int]:
    """How many calls of a kind of connection came to a server, and how many there were."""
    return answers[kind, server], sum(count for (each, _), count in answers.items() if each == kind)


def clusters(*shares: int) -> Callable[[dict[str, Any]], bool]:
    """Whether a filter's config has these weights, in this order."""
    wanted = list(shares)

    def holds(config: Any) -> bool:
        if isinstance(config, dict):
            found = config.get("weighted_clusters", {}).get("clusters")
            if found:
                return [each["weight"] for each in found] == wanted
            return any(holds(each) for each in config.values())
        return isinstance(config, list) and any(holds(each) for each in config)

    return holds


@dataclass(frozen=True)
class Weighted:
    """A service of the subsets v1 and v2 at 80 to 20, behind sidecars; `load` calls it."""

    plane: ControlPlane
    namespace: str
    protocol: str
    listener: str
    near: Sidecar
    far: Sequence[Sidecar]
    load: Load

    def turn_round(self) -> None:
        """Make it 20 to 80, and wait until the client's sidecar has it."""
        spec = weights(self.protocol, self.namespace, {"v1": 20, "v2": 80})["spec"]
        self.plane.api.merge(GROUP, "VirtualService", self.protocol, {"spec": spec}, namespace=self.namespace)
        self.near.wait_filter(self.listener, proxy(self.protocol), clusters(20, 80))


@contextmanager
def weighted(
    protocol: str, plane: ControlPlane, workloads: Workloads, pod_factory: PodFactory, *, mtls: bool = False
) -> Iterator[Weighted]:
    peer, namespace = PEERS[protocol], workloads.namespace
    port = peer.port
    client = pod_factory("client", mtls=mtls)
    servers = {name: pod_factory(name, labels={"app": protocol, "version": name}, mtls=mtls) for name in ("v1", "v2")}
    service = workloads.workload(protocol, [port], pods=[pod.record for pod in servers.values()])
    plane.api.create(subsets(protocol, namespace, "v1", "v2"))
    plane.api.create(weights(protocol, namespace, {"v1": 80, "v2": 20}))
    load = Load(client, partial(peer.caller, (service["spec"]["clusterIP"], port.port)))
    with ExitStack() as running:
        for name, pod in servers.items():
            running.enter_context(serving(pod, peer.server(name, (ANYWHERE, port.target_port))))
        running.enter_context(Running(plane.kubeconfig, [protocol]))
        near, *far = (pod.sidecar() for pod in (client, *servers.values()))
        near.wait_filter(listener_of(service, port), proxy(protocol), clusters(80, 20))
        for name, pod in servers.items():
            near.wait_endpoints(outbound(protocol, namespace, port, name), [f"{pod.ip}:{port.target_port}"])
        wait_inbound(far, port, f"{protocol}_proxy")
        yield Weighted(plane, namespace, protocol, listener_of(service, port), near, far, load)
        for sidecar in (near, *far):
            assert not sidecar.rejected()


@pytest.mark.parametrize(("protocol", "mode"), [("dubbo", "DISABLE"), ("dubbo", "STRICT"), ("thrift", "DISABLE")])
def test_weights_change_under_load_and_no_call_fails(
    protocol: str, mode: str, control_plane: ControlPlane, workloads: Workloads, pod_factory: PodFactory
) -> None:
    mtls = mode == "STRICT"
    control_plane.set_mesh_config(enableAutoMtls=mtls)
    control_plane.set_mtls(mode)
    with weighted(protocol, control_plane, workloads, pod_factory, mtls=mtls) as mesh:
        with mesh.load.running():
            before = mesh.load.wait_more(150)
            mesh.turn_round()
            after = mesh.load.wait_more(150)
        assert mesh.load.failures == []
        for kind in ("open", "new"):
            assert_share(*share(before, kind, "v1"), 0.8)
        # Who is connected keeps the old routes until Envoy has drained the old filter; nobody is cut off.
        assert_share(*share(after, "open", "v1"), 0.8)
        assert_share(*share(after, "new", "v1"), 0.2)
        for sidecar in mesh.far:
            assert sum(sidecar.stats(rf"^{protocol}\.inbound.*\.request$").values()) > 0
            if mtls:
                assert sum(sidecar.stats(r"ssl\.handshake$").values()) > 0


@pytest.mark.parametrize("protocol", ["dubbo", "thrift"])
def test_a_connection_is_cut_once_when_the_old_filter_has_drained(
    protocol: str,
    control_plane: ControlPlane,
    workloads: Workloads,
    pod_factory: PodFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change costs each open connection one call at most, and new ones none."""
    monkeypatch.setattr(sidecar_module, "ENVOY_FLAGS", (*sidecar_module.ENVOY_FLAGS, "--drain-time-s", "2"))
    with weighted(protocol, control_plane, workloads, pod_factory) as mesh:
        with mesh.load.running():
            mesh.load.wait_more(20)
            mesh.turn_round()
            gone = r"^listener_manager\.total_(filter_chains|listeners)_draining$"
            mesh.near.wait_for(lambda envoy: set(envoy.stats(gone).values()) == {0}, "the old filter to be gone")
            after = mesh.load.wait_more(150)
        assert_share(*share(after, "open", "v1"), 0.2)
        assert len(mesh.load.failures) <= 1
        assert all(failure.startswith("open: ") for failure in mesh.load.failures)
        for sidecar in (mesh.near, *mesh.far):
            assert sidecar.process.running


def wait_inbound(sidecars: Sequence[Sidecar], port: Port, name: str) -> None:
    """Wait until the filter stands in every chain of the target port."""
    for sidecar in sidecars:
        sidecar.wait_for(
            lambda envoy: {name in chain for chain in chains_at(envoy, port.target_port)} == {True}, f"{name} inbound"
        )


@pytest.mark.parametrize("protocol", ["dubbo", "thrift"])
def test_pods_of_a_headless_service(
    protocol: str, control_plane: ControlPlane, namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    peer = PEERS[protocol]
    port = Port(peer.port.name, peer.port.port)  # a headless service cannot have another target port
    client = pod_factory("client")
    servers = {name: pod_factory(name, labels={"app": protocol}) for name in ("one", "two")}
    one, two = (pod.record for pod in servers.values())
    workloads.workload(protocol, [port], pods=[one], headless=True)
    with ExitStack() as running:
        for name, pod in servers.items():
            running.enter_context(serving(pod, peer.server(name, (ANYWHERE, port.target_port))))
        running.enter_context(Running(control_plane.kubeconfig, [protocol]))
        near, *far = (pod.sidecar() for pod in (client, *servers.values()))
        near.wait_filter(f"{one.ip}_{port.port}", proxy(protocol))
        wait_inbound(far, port, f"{protocol}_proxy")
        assert call_in(client, peer, (one.ip, port.port)) == "one"
        workloads.endpoints(protocol, [port], [one, two])
        near.wait_filter(f"{two.ip}_{port.port}", proxy(protocol))
        assert call_in(client, peer, (two.ip, port.port)) == "two"
        assert call_in(client, peer, (one.ip, port.port)) == "one"
        for sidecar in (near, *far):
            assert not sidecar.rejected()


def call_in(pod: Pod, peer: Peer, address: Address) -> str:
    """Who answers."""
    with pod.inside(), peer.caller(address) as call:
        return call()


def test_zookeeper_is_counted_on_both_sides(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    needs.need(*needs.ZOOKEEPER)
    client, pod = pod_factory("client"), pod_factory("zookeeper")
    service = workloads.workload("zookeeper", [ZOOKEEPER], pods=[pod.record])
    server = zookeeper.ZooKeeperServer("zookeeper", (ANYWHERE, ZOOKEEPER.target_port))
    server.argv = pod.wrap(["env", f"--chdir={server.folder}", *server.argv])
    with ExitStack() as running:
        with pod.inside():
            running.enter_context(server)
        running.enter_context(Running(control_plane.kubeconfig, ["zookeeper"]))
        near, far = client.sidecar(), pod.sidecar()
        near.wait_filter(listener_of(service, ZOOKEEPER), proxy("zookeeper"))
        near.wait_endpoints(outbound("zookeeper", namespace, ZOOKEEPER), [f"{pod.ip}:{ZOOKEEPER.target_port}"])
        wait_inbound([far], ZOOKEEPER, "zookeeper_proxy")
        with client.inside(), zookeeper.client((service["spec"]["clusterIP"], ZOOKEEPER.port)) as session:
            session.create("/a", b"1")
            assert session.get("/a")[0] == b"1"
        for sidecar, side in ((near, "outbound"), (far, "inbound")):
            counted = sidecar.stats(rf"^{side}.*zookeeper\.(create|getdata)_rq$")
            assert sorted(counted.values()) == [1, 1], counted
            assert not sidecar.rejected()
