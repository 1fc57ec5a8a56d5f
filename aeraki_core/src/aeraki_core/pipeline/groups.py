"""Which placements must be looked at together, kept up to date one service port at a time.

In: the placements of a service port, as they change. Out: the groups whose filters may now differ, and for each what
:func:`aeraki_core.pipeline.arrange.assemble` needs. Inbound filters of one namespace and target port touch each other when one
selector holds
the other; those are found by their labels, not by looking at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations

from aeraki_core.mesh.index import Index
from aeraki_core.pipeline.arrange import Group, Placement
from aeraki_core.pipeline.generate import PortId

__all__ = ["HEAD", "Groups"]

HEAD = 3
"""How many parts of an inbound group come before those of its selector's labels: "inbound", namespace, target port."""
_MOST_LABELS = (
    8  # selectors with more are compared with all that share a label: 2 ** 8 look-ups are enough
)


class Groups:
    """Placements by group."""

    def __init__(self) -> None:
        self._members: Index[Group, PortId, tuple[Placement, ...]] = Index()
        self._by_label: dict[Group, set[Group]] = defaultdict(set)

    def replace(
        self, port: PortId, before: Iterable[Placement], after: Iterable[Placement]
    ) -> set[Group]:
        """A service port's placements changed. Returns every group whose filters may differ now."""
        old, new = _by_group(before), _by_group(after)
        changed = {group for group in old.keys() | new.keys() if old.get(group) != new.get(group)}
        touched: set[Group] = set()
        for group in changed:
            touched |= {group, *self._broader(group), *self._narrower(group)}
            if group in new:
                if group not in self._members:
                    self._index(group)
                self._members.put(group, port, new[group])
            else:
                self._remove(group, port)
        return touched

    def members(self, group: Group) -> tuple[Placement, ...]:
        """The placements of a group; empty when there is none any more."""
        return tuple(item for items in self._members.values(group) for item in items)

    def broader(self, group: Group) -> tuple[Placement, ...]:
        """Placements for the same target port whose selector selects all that this group's does, and more."""
        return tuple(item for other in self._broader(group) for item in self.members(other))

    def narrower(self, group: Group) -> tuple[Placement, ...]:
        """Placements for the same target port whose selector selects a part of what this group's does."""
        return tuple(item for other in self._narrower(group) for item in self.members(other))

    def _index(self, group: Group) -> None:
        for key in _label_keys(group):
            self._by_label[key].add(group)

    def _remove(self, group: Group, port: PortId) -> None:
        self._members.drop(group, port)
        if group in self._members:
            return
        for key in _label_keys(group):
            self._by_label[key].discard(group)
            if not self._by_label[key]:
                del self._by_label[key]

    def _broader(self, group: Group) -> list[Group]:
        if group[0] != "inbound":
            return []
        head, labels = group[:HEAD], group[HEAD:]
        if len(labels) > _MOST_LABELS:
            sharing = set().union(*(self._by_label.get(key, set()) for key in _label_keys(group)))
            return sorted(other for other in sharing if set(other) < set(group))
        parts = (part for size in range(1, len(labels)) for part in combinations(labels, size))
        return [head + part for part in parts if head + part in self._members]

    def _narrower(self, group: Group) -> list[Group]:
        sharing = [self._by_label.get(key, set()) for key in _label_keys(group)]
        if not sharing:
            return []
        return sorted(other for other in min(sharing, key=len) if set(other) > set(group))


def _label_keys(group: Group) -> Iterator[Group]:
    if group[0] == "inbound":
        for label in group[HEAD:]:
            yield (*group[:HEAD], label)


def _by_group(placements: Iterable[Placement]) -> dict[Group, tuple[Placement, ...]]:
    found: dict[Group, list[Placement]] = defaultdict(list)
    for item in placements:
        found[item.group].append(item)
    return {group: tuple(items) for group, items in found.items()}
