"""What a controller costs while a cluster never rests: pods come and go, others write heartbeats.

`aeraki run` watches a real API server. A tenth of the services speak a protocol, and each service
has ten endpoints. The floor is a process that only watches the EndpointSlices and parses each
event.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from aeraki_core.manifests.crds import crd
from aeraki_core.plugins.registry import build_registry

from benchmarks import mesh
from benchmarks.cluster import WORKERS, Object, cpu_seconds, load, settle
from benchmarks.table import Floor, Row
from tests.kubernetes.replica import Replica
from tests.rig.api import Api
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.waiting import wait_until

__all__ = ["churn", "long_churn"]

_ENDPOINTS = 10  # of each service
_RATE = 50  # updates a second
_SECRETS, _NAMED = 220, 20  # the latter by an object of ours
_CHANGES = 5  # changes of a user during the churn
_FILTERS = ("networking.istio.io/v1alpha3", "EnvoyFilter")
_SLICES = ("discovery.k8s.io/v1", "EndpointSlice")

Update = Callable[[int], None]
"""Writes the next object; the number grows by one each time."""


def churn() -> Iterator[Row]:
    """Half a minute of EndpointSlices among 3,000 services, and less of each other kind."""
    return _measure(3_000, 30.0, 15.0)


def long_churn() -> Iterator[Row]:
    """Five minutes among 10,000 services with 100,000 endpoints, one minute of each other kind."""
    return _measure(10_000, 300.0, 60.0)


def _measure(services: int, seconds: float, others: float) -> Iterator[Row]:
    with ControlPlane() as plane:
        plane.apply_crds("\n---\n".join(json.dumps(crd(kind)) for kind in build_registry().kinds))
        _load(plane.api, services)
        proxies = ("--proxy-extensions", mesh.KAFKA)
        names = ",".join(mesh.PROTOCOLS)
        with Replica(
            "churn", plane.kubeconfig, ROOT_NAMESPACE, *proxies, plugins=names, elects=False
        ) as replica:
            wait_until(lambda: "watching" in "".join(replica.raw), 600.0, "the first pass")
            settle(plane)
            pid = replica.process.pid
            what = f"{services:,} services, {_RATE} a second for"
            with _plain_watch(plane) as floor:
                slices = _churn(plane.api, pid, seconds, _slices(plane.api, services), floor=floor)
            yield from slices.rows(
                f"{what} {seconds:.0f} s: EndpointSlices of {_ENDPOINTS} endpoints"
            )
            changes = _changes(plane.api, services, others)
            yield Row(
                what="meanwhile, one changed VirtualService to the written filter",
                figure=f"{statistics.median(changes):.2f} s, at most {max(changes):.2f} s",
                aim="0.1 s",
            )
            namespaces = _churn(plane.api, pid, others, _namespace_heartbeats(plane.api, services))
            yield from namespaces.rows(f"{what} {others:.0f} s: heartbeats of Namespaces")
            secrets = _churn(plane.api, pid, others, _secret_heartbeats(plane.api))
            yield from secrets.rows(f"{what} {others:.0f} s: heartbeats of Secrets")


@dataclass(frozen=True, kw_only=True)
class _Churn:
    """What one kind of objects cost.

    Shares of a core of the controller and of the plain watch, the controller's memory in kB before
    and after, and how many filters differ.
    """

    share: float
    floor: float | None
    before: int
    after: int
    written: int

    def rows(self, what: str) -> Iterator[Row]:
        floor = Floor("a plain watch", self.share / self.floor) if self.floor else None
        yield Row(what=what, figure=f"{self.share:.1%} of a core", floor=floor, aim="3 %")
        yield Row(what="writes", figure=f"{self.written}", aim="0")
        memory = f"{self.before >> 10} -> {self.after >> 10} MB"
        yield Row(what="memory", figure=memory, aim="flat")


def _churn(
    api: Api, pid: int, seconds: float, update: Update, *, floor: int | None = None
) -> _Churn:
    versions = _versions(api)
    _write_for(seconds / 5, update)  # what grows at first need not grow for ever
    before = _resident(pid)
    pids = [each for each in (pid, floor) if each is not None]
    began, spent = time.monotonic(), [cpu_seconds([each]) for each in pids]
    _write_for(seconds, update)
    lasted = time.monotonic() - began
    shares = [
        (cpu_seconds([each]) - start) / lasted for each, start in zip(pids, spent, strict=True)
    ]
    after = _versions(api)
    return _Churn(
        share=shares[0],
        floor=shares[1] if floor is not None else None,
        before=before,
        after=_resident(pid),
        written=len(versions.items() ^ after.items()),
    )


def _write_for(seconds: float, update: Update) -> None:
    """Update ``_RATE`` objects a second; a server that is late makes the next ones early."""
    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        for turn in range(int(seconds * _RATE)):
            time.sleep(max(0.0, began + turn / _RATE - time.monotonic()))
            pool.submit(update, next(_turns)).add_done_callback(lambda done: done.result())


_turns = count(1)


def _resident(pid: int) -> int:
    """Return the resident memory of a process in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


