"""The source ``istiod``: services and routes as istiod has them, from all its registries.

In: where istiod is. Out: events. Every response is the full state of its type, so the difference to what was known is told; after a
broken stream nothing is told before every type has been answered again. A type that suddenly has nothing must say so again,
and not at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aeraki_core.errors import AerakiError
from aeraki_core.findings.codes import ISTIOD_NOT_READ
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.backoff import Backoff
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.scope import EVERYWHERE, Scope
from aeraki_core.sources.chain import only_in
from aeraki_core.sources.events import (
    Emit,
    Event,
    Incomplete,
    Problems,
    Removed,
    Synced,
    Unsynced,
    Upserted,
)
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.decode import TYPES, decode
from aeraki_core.sources.istiod.stream import XdsStream

if TYPE_CHECKING:
    from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse

__all__ = ["IstiodSource"]

_NAME = "istiod"
_log = logging.getLogger(__name__)
_STOP = 2.0


class IstiodSource:
    """The source ``istiod``.

    ``refresh_every``: seconds after which everything is asked for anew (a changed annotation makes istiod send nothing);
    ``believe_empty``: seconds before a type that has become empty is asked again. ``scope``: the
    namespaces whose objects count.
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
    ) -> None:
        self._istiod = istiod
        self._root_namespace = root_namespace
        self._domain = domain
        self._refresh_every = refresh_every
        self._believe_empty = believe_empty
        self._scope = scope
        self._emit: Emit = lambda *events: None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._stream: XdsStream | None = None
        self._stale = False
        self._thread = threading.Thread(target=self._run, name="istiod", daemon=True)
        # All below belongs to the thread.
        self._known: dict[str, dict[ObjectRef, SourceObject]] = {url: {} for url in TYPES}
        self._given: dict[ObjectRef, SourceObject] = {}
        self._unread: dict[str, str] = {}
        self._said: Event | None = None

    def start(self, emit: Emit) -> None:
        """Begin to read, in a thread of its own. An istiod that does not answer is no error: it is tried again."""
        self._emit = only_in(self.name, self._scope)(emit)
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
        """Ask for everything anew: Unsynced at once, Synced again when all has been answered."""
        with self._lock:
            if self._stream is not None:
                self._stale = True
                self._stream.close()  # a new stream begins with everything
            self._say(Unsynced(_NAME, "everything is asked for anew"))

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
                    self._stream, self._stale = stream, False
                self._follow(stream, session)
            except AerakiError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 -- a thread that dies in silence would leave the source stale for ever
                _log.exception("reading from istiod")
                reason = f"{type(error).__name__}: {error}"
            finally:
                session.end()
                with self._lock:
                    broken, self._stream = self._stream, None
                if broken is not None:
                    broken.close()
            if self._stopped.is_set():
                return
            if session.answered >= set(TYPES):
                backoff.reset()  # it worked; streams end now and then
            self._say(Unsynced(_NAME, reason))
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
            if url not in self._known:
                continue
            if self._take(url, response, session):
                session.later(self._believe_empty, lambda url=url: stream.ask(url))  # type: ignore[misc]
            # Under the lock: a stream that refresh() has ended must not say Synced after refresh() said Unsynced, for that would
            # pass for the fresh answer that was asked for.
            with self._lock:
                if session.answered >= set(TYPES) and not self._stale:
                    self._tell()
            if time.monotonic() - asked > self._refresh_every:
                asked = time.monotonic()
                for each in TYPES:
                    stream.ask(each)

    def _take(self, url: str, response: DiscoveryResponse, session: _Session) -> bool:
        """Take one type's full state in; True when it must be asked again before it is believed."""
        kind = url.rpartition("/")[2]
        fresh: dict[ObjectRef, SourceObject] = {}
        unread: list[str] = []
        for resource in response.resources:
            try:
                item = decode(kind, resource, self._domain)
            except ValueError as error:
                unread.append(str(error))
                continue
            fresh[item.ref] = item
        if unread:
            # It may be any of those that are missing: they stay.
            fresh = {**self._known[url], **fresh}
            self._unread[url] = (
                f"istiod sent {len(unread)} of kind {kind} that cannot be read: {unread[0]}"
            )
        else:
            self._unread.pop(url, None)
        if not fresh and self._known[url]:
            now = time.monotonic()
            first = url not in session.empty
            if now - session.empty.setdefault(url, now) < self._believe_empty:
                return first
        session.empty.pop(url, None)
        session.answered.add(url)
        self._known[url] = fresh
        return False

    def _tell(self) -> None:
        """All types have been answered: tell the difference."""
        now: dict[ObjectRef, SourceObject] = {}
        for url in TYPES:
            now.update(self._known[url])
        events: list[Event] = [Removed(_NAME, ref) for ref in self._given if ref not in now]
        events += [
            Upserted(_NAME, item)
            for ref, item in now.items()
            if ref not in self._given or self._given[ref].content != item.content
        ]
        self._given = now
        reason = next(iter(self._unread.values()), None)
        synced = Synced(_NAME, None if reason is None else Incomplete(reason, words=None))
        if self._said != synced:
            self._said = synced
            events += [_problems(reason), synced]
        if events:
            self._emit(*events)

    def _say(self, event: Event) -> None:
        if event != self._said:
            self._said = event
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
