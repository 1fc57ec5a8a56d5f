"""What to write: the filters that should be against those that are.

In: desired filters, live filters, and what must be kept and why. Out: a :class:`Plan`. Pure: no I/O, no clock.
The promises "fail static" and "no write without a change" (design.md) are decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort, is_in_force
from aeraki_core.filters.live import Live

__all__ = [
    "UNREPLACED",
    "Action",
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
    """What is to be done with one filter. KEEP: a live filter that nothing makes now, and that must not go.

    ORPHAN: its plugin is not active; OUTSIDE: its service is of a namespace that is not watched here. Both stay.
    """

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "keep"
    ORPHAN = "orphan"
    OUTSIDE = "outside"


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


def unreplaced(deletion: Step, unwritten: Collection[ServicePort]) -> bool:
    """Whether a filter must stay for now: one for the same service port, which would take its place, could not be written.

    ``unwritten``: the service ports that such filters are for.
    """
    return deletion.before is not None and any(
        service_port in unwritten for service_port in deletion.before.service_ports
    )


def keep_unreplaced(plan: Plan, unwritten: Collection[ServicePort]) -> Plan:
    """The plan with filters kept that would be deleted though what takes their place could not be written."""
    steps: list[Step] = []
    kept = list(plan.kept)
    for step in plan.steps:
        if step.action is Action.DELETE and unreplaced(step, unwritten):
            kept.append(replace(step, action=Action.KEEP, reason=UNREPLACED))
        else:
            steps.append(step)
    return Plan(tuple(steps), tuple(kept))


WhyHeld = Callable[[ServicePort], str | None]
"""Why a service port's live filters must stay as they are; None when they need not."""

WhyOutside = Callable[[Live], str | None]
"""Why a live filter is not ours to judge: its service is of a namespace that is not watched; None when it is ours."""


def _everything(live: Live) -> None:
    """All namespaces are watched."""


def reconcile(
    keys: Iterable[FilterKey],
    desired: Mapping[FilterKey, EnvoyFilter],
    live: Mapping[FilterKey, Live],
    *,
    active_plugins: Collection[str],
    why_held: WhyHeld,
    deletions_held: str | None = None,
    why_outside: WhyOutside = _everything,
) -> Plan:
    """What to do about each of ``keys``.

    ``deletions_held``: why nothing may be deleted now (a source is not synced); None when it may. A filter of a plugin that is not
    active is an orphan: kept, whatever else is true. So is one for which ``why_outside`` has a reason.
    """
    order = {Action.CREATE: 0, Action.UPDATE: 1, Action.DELETE: 2}
    steps: list[Step] = []
    kept: list[Step] = []
    for key in sorted(set(keys)):
        step = _decide(
            key,
            desired.get(key),
            live.get(key),
            active_plugins,
            why_held,
            deletions_held,
            why_outside,
        )
        if step is not None:
            (steps if step.action in order else kept).append(step)
    return Plan(tuple(sorted(steps, key=lambda step: (order[step.action], step.key))), tuple(kept))


def _decide(
    key: FilterKey,
    want: EnvoyFilter | None,
    have: Live | None,
    active_plugins: Collection[str],
    why_held: WhyHeld,
    deletions_held: str | None,
    why_outside: WhyOutside,
) -> Step | None:
    if have is None:
        return (
            Step(Action.CREATE, key, "it does not exist", None, want) if want is not None else None
        )
    if want is not None:
        if is_in_force(have.filter, want):
            return None
        held = _held(have.service_ports, why_held) or _somebody_elses(have, want, why_outside)
        if held is not None:
            return Step(Action.KEEP, key, held, have, want)
        return Step(
            Action.UPDATE,
            key,
            "it differs" if have.filter else "it is not as Aeraki writes it",
            have,
            want,
        )
    outside = why_outside(have)
    if outside is not None:
        return Step(Action.OUTSIDE, key, outside, have)
    if have.plugin not in active_plugins:
        return Step(Action.ORPHAN, key, f"plugin {have.plugin or '?'} is not active", have)
    held = deletions_held or _held(have.service_ports, why_held)
    if held is not None:
        return Step(Action.KEEP, key, held, have)
    return Step(Action.DELETE, key, "no service asks for it any more", have)


def _held(service_ports: Iterable[ServicePort], why_held: WhyHeld) -> str | None:
    return next(
        (
            reason
            for service_port in service_ports
            if (reason := why_held(service_port)) is not None
        ),
        None,
    )


def _somebody_elses(have: Live, want: EnvoyFilter, why_outside: WhyOutside) -> str | None:
    """Why a filter of the wanted name is left alone: it is for the same host, as a namespace has it that is not watched here."""
    if have.filter is not None and have.filter.instance and have.filter.instance == want.instance:
        return None
    if not have.namespaces or not set(have.namespaces).isdisjoint(want.namespaces):
        return None
    outside = why_outside(have)
    return f"it is for a service of the same host: {outside}" if outside else None
