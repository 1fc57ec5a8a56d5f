"""Services behind sidecars whose calls live weights share out, and clients that hold connections.

One start serves many tests: servers in pods of two versions, each with Apache Dubbo and Thrift; a
Redis; a client with Apache Dubbo 2.7 and 3.3, Thrift and Redis; a client of another namespace; two
controllers, one of which leads. mTLS is STRICT.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from aeraki_core.filters.names import COMPANION

from tests.istio.steady import ApacheLoad, SteadyLoad, ThreadLoad
from tests.istio.traffic import (
    ANYWHERE,
    move_into,
    redis_caller,
    redis_server,
    serving,
    thrift_caller,
    wait_inbound,
)
from tests.istio.truth import FILTER, GROUP, OURS, istio, proxy, subsets
from tests.kubernetes.replica import Replica
from tests.peers.apache_dubbo import VERSIONS, DubboConsumer, DubboProvider
from tests.peers.processes import Address
from tests.peers.thrift import ThriftServer
from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.interception import Pod, PodNetwork
from tests.rig.names import listener_of, outbound
from tests.rig.sidecar import Sidecar
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

DUBBO = Port("tcp-dubbo", 20880, 30880)
THRIFT = Port("tcp-thrift", 9090, 19090)
REDIS = Port("tcp-redis", 6379, 16379)
ON = {"aeraki.io/live-weights": "true"}
APACHE = dict(zip(("v2", "v1"), VERSIONS, strict=True))
"""The version of Apache Dubbo that the servers of a version are."""

FOR_STRANGER = "abroad"
"""The VirtualService of `hello` for the clients of the other namespace."""

_APP = {"app": "shop"}
_SET = re.compile(r"outbound\|\d+\|\|[\w.-]+\.weights\.aeraki\.internal")
# Quicker than the defaults, 15, 10 and 2 seconds.
_ELECTION = ("--lease-duration", "6s", "--renew-deadline", "4s", "--retry-period", "500ms")
_LEASE = ("coordination.k8s.io/v1", "Lease", "aeraki-controller")
_COMPANIONS = ("ServiceEntry", "DestinationRule")


@dataclass(frozen=True)
class Backend:
    """A server's pod."""

    version: str
    pod: Pod
    sidecar: Sidecar
    running: ExitStack


@dataclass(frozen=True)
class ShopService:
    """A Service of the shop; ``address`` is where its clients call it."""

    name: str
    port: Port
    address: Address
    listener: str


def split(host: str, second: int) -> list[Object]:
    """A route's destinations: so many of 100 calls go to the subset v2."""
    return [
        {"destination": {"host": host, "subset": "v1"}, "weight": 100 - second},
        {"destination": {"host": host, "subset": "v2"}, "weight": second},
    ]


