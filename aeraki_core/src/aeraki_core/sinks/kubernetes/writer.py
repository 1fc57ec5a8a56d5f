"""One write to the API server, and its result.

Creations and updates are server-side applies with the field manager ``aeraki``; nothing is ever
forced onto an object that is not ours. What may pass (429, 5xx, no answer, a webhook that does not
run) is returned with
``retry``, and the controller tries it again; here only a conflict is tried once more, after a fresh
read.
"""

from __future__ import annotations

import json
import logging
import threading
import time

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, is_ours
from aeraki_core.filters.output import Output
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.findings.codes import FILTER_TOO_LARGE, NOT_OURS
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.client import Answer, Client, Object
from aeraki_core.kube.errors import ApiError, NotSentError, RequestError, UnreachableError
from aeraki_core.kube.resources import ApiResource
from aeraki_core.pipeline.reconcile import Action, Step
from aeraki_core.sinks.base import Obstacle, Written
from aeraki_core.sinks.kubernetes.live import LiveFilters, Whose
from aeraki_core.sinks.writable import UnwritableError, check_key, object_of

__all__ = ["FIELD_MANAGER", "NOT_OURS_MESSAGE", "ApiWriter", "resource_of"]

FIELD_MANAGER = "aeraki"
NOT_OURS_MESSAGE = (
    "an EnvoyFilter of this name is there, and it is not ours (or another instance's)"
)
_APPLY = "application/apply-patch+yaml"
_STANDARD_WARNING = "EnvoyFilter exposes internal implementation details"
# Refused for what the filter says. Everything else may succeed another day.
_FINAL = frozenset({400, 413, 422})
MAX_BYTES = 3 * 2**19 - 2**14
"""Bytes of an object at most: etcd takes 1.5 MiB, and the server adds fields of its own."""

_log = logging.getLogger(__name__)


def resource_of(kind: OutputKind) -> ApiResource:
    """How the objects of a kind are addressed."""
    group, _, version = kind.api_version.partition("/")
    return ApiResource(group, version, kind, kind.plural)


def _path(key: FilterKey) -> str:
    return resource_of(key.kind).path(key.namespace, key.name)


