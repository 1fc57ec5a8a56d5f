"""Which code of which plugin runs at this moment, and for how long.

A plugin's code runs inside the controller's own threads, so one call that does not return stops
everything behind it. Nothing can end such a call safely from outside, but it can be shown: each
call of a plugin's code is entered here. A watchdog, the metrics and the probes read the list.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

__all__ = ["PLUGIN_CALLS", "STUCK_AFTER", "Guard", "PluginCall", "PluginCalls"]

Guard = Callable[[str], AbstractContextManager[None]]
"""Entered for each call of a plugin's code; gets the hook, or what of a kind runs."""

STUCK_AFTER = 10.0
"""Seconds after which a call counts as stuck; a generator takes a few milliseconds."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PluginCall:
    """A call of a plugin's code that has not returned."""

    plugin: str
    """The plugin's name."""
    hook: str
    """The hook, or what of a kind runs, such as ``Kind.hosts``."""
    subject: object
    """What it is about: a service port or an object."""
    thread: int
    """The thread that runs it."""
    since: float
    """When it began, on the monotonic clock."""

    @property
    def seconds(self) -> float:
        """For how long it runs."""
        return time.monotonic() - self.since

    @property
    def stuck(self) -> bool:
        """Whether it runs for longer than any sound plugin needs."""
        return self.seconds >= STUCK_AFTER

    def stack(self) -> str:
        """Return the current place as a traceback; empty if the thread has ended."""
        frame = sys._current_frames().get(self.thread)  # noqa: SLF001 - the documented name
        return "" if frame is None else "".join(traceback.format_stack(frame))

    def __str__(self) -> str:
        return f"plugin {self.plugin}: {self.hook} for {self.subject} runs for {self.seconds:.0f} s"


class PluginCalls:
    """The calls that run now, of all threads."""

    def __init__(self) -> None:
        self._running: dict[int, PluginCall] = {}
        self._guard: Guard | None = None

    @contextmanager
    def guarded_by(self, guard: Guard) -> Iterator[None]:
        """Enter the guard for each call that begins in the block; for tests of plugins."""
        before, self._guard = self._guard, guard
        try:
            yield
        finally:
            self._guard = before

    @contextmanager
    def entered(self, plugin: str, hook: str, subject: object) -> Iterator[PluginCall]:
        """Note that a call runs, until the block is left."""
        thread = threading.get_ident()
        call = PluginCall(
            plugin=plugin, hook=hook, subject=subject, thread=thread, since=time.monotonic()
        )
        outer = self._running.get(thread)
        self._running[thread] = call
        try:
            if self._guard is None:
                yield call
            else:
                with self._guard(hook):
                    yield call
        finally:
            if outer is None:
                self._running.pop(thread, None)
            else:
                self._running[thread] = outer

    def running(self) -> tuple[PluginCall, ...]:
        """Return the calls that have not returned, the longest first. Any thread may ask."""
        return tuple(sorted(self._running.values(), key=lambda call: call.since))

    def stuck(self) -> tuple[PluginCall, ...]:
        """Return the calls that run for longer than :data:`STUCK_AFTER`, the longest first."""
        return tuple(call for call in self.running() if call.stuck)


PLUGIN_CALLS = PluginCalls()
"""The calls of this process."""
