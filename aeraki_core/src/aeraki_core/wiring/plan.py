"""What a pass would do to live filters, by the controller's own rules (reconcile.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from aeraki_core.findings.text import and_more

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import FilterKey
    from aeraki_core.filters.live import Live
    from aeraki_core.pipeline.reconcile import Plan, Step
    from aeraki_core.wiring.session import Session

__all__ = ["kept_lines", "plan_for"]


def plan_for(session: Session, live: Mapping[FilterKey, Live]) -> Plan:
    """Return the plan for all filters. Nothing is deleted while objects may be missing."""
    from aeraki_core.controller.holds import holds_for
    from aeraki_core.pipeline.reconcile import differences, hold_back

    desired = session.pipeline.filters
    steps = differences(live.keys() | desired.keys(), desired, live)
    befores = (step.before for step in steps if step.before is not None)
    holds = holds_for(befores, session.pipeline, session.gaps)
    return hold_back(steps, {plugin.name for plugin in session.registry.active}, holds)


def kept_lines(kept: Iterable[Step]) -> Iterator[str]:
    """Yield a line for each filter that stays, with the reason.

    Namespaces that are not watched may have many, so each of them has one line.
    """
    from aeraki_core.pipeline.reconcile import Action

    outside: dict[str, list[FilterKey]] = defaultdict(list)
    for step in kept:
        if step.action is Action.OUTSIDE:
            outside[step.message].append(step.key)
        else:
            yield f"{step.action}  {step.key}: {step.message}"
    for reason, keys in sorted(outside.items()):
        yield f"{Action.OUTSIDE}  {and_more(sorted(keys), 1)}: {reason}"
