"""Each benchmark as a function that yields rows of the table."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import yaml
from aeraki_core.console.page.content import PageContent, page_row, shown_first
from aeraki_core.console.page.render import render

from benchmarks import bare, mesh
from benchmarks.cluster import cluster, large_cluster
from benchmarks.istiod import istiod, large_istiod, large_istiod_sidecars
from benchmarks.live_weights import live_weights
from benchmarks.processes import peak_kilobytes, result_of
from benchmarks.runner import Benchmark
from benchmarks.sources import churn, pushes
from benchmarks.table import Floor, Row

SAMPLES = Path(__file__).resolve().parent.parent / "deploy" / "samples"
_SERVICES = 5_000
_AERAKI = Path(sys.executable).parent / "aeraki"
# As after an installation: the first run leaves compiled modules to the next.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
_READ_YAML = """
import pathlib, sys, yaml
for path in pathlib.Path(sys.argv[1]).iterdir():
    yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
"""


def generation() -> Iterator[Row]:
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
    yield Row(
        what=f"generation, services a second and core ({_SERVICES:,})",
        figure=f"{_SERVICES / min(times):,.0f}",
        floor=Floor("bare messages", min(times) / bare.seconds_for(pipeline)),
        aim="10,000",
    )


def change() -> Iterator[Row]:
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
        yield Row(
            what=f"one change among {count:,}",
            figure=f"{medians[count] * 1000:.2f} ms",
            floor=Floor("one among 100", medians[count] / medians[100]),
            aim="at most twice" if count == 10_000 else "",
        )


def _resident(count: int) -> int:
    pipeline = mesh.pipeline()
    for item in mesh.objects(count):
        pipeline.upsert(item)
    pipeline.run()
    return peak_kilobytes()


def memory() -> Iterator[Row]:
    """Peak resident memory of a process that holds the mesh; the floor holds none."""
    floor = result_of(_resident, 0)
    for count, aim in ((1_000, "100 MB"), (10_000, "200 MB")):
        kilobytes = result_of(_resident, count)
        yield Row(
            what=f"peak memory at {count:,} services",
            figure=f"{kilobytes / 1024:.0f} MB",
            floor=Floor("no service", kilobytes / floor),
            aim=aim,
        )


def _seconds(*command: str | Path) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=_ENVIRONMENT)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _command(what: str, *arguments: str | Path, floor: Floor, aim: str = "") -> Row:
    """``floor.times``: its seconds."""
    seconds = _seconds(_AERAKI, *arguments)
    times = seconds / floor.times
    return Row(what=what, figure=f"{seconds:.2f} s", floor=Floor(floor.name, times), aim=aim)


def startup() -> Iterator[Row]:
    """The command line as a process, median of six after a warm-up."""
    floor = Floor("an empty Python", _seconds(sys.executable, "-c", "pass"))
    sample = SAMPLES / "dubbo"
    yield _command("aeraki --help", "--help", floor=floor, aim="0.15 s")
    what = "aeraki generate, one sample"
    yield _command(what, "generate", "-f", sample, floor=floor, aim="0.5 s")


def files() -> Iterator[Row]:
    """`aeraki generate` over 1,000 services as YAML files: parsing, pipeline and output."""
    with tempfile.TemporaryDirectory() as folder:
        for number, item in enumerate(mesh.objects(1_000)):
            Path(folder, f"{number}.yaml").write_text(yaml.safe_dump(dict(item.content)))
        floor = Floor("reading the YAML", _seconds(sys.executable, "-c", _READ_YAML, folder))
        what = "aeraki generate, 1,000 services in files"
        yield _command(what, "generate", "-f", folder, floor=floor)


def page() -> Iterator[Row]:
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
    yield Row(what="page of 2,000 services", figure=f"{seconds:.2f} s", aim="2 s")
    yield Row(what="its size", figure=f"{len(document) / 1e6:.1f} MB")


BENCHMARKS = {
    "generation": Benchmark(measure=generation),
    "change": Benchmark(measure=change),
    "memory": Benchmark(measure=memory),
    "startup": Benchmark(measure=startup),
    "files": Benchmark(measure=files),
    "page": Benchmark(measure=page),
    "pushes": Benchmark(measure=pushes),
    "churn": Benchmark(measure=churn),
    "istiod": Benchmark(measure=istiod, needs_rig=True),
    "cluster": Benchmark(measure=cluster, needs_rig=True),
    "live-weights": Benchmark(measure=live_weights, needs_rig=True, is_long=True, limit=1200),
    "large-istiod": Benchmark(measure=large_istiod, needs_rig=True, is_long=True, limit=1200),
    "large-istiod-sidecars": Benchmark(
        measure=large_istiod_sidecars, needs_rig=True, is_long=True, limit=1200
    ),
    "large-cluster": Benchmark(measure=large_cluster, needs_rig=True, is_long=True, limit=3600),
}
"""By name. Those that run without a name take 12 minutes on two idle cores."""
