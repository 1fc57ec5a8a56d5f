"""What holds live filters back: gaps of sources, failures of the pipeline, namespaces of others."""

from __future__ import annotations

from collections.abc import Iterable

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.live import Live
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.pipeline.reconcile import Holds
from aeraki_core.sources.gaps import Gaps

__all__ = ["holds_for"]


def holds_for(filters: Iterable[Live], pipeline: Pipeline, gaps: Gaps) -> Holds:
    """Return the live filters that must stay, and why."""
    held: dict[FilterKey, str] = {}
    outside: dict[FilterKey, str] = {}
    for live in filters:
        reason = pipeline.why_outside(live)
        if reason is not None:
            outside[live.key] = reason
        for service_port in live.service_ports:
            reason = gaps.why_held(service_port.host) or pipeline.why_held(
                service_port, live.namespaces
            )
            if reason is not None:
                held[live.key] = reason
                break
    return Holds(deletions=gaps.deletions, filters=held, outside=outside)
