"""The controller over the rig's cluster: a real API server, etcd and istiod with its webhook.

All run on the same machine. The limit is the time that a plain client of the same concurrency needs
to write the same filters to the same API server.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeraki_core.filters.output import to_dict
from aeraki_core.manifests.crds import crd
from aeraki_core.mesh.store import SourceObject
from aeraki_core.pipeline.arrange import Arrangement
from aeraki_core.plugins.registry import build_registry

from benchmarks import mesh
from benchmarks.controlled import Controlled, Cost, IstiodAccess
from benchmarks.processes import result_of
from benchmarks.table import Floor, Row
from tests.rig import availability
from tests.rig.api import Api
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane

Object = dict[str, Any]

WORKERS = 8
CHANGES = 11
_SETTLING, _IDLE = 60.0, 0.3  # seconds to wait at most; CPU seconds of two that count as rest
_FILTERS = ("networking.istio.io/v1alpha3", "EnvoyFilter")
_QUIET = 1.0  # seconds after which a change is the first
_AFTER_ALL = 5.0  # seconds that a standby has to compare all filters ahead
# How often a cold start and the plain client alternate: the machine is seldom at rest.
_ROUNDS = 2


def obstacle() -> str | None:
    """Why there is no cluster to measure on; None when there is."""
    return availability.obstacle() or availability.unbuilt()


def cluster() -> Iterator[Row]:
    """All figures for 1,000 services."""
    with ControlPlane() as plane:
        yield from _measure(plane, 1_000, _ROUNDS)


def large_cluster() -> Iterator[Row]:
    """All figures for 3,000 and 10,000 services, each on a cluster of its own."""
    for count in (3_000, 10_000):
        with ControlPlane() as plane:
            yield from _measure(plane, count, 1)


def _measure(plane: ControlPlane, count: int, rounds: int) -> Iterator[Row]:
    plane.apply_crds("\n---\n".join(json.dumps(crd(kind)) for kind in build_registry().kinds))
    filters = filters_of(load(plane.api, count))
    raw: list[_Writing] = []
    cold: list[_Writing] = []
    costs: list[Cost] = []
    for left in reversed(range(rounds)):
        # Alternate which one goes first: the second finds larger tables in the API server's memory.
        # Ours is the last one of all, for the restart.
        for ours in (left % 2 == 1, left % 2 == 0):
            delete_filters(plane.api)
            settle(plane)
            if not ours:
                raw.append(_write_raw(plane.kubeconfig, filters))
                continue
            with Controlled(plane.kubeconfig) as controlled:
                writing, cost = _cold(plane.api, controlled, len(filters))
            cold.append(writing)
            costs.append(cost)
    pairs = list(zip(cold, raw, strict=True))
    name = f"{count:,} services"
    aims = _AIMS.get(count, _Aims())
    yield Row(
        what=f"{name}: cold start to all {len(filters):,} filters",
        figure=_speed(cold, len(filters)),
        floor=_floor((ours.all, plain.all) for ours, plain in pairs),
        aim="at most 1.1 x",
    )
    yield Row(
        what=f"{name}: of that, until the first write",
        figure=f"{statistics.median(each.before for each in cold):.1f} s",
    )
    yield Row(
        what=f"{name}: its writes alone",
        figure=f"{statistics.median(each.writing for each in cold):.1f} s",
        floor=_floor((ours.writing, plain.writing) for ours, plain in pairs),
    )
    yield Row(
        what=f"{name}: CPU of the cold start",
        figure=f"{statistics.median(each.cpu for each in cold):.1f} s",
        floor=_floor((ours.cpu, plain.cpu) for ours, plain in pairs),
        aim=aims.cpu,
    )
    peak = max(each.kilobytes for each in costs)
    yield Row(what=f"{name}: peak memory", figure=_megabytes(peak), aim=aims.memory)
    yield Row(what=f"{name}: memory after that", figure=_megabytes(costs[-1].resident))
    settle(plane)
    with Controlled(plane.kubeconfig) as again:
        restart = again.next()
        yield Row(what=f"{name}: restart, writes", figure=f"{restart.written}", aim="0")
        yield Row(
            what=f"{name}: restart, to the end of the first pass",
            figure=f"{restart.at - again.began:.1f} s, {restart.cpu:.1f} s CPU",
        )
        yield Row(
            what=f"{name}: restart, peak memory",
            figure=_megabytes(restart.kilobytes),
            aim=aims.memory,
        )
        settle(plane)
        yield from _summary(name, list(_changes(plane.api, again, restart)), "20 ms")
    yield Row(
        what=f"{name}: takeover by a standby, to the written filter",
        figure=f"{_takeover(plane.api, plane.kubeconfig):.2f} s",
        aim="0.2 s",
    )
    with Controlled(plane.kubeconfig, istiod=_access(plane)) as with_istiod:
        first = with_istiod.next()
        settle(plane)
        pushed = list(_changes(plane.api, with_istiod, first))
    name = f"{name}, istiod as a second source"
    yield from _summary(name, pushed, aims.push)
    yield Row(
        what=f"{name}: peak memory",
        figure=_megabytes(pushed[-1].after.kilobytes),
        aim=aims.memory,
    )


@dataclass(frozen=True)
class _Aims:
    """What a cold start may take, and the CPU of one change that istiod pushes."""

    cpu: str = ""
    memory: str = ""
    push: str = ""


_AIMS = {
    1_000: _Aims("3 s", "100 MB", "20 ms"),
    3_000: _Aims("9 s", "130 MB", "40 ms"),
    10_000: _Aims(memory="200 MB", push="100 ms"),
}


def _megabytes(kilobytes: int) -> str:
    return f"{kilobytes / 1024:.0f} MB"


@dataclass(frozen=True)
class _Writing:
    """One write of all filters.

    Holds the seconds until the first write, the seconds of writing, and the CPU seconds of the
    client.
    """

    before: float
    writing: float
    cpu: float

    @property
    def all(self) -> float:
        """Seconds from the start."""
        return self.before + self.writing


def _speed(writings: list[_Writing], count: int) -> str:
    """The median of several."""
    median = sorted(writings, key=lambda each: each.all)[len(writings) // 2]
    return f"{median.all:.1f} s, {count / median.all:.0f}/s"


def _floor(pairs: Iterable[tuple[float, float]]) -> Floor:
    """The median of the ratios of ours and the plain client's."""
    return Floor("a plain client", statistics.median(ours / plain for ours, plain in pairs))


