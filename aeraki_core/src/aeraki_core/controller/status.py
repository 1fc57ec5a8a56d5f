"""The status of objects of plugins' kinds, written by the leader when it changes.

What a status is now comes from the same watch that brings the objects. Writes are server-side
applies on the status subresource with the field manager ``aeraki``; none is sent when the status
already says what it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aeraki_core.controller.conditions import Condition, conditions
from aeraki_core.controller.observer import (
    ControllerEvent,
    LeadershipChanged,
    ObjectDropped,
    ObjectTaken,
    PassReport,
)
from aeraki_core.controller.sender import Sender
from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.kube.client import Client, Object
from aeraki_core.kube.errors import ApiError
from aeraki_core.kube.resources import ApiResource
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import Kind
from aeraki_core.pipeline.pipeline import Pipeline

__all__ = ["Statuses"]

_FIELD_MANAGER = "aeraki"
_OURS = ("Accepted", "Programmed")


@dataclass(frozen=True, slots=True)
class _Seen:
    """Our part of an object's status, and the object's generation."""

    resource: ApiResource
    generation: int
    status: Object


class Statuses:
    """An observer.

    ``client``: must refuse to write while this replica does not lead.
    ``problem``: gives why a live filter is not the desired one, or None.
    ``now``: the time that conditions carry.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        client: Client,
        problem: Callable[[FilterKey], str | None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pipeline = pipeline
        self._client = client
        self._problem = problem
        self._now = now
        kinds: Iterable[Kind[Any]] = pipeline.registry.kinds
        self._kinds = {(kind.group, kind.kind): kind for kind in kinds}
        self._seen: dict[ObjectRef, _Seen] = {}
        self._unwritten: dict[ObjectRef, Object] = {}
        self._touched: set[ObjectRef] = set()
        self._sender: Sender[ObjectRef, tuple[ApiResource, Object]] = Sender("status", self._send)

    def start(self) -> None:
        """Begin to write, in a thread of its own."""
        self._sender.start()

    def stop(self) -> None:
        """Write nothing more."""
        self._sender.stop()

    # -- in the controller's thread ---------------------------------------------------------------

    def __call__(self, event: ControllerEvent) -> None:
        """Remember what objects say, and look at them again after a pass."""
        match event:
            case ObjectTaken(source_object):
                self._remember(source_object)
            case ObjectDropped(ref):
                self._forget(ref)
            case LeadershipChanged():
                # A replica that starts leading looks at all objects; one that stops writes no more.
                self._touched = set(self._seen)
                self._unwritten.clear()
                self._sender.clear()
            case PassReport() as report:
                self._look_after(report)

    def _remember(self, source_object: SourceObject) -> None:
        """Remember what the status of an object of a plugin's kind is now."""
        group, _, version = source_object.api_version.rpartition("/")
        kind = self._kinds.get((group, source_object.ref.kind))
        if kind is None:
            return
        resource = ApiResource(group, version, kind.kind, kind.plural)
        metadata = source_object.content.get("metadata") or {}
        generation = metadata.get("generation")
        if not isinstance(generation, int):
            return  # it is not from an API server, so there is no status to write
        status = _own(source_object.content.get("status"))
        self._seen[source_object.ref] = _Seen(resource, generation, status)
        self._touched.add(source_object.ref)

    def _forget(self, ref: ObjectRef) -> None:
        """Forget an object that is gone."""
        self._seen.pop(ref, None)
        self._unwritten.pop(ref, None)
        self._sender.drop(ref)

    def _look_after(self, report: PassReport) -> None:
        """Look at every object whose conditions may be others now."""
        if not self._seen or report.standby:
            return
        touched = {*self._touched, *report.generated.objects, *self._written_for(report)}
        self._touched = set()
        for ref in touched & self._seen.keys():
            self._update(ref, self._seen[ref])

    def _written_for(self, report: PassReport) -> Iterator[ObjectRef]:
        """Yield the objects behind the filters that this pass wrote, keeps or released."""
        service_ports: set[ServicePort] = set()
        for step in (*(written.step for written in report.written), *report.kept):
            for side in (step.before, step.after):
                service_ports.update(side.service_ports if side is not None else ())
        for key in report.released:
            want = self._pipeline.filters.get(key)
            service_ports.update(want.service_ports if want is not None else ())
        for service_port in service_ports:
            yield from self._pipeline.objects_read_for(service_port)

    def _update(self, ref: ObjectRef, seen: _Seen) -> None:
        store = self._pipeline.store
        current = conditions(
            self._pipeline.findings_about(ref),
            rejected=ref in store.rejected(),
            last_good=store.is_known(ref),
            reports=self._pipeline.reports_reading(ref),
            problem=self._problem,
        )
        # What is being written counts: the watch has not brought it back yet.
        before = self._unwritten.get(ref, seen.status)
        status = _status(current, seen.generation, before, self._now())
        if status == seen.status:
            self._unwritten.pop(ref, None)
            self._sender.drop(ref)
        elif self._unwritten.get(ref) != status:
            self._unwritten[ref] = status
            self._sender.put(ref, (seen.resource, status))

    # -- in the sender's thread -------------------------------------------------------------------

    def _send(self, ref: ObjectRef, wanted: tuple[ApiResource, Object]) -> None:
        resource, status = wanted
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "status": status,
        }
        try:
            self._client.request(
                "PATCH",
                f"{resource.path(ref.namespace, ref.name)}/status",
                params={"fieldManager": _FIELD_MANAGER, "force": "true"},
                body=body,
                content_type="application/apply-patch+yaml",
            )
        except ApiError as error:
            if error.status != 404:  # gone meanwhile, or a CRD without status
                raise


def _own(status: Any) -> Object:
    """Return our part of a status; empty if there is none."""
    if not isinstance(status, Mapping) or not status:
        return {}
    own = [
        dict(condition)
        for condition in status.get("conditions") or ()
        if isinstance(condition, Mapping) and condition.get("type") in _OURS
    ]
    return {"observedGeneration": status.get("observedGeneration"), "conditions": _sorted(own)}


def _status(current: Iterable[Condition], generation: int, before: Object, now: datetime) -> Object:
    """Return the status to write. A condition's time is when its status last changed."""
    known = {item.get("type"): item for item in before.get("conditions") or ()}
    fresh = []
    for item in current:
        status = "True" if item.good else "False"
        old = known.get(item.type) or {}
        same = old.get("status") == status and old.get("lastTransitionTime")
        fresh.append(
            {
                "type": item.type,
                "status": status,
                "reason": item.reason,
                "message": item.message,
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"]
                if same
                else now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
    return {"observedGeneration": generation, "conditions": _sorted(fresh)}


def _sorted(items: list[Object]) -> list[Object]:
    return sorted(items, key=lambda item: str(item["type"]))
