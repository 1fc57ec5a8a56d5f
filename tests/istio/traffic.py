"""Endless calls of every protocol through intercepting sidecars, while their routes change.

A :class:`Route` leads from a client's pod to two servers and can be changed. A :class:`Load` calls
along it, and records which server answered and what failed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from tests.istio.truth import GROUP, TCP_PROXY, chains_at, proxy, redis_kind, subsets, weights
from tests.kubernetes.replica import Replica
from tests.peers import redis, zookeeper
from tests.peers.dubbo import DubboClient, DubboServer
from tests.peers.processes import Address, ServerProcess
from tests.peers.sockets import ThreadedServer
from tests.peers.thrift import ThriftClient, ThriftServer
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import PodFactory
from tests.rig.interception import Pod
from tests.rig.names import listener_of, outbound
from tests.rig.sidecar import Sidecar
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

ANYWHERE = "0.0.0.0"
OPEN = {"protected-mode": "no"}
KINDS = ("open", "new")


class Caller(Protocol):
    """A connection that names who answers a call."""

    def __call__(self) -> str: ...


@contextmanager
def dubbo_caller(address: Address, method: str = "hello") -> Iterator[Caller]:
    with DubboClient(address) as client:
        yield lambda: client.call(method, "x").server


@contextmanager
def thrift_caller(address: Address) -> Iterator[Caller]:
    with ThriftClient(address) as client:
        yield lambda: str(client.call("hello", "x")["server"])


@contextmanager
def redis_caller(address: Address) -> Iterator[Caller]:
    with redis.client(address, single_connection_client=True) as client:
        yield lambda: str(client.get("name"))


@contextmanager
def zookeeper_caller(address: Address) -> Iterator[Caller]:
    with zookeeper.client(address) as session:
        yield lambda: str(session.get("/name")[0].decode())


Server = ThreadedServer[Any] | ServerProcess


def move_into(pod: Pod, server: ServerProcess) -> None:
    """When it is started, it runs in the pod."""
    server.argv = pod.wrap(["env", f"--chdir={server.folder}", *server.argv])


@contextmanager
def serving(pod: Pod, server: Server) -> Iterator[None]:
    """The server runs in the pod."""
    if isinstance(server, ServerProcess):
        move_into(pod, server)
    with ExitStack() as running:
        with pod.inside():
            running.enter_context(server)
        yield


def redis_serving(pod: Pod, port: int) -> AbstractContextManager[None]:
    """A Redis runs in the pod, without any key."""
    return serving(pod, redis.RedisServer(pod.name, (ANYWHERE, port), options=OPEN))


@contextmanager
def redis_server(pod: Pod, name: str, address: Address) -> Iterator[None]:
    with serving(pod, redis.RedisServer(name, address, options=OPEN)):
        with pod.inside(), redis.client(address) as client:
            client.set("name", name)
        yield


@contextmanager
def zookeeper_server(pod: Pod, name: str, address: Address) -> Iterator[None]:
    with serving(pod, zookeeper.ZooKeeperServer(name, address)):
        with pod.inside(), zookeeper.client(address) as client:
            client.create("/name", name.encode())
        yield


@contextmanager
def dubbo_server(pod: Pod, name: str, address: Address) -> Iterator[None]:
    with serving(pod, DubboServer(name, address)):
        yield


@contextmanager
def thrift_server(pod: Pod, name: str, address: Address) -> Iterator[None]:
    with serving(pod, ThriftServer(name, address=address)):
        yield


@dataclass(frozen=True)
class Peer:
    """A protocol with servers that know their name, and clients that ask for it.

    ``counts`` is the end of the names of the stats that its filter at the workload keeps for each
    call. ``section`` is that of the VirtualService that routes it. It is "" for Redis, which has a
    kind of its own, and whose connections end with an answer when their filter changes.
    """

    port: Port
    serve: Callable[[Pod, str, Address], AbstractContextManager[None]]
    caller: Callable[[Address], AbstractContextManager[Caller]]
    counts: str
    section: str = "http"
    calls: int = 150

    @property
    def name(self) -> str:
        return self.port.name.removeprefix("tcp-")

    @property
    def routed_by(self) -> str:
        """The network filter that chooses who gets a call."""
        return TCP_PROXY if self.section == "tcp" else proxy(self.name)


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            Port("tcp-dubbo", 20880, 30880),
            dubbo_server,
            dubbo_caller,
            r"^dubbo\.inbound.*\.request$",
        ),
        Peer(
            Port("tcp-thrift", 9090, 19090),
            thrift_server,
            thrift_caller,
            r"^thrift\.inbound.*\.request$",
        ),
        Peer(
            Port("tcp-redis", 6379, 16379),
            redis_server,
            redis_caller,
            r"^redis\.inbound.*command\.get\.total$",
            "",
        ),
        Peer(
            Port("tcp-zookeeper", 2181, 12181),
            zookeeper_server,
            zookeeper_caller,
            r"^inbound.*zookeeper\.getdata_rq$",
            "tcp",
            calls=60,
        ),
    )
}


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
        """Wait until each kind of connection has made `count` more calls; count all results."""
        before = Counter(self.answers)
        goal = {kind: self.calls(kind) + count for kind in KINDS}
        self.wait(
            lambda: all(self.calls(kind) >= least for kind, least in goal.items()),
            f"{count} calls more",
        )
        return Counter(self.answers) - before

    def wait(self, look: Callable[[], bool], what: str) -> None:
        wait_until(look, 60, what, seen=lambda: (self.answers, self.failures[:10]))

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=each) for each in (self.one_connection, self.many_connections)
        ]
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
class Route:
    """A service of the servers v1 and v2 behind sidecars.

    v1 gets ``first`` of the calls, and ``then`` after :meth:`turn_round`. ``service`` is the
    service's name and port, ``load`` calls it, ``controller`` writes its filters.
    """

    peer: Peer
    plane: ControlPlane
    namespace: str
    listener: str
    near: Sidecar
    far: Sequence[Sidecar]
    load: Load
    controller: Replica

    @property
    def service(self) -> str:
        return f"{self.peer.name}.{self.namespace}:{self.peer.port.port}"

    @property
    def first(self) -> float:
        return 0.8 if self.peer.section else 1.0

    @property
    def then(self) -> float:
        return 0.2 if self.peer.section else 0.0

    def turn_round(self) -> None:
        """Change the route, and wait until the client's sidecar has it."""
        name, space = self.peer.name, self.namespace
        if self.peer.section:
            spec = weights(name, space, {"v1": 20, "v2": 80}, section=self.peer.section)["spec"]
            self.plane.api.merge(GROUP, "VirtualService", name, {"spec": spec}, namespace=space)
            self.near.wait_filter(self.listener, self.peer.routed_by, clusters(20, 80))
            if self.peer.section == "tcp":
                self._change_option()
        else:
            self.plane.api.create(
                redis_kind("RedisService", name, space, redis_routes(name, "other"))
            )
            self.near.wait_filter(
                self.listener, self.peer.routed_by, lambda config: "|other." in str(config)
            )
            self.load.wait(
                lambda: all(self.load.answers[kind, "v2"] for kind in KINDS),
                "answers of the new server",
            )

    def _change_option(self) -> None:
        """Where the route is Istio's own matter: change our filter, on both sides."""
        name, option = self.peer.name, "latency-threshold-metrics"
        annotations = {"metadata": {"annotations": {f"{name}.aeraki.io/{option}": "true"}}}
        self.plane.api.merge("v1", "Service", name, annotations, namespace=self.namespace)
        for sidecar, listener in (
            (self.near, self.listener),
            *((each, "virtualInbound") for each in self.far),
        ):
            sidecar.wait_filter(
                listener, proxy(name), lambda config: "enable_latency_threshold_metrics" in config
            )


