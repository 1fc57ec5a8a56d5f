"""The one place where the rig and its tests wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from .errors import WaitTimeoutError

T = TypeVar("T")


def wait_until(
    predicate: Callable[[], T],
    timeout: float,
    what: str,
    *,
    interval: float = 0.03,
    swallow: tuple[type[Exception], ...] = (),
    seen: Callable[[], object] | None = None,
) -> T:
    """Calls `predicate` until its answer is true, and returns that answer.

    Args:
        predicate: is asked again and again, the last time after the timeout.
        timeout: seconds.
        what: what is awaited, for the error message: ``"istiod to be ready"``.
        interval: seconds between two questions.
        swallow: exceptions of `predicate` that mean "not yet".
        seen: is asked after the timeout for what to show in the error message.

    Raises:
        WaitTimeoutError: `predicate` did not become true in time.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    last: object = None
    while True:
        late = time.monotonic() >= deadline
        try:
            answer = predicate()
            if answer:
                return answer
            last = answer
        except swallow as error:
            last = error
        if late:
            shown = seen() if seen is not None else last
            raise WaitTimeoutError(f"waited {timeout:g} s for {what}; seen last: {shown!s:.4000}")
        pause.wait(interval)