def settle(plane: ControlPlane) -> None:
    """Wait until earlier work is done: istiod's pushes, tables of etcd and the API server."""
    pids = [server.pid for server in (plane.etcd, plane.apiserver, plane.istiod)]
    deadline = time.monotonic() + _SETTLING
    before = cpu_seconds(pids)
    while time.monotonic() < deadline:
        time.sleep(2.0)
        now = cpu_seconds(pids)
        if now - before < _IDLE:
            return
        before = now


def cpu_seconds(pids: Iterable[int]) -> float:
    """The CPU time that processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _cold(api: Api, controlled: Controlled, count: int) -> tuple[_Writing, Cost]:
    """Measure from the start of the process until the last filter is written, over all passes.

    Returns the last pass too.

    Raises:
        RuntimeError: the filters are not the expected ones.
    """
    cost = first = controlled.next()
    written = cost.written
    while cost.failed or written < count:
        cost = controlled.next()
        written += cost.written
    there = len(api.objects(*_FILTERS))
    if there != count:
        raise RuntimeError(f"{there} filters were written, not {count}")
    return _Writing(first.started - controlled.began, cost.at - first.started, cost.cpu), cost


@dataclass(frozen=True)
class _Change:
    """One changed VirtualService: the costs before and after, and the seconds until its filter."""

    before: Cost
    after: Cost
    seconds: float

    def requests(self, method: str | None = None) -> int:
        """How many requests were sent, of one method or of all."""
        return sum(
            count - self.before.requests.get(each, 0)
            for each, count in self.after.requests.items()
            if method in (None, each)
        )


def _summary(name: str, changes: list[_Change], cpu_aim: str) -> Iterator[Row]:
    cpu = statistics.median(change.after.cpu - change.before.cpu for change in changes)
    figures = (
        ("writes (most)", f"{max(change.after.written for change in changes)}", "1"),
        ("requests", f"{statistics.median(change.requests() for change in changes):.0f}", "1"),
        (
            "requests that read",
            f"{statistics.median(change.requests('GET') for change in changes):.0f}",
            "0",
        ),
        ("CPU", f"{cpu * 1000:.0f} ms", cpu_aim),
        (
            "to the written filter",
            f"{statistics.median(change.seconds for change in changes):.2f} s",
            "0.1 s",
        ),
    )
    for what, figure, aim in figures:
        yield Row(what=f"{name}: one VirtualService, {what}", figure=figure, aim=aim)


def _changes(api: Api, controlled: Controlled, before: Cost) -> Iterator[_Change]:
    for _ in range(CHANGES):
        time.sleep(_QUIET)  # else it would belong to the burst of the change before
        began = time.time()
        api.apply(dict(mesh.virtual_service(0, f"changed-{began}").content))
        after = controlled.next()
        yield _Change(before, after, after.at - began)
        before = after


def _access(plane: ControlPlane) -> IstiodAccess:
    return IstiodAccess(
        address=f"127.0.0.1:{plane.istiod_ports.secure_grpc}",
        certificate=plane.root_certificate().encode(),
        token=plane.api.token("default", ROOT_NAMESPACE, audience="istio-ca").encode(),
        server_name=f"istiod.{ROOT_NAMESPACE}.svc",
    )


def _takeover(api: Api, kubeconfig: Path) -> float:
    """Seconds from the lead of a standby until it has written what nobody wrote before."""
    with Controlled(kubeconfig, standby=True) as standby:
        standby.next()
        api.apply(dict(mesh.virtual_service(0, "while-nobody-leads").content))
        standby.next()
        time.sleep(_AFTER_ALL)
        began = time.time()
        standby.lead()
        return standby.next().at - began


# -- the mesh --------------------------------------------------------------------------------------


def load(api: Api, count: int) -> list[Object]:
    """Write the mesh, and return it as the server has it."""
    items = list(mesh.objects(count))
    with ThreadPoolExecutor(WORKERS) as pool:
        names = sorted({item.ref.namespace for item in items})
        list(pool.map(lambda name: api.apply(_namespace(name)), names))
        return list(pool.map(lambda item: api.apply(_for_server(item)), items))


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _for_server(item: SourceObject) -> Object:
    content: Object = json.loads(json.dumps(dict(item.content)))
    content["spec"].pop("clusterIP", None)  # the server gives one of its own range
    content["metadata"].pop("creationTimestamp")
    return content


def filters_of(
    objects: Iterable[Object], arrangement: Arrangement = Arrangement.SERVICE
) -> list[Object]:
    """What the controller is going to write."""
    pipeline = mesh.pipeline(arrangement)
    for content in objects:
        pipeline.upsert(mesh.as_source(content))
    pipeline.run()
    return [to_dict(item) for _, item in sorted(pipeline.filters.items())]


def delete_filters(api: Api) -> None:
    """Delete all filters, and wait until the server has none."""
    kind = api.type(*_FILTERS)
    while names := {item["metadata"]["namespace"] for item in api.objects(*_FILTERS)}:
        with ThreadPoolExecutor(WORKERS) as pool:
            for name in names:
                pool.submit(api.request, "DELETE", kind.path(name))


# -- the limit -------------------------------------------------------------------------------------


def _write_raw(kubeconfig: Path, filters: list[Object]) -> _Writing:
    """Measure what a plain client needs for all filters, in a process of its own.

    The start of that process does not count.
    """
    path = kubeconfig.parent / "raw.json"
    path.write_text(json.dumps(filters))
    return result_of(_raw, kubeconfig, path)


def _raw(kubeconfig: Path, path: Path) -> _Writing:
    filters = json.loads(path.read_text())
    config = json.loads(kubeconfig.read_text())
    ca = kubeconfig.parent / "pki" / "apiserver.crt"
    api = Api(
        config["clusters"][0]["cluster"]["server"],
        str(ca),
        config["users"][0]["user"]["token"],
        timeout=60,
    )
    kind = api.type(*_FILTERS)
    bodies = [
        (
            kind.path(item["metadata"]["namespace"], item["metadata"]["name"]),
            json.dumps(item).encode(),
        )
        for item in filters
    ]
    params = {"fieldManager": "aeraki"}

    def write(each: tuple[str, bytes]) -> None:
        api.request(
            "PATCH", each[0], each[1], params=params, content_type="application/apply-patch+yaml"
        )

    start, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(write, bodies))
    return _Writing(0.0, time.perf_counter() - start, time.process_time() - cpu)