class Shop:
    """A context manager, which leaves nothing behind."""

    def __init__(self, plane: ControlPlane, network: PodNetwork) -> None:
        self.plane = plane
        self.api = plane.api
        self.services: dict[str, ShopService] = {}
        self.backends: dict[str, Backend] = {}
        self.controllers: list[Replica] = []
        self.loads: list[SteadyLoad] = []
        self._network = network
        self._stack = ExitStack()
        self._names = itertools.count(1)

    def __enter__(self) -> Shop:
        with ExitStack() as starting:
            self._stack = starting
            self._start()
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._stack.callback(self.plane.heal)
        self._stack.callback(self.plane.namespaces.clean_root)
        self.namespace, self.elsewhere = (self._namespace() for _ in range(2))
        self.workloads = Workloads(self.api, self.namespace)
        self.plane.set_mesh_config(enableAutoMtls=True)
        self.plane.set_mtls("STRICT")
        self.cache = self._pod("cache", {"app": "cache"})
        self.copy = ThriftServer("copy", address=(ANYWHERE, THRIFT.target_port))
        self._stack.enter_context(serving(self.cache.pod, self.copy))
        self._stack.enter_context(redis_server(self.cache.pod, "cache", (ANYWHERE, REDIS.target)))
        for version in ("v1", "v1", "v2"):
            self.add_backend(version)
        framed = {"thrift.aeraki.io/transport": "framed"}
        for name, port, labels in (
            ("greeter", DUBBO, _APP),
            ("hello", DUBBO, _APP),
            ("spare", DUBBO, _APP),
            ("store", THRIFT, _APP),
            ("copy", THRIFT, {"app": "cache"}),
            ("cache", REDIS, {"app": "cache"}),
        ):
            service = self.workloads.service(
                name, [port], selector=labels, annotations=framed if port is THRIFT else {}
            )
            address = (str(service["spec"]["clusterIP"]), port.port)
            self.services[name] = ShopService(name, port, address, listener_of(service, port))
            if labels is _APP:
                self.api.create(subsets(name, self.namespace, "v1", "v2"))
            else:
                self.workloads.endpoints(name, [port], [self.cache.pod.record])
        self.publish()
        copies = {"mirror": {"host": "copy"}, "mirrorPercentage": {"value": 50}}
        self.create_routes("greeter", [{"route": split("greeter", 0)}])
        self.create_routes("spare", [{"route": split("spare", 50)}])
        self.create_routes("store", [{"route": split("store", 0), **copies}])
        # Of two VirtualServices of a host the first in age, then in name, counts.
        self.create_routes(
            "hello", [{"route": split("hello", 0)}], FOR_STRANGER, exportTo=[self.elsewhere]
        )
        self.create_routes("hello", self.hello_routes(0, 0))
        for name in ("one", "two"):
            self.add_controller(name)
        self.client = self._pod("client", {"app": "client"})
        self.stranger = self._pod("stranger", {"app": "stranger"}, self.elsewhere)
        for each in self.services.values():
            name = proxy(each.port.name.removeprefix("tcp-"))
            self.near.wait_filter(each.listener, name, timeout=60)
        for name, seconds in {
            "greeter": (0,),
            "store": (0,),
            "spare": (50,),
            "hello": (0, 0),
        }.items():
            self.wait_weight_sets(name, len(seconds))
            self.wait_split(name, *seconds)
        for backend in self.backends.values():
            wait_inbound([backend.sidecar], DUBBO, "dubbo_proxy")
            wait_inbound([backend.sidecar], THRIFT, "thrift_proxy")
        self.turn_off("spare")

    @property
    def near(self) -> Sidecar:
        """The client's sidecar."""
        return self.client.sidecar

    def sidecars(self) -> list[Sidecar]:
        """All of them."""
        pods = (*self.backends.values(), self.cache, self.client, self.stranger)
        return [each.sidecar for each in pods]

    def load(self, name: str) -> SteadyLoad:
        """One of them."""
        return next(load for load in self.loads if load.name == name)

    @contextmanager
    def running(self, *loads: SteadyLoad) -> Iterator[None]:
        """In the block these loads call, too."""
        with ExitStack() as stack:
            for load in loads:
                load.start()
                stack.callback(load.stop)
            yield

    @property
    def canary_loads(self) -> list[SteadyLoad]:
        """The loads on services with versions."""
        return [load for load in self.loads if load.name != "Redis"]

    # -- pods

    def _namespace(self) -> str:
        name = self.plane.namespaces.make()
        self._stack.callback(self.plane.namespaces.remove, name)
        return name

    def _pod(self, name: str, labels: Mapping[str, str], namespace: str = "") -> Backend:
        namespace = namespace or self.namespace
        running = self._stack.enter_context(ExitStack())
        pod = running.enter_context(self._network.pod(name, namespace, labels=labels, mtls=True))
        Workloads(self.api, namespace).pod(name, ip=pod.ip, labels=pod.record.labels)
        return Backend(labels.get("version", ""), pod, pod.sidecar(), running)

    def add_backend(self, version: str) -> str:
        """Start a pod of a version with its servers; its name. `publish` makes it known."""
        name = f"{version}-{next(self._names)}"
        backend = self._pod(name, {**_APP, "version": version})
        pod = backend.pod
        dubbo = DubboProvider(APACHE[version], version, (pod.ip, DUBBO.target_port))
        move_into(pod, dubbo)
        backend.running.enter_context(dubbo)
        # Dubbo would wait ten seconds for calls, and gets none.
        backend.running.callback(dubbo.stop, 2)
        thrift = ThriftServer(version, address=(ANYWHERE, THRIFT.target_port))
        backend.running.enter_context(serving(pod, thrift))
        self.backends[name] = backend
        return name

    def publish(self, terminating: Sequence[str] = ()) -> None:
        """Write the endpoints of all services: each server's pod, ready or terminating."""
        pods = {name: backend.pod.record for name, backend in self.backends.items()}
        for service in self.services.values():
            if service.name not in ("copy", "cache"):
                self.workloads.endpoints(
                    service.name,
                    [service.port],
                    [pod for name, pod in pods.items() if name not in terminating],
                    terminating=[pods[name] for name in terminating],
                )

    def remove_backend(self, name: str) -> None:
        """Stop a pod that gets no more calls, and forget it."""
        backend = self.backends.pop(name)
        self.publish()
        self.workloads.delete_pod(name)
        backend.running.close()

    # -- routes

    def create_routes(self, host: str, http: list[Object], name: str = "", **spec: Any) -> None:
        """A VirtualService with live weights; its name is the host's by default."""
        content = {"hosts": [host], "http": http, **spec}
        self.api.create(
            istio("VirtualService", name or host, self.namespace, content, annotations=ON)
        )

    def hello_routes(self, bye: int, other: int) -> list[Object]:
        """Two routes with weights: one of a method, one of all other calls."""
        method = {"match": [{"method": {"exact": "sayBye"}}]}
        return [{**method, "route": split("hello", bye)}, {"route": split("hello", other)}]

    def write_routes(self, name: str, http: list[Object]) -> None:
        """Change a VirtualService."""
        spec = {"spec": {"http": http}}
        self.api.merge(GROUP, "VirtualService", name, spec, namespace=self.namespace)

    def write_split(self, host: str, second: int, name: str = "") -> None:
        """Change the weights of a VirtualService's only route, and nothing else of it."""
        name = name or host
        http = self.api.get(GROUP, "VirtualService", name, namespace=self.namespace)["spec"]["http"]
        self.write_routes(name, [{**http[0], "route": split(host, second)}])

    def weight_sets(self, name: str, sidecar: Sidecar | None = None) -> list[str]:
        """The clusters of a sidecar, by default the client's, that carry a service's weights."""
        listener = (sidecar or self.near).listeners().get(self.services[name].listener, {})
        return sorted(set(_SET.findall(str(listener))))

    def wait_weight_sets(self, name: str, count: int) -> None:
        """Wait until a service has so many weight sets in the client's sidecar."""
        self.near.wait_for(
            lambda envoy: len(self.weight_sets(name, envoy)) == count,
            f"{count} weight sets of {name}",
            60,
        )

    def wait_split(self, name: str, *seconds: int, sidecar: Sidecar | None = None) -> None:
        """Wait until the endpoints in a sidecar have these weights, one for each route.

        The sidecar is the client's by default; the order of the weights does not count.
        """
        envoy = sidecar or self.near
        clusters = self.weight_sets(name, envoy)
        assert len(clusters) == len(seconds), (name, clusters)

        def look() -> list[float]:
            found = envoy.endpoint_weights()
            return sorted(self._second(found.get(cluster, {})) for cluster in clusters)

        def is_live() -> bool:
            return all(
                abs(found - second / 100) < 0.001
                for found, second in zip(look(), sorted(seconds), strict=True)
            )

        wait_until(is_live, 60, f"{seconds} % of {name} for v2", interval=0.01, seen=look)

    def _second(self, weights: Mapping[str, int]) -> float:
        """The share of v2, by the weights of endpoints."""
        second = {each.pod.ip for each in self.backends.values() if each.version == "v2"}
        part = sum(
            weight for address, weight in weights.items() if address.rpartition(":")[0] in second
        )
        return part / sum(weights.values()) if weights else -1.0

    def subset(self, name: str, version: str) -> str:
        """Istio's own cluster of a version of a service."""
        return outbound(name, self.namespace, self.services[name].port, version)

    def wait_pod(self, backend: str, clusters: Iterable[str], *, there: bool) -> dict[str, float]:
        """Wait until clusters of the client's sidecar have a pod, or not; when each did."""
        address = self.backends[backend].pod.ip
        times: dict[str, float] = {}

        def look() -> bool:
            found = self.near.endpoint_weights()
            for cluster in {*clusters} - {*times}:
                addresses = {each.rpartition(":")[0] for each in found.get(cluster, ())}
                if (address in addresses) == there:
                    times[cluster] = time.monotonic()
            return {*clusters} == {*times}

        wait_until(look, 60, f"{backend} in {clusters}: {there}", interval=0.01, seen=lambda: times)
        return times

    # -- controllers

    def add_controller(self, name: str) -> Replica:
        """Start a replica of the controller; the first leads."""
        replica = self._stack.enter_context(
            Replica(
                name,
                self.plane.kubeconfig,
                self.namespace,
                "--live-weights",
                "annotated",
                *_ELECTION,
                plugins="dubbo,redis,thrift",
            )
        )
        replica.wait_for("answers on")
        self.controllers.append(replica)
        return replica

    def leader(self) -> Replica:
        """The replica that holds the Lease."""
        lease = self.api.get(*_LEASE, namespace=self.namespace)
        holder = str(lease["spec"]["holderIdentity"])
        return next(each for each in self.controllers if holder.startswith(f"{each.name}_"))

    # -- clients

    def start_loads(self) -> None:
        """Sixteen connections of each client; every one of them has answers."""
        pod = self.client.pod
        for version in VERSIONS:
            consumer = DubboConsumer(version, self.services["greeter"].address, connections=16)
            move_into(pod, consumer)
            self._stack.enter_context(consumer)
            self.loads.append(ApacheLoad(f"Dubbo {version}", consumer))
        for name, service, caller in (
            ("Thrift", "store", thrift_caller),
            ("Redis", "cache", redis_caller),
        ):
            opened = partial(caller, self.services[service].address)
            self.loads.append(ThreadLoad(name, pod, opened))
        for load in self.loads:
            load.start()
            self._stack.callback(load.stop)

    def connections(self) -> dict[str, frozenset[int]]:
        """The open connections of the client, by service."""
        return {
            service.name: self.client.pod.connections(*service.address)
            for service in self.services.values()
        }

    # -- what is written

    def turn_off(self, name: str) -> None:
        """Take live weights from a service's routes."""
        annotations = dict.fromkeys(ON)
        patch = {"metadata": {"annotations": annotations}}
        self.api.merge(GROUP, "VirtualService", name, patch, namespace=self.namespace)
        self.wait_weight_sets(name, 0)

    @contextmanager
    def next_write(self, name: str) -> Iterator[None]:
        """After the block, wait until a ServiceEntry that carries a service's weights changes."""
        before = self._entries(name)
        yield
        wait_until(lambda: self._entries(name) != before, 60, f"a write for {name}", interval=0.001)

    def _entries(self, name: str) -> list[str]:
        return [
            each["metadata"]["resourceVersion"]
            for each in self.api.objects(
                GROUP, "ServiceEntry", namespace=self.namespace, labels=OURS
            )
            if each["metadata"]["name"].startswith(f"{COMPANION}{name}-")
        ]

    def filters(self) -> dict[str, str]:
        """The version of each filter of ours: a filter that changes drains its listeners."""
        return {
            f"{each['metadata']['namespace']}/{each['metadata']['name']}": each["metadata"][
                "resourceVersion"
            ]
            for each in self.api.objects(*FILTER, labels=OURS)
        }

    def companions(self, service: str) -> list[str]:
        """The objects beside filters that we keep for a service's weights."""
        return sorted(
            f"{kind} {each['metadata']['name']}"
            for kind in _COMPANIONS
            for each in self.api.objects(GROUP, kind, namespace=self.namespace, labels=OURS)
            if each["metadata"]["name"].startswith(f"{COMPANION}{service}-")
        )
