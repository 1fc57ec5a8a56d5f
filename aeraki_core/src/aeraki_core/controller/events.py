"""Kubernetes Events for findings, so that ``kubectl describe`` shows what is wrong with a Service.

Each finding becomes an Event (events.k8s.io/v1) at the object that it is about: one for each
object, code and message. When the same finding comes again while the Event is still there (an hour,
as API servers are set up), its series counts it. Only the leader writes Events, and an object, a
namespace and all of them together have a budget.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aeraki_core.controller.bucket import TokenBucket, without_idle
from aeraki_core.controller.observer import ControllerEvent, LeadershipChanged, PassReport
from aeraki_core.controller.sender import Sender
from aeraki_core.findings.finding import Finding, Severity
from aeraki_core.kube.client import Client, Object
from aeraki_core.kube.errors import ApiError
from aeraki_core.kube.resources import ApiResource, Discovery, GroupKind
from aeraki_core.model.gateway_api import GATEWAY_API, ROUTE_KINDS
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import Kind

__all__ = ["Events"]

log = logging.getLogger(__name__)

_ISTIO = "networking.istio.io"
_REGARDED: tuple[GroupKind, ...] = (
    ("", "Service"),
    (_ISTIO, "ServiceEntry"),
    (_ISTIO, "VirtualService"),
    (_ISTIO, "DestinationRule"),
    (_ISTIO, "EnvoyFilter"),
    *((GATEWAY_API, kind) for kind in ROUTE_KINDS),
)
_CONTROLLER = "aeraki.io/controller"
_LONGEST_NOTE, _LONGEST_INSTANCE = 1024, 128  # bytes, characters: the API's limits
_BURST, _PER_SECOND = 100, 5.0
_NAMESPACE_BURST, _NAMESPACE_PER_SECOND = 40, 1.0
_OBJECT_BURST, _OBJECT_PER_SECOND = 10, 1 / 60


@dataclass(frozen=True, slots=True)
class _Occurrence:
    """A finding and when it came.

    ``again``: it is new, not only new to a replica that starts leading.
    """

    finding: Finding
    at: datetime
    again: bool


class Events:
    """An observer.

    ``client``: must refuse to write while this replica does not lead.
    ``kinds``: the plugins' kinds, whose objects get Events too.
    ``findings``: gives all present findings.
    ``identity``: names this replica.
    """

    def __init__(
        self,
        client: Client,
        kinds: Iterable[Kind[Any]],
        findings: Callable[[], Iterable[Finding]],
        identity: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._groups = {kind: group for group, kind in _REGARDED}
        self._resources = {
            (kind.group, kind.kind): ApiResource(kind.group, kind.version, kind.kind, kind.plural)
            for kind in kinds
        }
        self._findings = findings
        self._identity = identity[:_LONGEST_INSTANCE]
        self._clock = clock
        self._all = TokenBucket(_BURST, _PER_SECOND)
        self._namespaces: dict[str, TokenBucket] = {}
        self._objects: dict[ObjectRef, TokenBucket] = {}
        self._left_out = 0
        self._sender: Sender[tuple[ObjectRef, str, str], _Occurrence] = Sender(
            "events", self._send, most=1000
        )

    def start(self) -> None:
        """Begin to write, in a thread of its own."""
        self._sender.start()

    def stop(self) -> None:
        """Write nothing more."""
        self._sender.stop()

    # -- in the controller's thread ---------------------------------------------------------------

    def __call__(self, event: ControllerEvent) -> None:
        """Publish the findings of a pass, while this replica leads."""
        match event:
            case LeadershipChanged(leads=False):
                self._sender.clear()
            case PassReport(standby=False) as report:
                self._publish(report)

    def _publish(self, report: PassReport) -> None:
        """Send what is new.

        A replica that starts leading sends everything: the previous leader may not have sent it.
        """
        now = datetime.now(UTC)
        findings = report.new_findings if not report.full else tuple(self._findings())
        # What one namespace may have waiting leaves room for the others.
        waiting: Counter[str] = Counter()
        for finding in sorted(findings, key=lambda finding: -finding.severity):
            ref = finding.ref
            if finding.severity < Severity.WARNING or ref is None or not ref.namespace:
                continue
            if self._is_regarded(ref):
                waiting[ref.namespace] += 1
                if waiting[ref.namespace] > _NAMESPACE_BURST:
                    continue
                occurrence = _Occurrence(finding, now, again=not report.full)
                self._sender.put((ref, finding.code.id, finding.message), occurrence)

    # -- in the sender's thread -------------------------------------------------------------------

    def _send(self, key: tuple[ObjectRef, str, str], occurrence: _Occurrence) -> None:
        ref = key[0]
        if not self._may_pass(ref):
            return
        regarding = self._regarding(ref)
        # An Event needs the uid of its object, and a deleted object has none.
        if regarding is None:
            return
        event = _event(regarding, occurrence, self._identity)
        path = f"/apis/events.k8s.io/v1/namespaces/{ref.namespace}/events"
        try:
            self._client.request("POST", path, body=event)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                # The Event of an earlier process: count on in it instead of adding another.
                if occurrence.again:
                    self._count(f"{path}/{event['metadata']['name']}", occurrence.at)
            # A namespace that goes takes its Events along.
            elif error.status != 404 and "being terminated" not in error.message:
                raise

    def _is_regarded(self, ref: ObjectRef) -> bool:
        """Whether Events are written about objects of that kind."""
        is_plugins = (ref.group, ref.kind) in self._resources
        return is_plugins or (not ref.group and ref.kind in self._groups)

    def _may_pass(self, ref: ObjectRef) -> bool:
        """Whether one more Event may be written: for the object, for its namespace, and at all."""
        now = self._clock()
        self._objects = without_idle(self._objects, now)
        self._namespaces = without_idle(self._namespaces, now)
        of_object = self._objects.setdefault(ref, TokenBucket(_OBJECT_BURST, _OBJECT_PER_SECOND))
        of_namespace = self._namespaces.setdefault(
            ref.namespace, TokenBucket(_NAMESPACE_BURST, _NAMESPACE_PER_SECOND)
        )
        if of_object.take(now) and of_namespace.take(now) and self._all.take(now):
            return True
        self._left_out += 1
        if self._left_out in (1, 10, 100) or self._left_out % 1000 == 0:
            log.info("%d Events were left out: too many at once", self._left_out)
        return False

    def _regarding(self, ref: ObjectRef) -> Object | None:
        """The object as the Event names it.

        Without its uid ``kubectl describe`` does not find the Event.
        """
        resource = self._resources.get((ref.group, ref.kind)) or self._discovery.find(
            (self._groups[ref.kind], ref.kind)
        )
        if resource is None:
            return None
        try:
            content = self._client.request("GET", resource.path(ref.namespace, ref.name)).body
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return {
            "apiVersion": resource.api_version,
            "kind": ref.kind,
            "namespace": ref.namespace,
            "name": ref.name,
            "uid": content["metadata"]["uid"],
            "resourceVersion": content["metadata"]["resourceVersion"],
        }

    def _count(self, path: str, at: datetime) -> None:
        merge = "application/merge-patch+json"
        event = self._client.request("PATCH", path, body={}, content_type=merge).body
        count = int((event.get("series") or {}).get("count") or 1) + 1
        series = {"count": count, "lastObservedTime": _time(at)}
        self._client.request("PATCH", path, body={"series": series}, content_type=merge)


def _event(regarding: Object, occurrence: _Occurrence, identity: str) -> Object:
    finding = occurrence.finding
    identity_of_finding = (regarding["uid"], finding.code.id, finding.field or "", finding.message)
    digest = hashlib.sha256("\n".join(identity_of_finding).encode()).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        # The same finding has the same name, so a second one finds the first.
        "metadata": {
            "name": f"{regarding['name'][:200].rstrip('.-')}.{digest}",
            "namespace": regarding["namespace"],
        },
        "eventTime": _time(occurrence.at),
        "reportingController": _CONTROLLER,
        "reportingInstance": identity,
        "action": "Generate",
        "reason": finding.code.id,
        "type": "Warning",
        "note": _note(finding),
        "regarding": regarding,
    }


def _note(finding: Finding) -> str:
    where = f"{finding.field}: " if finding.field else ""
    text = f"{where}{finding.message}. {finding.code.action}".encode()
    return text[:_LONGEST_NOTE].decode(errors="ignore")


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
