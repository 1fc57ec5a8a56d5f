"""What a push of istiod costs the source that reads it, while little changes.

The server runs in a process of its own, so the CPU seconds here are the source's.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from aeraki_core.sources.events import Event, Upserted
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.source import IstiodSource

from benchmarks.table import Floor, Row
from tests.unit.core.sources.istiod.fake_istiod import GROUP, FakeIstiod, resource, service

_PUSHES = 10
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
