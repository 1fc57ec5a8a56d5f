"""The proxies that together see every EnvoyFilter of a mesh: what a filter is tried on.

In: the mesh's objects and EnvoyFilters. Out: :class:`Proxy` values: in each namespace a client with and one without DNS
capture (and one with IPv6 alone where istiod allocated such addresses), and for each workload selector a workload that
it selects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aeraki_core.model.mesh import Mesh
from aeraki_core.testing.proxy import Proxy

__all__ = ["proxies_for"]

_IPV6 = "fd00::ffff"


def proxies_for(
    objects: Iterable[Mapping[str, Any]],
    filters: Iterable[Mapping[str, Any]],
    mesh: Mesh | None = None,
) -> tuple[Proxy, ...]:
    """The proxies, sorted by namespace."""
    root = (mesh or Mesh()).root_namespace
    objects, filters = list(objects), list(filters)
    namespaces = {"default"} | {_namespace(item) for item in objects}
    namespaces |= {_namespace(item) for item in filters}
    for item in objects:
        exported = (item.get("spec") or {}).get("exportTo")
        if isinstance(exported, list):
            namespaces |= {name for name in exported if isinstance(name, str) and len(name) > 1}
    allocated = [
        str(entry.get("value")) for item in objects for entry in ((item.get("status") or {}).get("addresses") or ())
    ]
    found: list[Proxy] = []
    for namespace in sorted(namespaces - {root}):
        found.append(Proxy(namespace))
        if allocated:
            found.append(Proxy(namespace, dns_capture=False))
        if any(":" in address for address in allocated):
            found.append(Proxy(namespace, ip=_IPV6))
    for item in filters:
        selector = ((item.get("spec") or {}).get("workloadSelector") or {}).get("labels")
        if selector:
            workload = Proxy(_namespace(item), labels=dict(selector))
            if workload not in found:
                found.append(workload)
    return tuple(found)


def _namespace(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("namespace") or "default")
