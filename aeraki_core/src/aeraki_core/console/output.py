"""The one module that prints. Data goes to stdout as it is; all else goes to stderr, escaped.

Colours only where a person looks: on a terminal, unless ``--no-color`` or ``NO_COLOR`` forbids
them, or anywhere with ``FORCE_COLOR``. A pipe gets the same bytes as a file.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

import click

from aeraki_core.findings.text import count, escape, finding_place, finding_subject

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding

__all__ = [
    "STDOUT",
    "clear_screen",
    "configure",
    "data",
    "debugs",
    "diff",
    "error",
    "finding_text",
    "findings",
    "lines",
    "note",
    "parts",
    "reserved",
    "structured",
    "style",
    "summary",
    "table",
    "traceback",
    "wants_color",
    "warning",
]

T = TypeVar("T")


@dataclass(slots=True)
class _State:
    no_color: bool = False
    debug: bool = False
    reserved: bool = False
    stdout: TextIO | None = None


_state = _State()
_SEVERITY_COLORS = {"error": "red", "warning": "yellow", "info": "cyan"}
_PIPE_WIDTH = 10_000  # no line is ever broken in a pipe
_EXCERPT_WIDTH = 200  # a longer line would hide the caret
STDOUT = "standard output"
"""How an error calls it when nothing can be written there."""


def configure(*, no_color: bool, debug: bool) -> None:
    """What the user asked of all output."""
    _state.no_color = no_color
    _state.debug = debug or os.environ.get("AERAKI_DEBUG", "") not in ("", "0", "false")


class _OutputOfPlugins:
    """Standard error for what a plugin prints; to close it has no effect."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Keep the stream open: the command's own messages go there too."""


@contextmanager
def reserved() -> Iterator[None]:
    """Meanwhile stdout is for what was asked for alone: what a plugin prints goes to stderr."""
    before, sys.stdout = sys.stdout, cast(TextIO, _OutputOfPlugins(sys.stderr))
    _state.reserved, _state.stdout = True, before
    try:
        yield
    finally:
        sys.stdout = before
        _state.reserved, _state.stdout = False, None


def _stdout() -> TextIO:
    """Return the stream for data.

    Raises:
        OSError: the process was started without one.
    """
    stream: TextIO | None = _state.stdout if _state.reserved else sys.stdout
    if stream is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), STDOUT)
    return stream


def debugs() -> bool:
    """Report whether tracebacks were requested."""
    return _state.debug


def wants_color(stream: TextIO) -> bool:
    """Report whether that stream gets colours."""
    if _state.no_color or os.environ.get("NO_COLOR"):
        return False
    force = os.environ.get("FORCE_COLOR")
    if force:
        return force != "0"
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def style(
    text: str, color: str | None = None, *, bold: bool = False, stream: TextIO | None = None
) -> str:
    """Return the text in that colour, if the stream (default: stdout) gets colours."""
    return (
        click.style(text, fg=color, bold=bold or None) if wants_color(stream or _stdout()) else text
    )


def data(text: str) -> None:
    """What was asked for, as it is and in UTF-8, with a newline at its end.

    Raises:
        OSError: it cannot be written; BrokenPipeError: its reader has gone.
    """
    parts([text if not text or text.endswith("\n") else f"{text}\n"])


def parts(texts: Iterable[str]) -> None:
    """What was asked for, in parts that need not all be there at once, as they are and in UTF-8.

    Raises:
        OSError: they cannot be written; BrokenPipeError: their reader has gone.
    """
    stream = _stdout()
    _write(stream.flush)
    for text in texts:
        rest = memoryview(text.encode())
        while rest:
            # With PYTHONUNBUFFERED a write may be partial, and Python itself would drop the
            # remainder.
            rest = rest[_write(partial(stream.buffer.write, rest)) or 0 :]
    _write(stream.buffer.flush)


def _write(write: Callable[[], T]) -> T:
    try:
        return write()
    except OSError as error:
        error.filename = STDOUT
        raise


def lines(texts: Iterable[str]) -> None:
    """What was asked for as lines, each escaped."""
    data("".join(f"{escape(text)}\n" for text in texts))


