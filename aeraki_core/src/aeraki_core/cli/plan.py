"""What a pass would do to live filters, by the controller's own rules (reconcile.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aeraki_core.cli.session import Session
    from aeraki_core.envoyfilter import FilterKey
    from aeraki_core.reconcile import Live, Plan

__all__ = ["plan_for"]


def plan_for(session: Session, live: Mapping[FilterKey, Live]) -> Plan:
    """The plan for all filters, live and desired. Nothing is deleted while objects may be missing."""
    from aeraki_core.reconcile import reconcile

    desired = session.pipeline.filters
    return reconcile(
        live.keys() | desired.keys(),
        desired,
        live,
        active_plugins={plugin.name for plugin in session.registry.active},
        why_held=session.why_held,
        deletions_held=session.incomplete,
    )
