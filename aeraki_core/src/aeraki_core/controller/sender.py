"""Small writes beside the filters (statuses, Events), in a thread of their own.

The controller never waits for them. Each value has a key, and a newer value takes the place of one
that was not sent yet. What may succeed later is tried again; what may not is logged.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from aeraki_core.kube.backoff import Backoff
from aeraki_core.kube.errors import NotSentError, RequestError

__all__ = ["Sender"]

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_LOG_EVERY = 60.0  # seconds


class Sender(Generic[K, V]):
    """``send`` gets a key and its value, and may raise RequestError.

    At most ``most`` values wait.
    """

    def __init__(self, name: str, send: Callable[[K, V], None], *, most: int = 10_000) -> None:
        self._name = name
        self._send = send
        self._most = most
        self._waiting: dict[K, V] = {}
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._backoff = Backoff(0.5, 30.0)
        self._quiet_until = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Send nothing more. What is being sent has ``timeout`` seconds to end."""
        with self._changed:
            self._stopped.set()
            self._waiting.clear()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def put(self, key: K, value: V) -> None:
        """Send this, in place of what waits for the key."""
        with self._changed:
            if key in self._waiting or len(self._waiting) < self._most:
                self._waiting[key] = value
                self._changed.notify()
                return
        self._complain("%s: too many at once; some are left out", self._name)

    def drop(self, key: K) -> None:
        """Send nothing for the key."""
        with self._changed:
            self._waiting.pop(key, None)

    def clear(self) -> None:
        """Send nothing of what waits."""
        with self._changed:
            self._waiting.clear()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                while not self._waiting and not self._stopped.is_set():
                    self._changed.wait()
                if self._stopped.is_set():
                    return
                key = next(iter(self._waiting))
                value = self._waiting.pop(key)
            if not self._try(key, value):
                self._stopped.wait(self._backoff.next())

    def _try(self, key: K, value: V) -> bool:
        """Report whether the next request may be sent at once."""
        try:
            self._send(key, value)
        except NotSentError:
            return True  # another replica leads and sends it
        except RequestError as error:
            self._complain("%s: %s: %s", self._name, key, error)
            if not error.retry:
                return True
            with self._changed:
                if not self._stopped.is_set():
                    self._waiting.setdefault(key, value)
            return False
        except Exception:
            log.warning("%s: %s failed", self._name, key, exc_info=True)
            return True
        self._backoff.reset()
        return True

    def _complain(self, message: str, *args: object) -> None:
        now = time.monotonic()
        level = logging.WARNING if now >= self._quiet_until else logging.DEBUG
        if level == logging.WARNING:
            self._quiet_until = now + _LOG_EVERY
        log.log(level, message, *args)
