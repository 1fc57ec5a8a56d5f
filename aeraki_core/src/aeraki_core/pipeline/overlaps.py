"""Which inbound filter takes effect where two selectors overlap.

They select the same workload, and neither contains the other.

The older service wins: istiod applies its filter first, which replaces tcp_proxy, and the younger
one finds nothing left to replace (docs/internals/istio.md, "EnvoyFilter").

EndpointSlices show which workloads a selector matches, by their addresses. Without them (a
ServiceEntry, files with only Services) nothing is reported: selectors with different labels are
common, and most of them share no workload.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aeraki_core.findings.codes import INBOUND_OVERLAP
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.store import Store
from aeraki_core.model.memory import Index
from aeraki_core.model.meta import Label
from aeraki_core.pipeline.groups import Groups
from aeraki_core.pipeline.placement import Group, InboundGroup, Placement, by_age

__all__ = ["Overlaps", "Rank"]


@dataclass(frozen=True, slots=True)
class Rank:
    """Where the filter of a group stands among those that share workloads with it.

    ``after``: how many of them istiod must apply before. ``recheck``: groups whose rank depends on
    this one, which changed.
    """

    after: int = 0
    findings: tuple[Finding, ...] = ()
    recheck: frozenset[InboundGroup] = frozenset()


_FIRST = Rank()
"""Of a group that shares no workload, as most do."""


class Overlaps:
    """The order among inbound groups that share workloads, kept up to date one group at a time.

    An index by address finds the rivals of a group. By labels alone, nearly all selectors of a
    namespace could share a workload with nearly all others.
    """

    def __init__(self, groups: Groups, store: Store) -> None:
        self._groups = groups
        self._store = store
        self._after: dict[InboundGroup, int] = {}
        self._addresses: dict[InboundGroup, tuple[str, ...]] = {}
        self._selecting: Index[str, InboundGroup, InboundGroup] = Index()

    def update(self, groups: Iterable[Group]) -> set[Group]:
        """Look up the workloads of changed groups again.

        Returns all groups to rank: the changed ones, and those that share workloads with them or
        did so before.
        """
        inbound = [group for group in groups if isinstance(group, InboundGroup)]
        to_rank: set[Group] = {*groups}.union(*map(self._rivals, inbound))
        for group in inbound:
            members = self._groups.members(group)
            has_filter = bool(members) and not self._groups.broader(group)
            self._select(group, self._workload_addresses(members) if has_filter else ())
        return to_rank.union(*map(self._rivals, inbound))

    def rank(self, group: Group) -> Rank:
        """Return the rank of a group, once all changed groups are updated."""
        if not isinstance(group, InboundGroup):
            return _FIRST
        rivals = self._rivals(group)
        if not rivals and group not in self._after:
            return _FIRST
        members = self._groups.members(group)
        after = 0
        findings: list[Finding] = []
        for other in sorted(rivals):
            mine, rival = (
                min(placements, key=by_age) for placements in (members, self._groups.members(other))
            )
            # Applying equal patches twice changes nothing, unless they insert.
            if mine.patches == rival.patches and not _inserts(mine):
                continue
            findings += (_overlap(group, placement, rival, mine) for placement in members)
            # The older one wins, as in Istio: the younger comes after it and finds its place taken.
            if by_age(rival) < by_age(mine):
                after = max(after, 1 + self._after.get(other, 0))
        before = self._after.pop(group, 0)
        if after:
            self._after[group] = after
        recheck = frozenset(rivals) if after != before else frozenset()
        return Rank(after, tuple(findings), recheck)

    def _rivals(self, group: InboundGroup) -> set[InboundGroup]:
        """Return the groups with a filter for the same port of the same workloads."""
        return {
            other
            for address in self._addresses.get(group, ())
            for other in self._selecting.values(address)
            if (other.namespace, other.target_port) == (group.namespace, group.target_port)
            and _cross(group.selector, other.selector)
        }

    def _select(self, group: InboundGroup, addresses: tuple[str, ...]) -> None:
        for address in self._addresses.pop(group, ()):
            self._selecting.drop(address, group)
        for address in addresses:
            self._selecting.put(address, group, group)
        if addresses:
            self._addresses[group] = addresses

    def _workload_addresses(self, members: Iterable[Placement]) -> tuple[str, ...]:
        """Return the known addresses of the selected workloads."""
        refs = {placement.ref for placement in members if placement.ref.kind == "Service"}
        return tuple(
            {
                address
                for ref in refs
                for address in self._store.endpoints(ref.namespace, ref.name).addresses
            }
        )


def _cross(selector: tuple[Label, ...], other: tuple[Label, ...]) -> bool:
    """Report whether a workload may have the labels of both, and neither contains the other.

    The labels must be compared although the addresses are equal: pods in their node's network share
    its address.
    """
    both = {*selector, *other}
    names = {name for name, _ in both}
    return both != {*selector} and both != {*other} and len(names) == len(both)


def _inserts(placement: Placement) -> bool:
    return any(patch.operation.startswith("INSERT") for patch in placement.patches)


def _overlap(
    group: InboundGroup, placement: Placement, rival: Placement, mine: Placement
) -> Finding:
    first = min(rival, mine, key=by_age)
    outcome = (
        "both filters apply"
        if _inserts(rival) or _inserts(mine)
        else f"the filter of {first.ref} takes effect there"
    )
    return Finding(
        INBOUND_OVERLAP,
        f"its selector and the one of {rival.ref} select the same workloads, and both configure "
        f"port {group.target_port}: {outcome}",
        placement.ref,
        "spec.selector" if placement.ref.kind == "Service" else "spec.workloadSelector",
    )