class ApiWriter:
    """Does steps.

    Usable by many threads at once. ``dry_run``: the server checks everything and keeps nothing.
    """

    def __init__(
        self, client: Client, live: LiveFilters, *, dry_run: bool = False, timeout: float = 15.0
    ) -> None:
        self._client = client
        self._live = live
        self._params = {"dryRun": "All"} if dry_run else {}
        self._dry_run = dry_run
        self._timeout = timeout
        self._lock = threading.Lock()
        self._broken: str | None = None
        self._not_before = 0.0
        self._obstacles: dict[str, Obstacle] = {}

    def begin(self) -> None:
        """A new burst begins.

        A server that was away may answer again, unless it asked for more time.
        """
        with self._lock:
            if time.monotonic() >= self._not_before:
                self._broken = None
            self._obstacles = {}

    def write(self, step: Step) -> Written:
        """Do one step. Once the server cannot take more, the rest of a burst is not sent at all."""
        if self._broken is not None:
            return _away(step, self._broken)
        namespace = step.key.namespace
        obstacle = self._obstacles.get(namespace)
        if obstacle is not None and step.after is not None:
            return _blocked(step, obstacle)
        try:
            check_key(step.key)
            if step.action is Action.DELETE:
                self._delete(step.key)
                return Written(step)
            if step.after is None:
                raise ValueError(f"nothing to write for {step.key}")
            return self._apply(step, step.after)
        except UnwritableError as error:
            return Written(step, str(error), finding=error.finding)
        except NotSentError as error:
            return Written(step, str(error), retry=True, skipped=True)
        except UnreachableError as error:
            self._stop(str(error), 0.0)
            return _away(step, str(error))
        except ApiError as error:
            if error.status == 429 or error.retry_after:
                self._stop(str(error), error.retry_after or 1.0)
                return _away(step, _message(error))
            obstacle = _obstacle(error, namespace)
            if obstacle is not None:
                self._obstacles[namespace] = obstacle
                return _blocked(step, obstacle)
            return Written(step, _message(error), retry=not _is_final(error), passing=error.retry)
        except RequestError as error:  # an answer that no API server gives
            return Written(step, str(error), retry=True, passing=True)

    def delete(self, key: FilterKey) -> str | None:
        """Delete a filter of upstream's. Returns what went wrong, or None."""
        try:
            self._delete(key, Whose.UPSTREAM)
        except RequestError as error:
            return str(error)
        return None

    def _stop(self, reason: str, seconds: float) -> None:
        with self._lock:
            self._broken = reason
            self._not_before = time.monotonic() + seconds

    # -- create and update ------------------------------------------------------------------------

    def _apply(self, step: Step, want: Output) -> Written:
        entry = self._live.entry(want.key)
        known = (
            (entry.uid, entry.version) if entry is not None and entry.whose is Whose.OURS else None
        )
        if entry is not None and known is None:
            return _not_ours(step)
        body = object_of(want)
        _check_size(want, body)
        try:
            answer = self._send(want.key, body, known)
        except ApiError as error:
            if error.status != 409:
                raise
            content = self._read(want.key)
            if content is not None and not is_ours(content, self._live.instance):
                self._live.put(content, kind=step.key.kind)
                return _not_ours(step)
            answer = self._send(want.key, body, _state(content) if content is not None else None)
        if answer.body["spec"] != body["spec"] and not self._dry_run:
            # Server-side apply leaves fields of other managers; only a replace removes them.
            answer = self._replace(step.key, answer.body, body)
        if not self._dry_run:
            written = want if answer.body["spec"] == body["spec"] else None
            self._live.put(answer.body, written, step.key.kind)
        return Written(step, warnings=_own_warnings(answer))

    def _send(self, key: FilterKey, body: Object, known: tuple[str, str] | None) -> Answer:
        """Apply to the object of the ``known`` uid and version.

        None: it creates, and overrules no other manager.
        """
        params = {**self._params, "fieldManager": FIELD_MANAGER}
        if known is not None:
            params["force"] = "true"
            # If another writer recreated or changed it meanwhile, the server answers with a
            # conflict, also to a former leader that was paused in the middle of a write.
            body = {
                **body,
                "metadata": {**body["metadata"], "uid": known[0], "resourceVersion": known[1]},
            }
        path = _path(key)
        return self._client.request(
            "PATCH", path, params=params, body=body, content_type=_APPLY, timeout=self._timeout
        )

    def _replace(self, key: FilterKey, content: Object, body: Object) -> Answer:
        params = {**self._params, "fieldManager": FIELD_MANAGER}
        path = _path(key)
        return self._client.request(
            "PUT",
            path,
            params=params,
            body={**content, "spec": body["spec"]},
            timeout=self._timeout,
        )

    # -- delete -----------------------------------------------------------------------------------

    def _delete(self, key: FilterKey, whose: Whose = Whose.OURS) -> None:
        entry = self._live.entry(key)
        if entry is None or entry.whose is not whose:
            return
        # With a body, the server ignores the parameters, so the dry run is asked for in the body.
        options: Object = {"dryRun": ["All"]} if self._dry_run else {}
        conditions = {"uid": entry.uid, "resourceVersion": entry.version}
        for attempt in (1, 2):
            try:
                self._client.request(
                    "DELETE",
                    _path(key),
                    body={**options, "preconditions": conditions},
                    timeout=self._timeout,
                )
                break
            except ApiError as error:
                if error.status == 404:
                    break
                if error.status != 409 or attempt == 2:
                    raise
                content = self._read(key)
                if content is None:
                    break
                self._live.put(content, kind=key.kind)
                entry = self._live.entry(key)
                if entry is None or entry.whose is not whose:
                    return  # it is no longer ours
                conditions = {"uid": entry.uid, "resourceVersion": entry.version}
        if not self._dry_run:
            self._live.drop(key)

    def _read(self, key: FilterKey) -> Object | None:
        try:
            return self._client.request("GET", _path(key), timeout=self._timeout).body
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def _check_size(want: Output, body: Object) -> None:
    """Accept an object that etcd can hold.

    Raises:
        UnwritableError: it is too large; the API server would answer every try with an internal
        error.
    """
    # Only a filter of some size is worth a second serialisation; JSON is a few times its messages.
    if isinstance(want, EnvoyFilter):
        messages = sum(len(patch.value.data) for patch in want.patches if patch.value is not None)
        if messages < MAX_BYTES // 32:
            return
    size = len(json.dumps(body, separators=(",", ":")).encode())
    if size > MAX_BYTES:
        message = (
            f"{want.key}: the filter has {size / 2**20:.1f} MiB, and the API server stores at most"
            f" {MAX_BYTES / 2**20:.1f} MiB"
        )
        raise UnwritableError(Finding(FILTER_TOO_LARGE, message, plugin=want.plugin))


def _away(step: Step, reason: str) -> Written:
    return Written(step, reason, retry=True, passing=True, obstacle=Obstacle.AWAY)


def _blocked(step: Step, obstacle: Obstacle) -> Written:
    namespace = step.key.namespace
    reason = f"namespace {namespace} does not exist"
    if obstacle is Obstacle.TERMINATING:
        reason = f"namespace {namespace} is being deleted"
    return Written(step, reason, retry=True, obstacle=obstacle)


def _obstacle(error: ApiError, namespace: str) -> Obstacle | None:
    """Whether the error is about the namespace, so that no filter can be written there."""
    if error.status == 404 and f'namespaces "{namespace}" not found' in error.message:
        return Obstacle.NO_NAMESPACE
    if error.status == 403 and "being terminated" in error.message:
        return Obstacle.TERMINATING
    return None


def _not_ours(step: Step) -> Written:
    """The name belongs to a foreign filter."""
    return Written(
        step, NOT_OURS_MESSAGE, finding=Finding(NOT_OURS, f"{step.key}: {NOT_OURS_MESSAGE}")
    )


def _state(content: Object) -> tuple[str, str]:
    return content["metadata"]["uid"], content["metadata"]["resourceVersion"]


def _own_warnings(answer: Answer) -> tuple[str, ...]:
    """Warnings about this filter, without the one that every EnvoyFilter gets."""
    return tuple(text for text in answer.warnings if _STANDARD_WARNING not in text)


def _is_final(error: ApiError) -> bool:
    return error.status in _FINAL or (error.status == 403 and "denied the request" in error.message)


def _message(error: ApiError) -> str:
    return error.message or str(error)
