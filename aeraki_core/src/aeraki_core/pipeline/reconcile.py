"""What to write: the filters that should be against those that are live.

The promises "fail static" and "no write without a change" (docs/internals/architecture.md) are decided here and nowhere
else. Each decision is a small function in a chain, the first that has an answer decides, and every step carries its reason.
No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort, is_up_to_date
from aeraki_core.filters.live import Live

__all__ = [
    "UNREPLACED",
    "Action",
    "Plan",
    "Reason",
    "Step",
    "deletes_too_much",
    "keep_unreplaced",
    "reconcile",
    "unreplaced",
]

UNREPLACED = "the filter that takes its place could not be written yet"
"""The message of a filter that stays although it should be deleted."""


class Action(StrEnum):
    """What to do with one filter.

    KEEP: a live filter that is not as it should be, and must stay as it is. ORPHAN: its plugin is not active. OUTSIDE: its
    service is in a namespace that is not watched here. The last two stay as well.
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
    """One thing to do. ``before`` is what is live, ``after`` what should be; ``message`` says the reason in words."""

    action: Action
    key: FilterKey
    reason: Reason
    message: str
    before: Live | None = None
    after: EnvoyFilter | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, sorted: creations, updates, deletions. ``kept`` needs no write."""

    steps: tuple[Step, ...]
    kept: tuple[Step, ...]

    def count(self, action: Action) -> int:
        """How many steps have that action."""
        return sum(step.action is action for step in (*self.steps, *self.kept))


def deletes_too_much(plan: Plan, live: int, confirmed: Collection[FilterKey] = ()) -> bool:
    """Whether the plan deletes more than ten filters and more than a third of the ``live`` ones, without those ``confirmed``.

    Hardly anybody means that: such a plan waits until every source has confirmed it with a fresh full answer.
    """
    count = sum(step.action is Action.DELETE and step.key not in confirmed for step in plan.steps)
    return count > 10 and count * 3 > live


def unreplaced(deletion: Step, unwritten: Collection[ServicePort]) -> bool:
    """Whether a filter must stay because another one for the same service port could not be written.

    ``unwritten``: the service ports of the filters that could not be written.
    """
    return deletion.before is not None and any(
        service_port in unwritten for service_port in deletion.before.service_ports
    )


def keep_unreplaced(plan: Plan, unwritten: Collection[ServicePort]) -> Plan:
    """The plan without deletions of filters whose replacement could not be written; those are kept."""
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


WhyHeld = Callable[[ServicePort], str | None]
"""Why the live filters of a service port must stay; None when they need not."""

WhyOutside = Callable[[Live], str | None]
"""Why a live filter is not ours to judge: the namespace of its service is not watched. None when it is ours."""


def _everything_is_watched(_: Live) -> None:
    return None


def reconcile(
    keys: Iterable[FilterKey],
    desired: Mapping[FilterKey, EnvoyFilter],
    live: Mapping[FilterKey, Live],
    *,
    active_plugins: Collection[str],
    why_held: WhyHeld,
    deletions_held: str | None = None,
    why_outside: WhyOutside = _everything_is_watched,
) -> Plan:
    """What to do about each of ``keys``.

    ``deletions_held``: why nothing may be deleted now (a source is not in sync); None when deletions may go on.
    """
    rules = _Rules(active_plugins, why_held, deletions_held, why_outside)
    decided = (_decide(key, desired.get(key), live.get(key), rules) for key in sorted(set(keys)))
    steps = [step for step in decided if step is not None]
    order = {Action.CREATE: 0, Action.UPDATE: 1, Action.DELETE: 2}
    writes = [step for step in steps if step.action in order]
    kept = tuple(step for step in steps if step.action not in order)
    return Plan(tuple(sorted(writes, key=lambda step: (order[step.action], step.key))), kept)


@dataclass(frozen=True, slots=True)
class _Rules:
    active_plugins: Collection[str]
    why_held: WhyHeld
    deletions_held: str | None
    why_outside: WhyOutside

    def held(self, live: Live) -> str | None:
        """Why one of the filter's service ports must stay as it is."""
        reasons = (self.why_held(service_port) for service_port in live.service_ports)
        return next((reason for reason in reasons if reason is not None), None)


