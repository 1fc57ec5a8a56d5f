"""Logs which plugin's code does not return, and where it is.

Without it a hook that loops looks like a controller with nothing to do: the process lives, the log
is empty, and no filter changes. The watchdog cannot end the hook, but it names the plugin and shows
the line, which its author needs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aeraki_core.model.plugin_calls import PLUGIN_CALLS, PluginCall

__all__ = ["watching"]

log = logging.getLogger(__name__)

_LOOK_EVERY = 1.0  # seconds
_AGAIN_AFTER = 60.0  # seconds until a call that still runs is logged again


@contextmanager
def watching(every: float = _LOOK_EVERY) -> Iterator[None]:
    """Watch the plugins' calls in a thread, until the block is left."""
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(stop, every), name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _watch(stop: threading.Event, every: float) -> None:
    logged: dict[PluginCall, float] = {}
    while not stop.wait(every):
        stuck = PLUGIN_CALLS.stuck()
        logged = {call: seconds for call, seconds in logged.items() if call in stuck}
        for call in stuck:
            if call not in logged or call.seconds >= logged[call] + _AGAIN_AFTER:
                logged[call] = call.seconds
                log.error(
                    "AER0408 %s and everything waits for it; it is at\n%s", call, call.stack()
                )
