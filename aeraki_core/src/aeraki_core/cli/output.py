"""The one module that prints. Data goes to stdout as it is; all else goes to stderr.

Colours only where a person looks: on a terminal, unless ``--no-color`` or ``NO_COLOR`` says otherwise, or anywhere with
``FORCE_COLOR``. What a pipe gets is byte for byte what a file gets.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from aeraki_core.diagnostics import Finding

__all__ = [
    "configure",
    "data",
    "debugs",
    "diff",
    "error",
    "finding_text",
    "findings",
    "note",
    "style",
    "summary",
    "table",
    "traceback",
    "wants_color",
    "warning",
]


@dataclass(slots=True)
class _State:
    no_color: bool = False
    debug: bool = False


_state = _State()
_SEVERITY_COLORS = {"error": "red", "warning": "yellow", "info": "cyan"}
_PIPE_WIDTH = 10_000  # no line is ever broken in a pipe


def configure(*, no_color: bool, debug: bool) -> None:
    """What the user asked of all output."""
    _state.no_color = no_color
    _state.debug = debug or os.environ.get("AERAKI_DEBUG", "") not in ("", "0", "false")


def debugs() -> bool:
    """Whether tracebacks were asked for."""
    return _state.debug


def wants_color(stream: TextIO) -> bool:
    """Whether colours go to that stream."""
    if _state.no_color or os.environ.get("NO_COLOR"):
        return False
    force = os.environ.get("FORCE_COLOR")
    if force:
        return force != "0"
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def style(text: str, color: str | None = None, *, bold: bool = False, stream: TextIO | None = None) -> str:
    """The text in that colour, where the stream (default: stdout) takes colours."""
    return click.style(text, fg=color, bold=bold or None) if wants_color(stream or sys.stdout) else text


def data(text: str) -> None:
    """What was asked for, as it is and in UTF-8, with a newline at its end."""
    rest = memoryview((text if not text or text.endswith("\n") else f"{text}\n").encode())
    sys.stdout.flush()
    while rest:
        # With PYTHONUNBUFFERED a write may take a part only, and Python itself would drop the remainder.
        rest = rest[sys.stdout.buffer.write(rest) or 0 :]
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Something worth knowing that is not what was asked for."""
    click.echo(text, err=True, color=True)


def warning(text: str) -> None:
    """Something that may not be as it was meant."""
    note(f"{style('warning:', 'yellow', bold=True, stream=sys.stderr)} {text}")


def error(text: str) -> None:
    """Why it did not work: what, where, and what to do."""
    note(f"{style('error:', 'red', bold=True, stream=sys.stderr)} {text}")


def traceback() -> None:
    """The traceback of the exception being handled, with ``--debug`` only."""
    if _state.debug:
        import traceback as module

        note(module.format_exc().rstrip())


def finding_text(finding: Finding, stream: TextIO | None = None) -> str:
    """A finding on two lines: place, severity, code, message and object; then what to do."""
    label = finding.severity.label
    place = f"{finding.source}{f':{finding.line}' if finding.line else ''}: " if finding.source else ""
    about = " ".join(part for part in (str(finding.ref or ""), finding.field or "") if part)
    title = style(f"{label} {finding.code.id}", _SEVERITY_COLORS[label], bold=True, stream=stream)
    first = f"{place}{title}: {finding.message}{f' ({about})' if about else ''}"
    return f"{first}\n    {finding.code.action}"


def findings(items: Iterable[Finding]) -> None:
    """Findings on stderr."""
    for item in items:
        note(finding_text(item, sys.stderr))


def summary(items: Sequence[Finding]) -> str:
    """How many findings of each severity, such as ``2 errors, 1 warning``; empty for none."""
    counts: dict[str, int] = {}
    for item in sorted(items, key=lambda item: -item.severity):
        label = item.severity.label
        counts[label] = counts.get(label, 0) + 1
    plural = {"error": "errors", "warning": "warnings", "info": "notes"}
    single = {"error": "error", "warning": "warning", "info": "note"}
    return ", ".join(f"{count} {(single if count == 1 else plural)[label]}" for label, count in counts.items())


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, colors: dict[str, str] | None = None) -> str:
    """Columns of text. ``colors`` gives the colour of a cell by its text; lines are broken only on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = sys.stdout
    width = Console(file=stream).width if stream.isatty() else _PIPE_WIDTH
    found = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        found.add_column(heading, overflow="fold")
    for row in rows:
        found.add_row(*(Text(cell, style=(colors or {}).get(cell, "")) for cell in row))
    buffer = io.StringIO()
    color = wants_color(stream)
    console = Console(
        file=buffer,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    console.print(found)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def diff(lines: Iterable[str]) -> None:
    """A unified diff on stdout."""
    colors = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        bold = line.startswith(("diff ", "--- ", "+++ "))
        data(style(line, None if bold else colors.get(line[:1]), bold=bold) + "\n")