def clear_screen() -> None:
    """Begin at the top of an empty terminal; in a pipe nothing happens."""
    if _stdout().isatty():
        data("\x1b[H\x1b[2J\n")


def structured(content: object, form: str) -> None:
    """What was asked for as ``json`` or ``yaml``."""
    if form == "yaml":
        from aeraki_core.manifests.write import render_objects

        data(render_objects([content], sort_keys=False))
    else:
        import json

        # ASCII: JSON's own escapes keep bidirectional marks away from a terminal.
        data(json.dumps(content, indent=2))


def note(*lines: str) -> None:
    """Lines worth knowing that are not what was asked for."""
    for line in lines:
        _stderr(escape(line))


def _stderr(text: str) -> None:
    click.echo(text, err=True, color=True)


def warning(text: str) -> None:
    """Something that may not be as it was meant."""
    _stderr(f"{style('warning:', 'yellow', bold=True, stream=sys.stderr)} {escape(text)}")


def error(text: str) -> None:
    """Why it did not work: what, where, and what to do."""
    _stderr(f"{style('error:', 'red', bold=True, stream=sys.stderr)} {escape(text)}")


def traceback() -> None:
    """The traceback of the exception being handled, with ``--debug`` only."""
    if _state.debug:
        import traceback as module

        note(*module.format_exc().rstrip().splitlines())


def finding_text(finding: Finding, stream: TextIO | None = None) -> str:
    """Return a finding on two lines: place, severity, code, message and object; then what to do."""
    label, subject = finding.severity.label, finding_subject(finding)
    title = style(f"{label} {finding.code.id}", _SEVERITY_COLORS[label], bold=True, stream=stream)
    about = f" ({subject})" if subject else ""
    first = f"{finding_place(finding)}{title}: {escape(finding.message)}{about}"
    excerpt = _excerpt(finding) if _is_seen(stream or _stdout()) else ""
    return f"{first}\n{excerpt}    {finding.code.action}"


def _is_seen(stream: TextIO) -> bool:
    """Report whether a person reads the stream: a terminal, or ``FORCE_COLOR`` is set."""
    return stream.isatty() or os.environ.get("FORCE_COLOR", "0") != "0"


def _excerpt(finding: Finding) -> str:
    """Return the line of the file with a caret under the field; empty if it cannot be shown."""
    import linecache

    if not finding.source or not finding.line:
        return ""
    line = escape(linecache.getline(finding.source, finding.line).rstrip())
    if not line or len(line) > _EXCERPT_WIDTH:
        return ""
    field = re.sub(r"\[\d+\]$", "", finding.field or "").rpartition(".")[2]
    start = line.find(f"{field}:") if field else -1
    if start < 0:
        start, field = len(line) - len(line.lstrip(" -")), line.strip(" -")
    number, gutter = str(finding.line), " " * len(str(finding.line))
    caret = f"{' ' * start}{'^' * max(1, len(field))}"
    return f"  {number} | {line}\n  {gutter} | {caret}\n"


def findings(items: Iterable[Finding]) -> None:
    """Findings on stderr."""
    for item in items:
        _stderr(finding_text(item, sys.stderr))


def summary(items: Sequence[Finding]) -> str:
    """Count the findings of each severity, such as ``2 errors, 1 warning``; empty for none."""
    counts: dict[str, int] = {}
    for item in sorted(items, key=lambda item: -item.severity):
        label = item.severity.label
        counts[label] = counts.get(label, 0) + 1
    words = {"error": "error", "warning": "warning", "info": "note"}
    return ", ".join(count(number, words[label]) for label, number in counts.items())


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, colors: dict[str, str] | None = None
) -> str:
    """Return columns of text.

    ``colors`` returns the colour of a cell by its text. Lines are broken only on a terminal.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = _stdout()
    width = Console(file=stream).width if stream.isatty() else _PIPE_WIDTH
    grid = Table(
        box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="bold"
    )
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(escape(cell), style=(colors or {}).get(cell, "")) for cell in row))
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
    console.print(grid)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def diff(lines: Iterable[str]) -> None:
    """A unified diff on stdout."""
    colors = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        bold = line.startswith(("diff ", "--- ", "+++ "))
        data(style(escape(line), None if bold else colors.get(line[:1]), bold=bold) + "\n")
