"""A list of one kind that stays current: list, then watch, for ever.

Each informer is one thread that reads and reports. It keeps no objects and decides nothing; the
owner of ``report`` does. After a broken connection a watch continues at its last position. Only
when the server has forgotten that position (410), the informer lists again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aeraki_core.kube.backoff import Backoff
from aeraki_core.kube.client import Client, WatchStream
from aeraki_core.kube.decode import (
    DecodedObject,
    Object,
    WatchEvent,
    WatchEventType,
    decode_watch_event,
)
from aeraki_core.kube.errors import AnswerError, ApiError, RequestError, UnreachableError
from aeraki_core.kube.resources import ApiResource

__all__ = [
    "Changed",
    "Deleted",
    "Failed",
    "Informer",
    "ListBegan",
    "ListEnded",
    "ListNews",
    "NotServed",
    "Page",
    "Recovered",
    "Report",
    "Tuning",
]

_log = logging.getLogger(__name__)

# Seconds that a watch must last to count as success: a server that ends each at once is not well.
_LASTING = 1.0


class Tuning:
    """Times in seconds and sizes; tests make them short.

    ``page``: objects of one page of a list. ``watch``: how long the server keeps a watch, at most.
    ``idle``: a watch without a byte for so long counts as dead (the server sends a bookmark every
    minute). ``absent``: between two looks for a kind that is not served.
    """

    def __init__(
        self, page: int = 500, watch: float = 600.0, idle: float = 150.0, absent: float = 5.0
    ) -> None:
        self.page = page
        self.watch = watch
        self.idle = idle
        self.absent = absent


@dataclass(frozen=True, slots=True)
class ListBegan:
    """A fresh list is asked for. If it breaks off, another ListBegan follows in time."""


@dataclass(frozen=True, slots=True)
class Page:
    """Objects of the list, as they were when the list began."""

    resource: ApiResource
    objects: tuple[DecodedObject, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListEnded:
    """The list is complete: an object that was on none of its pages does not exist."""

    resource: ApiResource


@dataclass(frozen=True, slots=True)
class Changed:
    """Objects are new or changed, in the server's order. They arrived together."""

    resource: ApiResource
    objects: tuple[DecodedObject, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Deleted:
    """Objects were deleted, all at about one moment; each as it was."""

    resource: ApiResource
    objects: tuple[Object, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotServed:
    """The cluster does not serve the kind at present."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The list cannot be read or followed at present; it is tried again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """The list is followed again after Failed, without a gap."""


ListNews = ListBegan | Page | ListEnded | Changed | Deleted | NotServed | Failed | Recovered


Report = Callable[[ListNews], None]
"""Takes an informer's news, in the informer's thread.

It may raise RequestError: the informer then goes on as after a broken request.
"""


class Informer:
    """One thread that keeps one list current.

    ``find`` returns how the kind is addressed, None when the cluster does not serve it; it is asked
    again when that may have changed. ``level``: of the log line about a list that cannot be read.
    """

    def __init__(
        self,
        name: str,
        client: Client,
        find: Callable[[], ApiResource | None],
        report: Report,
        *,
        namespace: str | None = None,
        params: Mapping[str, str] | None = None,
        tuning: Tuning | None = None,
        level: int = logging.WARNING,
    ) -> None:
        self._client = client
        self._level = level
        self._find = find
        self._report = report
        self._namespace = namespace
        self._params = dict(params or {})
        self._tuning = tuning or Tuning()
        self._backoff = Backoff()
        self._stopped = threading.Event()
        self._anew = threading.Event()
        self._lock = threading.Lock()
        self._stream: WatchStream | None = None
        self._failed = False
        self.name = name
        self._thread = threading.Thread(target=self._run, name=f"watch {name}", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def refresh(self) -> None:
        """Read the whole list again from the server, as soon as possible."""
        self._anew.set()
        self._cancel()

    def stop(self) -> None:
        """Ask the thread to end; :meth:`join` waits for it."""
        self._stopped.set()
        self._anew.set()
        self._cancel()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, in seconds."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    # Inside: all of it in the thread.

    def _run(self) -> None:
        place: tuple[ApiResource, str] | None = None
        while not self._stopped.is_set():
            try:
                if place is None or self._anew.is_set():
                    self._anew.clear()
                    place = None  # also when the list fails: it is still wanted then
                    place = self._list()
                    if place is None:
                        self._pause(self._tuning.absent * random.uniform(0.8, 1.2))  # noqa: S311
                        continue
                place = self._watch(*place)
            except RequestError as error:
                if self._stopped.is_set():
                    return
                place = self._after(error, place)
            except Exception as error:  # noqa: BLE001 -- a dead thread would leave the list stale
                _log.exception("watching %s", self.name)
                self._fail(f"{type(error).__name__}: {error}")
                place = None
                self._pause(self._backoff.next())

    def _after(
        self, error: RequestError, place: tuple[ApiResource, str] | None
    ) -> tuple[ApiResource, str] | None:
        """Return the position to continue at after an error, once enough time has passed."""
        if isinstance(error, ApiError):
            if error.status == 410:
                _log.info("%s: the watch is too old; listing again", self.name)
                self._pause(self._backoff.next())
                return None
            if error.status == 404 and place is not None:
                return None  # this version of the kind is not served
        self._fail(str(error))
        self._pause(self._backoff.next(error.retry_after if isinstance(error, ApiError) else None))
        # What a watch could not make sense of would come again.
        return None if isinstance(error, AnswerError) else place

    def _list(self) -> tuple[ApiResource, str] | None:
        resource = self._find()
        if resource is None:
            self._report(NotServed())
            return None
        path = resource.path(self._namespace)
        # Without a resourceVersion the answer is the newest state, not one from a cache.
        params = {**self._params, "limit": str(self._tuning.page)}
        self._report(ListBegan())
        while True:
            try:
                page = self._client.list_page(path, params)
            except ApiError as error:
                if error.status == 404:
                    self._report(NotServed())
                    return None
                raise
            for content, _ in page.objects:
                content["apiVersion"], content["kind"] = resource.api_version, resource.kind
            self._report(Page(resource, page.objects))
            if not page.next_page:
                break
            if self._stopped.is_set():
                return None
            params["continue"] = page.next_page
        self._report(ListEnded(resource))
        self._failed = False
        return resource, page.resource_version

    def _watch(self, resource: ApiResource, version: str) -> tuple[ApiResource, str] | None:
        """Follow changes until the server or a break ends the watch; returns where to go on."""
        params = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            # Spread, so that not all watches of all clients end at one moment.
            "timeoutSeconds": str(int(self._tuning.watch * random.uniform(0.5, 1.0)) or 1),  # noqa: S311
        }
        began = time.monotonic()
        stream = self._client.stream(resource.path(self._namespace), params, idle=self._tuning.idle)
        with stream:
            with self._lock:
                self._stream = stream
            try:
                if self._anew.is_set():  # asked before the stream could be cancelled
                    return resource, version
                self._succeed()
                for lines in stream:
                    events = [decode_watch_event(line) for line in lines if line.strip()]
                    version = self._follow(resource, events, version)
                    self._backoff.reset()
            except _WatchError as error:
                if error.code != 410:
                    self._fail(str(error))
                _log.info("%s: %s; listing again", self.name, error)
                self._pause(self._backoff.next())
                return None
            except UnreachableError:
                # The next try shows whether the server is there.
                if not self._anew.is_set():
                    _log.debug("%s: the watch broke", self.name, exc_info=True)
            finally:
                with self._lock:
                    self._stream = None
        if time.monotonic() - began < _LASTING:
            self._pause(self._backoff.next())
        else:
            self._backoff.reset()
        return resource, version

    def _follow(self, resource: ApiResource, events: Sequence[WatchEvent], version: str) -> str:
        """Report events, those of one sort together; returns the version after the last."""
        changed: list[DecodedObject] = []
        deleted: list[Object] = []
        for event in events:
            if event.type is WatchEventType.ERROR:
                raise _watch_error(event.object.content)
            version = event.resource_version or version
            if event.type is WatchEventType.DELETED:
                self._report_changed(resource, changed)
                deleted.append(event.object.content)
            elif event.type is not WatchEventType.BOOKMARK:
                self._report_deleted(resource, deleted)
                changed.append(event.object)
        self._report_changed(resource, changed)
        self._report_deleted(resource, deleted)
        return version

    def _report_changed(self, resource: ApiResource, changed: list[DecodedObject]) -> None:
        if changed:
            self._report(Changed(resource, tuple(changed)))
            changed.clear()

    def _report_deleted(self, resource: ApiResource, deleted: list[Object]) -> None:
        if deleted:
            self._report(Deleted(resource, tuple(deleted)))
            deleted.clear()

    def _fail(self, reason: str) -> None:
        if not self._failed:
            _log.log(self._level, "%s: %s", self.name, reason)
        self._failed = True
        self._report(Failed(reason))

    def _succeed(self) -> None:
        if self._failed:
            _log.info("%s: current again", self.name)
            self._failed = False
            self._report(Recovered())

    def _pause(self, seconds: float) -> None:
        self._anew.wait(seconds)

    def _cancel(self) -> None:
        with self._lock:
            if self._stream is not None:
                self._stream.cancel()


class _WatchError(Exception):
    """The server ended a watch with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"the server ended the watch: {code} {message}")
        self.code = code


def _watch_error(status: Object) -> _WatchError:
    code = status.get("code")
    message = str(status.get("message") or status.get("reason") or "")
    return _WatchError(code if isinstance(code, int) else 0, message)
