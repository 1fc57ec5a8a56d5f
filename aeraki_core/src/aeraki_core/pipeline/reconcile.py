"""What to write: the filters that should exist against those that are live.

The promises "fail static" and "no write without a change" (docs/internals/architecture.md) are
decided here and nowhere else. First the differences are found; then each goes through a chain of
small decisions, the first that has an answer holds it back, and every step carries its reason. No
I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.filters.live import Live
from aeraki_core.filters.output import Output, is_up_to_date

__all__ = [
    "UNREPLACED",
    "Action",
    "Holds",
    "NamespacedPort",
    "Plan",
    "Reason",
    "Step",
    "claims_of",
    "deletes_too_much",
    "differences",
    "hold_back",
    "keep_unreplaced",
    "reconcile",
    "unreplaced",
]

UNREPLACED = "the filter that takes its place could not be written yet"
"""The message of a filter that stays although it should be deleted."""

_FEW = 10
"""So many deletions are never doubted."""


class Action(StrEnum):
    """What is done with one filter.

    KEEP: a live filter that nothing makes now, and that must not go. ORPHAN: its plugin is not
    active. OUTSIDE: its service is in a namespace that is not watched here. All three stay.
    """

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "keep"
    ORPHAN = "orphan"
    OUTSIDE = "outside"


class Reason(StrEnum):
    """Why a step is taken.

    - MISSING: the filter is wanted and not live
    - DIFFERENT: the live filter differs from the wanted one
    - UNREADABLE: the live filter is not as Aeraki writes it
    - UNWANTED: no service port needs the filter
    - HELD: the configuration of its service port is not known well enough to change it
    - FOREIGN: the live filter is for the same host in a namespace that is not watched
    - OUTSIDE: the live filter is for a namespace that is not watched
    - PLUGIN_INACTIVE: the plugin that made it is not active
    - DELETIONS_HELD: a source is not in sync, so that nothing may be deleted
    - UNREPLACED: the filter that takes its place could not be written
    """

    MISSING = "missing"
    DIFFERENT = "different"
    UNREADABLE = "unreadable"
    UNWANTED = "unwanted"
    HELD = "held"
    FOREIGN = "foreign"
    OUTSIDE = "outside"
    PLUGIN_INACTIVE = "plugin inactive"
    DELETIONS_HELD = "deletions held"
    UNREPLACED = "unreplaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do.

    ``before`` is what is live, ``after`` what should be; ``message`` says the reason in words.
    """

    action: Action
    key: FilterKey
    reason: Reason
    message: str
    before: Live | None = None
    after: Output | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """``steps`` are sorted: first creations, then updates, then deletions.

    ``kept`` needs no write.
    """

    steps: tuple[Step, ...]
    kept: tuple[Step, ...]

    def count(self, action: Action) -> int:
        """How many steps have that action."""
        return sum(step.action is action for step in (*self.steps, *self.kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """What must stay as it is, and why.

    ``deletions``: why nothing is deleted now (a source is not in sync); None when deletions are
    done. ``filters``: live filters that stay, such as those of a failing generator. ``outside``:
    live filters that are not ours to judge; their services are not watched here.
    """

    deletions: str | None = None
    filters: Mapping[FilterKey, str] = field(default_factory=dict)
    outside: Mapping[FilterKey, str] = field(default_factory=dict)


_NOTHING_HELD = Holds()
_ORDER = {Action.CREATE: 0, Action.UPDATE: 1, Action.DELETE: 2}


def reconcile(
    keys: Iterable[FilterKey],
    desired: Mapping[FilterKey, Output],
    live: Mapping[FilterKey, Live],
    *,
    active_plugins: Collection[str],
    holds: Holds = _NOTHING_HELD,
) -> Plan:
    """What to do about each of ``keys``: its difference, unless something holds it back."""
    return hold_back(differences(keys, desired, live), active_plugins, holds)


def differences(
    keys: Iterable[FilterKey],
    desired: Mapping[FilterKey, Output],
    live: Mapping[FilterKey, Live],
) -> tuple[Step, ...]:
    """The steps that would make the live filters the desired ones, in the order of a plan."""
    steps = (_difference(key, desired.get(key), live.get(key)) for key in sorted(set(keys)))
    return _in_order(step for step in steps if step is not None)


def _difference(key: FilterKey, want: Output | None, have: Live | None) -> Step | None:
    if want is None:
        return None if have is None else _delete(have)
    if have is None:
        return Step(
            action=Action.CREATE,
            key=key,
            reason=Reason.MISSING,
            message="it does not exist",
            after=want,
        )
    return None if is_up_to_date(have.filter, want) else _update(have, want)


def _delete(have: Live) -> Step:
    return Step(
        action=Action.DELETE,
        key=have.key,
        reason=Reason.UNWANTED,
        message="no service asks for it any more",
        before=have,
    )


def _update(have: Live, want: Output) -> Step:
    readable = have.filter is not None
    return Step(
        action=Action.UPDATE,
        key=have.key,
        reason=Reason.DIFFERENT if readable else Reason.UNREADABLE,
        message="it differs" if readable else "it is not as Aeraki writes it",
        before=have,
        after=want,
    )


# -- what holds a difference back
# ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rules:
    active_plugins: Collection[str]
    holds: Holds


_Decision = Callable[[Step, Live, _Rules], Step | None]
"""The step that keeps a live filter, which differs from what is wanted.

None when this is no reason to.
"""


def hold_back(steps: Iterable[Step], active_plugins: Collection[str], holds: Holds) -> Plan:
    """The plan for these differences: each is done, or kept for the first reason that applies."""
    rules = _Rules(active_plugins, holds)
    done: list[Step] = []
    kept: list[Step] = []
    for step in steps:
        held = _held_back(step, rules)
        if held is None:
            done.append(step)
        else:
            kept.append(held)
    return Plan(_in_order(done), tuple(kept))


def _held_back(step: Step, rules: _Rules) -> Step | None:
    if step.before is None:
        return None
    decisions = _WHEN_UNWANTED if step.after is None else _WHEN_DIFFERENT
    decided = (decision(step, step.before, rules) for decision in decisions)
    return next((held for held in decided if held is not None), None)


def _leave_outside(step: Step, have: Live, rules: _Rules) -> Step | None:
    message = rules.holds.outside.get(step.key)
    if message is None:
        return None
    return replace(step, action=Action.OUTSIDE, reason=Reason.OUTSIDE, message=message)


def _leave_orphan(step: Step, have: Live, rules: _Rules) -> Step | None:
    if have.plugin in rules.active_plugins:
        return None
    message = f"plugin {have.plugin or '?'} is not active"
    return replace(step, action=Action.ORPHAN, reason=Reason.PLUGIN_INACTIVE, message=message)


def _keep_while_out_of_sync(step: Step, have: Live, rules: _Rules) -> Step | None:
    return _keep(step, Reason.DELETIONS_HELD, rules.holds.deletions)


def _keep_held(step: Step, have: Live, rules: _Rules) -> Step | None:
    return _keep(step, Reason.HELD, rules.holds.filters.get(step.key))


def _keep_foreign(step: Step, have: Live, rules: _Rules) -> Step | None:
    """Leave a filter alone if it is for the host in a namespace that is not watched."""
    outside, want = rules.holds.outside.get(step.key), step.after
    if outside is None or want is None:
        return None
    if have.filter is not None and have.filter.instance and have.filter.instance == want.instance:
        return None
    if not have.namespaces or not set(have.namespaces).isdisjoint(want.namespaces):
        return None
    return _keep(step, Reason.FOREIGN, f"it is for a service of the same host: {outside}")


def _keep(step: Step, reason: Reason, message: str | None) -> Step | None:
    if message is None:
        return None
    return replace(step, action=Action.KEEP, reason=reason, message=message)


# Whose filter it is comes first: whatever else is true, filters of others stay.
_WHEN_UNWANTED: tuple[_Decision, ...] = (
    _leave_outside,
    _leave_orphan,
    _keep_while_out_of_sync,
    _keep_held,
)
_WHEN_DIFFERENT: tuple[_Decision, ...] = (_keep_held, _keep_foreign)


def _in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda step: (_ORDER[step.action], _rank(step), step.key)))


