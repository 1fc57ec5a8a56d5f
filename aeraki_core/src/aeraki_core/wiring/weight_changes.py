"""Which weights differ between two states of a filter, to say of a write what it shifts.

Envoy's filters of all protocols write weights alike: entries with a name and a weight, in a route
with a match.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aeraki_core.errors import AerakiError
from aeraki_core.filters.output import Output, to_dict

__all__ = ["weight_changes"]

_MOST = 3


def weight_changes(before: Output, after: Output) -> str:
    """Return ``sayHello v1 80 -> 55, v2 20 -> 45``; empty if something else differs, or nothing."""
    try:
        old, new = (dict(_weights(_values(each), "")) for each in (before, after))
    except AerakiError:
        return ""
    if old.keys() != new.keys():
        return ""
    changed = [key for key in old if old[key] != new[key]]
    texts = []
    for index, (route, cluster) in enumerate(changed[:_MOST]):
        is_same_route = index and changed[index - 1][0] == route
        name = cluster if is_same_route or not route else f"{route} {cluster}"
        texts.append(f"{name} {old[route, cluster]} -> {new[route, cluster]}")
    if len(changed) > _MOST:
        texts.append(f"{len(changed) - _MOST} more")
    return ", ".join(texts)


def _values(output: Output) -> list[Any]:
    """Return what the patches of a filter put into Envoy's configuration."""
    patches = to_dict(output)["spec"].get("configPatches") or ()
    return [patch["patch"].get("value") for patch in patches]


def _weights(value: Any, route: str) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield the weight of each cluster by its route and name."""
    if isinstance(value, list):
        for item in value:
            yield from _weights(item, route)
    elif isinstance(value, dict):
        route = _first_text(value.get("match")) or route
        name, weight = value.get("name"), value.get("weight")
        if isinstance(name, str) and isinstance(weight, int):
            yield (route, _short(name)), weight
        for item in value.values():
            yield from _weights(item, route)


def _first_text(value: Any) -> str:
    """Return the first text in a match, which names what it is about."""
    if isinstance(value, str):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((text for text in map(_first_text, parts) if text), "")


def _short(cluster: str) -> str:
    """Return the subset of one of Istio's clusters, its host without one."""
    parts = cluster.split("|")
    return parts[2] or parts[3] if len(parts) == 4 else cluster
