"""What an admission webhook answers the API server about an object that somebody applies.

The findings that the object would have are warnings for whoever applies it. An error refuses only
an object of a plugin's kind, and only if the object has it by itself: objects are applied in any
order, so what another object may cure is a warning. Everything that goes wrong here admits the
object. Judging takes a fifth of the time at most, so many requests cannot slow the controller down.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from aeraki_core.controller.loop import Controller
from aeraki_core.errors import AerakiError
from aeraki_core.findings.finding import Finding, Severity
from aeraki_core.findings.ignored import ignored_codes
from aeraki_core.findings.text import count, finding_line
from aeraki_core.kube.decode import decode_object
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef, group_of_plugin
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.pipeline.trial import Tried, own_errors, try_object

__all__ = ["ReviewError", "Reviewer"]

T = TypeVar("T")

_API_VERSION = "admission.k8s.io/v1"
_SHARE = 5.0  # one part of so many that trials may take of the time
_AGAIN = 0.25  # seconds after which an object with findings is tried once more
_MAX_WARNINGS = 10
_LONGEST = 1_000  # characters of a warning; the API server takes 4096 of all together
_BUSY = "Aeraki has not checked this object: the controller is busy; see `aeraki status`"


class ReviewError(AerakiError):
    """The request is no AdmissionReview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What of an AdmissionReview counts. ``before``: the object as it is now, if there is one."""

    uid: str
    source_object: SourceObject | None
    before: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Decision:
    """What becomes of the object. ``refusal``: why it is not admitted; empty if it is."""

    warnings: tuple[str, ...] = ()
    refusal: str = ""


class Reviewer:
    """Judges objects. Usable by many threads at once; one object is judged at a time.

    ``ignore``: codes that are not reported. ``patience``: seconds after which a review gives up,
    less than the API server waits.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        controller: Controller,
        *,
        ignore: Collection[str] = (),
        patience: float = 1.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._controller = controller
        self._ignore = frozenset(ignore)
        self._patience = patience
        self._clock = clock
        self._turn = threading.Lock()
        self._not_before = 0.0

    def review(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview, both as JSON.

        Raises:
            ReviewError: the body is no AdmissionReview.
        """
        request = _read(body)
        decision = self._judge(request)
        response: dict[str, Any] = {"uid": request.uid, "allowed": not decision.refusal}
        if decision.refusal:
            response["status"] = {"code": 422, "reason": "Invalid", "message": decision.refusal}
        if decision.warnings:
            response["warnings"] = list(decision.warnings)
        answer = {"apiVersion": _API_VERSION, "kind": "AdmissionReview", "response": response}
        return json.dumps(answer).encode()

    def _judge(self, request: _Request) -> _Decision:
        source_object = request.source_object
        if source_object is None or not self._concerns(source_object):
            return _Decision()
        end = self._clock() + self._patience
        try:
            findings, unchecked = self._findings(source_object, end)
            if findings and self._clock() + _AGAIN < end:
                # What was applied together with it may be on its way through the watches.
                time.sleep(_AGAIN)
                findings, unchecked = self._findings(source_object, end)
        except TimeoutError:
            return _Decision((_BUSY,))
        refused = self._refused(request, source_object, findings)
        warnings = _warnings([each for each in findings if each not in refused], unchecked)
        if not refused:
            return _Decision(warnings)
        return _Decision(warnings, f"Aeraki: {'; '.join(map(_text, refused))}")

    def _findings(self, source_object: SourceObject, end: float) -> tuple[list[Finding], int]:
        """The findings that count, and how many services were not looked at."""
        tried = self._try(source_object, end)
        ignored = self._ignore | ignored_codes(source_object.content)
        findings = [
            finding
            for finding in tried.findings
            if finding.severity > Severity.INFO and finding.code.id not in ignored
        ]
        return findings, tried.unchecked

    def _concerns(self, source_object: SourceObject) -> bool:
        """Whether the mesh is known yet, and the object would be a part of it."""
        return (
            self._controller.waiting is None
            and self._pipeline.store.reads(source_object.api_version, source_object.ref.kind)
            and self._pipeline.scope.watches(source_object.ref.namespace)
        )

    def _refused(
        self, request: _Request, source_object: SourceObject, findings: list[Finding]
    ) -> list[Finding]:
        """The findings for which the object is refused."""
        # Kinds of Istio, of Kubernetes and of upstream Aeraki are not ours to refuse.
        if self._pipeline.registry.owner_of_kind(source_object.ref) is None or not any(
            finding.severity is Severity.ERROR for finding in findings
        ):
            return []
        before = request.before
        if before is not None and before.get("spec") == source_object.content.get("spec"):
            # Its labels must be changeable, and its finalizers removable, even so.
            return []
        own = own_errors(self._pipeline, source_object)
        return [finding for finding in findings if finding in own]

    def _try(self, source_object: SourceObject, end: float) -> Tried:
        """Try the object when it is its turn.

        Raises:
            TimeoutError: it is not before ``end``.
        """
        if not self._turn.acquire(timeout=max(0.0, end - self._clock())):
            raise TimeoutError
        try:
            wait = self._not_before - self._clock()
            if wait > end - self._clock():
                raise TimeoutError
            time.sleep(max(0.0, wait))
            begin = self._clock()
            try:
                return try_object(
                    self._pipeline,
                    source_object,
                    ask=partial(self._ask, end),
                    enough=lambda: self._clock() > end,
                )
            finally:
                now = self._clock()
                self._not_before = now + (now - begin) * (_SHARE - 1)
        finally:
            self._turn.release()

    def _ask(self, end: float, function: Callable[[], T], /) -> T:
        return self._controller.call(function, max(0.0, end - self._clock()))


def _read(body: bytes) -> _Request:
    """Read an AdmissionReview. An object that is being deleted is none that counts.

    Raises:
        ReviewError: the body is no AdmissionReview.
    """
    try:
        review = decode_object(body)
    except AerakiError as error:
        raise ReviewError(f"not an AdmissionReview: {error}") from error
    request = review.get("request")
    if review.get("kind") != "AdmissionReview" or not isinstance(request, dict):
        raise ReviewError("not an AdmissionReview")
    uid, kind, content = request.get("uid"), request.get("kind"), request.get("object")
    if not isinstance(uid, str) or not isinstance(kind, dict):
        raise ReviewError("an AdmissionReview without uid or kind")
    before = request.get("oldObject")
    source_object = None
    if request.get("operation") in ("CREATE", "UPDATE") and isinstance(content, dict):
        source_object = _source_object(request, kind, content)
    return _Request(
        uid=uid, source_object=source_object, before=before if isinstance(before, dict) else None
    )


def _source_object(
    request: Mapping[str, Any], kind: Mapping[str, Any], content: dict[str, Any]
) -> SourceObject | None:
    group, version = str(kind.get("group") or ""), str(kind.get("version") or "")
    metadata = content.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("deletionTimestamp"):
        return None
    # A generated name comes later; what is not yet created is the youngest of all.
    name = str(metadata.get("name") or f"{metadata.get('generateName') or ''}x")
    created = metadata.get("creationTimestamp") or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    ref = ObjectRef(
        str(kind.get("kind") or ""),
        str(request.get("namespace") or ""),
        name,
        group_of_plugin(group),
    )
    content = {**content, "metadata": {**metadata, "name": name, "creationTimestamp": created}}
    return SourceObject(ref, f"{group}/{version}" if group else version, content)


def _warnings(findings: list[Finding], unchecked: int) -> tuple[str, ...]:
    """The findings as text, the worst first, and what is left out."""
    worst = sorted(findings, key=lambda finding: -finding.severity)
    lines = [_text(finding) for finding in worst[:_MAX_WARNINGS]]
    if len(worst) > _MAX_WARNINGS:
        lines.append(f"{count(len(worst) - _MAX_WARNINGS, 'finding')} more: see `aeraki validate`")
    if unchecked:
        lines.append(f"not checked for {count(unchecked, 'more service')}: too many at once")
    return tuple(lines)


def _text(finding: Finding) -> str:
    line = finding_line(finding)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
