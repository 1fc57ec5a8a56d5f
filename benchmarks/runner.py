"""Run benchmarks one after the other, so that each keeps its figures whatever happens to another.

A row counts as soon as it is measured. A benchmark that raises, hangs or is interrupted adds a row
that says so, after the rows that it has.
"""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from textwrap import shorten
from types import FrameType

from benchmarks.table import Row, duration

__all__ = ["Benchmark", "Results", "measure"]

_REPEAT = 60.0
_REASON = 200  # characters in the table; the whole is on stderr


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What measures some rows.

    Args:
        measure: yields each row as soon as it is known.
        needs_rig: it needs a real API server and istiod.
        is_long: it runs only by its name.
        limit: the seconds after which it counts as hanging.
    """

    measure: Callable[[], Iterable[Row]]
    needs_rig: bool = False
    is_long: bool = False
    limit: float = 300.0


@dataclass
class Results:
    """All rows, the names of benchmarks that failed, and the seconds that all took."""

    rows: list[Row] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


class TooLongError(BaseException):
    """A benchmark hangs. No ``except Exception`` on the way may hide that."""


def measure(benchmarks: Mapping[str, Benchmark], obstacle: str | None) -> Results:
    """Run benchmarks.

    Args:
        benchmarks: by name.
        obstacle: why there is no rig; None where there is one.
    """
    results = Results()
    began = time.monotonic()
    for number, (name, benchmark) in enumerate(benchmarks.items(), 1):
        if benchmark.needs_rig and obstacle is not None:
            results.rows.append(Row(what=name, figure=f"left out: {obstacle}"))
            continue
        try:
            with _limited(benchmark.limit):
                for row in benchmark.measure():
                    results.rows.append(row)
                    elapsed = duration(time.monotonic() - began)
                    progress = f"[{number}/{len(benchmarks)} {name}, {elapsed}]"
                    print(f"{progress} {row.what}: {row.figure}", file=sys.stderr)
        except (Exception, TooLongError, KeyboardInterrupt) as error:  # noqa: BLE001 - in the table
            traceback.print_exc()
            results.failed.append(name)
            reason = shorten(str(error) or type(error).__name__, _REASON)
            results.rows.append(Row(what=name, figure=f"failed: {reason}"))
            if isinstance(error, KeyboardInterrupt):
                break
    results.seconds = time.monotonic() - began
    return results


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"took longer than {duration(seconds)}")

    before = signal.signal(signal.SIGALRM, stop)
    # An exception is lost where Python runs a callback of its garbage collector: ring again.
    signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
