"""A mesh of services before real servers, with the sidecars of clients and of workloads.

    cache = mesh.service("cache", {"tcp-redis": 6379}, one.address, two.address)
    mesh.add(redis_service(...))
    mesh.client()                      # a client that connects to `cache` reaches the filter
    at = mesh.workload("cache", 6379)  # the other side: the inbound chain of a workload of `cache`

Tests add objects (dictionaries or YAML) and the addresses of servers, and get addresses for
clients. All plugins make the filters, as `aeraki generate` does. Every service is in namespace
``default``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from aeraki_core.testing import Proxy, Sandbox, Sidecar, endpoint_slice, objects_in, service

from aeraki_core import cluster_name
from tests.peers.processes import Address
from tests.waiting import wait_until

Server = tuple[str, int] | tuple[str, int, int]  # the third is a weight
Ports = Mapping[str, int | tuple[int, int]]  # by name the number, or number and targetPort


def host(name: str) -> str:
    """The full host of a service."""
    return f"{name}.default.svc.cluster.local"


def cluster(name: str, port: int, subset: str = "") -> str:
    """Return Istio's name for the cluster of a service's port.

    Without subset it is the stat prefix of the port's filter too.
    """
    return cluster_name(port, host(name), subset)


class Traffic:
    """Calls without end, each function in a thread of its own, for the block.

    ``done`` counts the calls that came back, ``errors`` holds what the others raised.
    """

    def __init__(self, *calls: Callable[[], object]) -> None:
        self.done = 0
        self.errors: list[Exception] = []
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(call,), daemon=True) for call in calls
        ]

    def _repeat(self, call: Callable[[], object]) -> None:
        while not self._ends.is_set():
            try:
                call()
            except Exception as error:  # noqa: BLE001  whatever a client of any protocol raises is what is counted
                with self._lock:
                    self.errors.append(error)
            else:
                with self._lock:
                    self.done += 1

    def flow(self, calls: int = 100) -> None:
        """Wait until so many more calls came back."""
        wanted = self.done + calls
        wait_until(lambda: self.done >= wanted, 30, f"{calls} more calls")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()


class Mesh:
    """One test's mesh.

    ``objects`` are all objects added, in order. ``sidecars`` are the running ones: none may crash
    or warn. A warning that contains one of the texts in ``tolerate`` does not count.
    """

    def __init__(self, sandbox: Sandbox, loopback: Callable[[], str]) -> None:
        self._sandbox = sandbox
        self._loopback = loopback
        self.objects: list[Mapping[str, Any]] = []
        self.sidecars: list[Sidecar] = []
        self.tolerate: tuple[str, ...] = ()
        self._endpoints: dict[str | tuple[str, int] | tuple[str, int, str], tuple[Server, ...]] = {}
        self._listeners: list[str] = []

    def add(self, *objects: Mapping[str, Any] | str) -> None:
        """Objects, or YAML texts of them."""
        for item in objects:
            self.objects += objects_in(item) if isinstance(item, str) else [item]

    def service(self, name: str, ports: Ports, *servers: Server, **fields: Any) -> Address:
        """Add a Service at an address of its own, whose ports all lead to the servers.

        Its workloads have the label ``app: name``. ``fields`` are those of
        :func:`aeraki_core.testing.service`. Returns the address of its first port.
        """
        ip = self._loopback()
        # A port of Redis gets a filter without further objects, too.
        if any("redis" in port for port in ports):
            always = {"redis.aeraki.io/proxy": "always"}
            fields["annotations"] = {**always, **(fields.get("annotations") or {})}
        self.add(service(name, ports, cluster_ip=ip, selector={"app": name}, **fields))
        numbers = [number if isinstance(number, int) else number[0] for number in ports.values()]
        for number in numbers:
            self._listeners.append(f"{ip}_{number}")
            if servers:
                self.lead(name, number, *servers)
        return ip, numbers[0]

    def headless(self, name: str, ports: Mapping[str, int], *ips: str, **fields: Any) -> None:
        """Add a headless Service; clients connect to each of its endpoints. See `lead`."""
        self.add(service(name, ports, cluster_ip="None", selector={"app": name}, **fields))
        self.add(endpoint_slice(name, ips, ports))
        self._listeners += [f"{ip}_{number}" for ip in ips for number in ports.values()]

    def lead(self, name: str, port: int, *servers: Server, subset: str = "") -> None:
        """Set where a cluster leads, for sidecars that start later.

        ``name`` is that of a service, or any host with a dot.
        """
        found = name if "." in name else host(name)
        self._endpoints[(found, port, subset) if subset else (found, port)] = servers

    def lead_cluster(self, name: str, *servers: Server) -> None:
        """Set where a cluster leads that a filter adds, for sidecars that start later."""
        self._endpoints[name] = servers

    def client(self, **options: Any) -> Sidecar:
        """Run the sidecar of clients, which can call every service.

        ``options`` are those of :meth:`Sandbox.serve`.
        """
        return self._run(endpoints=self._endpoints, **options)

    def workload(
        self, name: str, target_port: int, application: Address | None = None, **options: Any
    ) -> Address:
        """Run the sidecar of a service's workload.

        Istio's inbound cluster leads to ``application``. Returns the address of the inbound chain
        of that port: a server for clients, or for a client's sidecar.
        """
        at = (self._loopback(), target_port)
        endpoints = {f"inbound|{target_port}||": [application]} if application else {}
        # Its outbound listeners bind elsewhere: a client's sidecar, in another process, has those
        # addresses.
        bind = {each: (self._loopback(), int(each.rpartition("_")[2])) for each in self._listeners}
        labels = {"app": name}
        self._run(
            proxy=Proxy(labels=labels),
            endpoints=endpoints,
            inbound={target_port: at},
            bind=bind,
            **options,
        )
        return at

    def _run(self, **options: Any) -> Sidecar:
        found = self._sandbox.serve(*self.objects, **options)
        self.sidecars.append(found)
        return found

    def check(self) -> None:
        """That every sidecar still runs, and never warned.

        Raises:
            AssertionError: one ended, or complained.
        """
        for sidecar in self.sidecars:
            assert sidecar.envoy.exit_code is None, f"Envoy ended with {sidecar.envoy.exit_code}"
            unexpected = [
                line
                for line in sidecar.envoy.warnings
                if not any(text in line for text in self.tolerate)
            ]
            assert not unexpected, "\n".join(unexpected)
