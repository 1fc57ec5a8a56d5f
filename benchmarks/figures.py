"""Each benchmark as a function that returns rows of (what, figure, aim)."""

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

from benchmarks import mesh
from benchmarks.cluster import cluster
from benchmarks.controlled import peak_kilobytes
from benchmarks.sources import churn, pushes

Row = tuple[str, str, str]

SAMPLES = Path(__file__).resolve().parent.parent / "deploy" / "samples"


def generation() -> list[Row]:
    """Measure detection, generators and arrangement of a whole mesh; best of three runs.

    The services are in the store already.
    """
    rates = []
    for _ in range(3):
        pipeline = mesh.pipeline()
        for item in mesh.objects(5000):
            pipeline.upsert(item)
        gc.collect()
        start = time.process_time()
        done = pipeline.run()
        rates.append(len(done.generated) / (time.process_time() - start))
    return [("generation, services a second and core (5,000)", f"{max(rates):,.0f}", "5,000")]


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
    rows = [
        (f"one change among {count:,}", f"{value * 1000:.2f} ms", "")
        for count, value in medians.items()
    ]
    return [*rows, ("10,000 against 100", f"{medians[10_000] / medians[100]:.2f}", "at most 2")]


def _resident(count: int, reply: multiprocessing.SimpleQueue[int]) -> None:
    pipeline = mesh.pipeline()
    for item in mesh.objects(count):
        pipeline.upsert(item)
    pipeline.run()
    reply.put(peak_kilobytes())


def memory() -> list[Row]:
    """Peak resident memory of a process that holds the mesh."""
    rows = []
    for count, aim in ((1_000, ""), (10_000, "200 MB")):
        context = multiprocessing.get_context("spawn")
        reply: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
        process = context.Process(target=_resident, args=(count, reply))
        process.start()
        rows.append((f"peak memory at {count:,} services", f"{reply.get() / 1024:.0f} MB", aim))
        process.join()
    return rows


def _seconds(*arguments: str) -> float:
    aeraki = Path(sys.executable).parent / "aeraki"
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([aeraki, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def startup() -> list[Row]:
    """The command line as a process, median of six after a warm-up."""
    return [
        ("aeraki --help", f"{_seconds('--help'):.2f} s", "0.15 s"),
        (
            "aeraki generate, one sample",
            f"{_seconds('generate', '-f', str(SAMPLES / 'dubbo')):.2f} s",
            "0.5 s",
        ),
    ]


def files() -> list[Row]:
    """`aeraki generate` over 1,000 services as YAML files: parsing, pipeline and output."""
    with tempfile.TemporaryDirectory() as folder:
        for number, item in enumerate(mesh.objects(1_000)):
            Path(folder, f"{number}.yaml").write_text(yaml.safe_dump(dict(item.content)))
        return [
            (
                "aeraki generate, 1,000 services in files",
                f"{_seconds('generate', '-f', folder):.2f} s",
                "",
            )
        ]


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
        ("page of 2,000 services", f"{seconds:.2f} s", "2 s"),
        ("its size", f"{len(document) / 1e6:.1f} MB", ""),
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
    "cluster": cluster,
}
