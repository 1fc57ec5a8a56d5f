"""How `aeraki run` ends: at SIGINT or SIGTERM, and in time.

Python runs a signal's handler in the main thread, between two bytecodes. A signal that comes just
before that thread begins to wait does not wake it, so the handler would run with the next event, or
never. A thread of its own therefore reads the signals from a pipe (``signal.set_wakeup_fd``), which
is written whatever the main thread does. The same thread ends the process when the orderly end
takes too long.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from aeraki_core.errors import Interrupted

__all__ = ["interrupted_by_user", "stopped_by_signals"]

_IN_TIME = 4.0  # seconds; Kubernetes gives 15 by our chart, and people hardly more than five
_LAST_WORDS = 0.5  # seconds in which the last log line must be written

log = logging.getLogger("aeraki_core.controller")


@contextmanager
def stopped_by_signals(within: float = _IN_TIME) -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; a second signal ends the process at once.

    ``within`` seconds after the first the process ends whatever it waits for. That costs nothing:
    it may be killed at any point. Use it in the main thread, where Python handles signals.
    """
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            # Not Python's own handler: its KeyboardInterrupt would come up in the middle of
            # whatever is being ended.
            signal.signal(number, signal.SIG_DFL)

    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    woken_before = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    for number in before:
        signal.signal(number, handle)
    threading.Thread(
        target=_end_in_time,
        args=(signals, frozenset(before), stop, within),
        name="ending",
        daemon=True,
    ).start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        # Without a signal so far, the thread reads the end of the pipe and is done.
        os.close(wakeup)


def _end_in_time(
    signals: int, ending: frozenset[signal.Signals], stop: threading.Event, within: float
) -> None:
    """Set ``stop`` at the first signal; end the process at the second, or when time is up."""
    first = _next_signal(signals, ending, None)
    if first is None:
        os.close(signals)
        return
    stop.set()
    # This is a daemon thread: it is gone when the process ends before.
    deadline = time.monotonic() + within
    second = _next_signal(signals, ending, within)
    if second is not None:
        # The main thread waits for something, or the system's own handler would have ended it all.
        os._exit(128 + second)
    threading.Event().wait(max(0.0, deadline - time.monotonic()))
    # The reader of the log may be away, and then a write to it never returns.
    words = threading.Thread(target=_log_the_end, name="ending-log", daemon=True)
    words.start()
    words.join(_LAST_WORDS)
    os._exit(0)


def _next_signal(
    signals: int, ending: frozenset[signal.Signals], timeout: float | None
) -> int | None:
    """Return the next signal that ends the process; None after ``timeout`` seconds or the end."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([signals], [], [], left)[0]:
            return None
        number = os.read(signals, 1)
        if not number:
            return None
        if number[0] in ending:
            return number[0]


def _log_the_end() -> None:
    log.warning("ended although something still waits for an answer")
    sys.stderr.flush()


@contextmanager
def interrupted_by_user() -> Iterator[None]:
    """Raise :class:`~aeraki_core.errors.Interrupted` at Ctrl-C, which no plugin can cause.

    Outside the main thread, where Python handles no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
