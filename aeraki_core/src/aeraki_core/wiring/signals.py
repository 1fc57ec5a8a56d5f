"""How `aeraki run` ends: at a signal, and in time.

In: SIGINT or SIGTERM. Out: an event that is set; and the end of the process, also when something still waits for an answer then.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from aeraki_core.errors import Interrupted

__all__ = ["interrupted_by_user", "stopped_by_signals"]

_IN_TIME = 4.0  # seconds; Kubernetes gives 15 by our chart, and people hardly more than five

log = logging.getLogger("aeraki_core.controller")


@contextmanager
def stopped_by_signals(within: float = _IN_TIME) -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; a second signal ends the process at once, as if it had not been handled.

    ``within`` seconds after the first the process ends whatever it waits for. That costs nothing: it may be killed at any point.
    """
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            # Not Python's own handler: its KeyboardInterrupt would come up in the middle of whatever is being ended.
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in before:
        signal.signal(number, handle)
    threading.Thread(target=_end_in_time, args=(stop, within), name="ending", daemon=True).start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_in_time(stop: threading.Event, within: float) -> None:
    stop.wait()
    # A daemon thread: it is gone when the process ends before.
    threading.Event().wait(within)
    log.warning("ended although something still waits for an answer")
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def interrupted_by_user() -> Iterator[None]:
    """Ctrl-C raises :class:`~aeraki_core.errors.Interrupted` inside, which no plugin can be the cause of.

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
