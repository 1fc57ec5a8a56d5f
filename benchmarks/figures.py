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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from aeraki_core.console.page.content import PageContent, page_row, shown_first
from aeraki_core.console.page.render import render

from benchmarks import bare, mesh
from benchmarks.churn import churn, long_churn
from benchmarks.cluster import cluster, large_cluster
from benchmarks.istiod import istiod, large_istiod, large_istiod_sidecars
from benchmarks.live_weights import live_weights
from benchmarks.processes import peak_kilobytes, result_of
from benchmarks.runner import Benchmark
from benchmarks.sources import pushes
from benchmarks.table import Floor, Row

SAMPLES = Path(__file__).resolve().parent.parent / "deploy" / "samples"
_SERVICES = 5_000
_IN_FILES = 6_000
_AERAKI = Path(sys.executable).parent / "aeraki"
# As after an installation: the first run leaves compiled modules to the next.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
# In a small process, because the peak of a child begins with the memory of its parent.
_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
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
    """One changed VirtualService to the changed filter."""
    _change(100)  # what is imported when it is first used
    floor = _change(100)
    for count, aim in ((1_000, ""), (10_000, "at most twice")):
        seconds = _change(count)
        yield Row(
            what=f"one change among {count:,}",
            figure=f"{seconds * 1000:.2f} ms",
            floor=Floor("one among 100", seconds / floor),
            aim=aim,
        )


def _change(count: int) -> float:
    """Seconds of CPU for a change among so many services, median of 200."""
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
    return statistics.median(times)


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


@dataclass(frozen=True)
class _Spent:
    """The CPU seconds of a process, and its peak memory."""

    seconds: float
    megabytes: float


def _spent(*command: str | Path, runs: int = 6) -> _Spent:
    """Return the medians of several runs of a command, after a warm-up."""
    spent = []
    for _ in range(runs + 1):
        done = subprocess.run(
            (sys.executable, "-c", _MEASURE, *command),
            check=True,
            capture_output=True,
            text=True,
            env=_ENVIRONMENT,
        )
        seconds, kilobytes = done.stdout.split()
        spent.append(_Spent(float(seconds), int(kilobytes) / 1024))
    return _Spent(
        statistics.median(each.seconds for each in spent[1:]),
        statistics.median(each.megabytes for each in spent[1:]),
    )


def startup() -> Iterator[Row]:
    """The command line as a process."""
    python = _spent(sys.executable, "-c", "pass")
    sample = SAMPLES / "dubbo"
    for what, arguments, aim in (
        ("aeraki --help", ("--help",), "0.15 s"),
        ("aeraki generate, one sample", ("generate", "-f", sample), "0.5 s"),
    ):
        spent = _spent(_AERAKI, *arguments)
        yield Row(
            what=what,
            figure=f"{spent.seconds:.2f} s CPU",
            floor=Floor("an empty Python", spent.seconds / python.seconds),
            aim=aim,
        )


def files() -> Iterator[Row]:
    """Commands over a repository of 10,000 files: parsing, pipeline and output."""
    with tempfile.TemporaryDirectory() as folder:
        count = 0
        for item in mesh.objects(_IN_FILES):
            text = yaml.dump(dict(item.content), Dumper=yaml.CSafeDumper)
            Path(folder, f"{count}.yaml").write_text(text)
            count += 1
        reading = _spent(sys.executable, "-c", _READ_YAML, folder, runs=1)
        for command in ("generate", "validate"):
            spent = _spent(_AERAKI, command, "-f", folder, runs=2)
            yield Row(
                what=f"aeraki {command}, {count:,} files with {_IN_FILES:,} services",
                figure=f"{spent.seconds:.1f} s CPU, {spent.megabytes:.0f} MB",
                floor=Floor("reading the YAML", spent.seconds / reading.seconds),
                aim="3 s, 100 MB",
            )


def page() -> Iterator[Row]:
    """The page of a mesh of 2,000 service ports, with all their routes."""
    pipeline = mesh.pipeline()
    for item in mesh.objects(2_000):
        pipeline.upsert(item)
    pipeline.run()
    start = time.process_time()
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
    seconds = time.process_time() - start
    yield Row(what="page of 2,000 services", figure=f"{seconds:.2f} s CPU", aim="2 s")
    yield Row(what="its size", figure=f"{len(document) / 1e6:.1f} MB")


BENCHMARKS = {
    "generation": Benchmark(measure=generation),
    "change": Benchmark(measure=change),
    "memory": Benchmark(measure=memory),
    "startup": Benchmark(measure=startup),
    "files": Benchmark(measure=files),
    "page": Benchmark(measure=page),
    "pushes": Benchmark(measure=pushes),
    "churn": Benchmark(measure=churn, needs_rig=True, limit=600),
    "istiod": Benchmark(measure=istiod, needs_rig=True, limit=600),
    "cluster": Benchmark(measure=cluster, needs_rig=True, limit=900),
    "live-weights": Benchmark(measure=live_weights, needs_rig=True, is_long=True, limit=1200),
    "large-istiod": Benchmark(measure=large_istiod, needs_rig=True, is_long=True, limit=1200),
    "large-istiod-sidecars": Benchmark(
        measure=large_istiod_sidecars, needs_rig=True, is_long=True, limit=1200
    ),
    "large-cluster": Benchmark(measure=large_cluster, needs_rig=True, is_long=True, limit=3600),
    "long-churn": Benchmark(measure=long_churn, needs_rig=True, is_long=True, limit=1800),
}
"""By name. Those that run without a name take 12 minutes on two idle cores."""
