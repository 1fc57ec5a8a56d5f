"""Deadlines for a plugin's code.

A guard is a context manager that is entered for each call of a hook, of a model and of a kind's
functions. The dispatcher takes what a hook yields inside, so lazy code is guarded too.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from aeraki_core.model.plugin_calls import Guard

__all__ = ["DeadlineError", "deadline"]


class DeadlineError(BaseException):
    """A hook takes too long. No Exception, so that a plugin does not catch it by accident."""


def deadline(seconds: float) -> Guard:
    """Return a guard that ends a hook after some seconds of wall time.

    It needs the main thread, which is the only one that gets signals; elsewhere nothing ends.
    """

    @contextmanager
    def guard(hook: str) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def end(_signal: int, _frame: FrameType | None) -> None:
            raise DeadlineError(f"{hook} takes longer than {seconds:g} s")

        before = signal.signal(signal.SIGALRM, end)
        # Repeat: an exception in a destructor or in a callback of the garbage collector is lost.
        left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        start = time.monotonic()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if left:
                # Somebody else's timer, such as that of pytest-timeout.
                left = max(left - (time.monotonic() - start), 0.001)
                signal.setitimer(signal.ITIMER_REAL, left, interval)

    return guard
