"""The patches of one service port for one EnvoyFilter, and the group that they belong to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from aeraki_core.filters.envoyfilter import ConfigPatch, FilterKey, ServicePort
from aeraki_core.mesh.mesh_client import EVERYBODY_ELSE, MeshClient
from aeraki_core.mesh.weight_sets import WeightSet
from aeraki_core.model.meta import Age, Label, ObjectRef

__all__ = ["Group", "InboundGroup", "OutboundGroup", "Placement", "by_age", "group_order"]


class OutboundGroup(NamedTuple):
    """All that goes into one outbound EnvoyFilter."""

    key: FilterKey


class InboundGroup(NamedTuple):
    """All that services want for one target port of the workloads that a selector selects."""

    namespace: str
    target_port: int
    selector: tuple[Label, ...]


Group = OutboundGroup | InboundGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Patches of one service port for one EnvoyFilter.

    ``age`` decides between two that want the same place.

    ``client``: whom it is for; everybody else for the whole mesh, and for the inbound side.
    ``weight_sets``: what its patches name.
    """

    group: Group
    key: FilterKey
    plugin: str
    service_port: ServicePort
    ref: ObjectRef
    age: Age
    selector: tuple[Label, ...]
    priority: int
    patches: tuple[ConfigPatch, ...]
    client: MeshClient = EVERYBODY_ELSE
    weight_sets: tuple[WeightSet, ...] = ()

    def only_on(self, listeners: Collection[str]) -> Placement:
        """The same without patches of other listeners."""
        patches = tuple(
            patch
            for patch in self.patches
            if not patch.match.listener or patch.match.listener in listeners
        )
        return self if patches == self.patches else replace(self, patches=patches)


def by_age(placement: Placement) -> tuple[Age, ServicePort, FilterKey, ObjectRef]:
    """Sorts placements, the oldest service first."""
    return (placement.age, placement.service_port, placement.key, placement.ref)


def group_order(group: Group) -> tuple[bool, Group]:
    """Sorts groups of both sides.

    Inbound ones after outbound ones, which do not compare with them.
    """
    return (isinstance(group, InboundGroup), group)
