"""What a pass has to do: the changed keys, sorted by the step that they ask for.

A key names a question whose answer changed. Most lead to the service ports and objects that asked
it. Some also ask for a step of the pipeline itself, such as the detection of a service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aeraki_core.mesh.keys import (
    AnnotationKey,
    AnnotationsKey,
    AttachedRouteKey,
    EndpointsKey,
    ForeignFiltersKey,
    Key,
    LabelsKey,
    NamespaceKey,
    RejectedKey,
    ResourceKey,
    ServiceKey,
    VirtualServiceKey,
)
from aeraki_core.mesh.store import Store
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.namespace import ANNOTATION_PREFIX
from aeraki_core.model.service import ServiceId
from aeraki_core.pipeline.placement import Group
from aeraki_core.pipeline.port_output import PortId
from aeraki_core.pipeline.ports import PortTable

__all__ = ["DetectionReads", "Work", "groups_of", "work_for"]


class DetectionReads(NamedTuple):
    """What of a service the plugins' own detection reads."""

    labels: bool
    annotations: bool


@dataclass(slots=True, kw_only=True)
class Work:
    """One pass's work, step by step.

    ``namespaces``: whose annotations are checked. ``services``: detected anew, and every port that
    speaks a protocol is generated. ``relabelled``: detected anew too, but only ports whose protocol
    differs are generated. ``ports``: generated. ``groups``: assembled. ``objects``: checked.
    ``rejected``: whose findings are read again. ``foreign_filters``: other people's EnvoyFilters
    are others.
    """

    ports: set[PortId]
    objects: set[ObjectRef]
    namespaces: set[str] = field(default_factory=set)
    services: set[ServiceId] = field(default_factory=set)
    relabelled: set[ServiceId] = field(default_factory=set)
    groups: set[Group] = field(default_factory=set)
    rejected: set[ObjectRef] = field(default_factory=set)
    foreign_filters: bool = False


def work_for(keys: Iterable[Key], store: Store, ports: PortTable, reads: DetectionReads) -> Work:
    """Sort the changed keys by what they ask a pass to do."""
    affected = ports.affected(keys)
    work = Work(ports=affected.ports, objects=affected.objects)
    for key in keys:
        if isinstance(key, AnnotationsKey) and key.prefix.endswith(f".{ANNOTATION_PREFIX}"):
            work.objects.add(key.ref)  # an option that nobody asks for may be a typo
        match key:
            case ServiceKey():
                work.services.add(ServiceId(key.ref, key.host))
            case AnnotationsKey(prefix=prefix) if prefix == ANNOTATION_PREFIX:
                work.services.update(service.id for service in store.services_of(key.ref))
            case LabelsKey() if reads.labels:
                work.relabelled.update(service.id for service in store.services_of(key.ref))
            case AnnotationKey() | AnnotationsKey() if reads.annotations:
                work.relabelled.update(service.id for service in store.services_of(key.ref))
            case NamespaceKey():
                work.namespaces.add(key.name)
            case VirtualServiceKey() | AttachedRouteKey() | ResourceKey():
                work.objects.add(key.ref)
            case RejectedKey():
                work.rejected.add(key.ref)
            case ForeignFiltersKey():
                work.foreign_filters = True
            case EndpointsKey():
                work.groups.update(groups_of(key, store, ports))
    if work.namespaces:
        # A Namespace's annotations stand for those that its services lack.
        work.services.update(
            service.id for service in store.services() if service.namespace in work.namespaces
        )
    work.relabelled -= work.services
    return work


def groups_of(key: EndpointsKey, store: Store, ports: PortTable) -> Iterator[Group]:
    """Yield the groups of a Kubernetes Service whose endpoints changed.

    Its filters may share workloads with others now.
    """
    for service in store.services_of(ObjectRef("Service", key.namespace, key.name)):
        for placement in ports.placements_of(service):
            yield placement.group
