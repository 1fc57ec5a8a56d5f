"""Placements that decide together about EnvoyFilters, kept up to date one service port at a time.

Outbound, a group is one EnvoyFilter. Inbound, it is what all services want for one target port of
the workloads that one selector selects. Inbound groups of a namespace and target port touch each
other when one selector is a part of the other; an index by label finds those without a look at all
groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, combinations
from typing import NamedTuple

from aeraki_core.model.memory import Index
from aeraki_core.model.meta import Label
from aeraki_core.pipeline.placement import Group, InboundGroup, Placement
from aeraki_core.pipeline.port_output import PortId

__all__ = ["Groups"]

# A longer selector has too many parts to look each up: it is compared with all that share a label.
_MAX_LABELS = 8


class _LabelKey(NamedTuple):
    """The inbound groups of a namespace and target port that have a label in their selector."""

    namespace: str
    target_port: int
    label: Label


class Groups:
    """Placements by group."""

    def __init__(self) -> None:
        self._members: Index[Group, PortId, tuple[Placement, ...]] = Index()
        self._by_label: dict[_LabelKey, set[InboundGroup]] = defaultdict(set)

    def replace(
        self, port: PortId, before: Iterable[Placement], after: Iterable[Placement]
    ) -> set[Group]:
        """Put a service port's new placements in the place of its old ones.

        Returns every group whose filters may differ now.
        """
        old, new = _by_group(before), _by_group(after)
        touched: set[Group] = set()
        for group in old.keys() | new.keys():
            members = new.get(group)
            if old.get(group) == members:
                continue
            touched.add(group)
            if isinstance(group, InboundGroup):
                touched.update(self._broader(group), self._narrower(group))
            if members is None:
                self._remove(group, port)
                continue
            if isinstance(group, InboundGroup) and group not in self._members:
                for key in _label_keys(group):
                    self._by_label[key].add(group)
            self._members.put(group, port, members)
        return touched

    def members(self, group: Group) -> tuple[Placement, ...]:
        """Return the placements of a group; empty when the last one is gone."""
        return tuple(chain.from_iterable(self._members.values(group)))

    def ports(self, group: Group) -> tuple[PortId, ...]:
        """Return the service ports that have placements in a group."""
        return self._members.identities(group)

    def broader(self, group: InboundGroup) -> tuple[Placement, ...]:
        """Placements for the same target port whose selector covers this group's."""
        return self._members_of(self._broader(group))

    def narrower(self, group: InboundGroup) -> tuple[Placement, ...]:
        """Placements for the same target port whose selector this group's covers."""
        return self._members_of(self._narrower(group))

    def _members_of(self, groups: Iterable[InboundGroup]) -> tuple[Placement, ...]:
        return tuple(chain.from_iterable(map(self.members, groups)))

    def _remove(self, group: Group, port: PortId) -> None:
        self._members.drop(group, port)
        if group in self._members or not isinstance(group, InboundGroup):
            return
        for key in _label_keys(group):
            self._by_label[key].discard(group)
            if not self._by_label[key]:
                del self._by_label[key]

    def _broader(self, group: InboundGroup) -> list[InboundGroup]:
        if len(group.selector) < 2:
            return []  # the part of one label is no selector
        selector = group.selector
        if len(selector) > _MAX_LABELS:
            sharing = set().union(*self._sharing(group))
            return sorted(other for other in sharing if set(other.selector) < set(selector))
        parts = (
            group._replace(selector=part)
            for size in range(1, len(selector))
            for part in combinations(selector, size)
        )
        return [part for part in parts if part in self._members]

    def _narrower(self, group: InboundGroup) -> list[InboundGroup]:
        if not group.selector:
            return []
        # A selector of a part has all labels of this group: the rarest label leaves the fewest
        # candidates.
        candidates = min(self._sharing(group), key=len)
        longer = [other for other in candidates if len(other.selector) > len(group.selector)]
        return sorted(other for other in longer if set(other.selector) > set(group.selector))

    def _sharing(self, group: InboundGroup) -> list[set[InboundGroup]]:
        """For each label of the selector, the groups that have it too."""
        return [self._by_label.get(key, set()) for key in _label_keys(group)]


def _label_keys(group: InboundGroup) -> list[_LabelKey]:
    return [_LabelKey(group.namespace, group.target_port, label) for label in group.selector]


def _by_group(placements: Iterable[Placement]) -> dict[Group, tuple[Placement, ...]]:
    by_group: dict[Group, list[Placement]] = defaultdict(list)
    for placement in placements:
        by_group[placement.group].append(placement)
    return {group: tuple(members) for group, members in by_group.items()}
