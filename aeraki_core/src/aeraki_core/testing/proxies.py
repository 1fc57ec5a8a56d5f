"""The proxies that together see every EnvoyFilter of a mesh: what a filter is tried on.

In: the mesh's objects and EnvoyFilters. Out: :class:`Proxy` values: in each namespace a client with and one without DNS
capture (and one with IPv6 alone where istiod allocated such addresses), and for each workload selector a workload that
it selects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import is_dns_subdomain
from aeraki_core.testing.proxy import Proxy
from aeraki_core.testing.view import part, source_object

__all__ = ["proxies_for"]

_IPV6 = "fd00::ffff"


def proxies_for(
    objects: Iterable[Mapping[str, Any]],
    filters: Iterable[Mapping[str, Any]],
    mesh: Mesh | None = None,
) -> tuple[Proxy, ...]:
    """The proxies, sorted by namespace."""
    root = (mesh or Mesh()).root_namespace
    filters = list(filters)
    known = [item for item in map(source_object, objects) if item is not None]
    namespaces = {"default"} | {item.ref.namespace for item in known} | {_namespace(item) for item in filters}
    for item in known:
        exported = part(item.content, "spec").get("exportTo")
        if isinstance(exported, list):
            namespaces |= {name for name in exported if isinstance(name, str) and is_dns_subdomain(name)}
    allocated = [
        str(part(entry).get("value"))
        for item in known
        for entry in _listed(part(item.content, "status").get("addresses"))
    ]
    found: list[Proxy] = []
    for namespace in sorted(namespaces - {root}):
        found.append(Proxy(namespace))
        if allocated:
            found.append(Proxy(namespace, dns_capture=False))
        if any(":" in address for address in allocated):
            found.append(Proxy(namespace, ip=_IPV6))
    for content in filters:
        selector = part(content, "spec", "workloadSelector", "labels")
        if selector:
            workload = Proxy(_namespace(content), labels=dict(selector))
            if workload not in found:
                found.append(workload)
    return tuple(found)


def _namespace(item: Mapping[str, Any]) -> str:
    return str(part(item, "metadata").get("namespace") or "default")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
