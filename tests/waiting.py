"""The one place where tests and what they run wait for something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 4
"""How many times slower a machine may be that runs other things too."""


class WaitTimeoutError(Exception):
    """What was awaited did not happen in time; the message says what was seen last."""


def wait_until(
    predicate: Callable[[], T],
    timeout: float,
    what: str,
    *,
    interval: float = 0.02,
    swallow: tuple[type[Exception], ...] = (),
    seen: Callable[[], object] | None = None,
) -> T:
    """Calls `predicate` until its answer is true, and returns that answer.

    Args:
        predicate: is asked again and again, the last time after the timeout.
        timeout: seconds on a quiet machine; it waits `PATIENCE` times as long.
        what: what is awaited, for the error message: ``"istiod to be ready"``.
        interval: seconds between two questions.
        swallow: exceptions of `predicate` that mean "not yet"; the last is the error's cause.
        seen: is asked after the timeout for what to show in the error message.

    Raises:
        WaitTimeoutError: `predicate` did not become true in time.
    """
    limit = timeout * PATIENCE
    deadline = time.monotonic() + limit
    pause = threading.Event()
    cause: Exception | None = None
    while True:
        late = time.monotonic() >= deadline
        last: object
        try:
            answer = predicate()
            if answer:
                return answer
            last, cause = answer, None
        except swallow as error:
            last = cause = error
        if late:
            shown = seen() if seen is not None else last
            raise WaitTimeoutError(
                f"waited {limit:g} s for {what}; seen last: {shown!s:.4000}"
            ) from cause
        pause.wait(interval)
