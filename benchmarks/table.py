"""Figures beside their aims, and beside a floor where there is one.

Seconds depend on the machine and on its other work. A floor is the least that anybody could need
for the same, measured in the same run, so the ratio to it compares with that of another machine.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.rig.build import ISTIO_PROXY_VERSION, ISTIO_VERSION, KUBERNETES_VERSION

__all__ = ["Floor", "Row", "circumstances", "duration", "show"]

_COLUMNS = ("what", "figure", "of the floor", "aim")
_WIDTH = 100
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Floor:
    """What the least is, and how many times that the figure is."""

    name: str
    times: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure."""

    what: str
    figure: str
    floor: Floor | None = None
    aim: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The columns as text."""
        floor = f"{self.floor.times:.1f} x {self.floor.name}" if self.floor is not None else ""
        return self.what, self.figure, floor, self.aim


def circumstances() -> str:
    """Return the machine, the date and the versions that the figures depend on."""
    now = datetime.now(UTC)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"Measured on {now.day} {now:%B %Y, %H:%M} UTC on {os.cpu_count()} cores of {_processor()}"
        f" with {memory:.0f} GB, load {os.getloadavg()[0]:.1f} at the start: Aeraki"
        f" {version('aeraki_core')} (commit {_commit()}), Python {platform.python_version()},"
        f" protobuf {version('protobuf')}, Istio {ISTIO_PROXY_VERSION} ({ISTIO_VERSION}),"
        f" Kubernetes {KUBERNETES_VERSION}."
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _commit() -> str:
    command = ("git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--exclude", "*")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def duration(seconds: float) -> str:
    """Return a time as text, such as ``1 min 5 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def show(rows: Iterable[Row], heading: str, *, markdown: bool) -> None:
    """Print the table below a heading; as Markdown to paste into docs/internals/figures.md."""
    print(textwrap.fill(heading, _WIDTH), end="\n\n")
    if markdown:
        print("\n".join(_markdown(rows)))
        return
    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*row.cells)
    Console().print(table)


def _markdown(rows: Iterable[Row]) -> Iterator[str]:
    for cells in (_COLUMNS, *(row.cells for row in rows)):
        # A cell is one line, and only the table's own bars part its columns.
        texts = (" ".join(cell.split()).replace("|", r"\|") for cell in cells)
        yield f"| {' | '.join(texts)} |"
        if cells is _COLUMNS:
            yield "|---" * len(_COLUMNS) + "|"
