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
    """The plan for all filters, live and desired. Nothing is deleted while objects may be missing."""
    from aeraki_core.pipeline.reconcile import reconcile

    desired = session.pipeline.filters
    return reconcile(
        live.keys() | desired.keys(),
        desired,
        live,
        active_plugins={plugin.name for plugin in session.registry.active},
        why_held=session.why_held,
        deletions_held=session.incomplete,
        why_outside=session.pipeline.why_outside,
    )


def kept_lines(kept: Iterable[Step]) -> Iterator[str]:
    """A line for each filter that stays, and why; of those of namespaces that are not watched, which may be many, one for each."""
    from aeraki_core.pipeline.reconcile import Action

    outside: dict[str, list[FilterKey]] = defaultdict(list)
    for step in kept:
        if step.action is Action.OUTSIDE:
            outside[step.message].append(step.key)
        else:
            yield f"{step.action}  {step.key}: {step.message}"
    for reason, keys in sorted(outside.items()):
        yield f"{Action.OUTSIDE}  {and_more(sorted(keys), 1)}: {reason}"
