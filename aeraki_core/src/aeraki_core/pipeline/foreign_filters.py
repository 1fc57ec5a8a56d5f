"""Where EnvoyFilters of other people and ours meet, and which of the two takes effect.

istiod applies the patches of a filter chain by priority, then the root namespace's first, then by
age; MERGE patches come after all others. The first that takes tcp_proxy away leaves nothing for
those that look for it later (docs/internals/istio.md, "EnvoyFilter";
tests/istio/test_priority.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from aeraki_core.filters.cluster_name import ClusterName
from aeraki_core.filters.envoyfilter import ConfigPatch
from aeraki_core.filters.patch import ApplyTo
from aeraki_core.findings.codes import FOREIGN_FILTER
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.foreign_filters import (
    ForeignFilter,
    ForeignFilters,
    ForeignPatch,
    PatchTarget,
)
from aeraki_core.model.meta import Label
from aeraki_core.pipeline.arrange import LAST_PRIORITY, PRIORITY, TCP_PROXY
from aeraki_core.pipeline.placement import InboundGroup, Placement

__all__ = ["foreign_filter_findings"]


class _Meeting(NamedTuple):
    """A patch of ours, one of somebody else for the same chain, and where that is."""

    placement: Placement
    ours: ConfigPatch
    foreign: ForeignFilter
    theirs: ForeignPatch
    where: str


def foreign_filter_findings(
    placements: Iterable[Placement], foreign: ForeignFilters, root_namespace: str
) -> tuple[Finding, ...]:
    """Return a finding for each foreign patch that hides the filter of a port, or is hidden."""
    if not len(foreign):
        return ()
    findings: dict[tuple[ForeignFilter, int], Finding] = {}
    for placement in placements:
        port = placement.service_port.port
        for meeting in _meetings(placement, foreign):
            outcome = _outcome(meeting, root_namespace)
            if outcome is None or not _reaches(meeting, root_namespace):
                continue
            theirs = meeting.foreign
            whose = _whose(meeting, root_namespace)
            message = f"port {port}: {theirs.ref} {outcome} ({meeting.where}{whose})"
            finding = Finding(FOREIGN_FILTER, message, placement.ref, "spec.ports")
            findings.setdefault((theirs, meeting.theirs.index), finding)
    return tuple(findings.values())


def _whose(meeting: _Meeting, root_namespace: str) -> str:
    """Return in words whose proxies have the foreign patch; empty for all."""
    ref, labels = meeting.foreign.ref, meeting.foreign.labels
    words = ""
    if labels:
        words += " with " + ", ".join(f"{name}={value}" for name, value in labels)
    if ref.namespace != root_namespace:
        words += f" in {ref.namespace}"
    who = "workloads" if _is_inbound(meeting.placement) else "clients"
    some = ", proxies of its match only" if meeting.theirs.some_proxies else ""
    return f"{f' of {who}{words}' if words else ''}{some}"


def _meetings(placement: Placement, foreign: ForeignFilters) -> Iterator[_Meeting]:
    inbound = _is_inbound(placement)
    host, port = placement.service_port
    for ours in placement.patches:
        # Only patches that look for tcp_proxy can miss it, or take it from others.
        if ours.apply_to is not ApplyTo.NETWORK_FILTER or ours.match.filter != TCP_PROXY:
            continue
        listener = ours.match.listener
        number = ours.match.destination_port if inbound else port
        side = "inbound" if inbound else f"listener {listener}"
        for each in foreign.at(number) if inbound else foreign.at(listener, number):
            for patch in each.patches:
                meets = (
                    patch.meets_inbound(number)
                    if inbound
                    else patch.meets_outbound(listener, number)
                )
                if patch.target is not PatchTarget.CLUSTER and meets:
                    yield _Meeting(placement, ours, each, patch, side)
        if not inbound:
            cluster = str(ClusterName("outbound", port, "", host))
            for each in foreign.at(cluster, host, port):
                for patch in each.patches:
                    if patch.meets_cluster(cluster, host, port):
                        yield _Meeting(placement, ours, each, patch, f"cluster {cluster}")


def _outcome(meeting: _Meeting, root_namespace: str) -> str | None:
    """Return which of the two has no effect, and what to do; None if both have theirs."""
    ours, theirs = meeting.ours, meeting.theirs
    if theirs.target is PatchTarget.CLUSTER:
        return "removes the cluster that calls go to; they fail unless something adds it again"
    if theirs.target is not PatchTarget.NETWORK_FILTER:
        what = "listener" if theirs.target is PatchTarget.LISTENER else "filter chain"
        return f"removes the {what}, and Aeraki's filter with it"
    name = _filter_name(ours)
    theirs_first = _is_first(meeting, root_namespace)
    replaces = ours.operation == "REPLACE"
    takes_away = theirs.operation in ("REPLACE", "REMOVE")
    does = {"REPLACE": "replaces", "REMOVE": "removes", "MERGE": "merges into"}.get(
        theirs.operation, "inserts beside"
    )
    is_tie = _rank(meeting, root_namespace) == _own_rank(meeting.placement, root_namespace)
    priorities = f"priority {meeting.foreign.priority}, Aeraki's {meeting.placement.priority}"
    # istiod applies EnvoyFilters by priority, and all MERGEs of network filters last. So what
    # counts is who comes first, and whether tcp_proxy is there by then.
    if theirs.anchor == TCP_PROXY:
        if theirs.operation == "MERGE" and replaces:
            return (
                f"merges into tcp_proxy, which Aeraki's {name} has replaced, so the merge has no "
                f"effect; merge into {name} instead"
            )
        if theirs_first and theirs.operation == "REPLACE" and theirs.brings == TCP_PROXY:
            if not replaces:
                return None
            return f"replaces tcp_proxy with one of its own, which Aeraki's {name} replaces in turn"
        if is_tie and replaces and theirs.operation != "MERGE":
            return (
                f"{does} tcp_proxy, and Aeraki's {name} replaces it, both with priority "
                f"{meeting.foreign.priority}: the older of the two hides the other; give it a "
                f"priority below {PRIORITY}, or exclude the port"
            )
        if takes_away and theirs_first:
            return (
                f"{does} tcp_proxy before Aeraki's filter looks for it, which then has no effect; "
                f"remove one of the two, or exclude the port ({priorities})"
            )
        if replaces and not theirs_first and theirs.operation != "MERGE":
            return (
                f"{does} tcp_proxy after Aeraki has replaced it, so it has no effect; give it a "
                f"priority below {PRIORITY}, or anchor it at {name} ({priorities})"
            )
        return None
    if theirs.anchor != name or theirs.operation == "MERGE":
        return None
    if theirs_first:
        return (
            f"{does} {name} before Aeraki has written it, so it has no effect; give it a priority "
            f"above {LAST_PRIORITY} ({priorities})"
        )
    if takes_away:
        return f"{does} {name} of Aeraki after it was written, and takes its place ({priorities})"
    return None


def _is_first(meeting: _Meeting, root_namespace: str) -> bool:
    """Report whether istiod applies the other filter before ours.

    The age of ours is not known before it is written, so of two with one priority and place the
    other counts as older.
    """
    return _rank(meeting, root_namespace) <= _own_rank(meeting.placement, root_namespace)


def _rank(meeting: _Meeting, root_namespace: str) -> tuple[int, bool]:
    return meeting.foreign.priority, meeting.foreign.ref.namespace != root_namespace


def _own_rank(placement: Placement, root_namespace: str) -> tuple[int, bool]:
    return placement.priority, placement.key.namespace != root_namespace


def _reaches(meeting: _Meeting, root_namespace: str) -> bool:
    """Report whether some proxy has both filters."""
    placement, foreign = meeting.placement, meeting.foreign
    mine, theirs = placement.key.namespace, foreign.ref.namespace
    return (root_namespace in (mine, theirs) or mine == theirs) and _may_share(
        placement.selector, foreign.labels
    )


def _may_share(selector: Collection[Label], other: Collection[Label]) -> bool:
    """Report whether a workload may have the labels of both."""
    both = {*selector, *other}
    return len({name for name, _ in both}) == len(both)


def _is_inbound(placement: Placement) -> bool:
    return isinstance(placement.group, InboundGroup)


def _filter_name(patch: ConfigPatch) -> str:
    """Return the name of the network filter that a patch of ours brings."""
    return str(getattr(patch.value.message(), "name", "")) if patch.value is not None else ""
