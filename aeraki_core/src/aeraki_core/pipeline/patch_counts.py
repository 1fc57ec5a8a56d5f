"""What the outbound filters cost istiod, as a number of patches.

istiod compares each patch with each listener of each proxy that the filter reaches
(docs/internals/istio.md, "What EnvoyFilters cost istiod").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aeraki_core.filters.envoyfilter import EnvoyFilter
from aeraki_core.filters.output import Output
from aeraki_core.pipeline.arrange import OUTBOUND

__all__ = ["PatchCounts", "patch_counts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCounts:
    """Outbound patches by the sidecars that they reach.

    ``mesh_wide``: those of every sidecar. ``namespaces``: what the sidecars of a namespace get
    beside these; those of some workloads count for their whole namespace.
    """

    mesh_wide: int
    namespaces: Mapping[str, int]


def patch_counts(filters: Iterable[Output], root_namespace: str) -> PatchCounts:
    """Count the outbound patches of all filters."""
    counts = Counter[str]()
    for each in filters:
        if isinstance(each, EnvoyFilter):
            counts[each.key.namespace] += sum(patch.context == OUTBOUND for patch in each.patches)
    mesh_wide = counts.pop(root_namespace, 0)
    return PatchCounts(
        mesh_wide=mesh_wide,
        namespaces={name: count for name, count in sorted(counts.items()) if count},
    )
