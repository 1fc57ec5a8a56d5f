"""The proxies that together see every EnvoyFilter of a mesh: what a filter is tried on.

In: the mesh's objects and EnvoyFilters. Out: :class:`Proxy` values: in each namespace a client with and one without DNS
capture (and one with IPv6 alone, or with both families, where the mesh has such), and for each workload selector a
workload that it selects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from aeraki_core.mesh.store import Store
from aeraki_core.model.mesh import Mesh, ProxyFamily
from aeraki_core.model.meta import is_dns_subdomain
from aeraki_core.testing.sidecar.proxy import Proxy
from aeraki_core.testing.sidecar.view import part, source_object, store_of

__all__ = ["proxies_for"]

_IPV6 = "fd00::ffff"


def proxies_for(
    objects: Iterable[Mapping[str, Any]],
    filters: Iterable[Mapping[str, Any]],
    mesh: Mesh | None = None,
) -> tuple[Proxy, ...]:
    """The proxies, sorted by namespace."""
    objects, filters = list(objects), list(filters)
    store = store_of(objects, mesh)
    known = [item for item in map(source_object, objects) if item is not None]
    namespaces = (
        {"default"}
        | {item.ref.namespace for item in known}
        | {_namespace(item) for item in filters}
    )
    for item in known:
        exported = part(item.content, "spec").get("exportTo")
        if isinstance(exported, list):
            namespaces |= {
                name for name in exported if isinstance(name, str) and is_dns_subdomain(name)
            }
    clients = _clients(store)
    found = [
        replace(client, namespace=namespace)
        for namespace in sorted(namespaces - {store.mesh.root_namespace})
        for client in clients
    ]
    for content in filters:
        selector = part(content, "spec", "workloadSelector", "labels")
        if selector:
            workload = Proxy(_namespace(content), labels=dict(selector))
            if workload not in found:
                found.append(workload)
    return tuple(found)


def _clients(store: Store) -> list[Proxy]:
    """One for each way in which the name of a listener depends on the proxy."""
    families = store.proxy_families()
    allocated = [address for service in store.services() for address in service.auto_addresses]
    found = [Proxy()] if ProxyFamily.IPV4 in families else []
    if ProxyFamily.IPV6 in families:
        found.append(Proxy(ip=_IPV6))
    # One with both has the listeners of the one or of the other.
    by_itself = bool(store.mesh.proxy_families) or (
        allocated and all(":" in address for address in allocated)
    )
    if ProxyFamily.DUAL in families and len(found) < 2 and by_itself:
        found.append(Proxy(dual_stack=True))
    capturing = (True, False) if allocated else (True,)
    return [replace(client, dns_capture=captures) for client in found for captures in capturing]


def _namespace(item: Mapping[str, Any]) -> str:
    return str(part(item, "metadata").get("namespace") or "default")
