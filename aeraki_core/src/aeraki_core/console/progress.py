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

__all__ = ["progress"]

_LONG = 1.0  # seconds after which somebody wonders
_INTERVAL = 0.5
_ERASE = "\x1b[K"


@contextmanager
def progress(what: str, *, typed: bool = False) -> Iterator[None]:
    """Show ``what`` and for how long, while the block takes long and a person looks.

    ``typed``: it waits for standard input; nothing is shown if the user types that on the same
    terminal.
    """
    if not _is_seen() or (typed and sys.stdin.isatty()):
        yield
        return
    done = threading.Event()
    showing = threading.Thread(target=_show, args=(what, done), name="progress", daemon=True)
    showing.start()
    try:
        yield
    finally:
        done.set()
        showing.join()


def _is_seen() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _show(what: str, done: threading.Event) -> None:
    start = time.monotonic()
    if done.wait(_LONG):
        return
    while True:
        # The cursor stays at the line's start, so that another message is written over the line.
        sys.stderr.write(f"{_ERASE}{what}, {time.monotonic() - start:.0f} s\r")
        sys.stderr.flush()
        if done.wait(_INTERVAL):
            break
    sys.stderr.write(_ERASE)
    sys.stderr.flush()
