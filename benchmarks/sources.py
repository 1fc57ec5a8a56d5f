"""What the sources cost while little changes: istiod's pushes, and endpoints that never rest.

Servers run in processes of their own, so the CPU seconds here are the source's and the pipeline's.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aeraki_core.controller.loop import Controller
from aeraki_core.controller.observer import ControllerEvent, PassReport
from aeraki_core.kube.client import connect
from aeraki_core.sources.events import Event, Upserted
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.source import IstiodSource
from aeraki_core.sources.kubernetes.source import KubernetesSource
from aeraki_core.testing.memory_sink import MemorySink

from benchmarks import mesh
from benchmarks.table import Floor, Row
from tests.unit.core.kube.fake_api import FakeApi
from tests.unit.core.sources.istiod.fake_istiod import GROUP, FakeIstiod, resource, service

_PUSHES = 10
_RATE, _SECONDS = 50, 30
_ENDPOINTS = 10  # of each service
_AIMS = {1_000: "20", 3_000: "40", 10_000: "100"}  # milliseconds


def pushes() -> Iterator[Row]:
    """CPU of a push that changes one VirtualService, beside the least that a client can do."""
    for count, aim in _AIMS.items():
        with _server(_serve_istiod, count) as server:
            address, size = server.recv()
            spent, floor = _measure_pushes(address, server)
        yield Row(
            what=f"push by an istiod with {count:,} services and their routes",
            figure=f"{spent * 1000:.0f} ms",
            floor=Floor(f"parsing the {size >> 10} kB", spent / floor),
            aim=f"{aim} ms",
        )


def _measure_pushes(address: str, server: Connection) -> tuple[float, float]:
    """Seconds of CPU for a push, and for parsing what one holds."""
    arrived: threading.Semaphore = threading.Semaphore(0)
    synced = threading.Event()

    def emit(*events: Event) -> None:
        if any(not isinstance(event, Upserted) for event in events):
            synced.set()
        elif synced.is_set():
            arrived.release()

    source = IstiodSource(Istiod(address))
    source.start(emit)
    if not synced.wait(120):
        raise RuntimeError("the source did not get its first answers")
    times: list[float] = []
    for _ in range(_PUSHES):
        start = time.process_time()
        server.send("push")
        if not arrived.acquire(timeout=60):
            raise RuntimeError("a push changed nothing")
        server.recv()  # the other types have been sent too
        times.append(time.process_time() - start)
    source.stop()
    server.send("answer")
    return statistics.median(times), _parsing(server.recv())


def _parsing(answers: list[bytes]) -> float:
    from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse

    start = time.process_time()
    for _ in range(5):
        for answer in answers:
            for found in DiscoveryResponse.FromString(answer).resources:
                _ = found.value
    return (time.process_time() - start) / 5


def _serve_istiod(count: int, to: Connection) -> None:
    with FakeIstiod() as istiod:
        istiod.set("ServiceEntry", *(service(f"s{n}", _address(n)) for n in range(count)))
        istiod.set("VirtualService", *(_routes(n, "a") for n in range(count)))
        istiod.set("DestinationRule", *(_rule(n) for n in range(count)))
        answers = [
            istiod.response(f"{GROUP}/{kind}").SerializeToString()
            for kind in ("ServiceEntry", "VirtualService", "DestinationRule")
        ]
        to.send((istiod.where.address, sum(map(len, answers))))
        turn = 0
        while to.recv() == "push":
            turn += 1
            istiod.objects[f"{GROUP}/VirtualService"][7] = _routes(7, f"m{turn}")
            istiod.push()
            to.send("pushed")
        to.send(answers)


def _address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def _routes(number: int, method: str) -> bytes:
    route = [
        {"destination": {"host": f"s{number}", "subset": subset}, "weight": 50}
        for subset in ("v1", "v2")
    ]
    http = [{"match": [{"method": {"exact": method}}], "route": route}]
    return resource("VirtualService", f"shop/s{number}", {"hosts": [f"s{number}"], "http": http})


def _rule(number: int) -> bytes:
    subsets = [{"name": subset, "labels": {"version": subset}} for subset in ("v1", "v2")]
    return resource(
        "DestinationRule", f"shop/s{number}", {"host": f"s{number}", "subsets": subsets}
    )


def churn() -> Iterator[Row]:
    """A controller over 10,000 services whose endpoints change 50 times a second."""
    count = 10_000
    reports: list[PassReport] = []

    def observe(event: ControllerEvent) -> None:
        if isinstance(event, PassReport):
            reports.append(event)

    with tempfile.TemporaryDirectory() as folder, _server(_serve_api, (count, folder)) as server:
        kubeconfig = Path(server.recv())
        source = KubernetesSource(lambda: connect(kubeconfig))
        controller = Controller(mesh.pipeline(), [source], MemorySink(), observer=observe)
        stop = threading.Event()
        running = threading.Thread(target=controller.run, args=(stop,))
        running.start()
        while not any(report.first for report in reports):
            time.sleep(0.2)
        time.sleep(2)  # what the first pass left behind
        written = sum(len(report.written) for report in reports)
        began, start = time.monotonic(), time.process_time()
        server.send("go")
        server.recv()
        share = (time.process_time() - start) / (time.monotonic() - began)
        written = sum(len(report.written) for report in reports) - written
        stop.set()
        running.join()
    what = f"{_RATE} EndpointSlices a second among {count:,} services of {_ENDPOINTS} endpoints"
    figure = f"{share:.1%} of a core, {written} writes"
    yield Row(what=what, figure=figure, aim="3 % and none")


def _serve_api(given: tuple[int, str], to: Connection) -> None:
    count, folder = given
    with FakeApi() as api:
        for number in range(count):
            content = mesh.service(number).content
            metadata = {**content["metadata"], "resourceVersion": str(number + 1)}
            body = {**content, "metadata": metadata}
            api.put("services", f"app-{number}", raw=json.dumps(body).replace("%", "%%"))
            _put_endpoints(api, number, 0)
        to.send(str(api.kubeconfig(Path(folder))))
        to.recv()
        began = time.monotonic()
        for turn in range(_RATE * _SECONDS):
            _put_endpoints(api, turn * 7919 % count, turn + 1)
            time.sleep(max(0.0, began + (turn + 1) / _RATE - time.monotonic()))
        to.send("done")


def _put_endpoints(api: FakeApi, number: int, turn: int) -> None:
    """The endpoints of a service, a ninth of them not ready."""
    endpoints = [
        {
            "addresses": [_address(number * _ENDPOINTS + each)],
            "conditions": {"ready": (each + turn) % 9 != 0, "serving": True},
            "targetRef": {"kind": "Pod", "name": f"app-{number}-{each}"},
            "nodeName": "node",
        }
        for each in range(_ENDPOINTS)
    ]
    fields = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 9000}]}
    raw = '{"metadata":%(metadata)s,' + json.dumps(fields).removeprefix("{")
    namespace = mesh.service(number).ref.namespace
    labels = {"kubernetes.io/service-name": f"app-{number}"}
    api.put("endpointslices", f"app-{number}", raw=raw, namespace=namespace, labels=labels)


@contextmanager
def _server(run: Callable[[Any, Connection], None], given: Any) -> Iterator[Connection]:
    """A process that serves while a ``with`` lasts."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run, args=(given, there))
    process.start()
    there.close()  # so that the end of the process is the end of the pipe
    try:
        yield here
    finally:
        process.kill()
        process.join()
