"""What to write: the filters that should be against those that are.

In: desired filters, live filters, and what must be kept and why. Out: a :class:`Plan`. Pure: no I/O, no clock.
The promises "fail static" and "no write without a change" (design.md) are decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from aeraki_core.envoyfilter import EnvoyFilter, FilterKey, Owner

__all__ = [
    "UNREPLACED",
    "Action",
    "Live",
    "Plan",
    "Step",
    "deletes_too_much",
    "keep_unreplaced",
    "reconcile",
    "unreplaced",
]

UNREPLACED = "the filter that takes its place could not be written yet"
"""Why a filter that is to be deleted stays for now."""


class Action(StrEnum):
    """What is to be done with one filter. KEEP: a live filter that nothing makes now, and that must not go."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "keep"
    ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Live:
    """A filter of ours as a sink found it. ``filter`` None: it could not be read, so it equals nothing."""

    key: FilterKey
    plugin: str
    owners: tuple[Owner, ...]
    filter: EnvoyFilter | None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and why. ``before`` is what is live, ``after`` what should be."""

    action: Action
    key: FilterKey
    reason: str
    before: Live | None = None
    after: EnvoyFilter | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, sorted: first what is created, then updated, then deleted; ``kept`` needs no write."""

    steps: tuple[Step, ...]
    kept: tuple[Step, ...]

    def count(self, action: Action) -> int:
        """How many steps are of that kind."""
        return sum(step.action is action for step in (*self.steps, *self.kept))


def deletes_too_much(plan: Plan, live: int, confirmed: Collection[FilterKey] = ()) -> bool:
    """Whether the plan would delete more than a third of all ``live`` filters, and more than ten, not counting those ``confirmed``.

    That is hardly ever meant: such a plan waits until every source has given a fresh full answer that confirms it.
    """
    count = sum(step.action is Action.DELETE and step.key not in confirmed for step in plan.steps)
    return count > 10 and count * 3 > live


def unreplaced(deletion: Step, unwritten: Collection[Owner]) -> bool:
    """Whether a filter must stay for now: one for the same service port, which would take its place, could not be written.

    ``unwritten``: the service ports that such filters are for.
    """
    return deletion.before is not None and any(owner in unwritten for owner in deletion.before.owners)


def keep_unreplaced(plan: Plan, unwritten: Collection[Owner]) -> Plan:
    """The plan with filters kept that would be deleted though what takes their place could not be written."""
    steps: list[Step] = []
    kept = list(plan.kept)
    for step in plan.steps:
        if step.action is Action.DELETE and unreplaced(step, unwritten):
            kept.append(replace(step, action=Action.KEEP, reason=UNREPLACED))
        else:
            steps.append(step)
    return Plan(tuple(steps), tuple(kept))


WhyHeld = Callable[[Owner], str | None]
"""Why a service port's live filters must stay as they are; None when they need not."""


def reconcile(
    keys: Iterable[FilterKey],
    desired: Mapping[FilterKey, EnvoyFilter],
    live: Mapping[FilterKey, Live],
    *,
    active_plugins: Collection[str],
    why_held: WhyHeld,
    deletions_held: str | None = None,
) -> Plan:
    """What to do about each of ``keys``.

    ``deletions_held``: why nothing may be deleted now (a source is not synced); None when it may. A filter of a plugin that is not
    active is an orphan: kept, whatever else is true.
    """
    steps: list[Step] = []
    kept: list[Step] = []
    for key in sorted(set(keys)):
        step = _decide(key, desired.get(key), live.get(key), active_plugins, why_held, deletions_held)
        if step is not None:
            (kept if step.action in (Action.KEEP, Action.ORPHAN) else steps).append(step)
    order = {Action.CREATE: 0, Action.UPDATE: 1, Action.DELETE: 2}
    return Plan(tuple(sorted(steps, key=lambda step: (order[step.action], step.key))), tuple(kept))


def _decide(
    key: FilterKey,
    want: EnvoyFilter | None,
    have: Live | None,
    active_plugins: Collection[str],
    why_held: WhyHeld,
    deletions_held: str | None,
) -> Step | None:
    if have is None:
        return Step(Action.CREATE, key, "it does not exist", None, want) if want is not None else None
    if want is not None:
        if have.filter == want:
            return None
        held = _held(have.owners, why_held)
        if held is not None:
            return Step(Action.KEEP, key, held, have, want)
        return Step(Action.UPDATE, key, "it differs" if have.filter else "it is not as Aeraki writes it", have, want)
    if have.plugin not in active_plugins:
        return Step(Action.ORPHAN, key, f"plugin {have.plugin or '?'} is not active", have)
    held = deletions_held or _held(have.owners, why_held)
    if held is not None:
        return Step(Action.KEEP, key, held, have)
    return Step(Action.DELETE, key, "no service asks for it any more", have)


def _held(owners: Iterable[Owner], why_held: WhyHeld) -> str | None:
    return next((reason for owner in owners if (reason := why_held(owner)) is not None), None)
