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

from aeraki_core.findings.codes import INBOUND_OVERLAP
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.index import Index
from aeraki_core.mesh.store import Store
from aeraki_core.pipeline.arrange import Group, Placement, by_age
from aeraki_core.pipeline.groups import HEAD, Groups

__all__ = ["Overlaps", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What follows for one group: after how many others its filter comes, what is told, and which groups to look at again."""

    after: int = 0
    findings: tuple[Finding, ...] = ()
    again: frozenset[Group] = frozenset()


class Overlaps:
    """The order among inbound groups that share workloads, kept up to date one group at a time.

    They are found by the workloads' addresses: of thousands of selectors in a namespace nearly all could share a workload with
    nearly all others by their labels alone.
    """

    def __init__(self, groups: Groups, store: Store) -> None:
        self._groups = groups
        self._store = store
        self._after: dict[Group, int] = {}
        self._pods: dict[Group, tuple[str, ...]] = {}
        self._selecting: Index[str, Group, Group] = Index()

    def moved(self, groups: Iterable[Group]) -> set[Group]:
        """These groups changed, or their workloads did. Returns all to look at: they, and who shares or shared workloads."""
        inbound = [group for group in groups if group[0] == "inbound"]
        found = {*groups}.union(*map(self._rivals, inbound))
        for group in inbound:
            members = self._groups.members(group)
            has_filter = bool(members) and not self._groups.broader(group)
            self._select(group, self._addresses(members) if has_filter else ())
        return found.union(*map(self._rivals, inbound))

    def look(self, group: Group) -> Standing:
        """What follows for one group, when all that changed is known."""
        members, rivals = self._groups.members(group), self._rivals(group)
        after = 0
        findings: list[Finding] = []
        for other in sorted(rivals):
            mine, rival = (
                min(items, key=by_age) for items in (members, self._groups.members(other))
            )
            if mine.patches == rival.patches and not _inserts(mine):
                continue
            findings += (_finding(item, rival, mine) for item in members)
            if by_age(rival) < by_age(mine):
                after = max(after, 1 + self._after.get(other, 0))
        before = self._after.pop(group, 0)
        if after:
            self._after[group] = after
        return Standing(
            after, tuple(findings), frozenset(rivals) if after != before else frozenset()
        )

    def _rivals(self, group: Group) -> set[Group]:
        """The groups with a filter for the same port of the same workloads."""
        return {
            other
            for address in self._pods.get(group, ())
            for other in self._selecting.values(address)
            if other[:HEAD] == group[:HEAD] and _cross(set(group[HEAD:]), set(other[HEAD:]))
        }

    def _select(self, group: Group, addresses: tuple[str, ...]) -> None:
        for address in self._pods.pop(group, ()):
            self._selecting.drop(address, group)
        for address in addresses:
            self._selecting.put(address, group, group)
        if addresses:
            self._pods[group] = addresses

    def _addresses(self, members: Iterable[Placement]) -> tuple[str, ...]:
        """Those of the workloads that the members' selector selects, as far as they are known."""
        names = {
            (item.ref.namespace, item.ref.name) for item in members if item.ref.kind == "Service"
        }
        return tuple(
            {address for name in names for address in self._store.endpoints(*name).addresses}
        )


def _cross(labels: set[str], others: set[str]) -> bool:
    """Whether two selectors may select one workload, and neither holds the other. Pods in a node's network share its address."""
    both = labels | others
    return both not in (labels, others) and len({label.partition("=")[0] for label in both}) == len(
        both
    )


def _inserts(item: Placement) -> bool:
    return any(patch.operation.startswith("INSERT") for patch in item.patches)


def _finding(item: Placement, rival: Placement, mine: Placement) -> Finding:
    first = min(rival, mine, key=by_age)
    outcome = (
        "both filters are there"
        if _inserts(rival) or _inserts(mine)
        else f"there that of {first.ref} is in force"
    )
    return Finding(
        INBOUND_OVERLAP,
        f"its selector and that of {rival.ref} select the same workloads, for port {item.group[2]}: {outcome}",
        item.ref,
        "spec.selector" if item.ref.kind == "Service" else "spec.workloadSelector",
    )
