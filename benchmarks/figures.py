"""Each benchmark as a function that returns rows of the table."""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import yaml
from aeraki_core.console.page.content import PageContent, page_row, shown_first
from aeraki_core.console.page.render import render

from benchmarks import bare, mesh
from benchmarks.cluster import cluster, large_cluster
from benchmarks.controlled import peak_kilobytes
from benchmarks.istiod import istiod, large_istiod
from benchmarks.live_weights import live_weights
from benchmarks.sources import churn, pushes
from benchmarks.table import Floor, Row

SAMPLES = Path(__file__).resolve().parent.parent / "deploy" / "samples"
_SERVICES = 5_000
_AERAKI = Path(sys.executable).parent / "aeraki"
_READ_YAML = """
import pathlib, sys, yaml
for path in pathlib.Path(sys.argv[1]).iterdir():
    yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
"""


def generation() -> list[Row]:
    """Measure detection, generators and arrangement of a whole mesh; best of three runs.

    The services are in the store already.
    """
    times = []
    pipeline = mesh.pipeline()
    for _ in range(3):
        pipeline = mesh.pipeline()
        for item in mesh.objects(_SERVICES):
            pipeline.upsert(item)
        gc.collect()
        start = time.process_time()
        pipeline.run()
        times.append(time.process_time() - start)
    return [
        Row(
            what=f"generation, services a second and core ({_SERVICES:,})",
            figure=f"{_SERVICES / min(times):,.0f}",
            floor=Floor("bare messages", min(times) / bare.seconds_for(pipeline)),
            aim="10,000",
        )
    ]


def change() -> list[Row]:
    """One changed VirtualService to the changed filter, median of 200."""
    medians: dict[int, float] = {}
    for count in (100, 1_000, 10_000):
        pipeline = mesh.pipeline()
        for item in mesh.objects(count):
            pipeline.upsert(item)
        pipeline.run()
        gc.collect()
        times = []
        for turn in range(200):
            item = mesh.virtual_service(turn * 15 % count // 15 * 15, f"m{turn}")
            start = time.process_time()
            pipeline.upsert(item)
            done = pipeline.run()
            times.append(time.process_time() - start)
            if done.calls != 1:
                raise RuntimeError(f"one change ran {done.calls} generators")
        medians[count] = statistics.median(times)
    return [
        Row(
            what=f"one change among {count:,}",
            figure=f"{value * 1000:.2f} ms",
            floor=Floor("one among 100", value / medians[100]),
            aim="at most twice" if count == 10_000 else "",
        )
        for count, value in medians.items()
    ]


def _resident(count: int, reply: multiprocessing.SimpleQueue[int]) -> None:
    pipeline = mesh.pipeline()
    for item in mesh.objects(count):
        pipeline.upsert(item)
    pipeline.run()
    reply.put(peak_kilobytes())


def memory() -> list[Row]:
    """Peak resident memory of a process that holds the mesh; the floor holds none."""
    megabytes: dict[int, float] = {}
    for count in (0, 1_000, 10_000):
        context = multiprocessing.get_context("spawn")
        reply: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
        process = context.Process(target=_resident, args=(count, reply))
        process.start()
        megabytes[count] = reply.get() / 1024
        process.join()
    return [
        Row(
            what=f"peak memory at {count:,} services",
            figure=f"{megabytes[count]:.0f} MB",
            floor=Floor("no service", megabytes[count] / megabytes[0]),
            aim=aim,
        )
        for count, aim in ((1_000, "100 MB"), (10_000, "200 MB"))
    ]


def _seconds(*command: str | Path) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _command(what: str, *arguments: str | Path, floor: Floor, aim: str = "") -> Row:
    """``floor.times``: its seconds."""
    seconds = _seconds(_AERAKI, *arguments)
    times = seconds / floor.times
    return Row(what=what, figure=f"{seconds:.2f} s", floor=Floor(floor.name, times), aim=aim)


def startup() -> list[Row]:
    """The command line as a process, median of six after a warm-up."""
    floor = Floor("an empty Python", _seconds(sys.executable, "-c", "pass"))
    sample = SAMPLES / "dubbo"
    return [
        _command("aeraki --help", "--help", floor=floor, aim="0.15 s"),
        _command("aeraki generate, one sample", "generate", "-f", sample, floor=floor, aim="0.5 s"),
    ]


def files() -> list[Row]:
    """`aeraki generate` over 1,000 services as YAML files: parsing, pipeline and output."""
    with tempfile.TemporaryDirectory() as folder:
        for number, item in enumerate(mesh.objects(1_000)):
            Path(folder, f"{number}.yaml").write_text(yaml.safe_dump(dict(item.content)))
        floor = Floor("reading the YAML", _seconds(sys.executable, "-c", _READ_YAML, folder))
        what = "aeraki generate, 1,000 services in files"
        return [_command(what, "generate", "-f", folder, floor=floor)]


def page() -> list[Row]:
    """The page of a mesh of 2,000 service ports, with all their routes."""
    pipeline = mesh.pipeline()
    for item in mesh.objects(2_000):
        pipeline.upsert(item)
    pipeline.run()
    begin = time.perf_counter()
    shown = shown_first(pipeline.reports())
    content = PageContent(
        title="Mesh",
        facts=(),
        ports=[page_row(pipeline, report) for report in shown],
        filters=len(pipeline.filters),
        more_ports=0,
        silent_ports=0,
        findings=pipeline.findings(),
        writes=(),
        plugins=pipeline.registry.plugins,
        docs_url="",
        at=datetime.now(UTC),
    )
    document = render(content)
    seconds = time.perf_counter() - begin
    return [
        Row(what="page of 2,000 services", figure=f"{seconds:.2f} s", aim="2 s"),
        Row(what="its size", figure=f"{len(document) / 1e6:.1f} MB"),
    ]


ALL: dict[str, Callable[[], list[Row]]] = {
    "generation": generation,
    "change": change,
    "memory": memory,
    "startup": startup,
    "files": files,
    "page": page,
    "pushes": pushes,
    "churn": churn,
    "istiod": istiod,
    "cluster": cluster,
}
"""What runs without a name: 15 minutes at most."""

LONG: dict[str, Callable[[], list[Row]]] = {
    "live-weights": live_weights,
    "large-istiod": large_istiod,
    "large-cluster": large_cluster,
}
"""What takes so long that it runs only by its name."""

ON_CLUSTER = {"istiod", "cluster"}
"""Those that need the rig."""
