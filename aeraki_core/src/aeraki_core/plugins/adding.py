"""What an add-on may add to a port of another plugin's protocol, and what would disturb it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from aeraki_core.filters.patch import ApplyTo, Operation, Patch, Side
from aeraki_core.plugins.patch_extensions import extensions_of, why_malformed
from aeraki_core.plugins.types import AddOn

__all__ = ["why_not_added", "without_conflicts"]

_ADDING = frozenset({Operation.INSERT_BEFORE, Operation.MERGE})


def why_not_added(
    values: tuple[Any, ...] | None, addon: AddOn, sides: Collection[Side], most: int
) -> str:
    """Return why the result of ``aeraki_extend`` cannot be used; empty if it can."""
    if values is None:
        return "gave no Patch values: yield them, or return a list of them"
    if len(values) > most:
        return f"gave more than {most} patches"
    malformed = why_malformed(values)
    if malformed:
        return malformed
    # Each proxy loads only what it has: an undeclared extension would reject the whole listener.
    declared = {extension.name for extension in addon.extensions}
    for value in values:
        if value.operation not in _ADDING:
            return f"gave a patch that does {value.operation}: an add-on inserts and merges"
        if value.side not in sides:
            return "gave a patch for another side than those of its context"
        undeclared = next((name for name in extensions_of(value) if name not in declared), None)
        if undeclared is not None:
            return f"uses {undeclared}, which it does not declare: list it in extensions"
    return ""


def without_conflicts(
    own: tuple[Patch, ...], others: Iterable[Patch]
) -> tuple[tuple[Patch, ...], list[str]]:
    """Return the add-on's patches without conflicts, and why the rest is left out."""
    filters = [patch for patch in others if patch.apply_to is ApplyTo.NETWORK_FILTER]
    taken = {(patch.side, patch.name): patch.plugin for patch in filters}
    replaced = {patch.side for patch in filters if patch.operation is Operation.REPLACE}
    kept: list[Patch] = []
    conflicts: list[str] = []
    for patch in own:
        if patch.apply_to is not ApplyTo.NETWORK_FILTER:
            kept.append(patch)
        elif patch.operation is Operation.MERGE and patch.side in replaced:
            conflicts.append(
                "the protocol's filter takes the place of tcp_proxy, so no merge into it"
            )
        elif patch.operation is Operation.INSERT_BEFORE and (patch.side, patch.name) in taken:
            whose = taken[patch.side, patch.name] or "the protocol's plugin"
            conflicts.append(f"{whose} puts {patch.name} there already; this one is left out")
        else:
            kept.append(patch)
    return tuple(kept), conflicts
