"""A line about a long operation, on a terminal's stderr, rewritten in place and erased at the end.

In a pipe, and for quick operations, there is none.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Progress", "progress"]

_LONG = 1.0  # seconds after which somebody wonders
_INTERVAL = 0.5
_ERASE = "\x1b[K"


class Progress:
    """How far an operation is."""

    def __init__(self) -> None:
        self._done = self._total = 0

    def advance(self, done: int, total: int) -> None:
        """So many of all are done."""
        self._done, self._total = done, total

    def __str__(self) -> str:
        return f" {self._done:,} of {self._total:,}" if self._total else ""


@contextmanager
def progress(what: str, *, typed: bool = False) -> Iterator[Progress]:
    """Show ``what`` and for how long, while the block takes long and a person looks.

    ``typed``: it waits for standard input; nothing is shown if the user types that on the same
    terminal.
    """
    how_far = Progress()
    if not _is_seen() or (typed and sys.stdin.isatty()):
        yield how_far
        return
    done = threading.Event()
    showing = threading.Thread(
        target=_show, args=(what, how_far, done), name="progress", daemon=True
    )
    showing.start()
    try:
        yield how_far
    finally:
        done.set()
        showing.join()


def _is_seen() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _show(what: str, how_far: Progress, done: threading.Event) -> None:
    start = time.monotonic()
    if done.wait(_LONG):
        return
    while True:
        # The cursor stays at the line's start, so that another message is written over the line.
        sys.stderr.write(f"{_ERASE}{what}{how_far}, {time.monotonic() - start:.0f} s\r")
        sys.stderr.flush()
        if done.wait(_INTERVAL):
            break
    sys.stderr.write(_ERASE)
    sys.stderr.flush()
