"""The source ``istiod``: services and routes as istiod has them, from all its registries.

Every response is the full state of its type, so what differs from before is handed on (mirror.py).
After a broken stream nothing is handed on before every type has been answered again. A type that
suddenly has nothing is asked again after a while: an istiod that starts has nothing either.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aeraki_core.errors import AerakiError
from aeraki_core.findings.codes import ISTIOD_ALONE, ISTIOD_NOT_READ
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.backoff import Backoff
from aeraki_core.model.scope import EVERYWHERE, Scope
from aeraki_core.sources.chain import only_in
from aeraki_core.sources.events import (
    Emit,
    Event,
    Incomplete,
    Problems,
    Synced,
    Unsynced,
)
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.decode import TYPES
from aeraki_core.sources.istiod.mirror import ResourceMirror
from aeraki_core.sources.istiod.stream import XdsStream

if TYPE_CHECKING:
    from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse

__all__ = ["IstiodSource"]

_NAME = "istiod"
_log = logging.getLogger(__name__)
_STOP = 2.0
_PIECE = 500  # objects that are handed on together at the start


class IstiodSource:
    """The source ``istiod``.

    ``refresh_every``: seconds after which everything is asked for again (a changed annotation makes
    istiod send nothing); ``believe_empty``: seconds before a type that has become empty is asked
    again. ``scope``: the
    namespaces whose objects count; ``is_alone``: no other source has what istiod does not send.
    """

    name = _NAME

    def __init__(
        self,
        istiod: Istiod | Callable[[], Istiod],
        *,
        root_namespace: str = "istio-system",
        domain: str = "cluster.local",
        refresh_every: float = 300.0,
        believe_empty: float = 2.0,
        scope: Scope = EVERYWHERE,
        is_alone: bool = False,
    ) -> None:
        self._istiod = istiod
        self._root_namespace = root_namespace
        self._refresh_every = refresh_every
        self._believe_empty = believe_empty
        self._scope = scope
        self._is_alone = is_alone
        self._emit: Emit = lambda *events: None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._stream: XdsStream | None = None
        self._stale = False
        self._thread = threading.Thread(target=self._run, name="istiod", daemon=True)
        # All below belongs to the thread.
        self._mirror = ResourceMirror(_NAME, domain)
        self._synced_once = False
        self._state: Event | None = None

    def start(self, emit: Emit) -> None:
        """Begin to read, in a thread of its own.

        An istiod that does not answer is no error: it is tried again.
        """
        self._emit = only_in(self.name, self._scope)(emit)
        if self._is_alone:
            message = (
                "istiod sends no EnvoyFilters, WorkloadEntries and MetaRouters: what they "
                "change about the filters is not known"
            )
            self._emit(Problems(_NAME, "kinds", (Finding(ISTIOD_ALONE, message),)))
        self._thread.start()

    def stop(self) -> None:
        """End the stream and the thread, within two seconds."""
        self._stopped.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()
        if self._thread.is_alive():
            self._thread.join(_STOP)

    def refresh(self) -> None:
        """Ask for everything again: Unsynced at once, Synced when all has been answered."""
        with self._lock:
            if self._stream is not None:
                self._stale = True
                self._stream.close()  # a new stream begins with everything
            self._emit_state(Unsynced(_NAME, "everything is asked for again"))

    # Inside: all of it in the thread.

    def _run(self) -> None:
        backoff = Backoff(first=0.2, limit=10.0)
        while not self._stopped.is_set():
            session = _Session()
            reason = ""
            try:
                istiod = self._istiod() if callable(self._istiod) else self._istiod
                stream = XdsStream(istiod, self._root_namespace)
                with self._lock:
                    self._stream = stream
                self._follow(stream, session)
            except AerakiError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 -- a dead thread would leave it all stale
                _log.exception("reading from istiod")
                reason = f"{type(error).__name__}: {error}"
            finally:
                session.end()
                with self._lock:
                    broken, self._stream = self._stream, None
                    ended_by_us, self._stale = self._stale, False
                if broken is not None:
                    broken.close()
            if self._stopped.is_set():
                return
            if ended_by_us:
                continue  # refresh() has said why, and this is no outage
            if session.answered >= set(TYPES):
                backoff.reset()  # it worked; streams end now and then
            self._emit_state(Unsynced(_NAME, reason))
            if not session.answered:
                self._emit(_problems(reason))
            self._stopped.wait(backoff.next())

    def _follow(self, stream: XdsStream, session: _Session) -> None:
        for url in TYPES:
            stream.ask(url)
        asked = time.monotonic()
        for response in stream.responses():
            if self._stopped.is_set():
                return
            stream.acknowledge(response)
            url = response.type_url
            if url not in TYPES:
                continue
            if self._must_ask_again(url, response, session):
                session.later(self._believe_empty, lambda url=url: stream.ask(url))  # type: ignore[misc]
            # Under the lock: a stream that refresh() has ended must not report Synced after
            # refresh() reported Unsynced. The controller would read it as the fresh answer.
            with self._lock:
                if session.answered >= set(TYPES) and not self._stale:
                    self._emit_changes()
            if time.monotonic() - asked > self._refresh_every:
                asked = time.monotonic()
                for each in TYPES:
                    stream.ask(each)

    def _must_ask_again(self, url: str, response: DiscoveryResponse, session: _Session) -> bool:
        """Take one type's full state in, unless it is suddenly empty and that must be confirmed."""
        if not response.resources and self._mirror.holds(url):
            now = time.monotonic()
            first = url not in session.empty
            if now - session.empty.setdefault(url, now) < self._believe_empty:
                return first
        session.empty.pop(url, None)
        session.answered.add(url)
        if not self._synced_once:
            # The controller acts only after the first Synced, so the objects need not wait here for
            # each other.
            for start in range(0, len(response.resources), _PIECE):
                part = response.resources[start : start + _PIECE]
                self._mirror.receive(url, part, partial=True)
                self._hand_on(self._mirror.changes())
        self._mirror.receive(url, response.resources)
        return False

    def _emit_changes(self) -> None:
        """All types have been answered: hand on what differs."""
        events = self._mirror.changes()
        reason = self._mirror.unread
        synced = Synced(_NAME, None if reason is None else Incomplete(reason, words=None))
        if self._state != synced:
            self._state = synced
            events += [_problems(reason), synced]
        self._hand_on(events)
        self._synced_once = True

    def _hand_on(self, events: Sequence[Event]) -> None:
        if events:
            self._emit(*events)

    def _emit_state(self, event: Event) -> None:
        if event != self._state:
            self._state = event
            self._emit(event)


def _problems(message: str | None) -> Problems:
    return Problems(
        _NAME, "stream", () if message is None else (Finding(ISTIOD_NOT_READ, message),)
    )


class _Session:
    """What one stream has brought so far. ``empty``: types that became empty, and since when."""

    def __init__(self) -> None:
        self.answered: set[str] = set()
        self.empty: dict[str, float] = {}
        self._timers: list[threading.Timer] = []

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in a while, if the stream lives."""
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def end(self) -> None:
        """The stream is over."""
        for timer in self._timers:
            timer.cancel()