def redis_routes(host: str, to: str) -> dict[str, Any]:
    return {"host": [host], "redis": [{"route": {"host": to}}]}


@contextmanager
def routed(
    protocol: str,
    plane: ControlPlane,
    workloads: Workloads,
    pod_factory: PodFactory,
    *,
    mode: str = "DISABLE",
) -> Iterator[Route]:
    """Start everything and wait for it; for Redis the cluster must serve its kinds.

    ``mode`` is that of mTLS in the whole mesh.
    """
    peer, namespace, mtls = PEERS[protocol], workloads.namespace, mode == "STRICT"
    port = peer.port
    plane.set_mesh_config(enableAutoMtls=mtls)
    plane.set_mtls(mode)
    client = pod_factory("client", mtls=mtls)
    apps = {"v1": protocol, "v2": protocol if peer.section else "other"}
    servers = {
        name: pod_factory(name, labels={"app": app, "version": name}, mtls=mtls)
        for name, app in apps.items()
    }
    clusters_of = {
        name: outbound(protocol, namespace, port, name if peer.section else "") for name in servers
    }
    if peer.section:
        service = workloads.workload(
            protocol, [port], pods=[pod.record for pod in servers.values()]
        )
        plane.api.create(subsets(protocol, namespace, *servers))
        plane.api.create(weights(protocol, namespace, {"v1": 80, "v2": 20}, section=peer.section))
    else:
        asked = {"redis.aeraki.io/inbound": "true"}
        service = workloads.workload(
            protocol, [port], pods=[servers["v1"].record], annotations=asked
        )
        workloads.workload("other", [port], pods=[servers["v2"].record], annotations=asked)
        clusters_of["v2"] = outbound("other", namespace, port)
    listener = listener_of(service, port)
    with ExitStack() as running:
        for name, pod in servers.items():
            running.enter_context(peer.serve(pod, name, (ANYWHERE, port.target_port)))
        controller = running.enter_context(
            Replica(
                "one",
                plane.kubeconfig,
                namespace,
                "--debounce-quiet",
                "50ms",
                plugins=protocol,
                elects=False,
            )
        )
        near, *far = (pod.sidecar() for pod in (client, *servers.values()))
        near.wait_filter(listener, proxy(protocol))
        if peer.section:
            near.wait_filter(listener, peer.routed_by, clusters(80, 20))
        for name, pod in servers.items():
            near.wait_endpoints(clusters_of[name], [f"{pod.ip}:{port.target_port}"])
        wait_inbound(far, port, f"{protocol}_proxy")
        load = Load(client, partial(peer.caller, (service["spec"]["clusterIP"], port.port)))
        yield Route(peer, plane, namespace, listener, near, far, load, controller)
        for sidecar in (near, *far):
            assert not sidecar.rejected()


def wait_inbound(sidecars: Sequence[Sidecar], port: Port, name: str) -> None:
    """Wait until the filter stands in every chain of the target port."""
    for sidecar in sidecars:
        sidecar.wait_for(
            lambda envoy: {name in chain for chain in chains_at(envoy, port.target_port)} == {True},
            f"{name} inbound",
        )
