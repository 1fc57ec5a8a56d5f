"""The status of objects of plugins' kinds: written by the leader, when it changes, and only then.

In: what the controller tells its observer, and what the objects' status is now (from the same watch that brings the objects).
Out: server-side applies on the status subresource with the field manager ``aeraki``. An apply that changes nothing changes no
version, and none is sent when the status already says what it should.
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
    """What an object's status is, as far as it is ours, and of which generation the object is."""

    resource: ApiResource
    generation: int
    status: Object


class Statuses:
    """An observer. ``client`` must refuse to write while this replica does not lead; ``problem`` is the controller's."""

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
        self._wanted: dict[ObjectRef, Object] = {}
        self._touched: set[ObjectRef] = set()
        self._sender: Sender[ObjectRef, tuple[ApiResource, Object]] = Sender("status", self._send)

    def start(self) -> None:
        """Begin to write, in a thread of its own."""
        self._sender.start()

    def stop(self) -> None:
        """Write nothing more."""
        self._sender.stop()

    # -- in the controller's thread -----------------------------------------------------------------------------------

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
                self._wanted.clear()
                self._sender.clear()
            case PassReport() as report:
                self._look_after(report)

    def _remember(self, item: SourceObject) -> None:
        """Remember what the status of an object of ours is now."""
        group, _, version = item.api_version.rpartition("/")
        kind = self._kinds.get((group, item.ref.kind))
        if kind is None:
            return
        resource = ApiResource(group, version, kind.kind, kind.plural)
        metadata = item.content.get("metadata") or {}
        generation = metadata.get("generation")
        if not isinstance(generation, int):
            return  # not from an API server: there is no status to write
        self._seen[item.ref] = _Seen(resource, generation, _own(item.content.get("status")))
        self._touched.add(item.ref)

    def _forget(self, ref: ObjectRef) -> None:
        """Forget an object that is gone."""
        self._seen.pop(ref, None)
        self._wanted.pop(ref, None)
        self._sender.drop(ref)

    def _look_after(self, report: PassReport) -> None:
        """Look at every object about which something else may be true now."""
        if not self._seen or report.standby:
            return
        touched = {*self._touched, *report.generated.objects, *self._written_for(report)}
        self._touched = set()
        for ref in touched & self._seen.keys():
            self._look(ref, self._seen[ref])

    def _written_for(self, report: PassReport) -> Iterator[ObjectRef]:
        """The objects that filters rest on of which something became in this pass."""
        service_ports: set[ServicePort] = set()
        for step in (*(item.step for item in report.written), *report.kept):
            for item in (step.before, step.after):
                service_ports.update(item.service_ports if item is not None else ())
        for key in report.released:
            found = self._pipeline.filters.get(key)
            service_ports.update(found.service_ports if found is not None else ())
        for service_port in service_ports:
            yield from self._pipeline.objects_read_for(service_port)

    def _look(self, ref: ObjectRef, seen: _Seen) -> None:
        store = self._pipeline.store
        found = conditions(
            self._pipeline.findings_about(ref),
            rejected=ref in store.rejected(),
            in_force=store.is_known(ref),
            reports=self._pipeline.reports_reading(ref),
            problem=self._problem,
        )
        # Against what is under way, if something is: the watch has not brought it back yet.
        before = self._wanted.get(ref, seen.status)
        status = _status(found, seen.generation, before, self._now())
        if status == seen.status:
            self._wanted.pop(ref, None)
            self._sender.drop(ref)
        elif self._wanted.get(ref) != status:
            self._wanted[ref] = status
            self._sender.put(ref, (seen.resource, status))

    # -- in the sender's thread ---------------------------------------------------------------------------------------

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
    """The part of a status that is ours; empty when there is none."""
    if not isinstance(status, Mapping) or not status:
        return {}
    given = status.get("conditions")
    own = [
        dict(item)
        for item in given or ()
        if isinstance(item, Mapping) and item.get("type") in _OURS
    ]
    return {"observedGeneration": status.get("observedGeneration"), "conditions": _sorted(own)}


def _status(found: Iterable[Condition], generation: int, before: Object, now: datetime) -> Object:
    """The status to write. A condition's time is when it last changed between true and false."""
    known = {item.get("type"): item for item in before.get("conditions") or ()}
    fresh = []
    for item in found:
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