def _changes(api: Api, services: int, seconds: float) -> list[float]:
    """Seconds from a changed VirtualService to its filter, while EndpointSlices change."""
    times: list[float] = []
    kind = api.type(*_FILTERS)
    host = f"app-0.{mesh.namespace(0)}.svc"
    [path] = (kind.path(*name.split("/")) for name in _versions(api) if f"outbound-{host}" in name)
    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(_write_for, seconds, _slices(api, services))
        for turn in range(_CHANGES):
            time.sleep(seconds / (_CHANGES + 1))
            before = _version(api.request("GET", path))
            api.apply(dict(mesh.virtual_service(0, f"churned-{turn}").content))
            began = time.monotonic()
            while _version(api.request("GET", path)) == before:
                time.sleep(0.01)
            times.append(time.monotonic() - began)
        churning.result()
    return times


def _versions(api: Api) -> dict[str, str]:
    """The version of each filter, by namespace and name."""
    return {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}": _version(item)
        for item in api.objects(*_FILTERS)
    }


def _version(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])


# -- the cluster -----------------------------------------------------------------------------------


def _load(api: Api, services: int) -> None:
    """Write services of which a tenth speaks a protocol, their endpoints, and Secrets."""
    speaking = services // 10
    load(api, speaking)
    for number in range(speaking, services, mesh.PER_NAMESPACE):
        metadata = {"name": mesh.namespace(number)}
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    objects = [
        *map(_plain_service, range(speaking, services)),
        *(_slice(number, 0) for number in range(services)),
        *map(_secret, range(_SECRETS)),
        *map(_redis_service, range(_NAMED)),
    ]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(api.create, objects))


def _head(number: int, **metadata: object) -> Object:
    return {"name": f"app-{number}", "namespace": mesh.namespace(number), **metadata}


def _plain_service(number: int) -> Object:
    spec = {"selector": {"app": f"app-{number}"}, "ports": [{"name": "http", "port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _head(number), "spec": spec}


def _slice(number: int, turn: int) -> Object:
    """The endpoints of a service: in an even turn one is not ready, in an odd one a pod is new.

    Its fields are those that Kubernetes' own controller writes.
    """
    endpoints = [
        {
            "addresses": [f"10.{200 + each}.{number >> 8}.{number & 255}"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"node-{number % 100}",
            "targetRef": {
                "kind": "Pod",
                "namespace": mesh.namespace(number),
                "name": f"app-{number}-5d4f8c7b9-{each:05}",
                "uid": f"8d1f4c1e-3b0e-4f7e-9a44-{number:012}",
            },
            "zone": "zone-a",
        }
        for each in range(_ENDPOINTS)
    ]
    if turn % 2:
        endpoints[0]["addresses"] = [f"10.{turn % 200}.{number >> 8}.{number & 255}"]
    else:
        endpoints[turn % _ENDPOINTS]["conditions"] = {"ready": False, "serving": True}
    labels = {
        "kubernetes.io/service-name": f"app-{number}",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    changed = {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _head(number, labels=labels, annotations=changed),
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "tcp", "port": 9000, "protocol": "TCP"}],
    }


def _secret(number: int) -> Object:
    data = {"password": "c2VjcmV0"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": _head(number), "data": data}


def _redis_service(number: int) -> Object:
    """An object that names a Secret."""
    spec = {
        "host": [f"app-{number}"],
        "settings": {"auth": {"secret": {"name": f"app-{number}"}}},
    }
    kind = {"apiVersion": "redis.aeraki.io/v1alpha1", "kind": "RedisService"}
    return {**kind, "metadata": _head(number), "spec": spec}


# -- who never rests -------------------------------------------------------------------------------


def _slices(api: Api, services: int) -> Update:
    """Replaces EndpointSlices, spread over all services."""
    kind = api.type(*_SLICES)

    def update(turn: int) -> None:
        number = turn * 7919 % services
        body = _slice(number, turn)
        api.request("PUT", kind.path(mesh.namespace(number), f"app-{number}"), body)

    return update


def _namespace_heartbeats(api: Api, services: int) -> Update:
    """Annotates all namespaces in turn."""
    names = [mesh.namespace(number) for number in range(0, services, mesh.PER_NAMESPACE)]

    def update(turn: int) -> None:
        api.merge("v1", "Namespace", names[turn % len(names)], _heartbeat(turn))

    return update


def _secret_heartbeats(api: Api) -> Update:
    """Annotates all Secrets in turn."""

    def update(turn: int) -> None:
        number = turn % _SECRETS
        name, namespace = f"app-{number}", mesh.namespace(number)
        api.merge("v1", "Secret", name, _heartbeat(turn), namespace=namespace)

    return update


def _heartbeat(turn: int) -> Object:
    return {"metadata": {"annotations": {"example.org/heartbeat": str(turn)}}}


@contextmanager
def _plain_watch(plane: ControlPlane) -> Iterator[int]:
    """A process that does nothing but watch; yields its process id."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_watch, args=(plane.kubeconfig, plane.ca_file), daemon=True)
    process.start()
    try:
        yield process.pid or 0
    finally:
        process.kill()
        process.join()


def _watch(kubeconfig: Path, ca_file: str) -> None:
    config = json.loads(kubeconfig.read_text())
    server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    api = Api(server, ca_file, token, timeout=60)
    version = api.request("GET", api.type(*_SLICES).path(), params={"limit": "1"})["metadata"]
    for _ in api.watch(*_SLICES, resource_version=version["resourceVersion"], timeout=3600):
        pass
