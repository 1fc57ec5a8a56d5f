"""A list of one kind that stays current: list, then watch, for ever.

In: what to list, and a :class:`Handler`. Out: calls to the handler, all from the informer's own thread, in the order of the server.
A watch goes on where it was after a broken connection; only when the server no longer knows that place (410) is the list read anew.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from aeraki_core.kube.backoff import Backoff
from aeraki_core.kube.client import Client, Object, WatchStream
from aeraki_core.kube.errors import ApiError, RequestError
from aeraki_core.kube.resources import ApiResource

__all__ = ["Handler", "Informer", "Tuning"]

_log = logging.getLogger(__name__)


class Tuning:
    """Times in seconds and sizes; tests make them short.

    ``page``: objects of one page of a list. ``watch``: how long the server keeps a watch, at most. ``idle``: a watch without
    a byte for so long counts as dead (the server sends a bookmark every minute). ``absent``: between two looks for a kind that
    is not served.
    """

    def __init__(
        self, page: int = 500, watch: float = 600.0, idle: float = 150.0, absent: float = 5.0
    ) -> None:
        self.page = page
        self.watch = watch
        self.idle = idle
        self.absent = absent


class Handler(Protocol):
    """Told what the list holds. Objects are without ``managedFields`` only if the handler takes them out.

    A list comes in pages, so that nobody holds all of it at once: ``listing``, ``page`` for each, ``listed``. One that breaks off
    begins again with ``listing``; every object of its pages was there, but what was not among them may be there too.
    """

    def listing(self) -> None:
        """A fresh list begins."""
        ...

    def page(self, resource: ApiResource, items: Sequence[Object]) -> None:
        """Objects of the list, as the server had them when the list began."""
        ...

    def listed(self, resource: ApiResource) -> None:
        """The list is complete: what was in none of its pages is gone."""
        ...

    def changed(self, resource: ApiResource, item: Object) -> None:
        """An object is new or changed."""
        ...

    def deleted(self, resource: ApiResource, items: Sequence[Object]) -> None:
        """Objects were deleted, all at about one moment."""
        ...

    def absent(self) -> None:
        """The cluster does not serve the kind (now)."""
        ...

    def failed(self, reason: str) -> None:
        """What there is cannot be told at the moment; it is tried again."""
        ...

    def current(self) -> None:
        """All that was said is current again, after :meth:`failed`."""
        ...


class Informer:
    """One thread that keeps one list current.

    ``find`` tells how the kind is addressed, None when the cluster does not serve it; it is asked again when it may have changed.
    """

    def __init__(
        self,
        name: str,
        client: Client,
        find: Callable[[], ApiResource | None],
        handler: Handler,
        *,
        namespace: str | None = None,
        params: Mapping[str, str] | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self._client = client
        self._find = find
        self._handler = handler
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
        """Read the whole list anew from the server, as soon as possible."""
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
            except Exception as error:  # noqa: BLE001 -- a thread that dies in silence would leave the list stale for ever
                _log.exception("watching %s", self.name)
                self._fail(f"{type(error).__name__}: {error}")
                place = None
                self._pause(self._backoff.next())

    def _after(
        self, error: RequestError, place: tuple[ApiResource, str] | None
    ) -> tuple[ApiResource, str] | None:
        """Where to go on after an error; waits as long as is fit."""
        if isinstance(error, ApiError):
            if error.status == 410:
                _log.info("%s: the watch is too old; listing anew", self.name)
                self._pause(self._backoff.next())
                return None
            if error.status == 404 and place is not None:
                return None  # the kind is no longer served in this version
        self._fail(str(error))
        self._pause(self._backoff.next(error.retry_after if isinstance(error, ApiError) else None))
        return place

    def _list(self) -> tuple[ApiResource, str] | None:
        resource = self._find()
        if resource is None:
            self._handler.absent()
            return None
        path = resource.path(self._namespace)
        # Without a resourceVersion the answer is the newest state, not one that a cache has.
        params = {**self._params, "limit": str(self._tuning.page)}
        self._handler.listing()
        while True:
            try:
                body = self._client.request("GET", path, params=params, timeout=60.0).body
            except ApiError as error:
                if error.status == 404:
                    self._handler.absent()
                    return None
                raise
            items, metadata = body.get("items") or [], body["metadata"]
            for item in items:
                item["apiVersion"], item["kind"] = resource.api_version, resource.kind
            self._handler.page(resource, items)
            if not metadata.get("continue"):
                break
            if self._stopped.is_set():
                return None
            params["continue"] = metadata["continue"]
            # Or they would be kept until the next page is read.
            del body, items
        self._handler.listed(resource)
        self._failed = False
        self._backoff.reset()
        return resource, str(metadata["resourceVersion"])

    def _watch(self, resource: ApiResource, version: str) -> tuple[ApiResource, str] | None:
        """Follow changes until the server or a break ends it; returns where to go on."""
        params = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            # Spread, so that not all watches of all clients are renewed at one moment.
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
                    self._backoff.reset()
                    version = self._take(
                        resource, [json.loads(line) for line in lines if line], version
                    )
            except RequestError:
                # A watch that broke goes on at once; the next try tells whether the server is there.
                if not self._anew.is_set():
                    _log.debug("%s: the watch broke", self.name, exc_info=True)
            except _WatchError as error:
                if error.code != 410:
                    self._fail(str(error))
                _log.info("%s: %s; listing anew", self.name, error)
                self._pause(self._backoff.next())
                return None
            finally:
                with self._lock:
                    self._stream = None
        if time.monotonic() - began < 1.0:
            self._pause(self._backoff.next())  # a server that ends every watch at once
        return resource, version

    def _take(
        self, resource: ApiResource, events: Sequence[Mapping[str, Any]], version: str
    ) -> str:
        """Hand events on; returns the version of the last. Deletions that came together are told together."""
        deleted: list[Object] = []
        for event in events:
            kind, item = event["type"], event["object"]
            if kind == "ERROR":
                raise _WatchError(
                    int(item.get("code") or 0), str(item.get("message") or item.get("reason") or "")
                )
            if kind == "DELETED":
                deleted.append(item)
            else:
                if deleted:
                    self._handler.deleted(resource, deleted)
                    deleted = []
                if kind != "BOOKMARK":
                    self._handler.changed(resource, item)
            version = str(item["metadata"]["resourceVersion"])
        if deleted:
            self._handler.deleted(resource, deleted)
        return version

    def _fail(self, reason: str) -> None:
        if not self._failed:
            _log.warning("%s: %s", self.name, reason)
        self._failed = True
        self._handler.failed(reason)

    def _succeed(self) -> None:
        if self._failed:
            _log.info("%s: current again", self.name)
            self._failed = False
            self._handler.current()

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