def _rank(step: Step) -> bool:
    """What a filter names comes before it, and goes after it."""
    return step.key.kind.is_named == (step.action is Action.DELETE)


def deletes_too_much(deletions: int, live: int) -> bool:
    """Whether so many deletions are hardly ever meant: more than ten, and a third of ``live``.

    They wait until every source has given a fresh full answer that confirms them.
    """
    return deletions > _FEW and deletions * 3 > live


# -- what takes another's place
# ------------------------------------------------------------------------


class NamespacedPort(NamedTuple):
    """A service port, as the objects of one namespace see it.

    Several namespaces can have objects for the same host. A failed request of one namespace holds
    nothing that another one has.
    """

    service_port: ServicePort
    namespace: str


def claims_of(item: Output | Live) -> frozenset[NamespacedPort]:
    """What a filter is for; without a namespace if an older version wrote it."""
    namespaces = item.namespaces or ("",)
    return frozenset(
        NamespacedPort(service_port, namespace)
        for service_port in item.service_ports
        for namespace in namespaces
    )


def unreplaced(deletion: Step, unwritten: Collection[NamespacedPort]) -> bool:
    """Whether a filter stays for now, because one with the same claim could not be written."""
    if deletion.before is None or not unwritten:
        return False
    if deletion.before.namespaces:
        return not claims_of(deletion.before).isdisjoint(unwritten)
    # Its namespace is unknown, so any namespace with these service ports may replace it.
    service_ports = {claim.service_port for claim in unwritten}
    return not service_ports.isdisjoint(deletion.before.service_ports)


def keep_unreplaced(plan: Plan, unwritten: Collection[NamespacedPort]) -> Plan:
    """The plan, in which filters stay whose replacement could not be written."""
    if not unwritten:
        return plan
    steps: list[Step] = []
    kept = list(plan.kept)
    for step in plan.steps:
        if step.action is Action.DELETE and unreplaced(step, unwritten):
            kept.append(
                replace(step, action=Action.KEEP, reason=Reason.UNREPLACED, message=UNREPLACED)
            )
        else:
            steps.append(step)
    return Plan(tuple(steps), tuple(kept))
