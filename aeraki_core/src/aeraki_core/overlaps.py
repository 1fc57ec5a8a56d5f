"""Selectors of which neither holds the other, but which both select some workload: whose inbound filter is in force there.

In: the inbound groups of a namespace and target port, and the endpoints of their services. Out: for each group its place in the
order in which istiod applies the filters, and findings. The older service comes first: its filter takes tcp_proxy's place, and the
younger one finds nothing left to replace (facts/istio.md, "EnvoyFilter": order by priority).

Which workloads a selector selects is known by the addresses in EndpointSlices. Without them (a ServiceEntry, files of Services
alone) nothing is said: selectors by unlike labels are common, and most share no workload.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aeraki_core.arrange import Group, Placement, by_age
from aeraki_core.diagnostics import INBOUND_OVERLAP, Finding
from aeraki_core.groups import Groups
from aeraki_core.readers import Readers
from aeraki_core.store import Key, Store

__all__ = ["Overlaps", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What follows for one group: after how many others its filter comes, what is told, and which groups to look at again."""

    after: int = 0
    findings: tuple[Finding, ...] = ()
    again: frozenset[Group] = frozenset()


_ALONE = Standing()


class Overlaps:
    """The order among inbound groups that share workloads, kept up to date one group at a time."""

    def __init__(self, groups: Groups, store: Store) -> None:
        self._groups = groups
        self._store = store
        self._after: dict[Group, int] = {}
        self._readers: Readers[Group] = Readers()

    def resting_on(self, keys: Iterable[Key]) -> set[Group]:
        """The groups for which a changed answer of the store may change something."""
        return {group for key in keys if key[0] == "endpoints" for group in self._readers.of(key)}

    def look(self, group: Group) -> Standing:
        """Look at one group, of which something may have changed."""
        members = self._groups.members(group)
        others = self._groups.overlapping(group) if members else []
        if not others:
            self._readers.record(group, ())
            before = self._after.pop(group, 0)
            return _ALONE if not before else Standing(again=frozenset(self._groups.overlapping(group)))
        mine = min(members, key=by_age)
        keys: set[Key] = set()
        pods = self._pods(members, keys)
        findings: list[Finding] = []
        after, younger = 0, set()
        for other in others:
            theirs = self._groups.members(other)
            rival = min(theirs, key=by_age)
            there = self._pods(theirs, keys)
            if pods.isdisjoint(there) or (mine.patches == rival.patches and not _inserts(mine)):
                continue
            findings += (_finding(item, rival, mine) for item in members)
            if by_age(rival) < by_age(mine):
                after = max(after, 1 + self._after.get(other, 0))
            else:
                younger.add(other)
        self._readers.record(group, keys)
        if after == self._after.get(group, 0):
            younger.clear()
        if after:
            self._after[group] = after
        else:
            self._after.pop(group, None)
        return Standing(after, tuple(findings), frozenset(younger))

    def _pods(self, members: Iterable[Placement], keys: set[Key]) -> set[str]:
        """The addresses of the workloads that the members' selector selects, as far as they are known."""
        found: set[str] = set()
        for item in members:
            if item.ref.kind == "Service":
                keys.add(("endpoints", item.ref.namespace, item.ref.name))
                found.update(self._store.endpoints(item.ref.namespace, item.ref.name).addresses)
        return found


def _inserts(item: Placement) -> bool:
    return any(patch.operation.startswith("INSERT") for patch in item.patches)


def _finding(item: Placement, rival: Placement, mine: Placement) -> Finding:
    first = min(rival, mine, key=by_age)
    outcome = (
        "both filters are there" if _inserts(rival) or _inserts(mine) else f"there that of {first.ref} is in force"
    )
    return Finding(
        INBOUND_OVERLAP,
        f"its selector and that of {rival.ref} select the same workloads, for port {item.group[2]}: {outcome}",
        item.ref,
        "spec.selector" if item.ref.kind == "Service" else "spec.workloadSelector",
    )
