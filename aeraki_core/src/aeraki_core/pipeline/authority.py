"""Which clusters a plugin may change.

Those of the service port that it generates for, and clusters of its own. A route to another service
must never change that service's cluster for the whole mesh. This is decided here, once, for all
plugins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aeraki_core.filters.patch import ADDED_PREFIX, ApplyTo, Operation, Patch, Side
from aeraki_core.plugins.context import GenerateContext

__all__ = ["foreign_changes"]


def foreign_changes(patches: Iterable[Patch], context: GenerateContext) -> Iterator[str]:
    """Yield what the patches change in clusters that are not the plugin's to change."""
    of_clusters = [patch for patch in patches if patch.apply_to is ApplyTo.CLUSTER]
    if not of_clusters:
        return
    own = {context.outbound.cluster, *(side.cluster for side in context.inbound)}
    for patch in of_clusters:
        verb = patch.operation.lower()
        if patch.side.cluster not in own:
            yield f"{verb} cluster {patch.side.cluster}, which is not the service port's own"
        elif patch.operation is Operation.ADD and not _is_added_name(patch.name, patch.side):
            form = patch.side.added_name("<word>")
            yield f"{verb} cluster {patch.name}: names of added clusters have the form {form}"


def _is_added_name(name: str, side: Side) -> bool:
    return name.startswith(ADDED_PREFIX) and name.endswith(f"|{side.cluster}")
