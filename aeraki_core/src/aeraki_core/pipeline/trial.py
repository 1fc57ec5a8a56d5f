"""What one object would mean for the mesh, before it is there.

An admission webhook asks this about an object that somebody applies. A trial is a pipeline of its
own over a copy of the objects, so that the same code judges the object as judges the mesh, and
nothing that is tried comes back into the mesh. It generates only what reads the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aeraki_core.findings.codes import BAD_NAME, CORE_CODES, REJECTED
from aeraki_core.findings.finding import Finding, Severity, in_order
from aeraki_core.mesh.store import SourceObject, Store
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import ServiceId
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.dispatch import Dispatcher

__all__ = ["Ask", "Tried", "own_errors", "try_object"]

T = TypeVar("T")

_MAX_SERVICES = 50
"""A rule for every host of a large mesh is read by thousands."""

# What the object alone decides, besides what its plugin says: no other object can cure it.
_OF_THE_OBJECT = (REJECTED, BAD_NAME)


class Ask(Protocol):
    """Calls a function where the pipeline may be read."""

    def __call__(self, function: Callable[[], T], /) -> T:
        """Return the function's answer.

        Raises:
            TimeoutError: it was not called in time.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial found at the object.

    ``unchecked``: how many services that read the object were left out, for there are too many or
    they take too long.
    """

    findings: tuple[Finding, ...]
    unchecked: int = 0


def try_object(
    pipeline: Pipeline,
    source_object: SourceObject,
    *,
    ask: Ask,
    enough: Callable[[], bool],
) -> Tried:
    """Judge an object as a part of the mesh that the pipeline knows.

    The copy and one look-up are made where ``ask`` calls them, everything else here. Once
    ``enough`` is true, no more is generated.

    Raises:
        TimeoutError: ``ask`` was not answered in time.
    """
    ref = source_object.ref
    trial = _over(pipeline, ask(pipeline.store.copy))
    # A port that loses its protocol is a finding, so what it speaks today has to be known.
    trial.detect(service.id for service in trial.store.services_of(ref))
    trial.run(enough)
    trial.upsert(source_object)
    readers = ask(lambda: pipeline.readers(trial.pending))
    services = {port.service for port in readers.ports}
    for reader in (ref, *readers.objects):
        services.update(service.id for service in trial.store.services_of(reader))
    services.update(_named_by(trial.store, ref))
    # Those of the object's own namespace first: its author can do something about them.
    looked_at = sorted(services, key=lambda each: (each.ref.namespace != ref.namespace, each))
    trial.detect(looked_at[:_MAX_SERVICES])
    left = trial.run(enough).left
    return Tried(
        in_order(_at(trial, ref)),
        unchecked=max(len(services) - _MAX_SERVICES, int(left)),
    )


def own_errors(pipeline: Pipeline, source_object: SourceObject) -> tuple[Finding, ...]:
    """The errors that an object has by itself, whatever else is or will be in the mesh.

    Objects are applied in any order, so an error that another object cures is none of these.
    """
    alone = _over(pipeline, None)
    alone.upsert(source_object)
    alone.run()
    return in_order(
        finding
        for finding in _at(alone, source_object.ref)
        if finding.severity is Severity.ERROR
        and (finding.code in _OF_THE_OBJECT or finding.code not in CORE_CODES)
    )


def _over(pipeline: Pipeline, store: Store | None) -> Pipeline:
    return Pipeline(
        pipeline.mesh,
        Dispatcher(pipeline.registry),
        pipeline.arrangement,
        instance=pipeline.instance,
        store=store,
    )


def _at(trial: Pipeline, ref: ObjectRef) -> Iterator[Finding]:
    return (finding for finding in trial.unlocated if finding.ref == ref)


def _named_by(store: Store, ref: ObjectRef) -> Iterable[ServiceId]:
    """The services of a VirtualService's hosts: whether anybody speaks there is a finding, too."""
    virtual_service = store.virtual_service(ref) if ref.kind == "VirtualService" else None
    for host in virtual_service.hosts if virtual_service is not None else ():
        for service in store.services_of_host(host):
            yield service.id