def _decide(
    key: FilterKey, want: EnvoyFilter | None, have: Live | None, rules: _Rules
) -> Step | None:
    if have is None:
        return None if want is None else _create(key, want)
    if want is None:
        steps = (policy(key, have, rules) for policy in _WHEN_UNWANTED)
    elif is_up_to_date(have.filter, want):
        return None
    else:
        steps = (policy(key, want, have, rules) for policy in _WHEN_DIFFERENT)
    return next(step for step in steps if step is not None)


def _create(key: FilterKey, want: EnvoyFilter) -> Step:
    return Step(
        action=Action.CREATE,
        key=key,
        reason=Reason.MISSING,
        message="it does not exist",
        after=want,
    )


# -- a live filter differs from the wanted one ---------------------------------------------------------------------------


def _keep_held(key: FilterKey, want: EnvoyFilter, have: Live, rules: _Rules) -> Step | None:
    message = rules.held(have)
    return None if message is None else _keep(key, Reason.HELD, message, have, want)


def _keep_foreign(key: FilterKey, want: EnvoyFilter, have: Live, rules: _Rules) -> Step | None:
    """Leave a filter of the wanted name alone if it is for the same host in a namespace that is not watched here."""
    if have.filter is not None and have.filter.instance and have.filter.instance == want.instance:
        return None
    if not have.namespaces or not set(have.namespaces).isdisjoint(want.namespaces):
        return None
    outside = rules.why_outside(have)
    if outside is None:
        return None
    message = f"it is for a service of the same host: {outside}"
    return _keep(key, Reason.FOREIGN, message, have, want)


def _update(key: FilterKey, want: EnvoyFilter, have: Live, rules: _Rules) -> Step:
    readable = have.filter is not None
    return Step(
        action=Action.UPDATE,
        key=key,
        reason=Reason.DIFFERENT if readable else Reason.UNREADABLE,
        message="it differs" if readable else "it is not as Aeraki writes it",
        before=have,
        after=want,
    )


_WHEN_DIFFERENT = (_keep_held, _keep_foreign, _update)


# -- a live filter that nothing wants ------------------------------------------------------------------------------------


def _leave_outside(key: FilterKey, have: Live, rules: _Rules) -> Step | None:
    message = rules.why_outside(have)
    if message is None:
        return None
    return Step(action=Action.OUTSIDE, key=key, reason=Reason.OUTSIDE, message=message, before=have)


def _leave_orphan(key: FilterKey, have: Live, rules: _Rules) -> Step | None:
    if have.plugin in rules.active_plugins:
        return None
    return Step(
        action=Action.ORPHAN,
        key=key,
        reason=Reason.PLUGIN_INACTIVE,
        message=f"plugin {have.plugin or '?'} is not active",
        before=have,
    )


def _keep_while_out_of_sync(key: FilterKey, have: Live, rules: _Rules) -> Step | None:
    if rules.deletions_held is None:
        return None
    return _keep(key, Reason.DELETIONS_HELD, rules.deletions_held, have)


def _keep_held_unwanted(key: FilterKey, have: Live, rules: _Rules) -> Step | None:
    message = rules.held(have)
    return None if message is None else _keep(key, Reason.HELD, message, have)


def _delete(key: FilterKey, have: Live, rules: _Rules) -> Step:
    return Step(
        action=Action.DELETE,
        key=key,
        reason=Reason.UNWANTED,
        message="no service asks for it any more",
        before=have,
    )


# Whose filter it is comes first: whatever else is true, filters of others stay.
_WHEN_UNWANTED = (
    _leave_outside,
    _leave_orphan,
    _keep_while_out_of_sync,
    _keep_held_unwanted,
    _delete,
)


def _keep(
    key: FilterKey, reason: Reason, message: str, have: Live, want: EnvoyFilter | None = None
) -> Step:
    return Step(
        action=Action.KEEP, key=key, reason=reason, message=message, before=have, after=want
    )
