"""Figures beside their aims, and beside a floor where there is one.

Seconds depend on the machine and on its other work. A floor is the least that anybody could need
for the same, measured in the same run, so the ratio to it compares with that of another machine.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

__all__ = ["Floor", "Row", "machine", "show"]

_COLUMNS = ("what", "figure", "of the floor", "aim")


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


def machine() -> str:
    """Return what the figures were measured on."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{cores} cores of {_processor()}, Python {python}, load {load:.1f} at the start"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def show(rows: Iterable[Row], *, markdown: bool) -> None:
    """Print the table; as Markdown for docs/internals/figures.md."""
    if markdown:
        for cells in (_COLUMNS, ("---",) * len(_COLUMNS), *(row.cells for row in rows)):
            print(f"| {' | '.join(cells)} |")
        return
    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*row.cells)
    Console().print(table)
