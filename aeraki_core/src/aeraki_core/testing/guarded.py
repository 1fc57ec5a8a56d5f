"""Plugins whose hooks run under a guard: for deadlines, and for what a hook must not touch.

A guard is a context manager that is entered for each call of a hook. Generators are consumed
inside, so that lazy code is guarded too.
"""

from __future__ import annotations

import copy
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import islice
from types import FrameType
from typing import Any

from aeraki_core.plugins.dispatch import MAX_PATCHES
from aeraki_core.plugins.registry import Registry

__all__ = ["DeadlineError", "Guard", "deadline", "guarded"]

Guard = Callable[[str], AbstractContextManager[None]]
"""Gets the hook's name."""


class DeadlineError(BaseException):
    """A hook takes too long. No Exception, so that a plugin does not catch it by accident."""


def guarded(registry: Registry, guard: Guard) -> Registry:
    """Return the plugins with every hook behind the guard."""
    implementations = {}
    for plugin, hooks in registry.implementations.items():
        implementations[plugin] = dict(hooks)
        for name, implementation in hooks.items():
            wrapped = copy.copy(implementation)
            # The only way to pluggy's value with the same parameters and another function.
            object.__setattr__(wrapped, "function", _behind(guard, name, implementation.function))
            implementations[plugin][name] = wrapped
    return replace(registry, implementations=implementations)


def _behind(guard: Guard, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        with guard(name):
            answer = function(*arguments)
            # One more than the dispatcher accepts, so that it reports too many.
            return list(islice(answer, MAX_PATCHES + 1)) if isinstance(answer, Iterator) else answer

    return call


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
