"""The controller over the rig's cluster: a real API server, etcd and istiod with its webhook, on the same machine.

In: a number of services. Out: rows of figures. The limit is what a plain client of the same concurrency needs to write the same
filters to the same API server.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aeraki_core.envoyfilter import to_dict
from aeraki_core.store import SourceObject

from benchmarks import mesh
from benchmarks.controlled import Controlled, Cost
from tests.rig.api import Api
from tests.rig.control_plane import ControlPlane

Row = tuple[str, str, str]
Object = dict[str, Any]

WORKERS = 8
CHANGES = 11
_FILTERS = ("networking.istio.io/v1alpha3", "EnvoyFilter")


def cluster(counts: Iterable[int]) -> list[Row]:
    """All figures, for each number of services on a cluster of its own."""
    rows = [("load of the machine at the start, over a minute", f"{os.getloadavg()[0]:.1f}", "")]
    for count in counts:
        with ControlPlane() as plane:
            rows += _measure(plane, count)
    return rows


def _measure(plane: ControlPlane, count: int) -> list[Row]:
    objects = _load(plane.api, count)
    filters = _filters(objects)
    raw = _write_raw(plane.kubeconfig, filters)
    _delete_filters(plane.api)
    kubeconfig = plane.kubeconfig
    with Controlled(kubeconfig) as controlled:
        first = controlled.next()
        while first.failed:
            first = controlled.next()
        there = len(plane.api.objects(*_FILTERS))
        if there != len(filters):
            raise RuntimeError(f"{there} filters were written, not {len(filters)}")
        cold = first.at - controlled.began
        changes = [_change(plane.api, controlled, first)]
        for turn in range(1, CHANGES):
            changes.append(_change(plane.api, controlled, changes[-1][1], turn))
    with Controlled(kubeconfig) as again:
        second = again.next()
        warm = second.at - again.began
    name = f"{count:,} services"
    cpu = statistics.median(each[2] for each in changes)
    requests = max(sum(each[1].requests.values()) - sum(each[0].requests.values()) for each in changes)
    lists = max(each[1].requests.get("GET", 0) - each[0].requests.get("GET", 0) for each in changes)
    writes = max(each[1].written for each in changes)
    visible = statistics.median(each[3] for each in changes)
    return [
        (f"{name}: {len(filters):,} filters, plain client", f"{raw:.1f} s, {len(filters) / raw:.0f}/s", ""),
        (f"{name}: cold start to all written", f"{cold:.1f} s, {first.cpu:.1f} s CPU", ""),
        (f"{name}: cold start against the plain client", f"{cold / raw:.2f}", "at most 1.3"),
        (f"{name}: peak memory", f"{changes[-1][1].kilobytes / 1024:.0f} MB", "200 MB" if count >= 10_000 else ""),
        (f"{name}: one VirtualService, writes", f"{writes}", "1"),
        (f"{name}: one VirtualService, requests", f"{requests}, of which {lists} read", "1, 0"),
        (f"{name}: one VirtualService, CPU (median)", f"{cpu * 1000:.0f} ms", "under 20 ms"),
        (f"{name}: one VirtualService, to the written filter", f"{visible:.2f} s", ""),
        (f"{name}: restart, writes", f"{second.written}", "0"),
        (f"{name}: restart, to the end of the first pass", f"{warm:.1f} s, {second.cpu:.1f} s CPU", ""),
        (f"{name}: restart, peak memory", f"{second.kilobytes / 1024:.0f} MB", ""),
    ]


def _change(api: Api, controlled: Controlled, before: Cost, turn: int = 0) -> tuple[Cost, Cost, float, float]:
    """One changed VirtualService: the costs before and after, CPU seconds, and seconds until its filter is written."""
    began = time.time()
    api.apply(dict(mesh.virtual_service(0, f"changed-{turn}").content))
    after = controlled.next()
    return before, after, after.cpu - before.cpu, after.at - began


# -- the mesh ---------------------------------------------------------------------------------------------------------


def _load(api: Api, count: int) -> list[Object]:
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


def _filters(objects: Iterable[Object]) -> list[Object]:
    """What the controller is going to write."""
    pipeline = mesh.pipeline()
    for content in objects:
        pipeline.upsert(mesh.as_source(content))
    pipeline.run()
    return [to_dict(item) for _, item in sorted(pipeline.filters.items())]


def _delete_filters(api: Api) -> None:
    """Delete all filters, and wait until the server has none."""
    kind = api.type(*_FILTERS)
    while names := {item["metadata"]["namespace"] for item in api.objects(*_FILTERS)}:
        with ThreadPoolExecutor(WORKERS) as pool:
            for name in names:
                pool.submit(api.request, "DELETE", kind.path(name))


# -- the limit --------------------------------------------------------------------------------------------------------


def _write_raw(kubeconfig: Path, filters: list[Object]) -> float:
    """Seconds that a plain client needs for all of them, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    reply: multiprocessing.SimpleQueue[float] = context.SimpleQueue()
    path = kubeconfig.parent / "raw.json"
    path.write_text(json.dumps(filters))
    process = context.Process(target=_raw, args=(kubeconfig, path, reply))
    process.start()
    seconds = reply.get()
    process.join()
    return seconds


def _raw(kubeconfig: Path, path: Path, reply: multiprocessing.SimpleQueue[float]) -> None:
    filters = json.loads(path.read_text())
    config = json.loads(kubeconfig.read_text())
    ca = kubeconfig.parent / "pki" / "apiserver.crt"
    api = Api(config["clusters"][0]["cluster"]["server"], str(ca), config["users"][0]["user"]["token"], timeout=60)
    kind = api.type(*_FILTERS)
    bodies = [
        (kind.path(item["metadata"]["namespace"], item["metadata"]["name"]), json.dumps(item).encode())
        for item in filters
    ]
    params = {"fieldManager": "aeraki"}

    def write(each: tuple[str, bytes]) -> None:
        api.request("PATCH", each[0], each[1], params=params, content_type="application/apply-patch+yaml")

    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(write, bodies))
    reply.put(time.perf_counter() - start)
