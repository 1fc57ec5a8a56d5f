"""The proxies that together see every EnvoyFilter of a mesh: what a filter is tried on.

In each namespace there is a client with and one without DNS capture (and one with IPv6 alone, or
with both families, where the mesh has such), and for each workload selector a workload.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from aeraki_core.model.mesh import Mesh, ProxyFamily
from aeraki_core.model.meta import is_dns_subdomain
from aeraki_core.testing.sidecar.objects import MeshObjects, part, read_objects
from aeraki_core.testing.sidecar.proxy import Proxy

__all__ = ["proxies_for"]

_IPV6 = "fd00::ffff"


def proxies_for(
    objects: Iterable[Mapping[str, Any]] | MeshObjects,
    filters: Iterable[Mapping[str, Any]],
    mesh: Mesh | None = None,
) -> tuple[Proxy, ...]:
    """Return the proxies, sorted by namespace."""
    parsed, filters = read_objects(objects, mesh), list(filters)
    namespaces = {"default"} | set(map(_namespace, filters))
    for ref, content in parsed.contents.items():
        exported = part(content, "spec").get("exportTo")
        names = exported if isinstance(exported, list) else []
        namespaces |= {name for name in names if isinstance(name, str) and is_dns_subdomain(name)}
        namespaces.add(ref.namespace)
    clients = _clients(parsed)
    proxies = [
        replace(client, namespace=namespace)
        for namespace in sorted(namespaces - {parsed.mesh.root_namespace})
        for client in clients
    ]
    selectors = [
        (_namespace(content), part(content, "spec", "workloadSelector", "labels"))
        for content in filters
    ]
    selectors += [(sidecar.ref.namespace, sidecar.labels) for sidecar in parsed.sidecars]
    for namespace, labels in selectors:
        workload = Proxy(namespace, labels=dict(labels))
        if labels and workload not in proxies:
            proxies.append(workload)
    return tuple(proxies)


def _clients(objects: MeshObjects) -> list[Proxy]:
    """Return a proxy for each form that the name of a listener can have."""
    configured = objects.mesh.proxy_families
    families = set(configured) or {ProxyFamily.IPV4, ProxyFamily.DUAL}
    if not configured and _has_ipv6(objects):
        families.add(ProxyFamily.IPV6)
    allocated = [address for service in objects.services for address in service.auto_addresses]
    clients = [Proxy()] if ProxyFamily.IPV4 in families else []
    if ProxyFamily.IPV6 in families:
        clients.append(Proxy(ip=_IPV6))
    # A proxy with both families has the listeners of the one or of the other.
    by_itself = bool(configured) or (allocated and all(":" in address for address in allocated))
    if ProxyFamily.DUAL in families and len(clients) < 2 and by_itself:
        clients.append(Proxy(dual_stack=True))
    capturing = (True, False) if allocated else (True,)
    return [replace(client, dns_capture=captures) for client in clients for captures in capturing]


def _has_ipv6(objects: MeshObjects) -> bool:
    """Report whether Kubernetes has IPv6 addresses: then some proxies may have only IPv6."""
    of_services = (
        address
        for service in objects.services
        if service.ref.kind == "Service"
        for address in service.addresses
    )
    of_endpoints = (address for item in objects.slices for address in item.addresses)
    return any(":" in address for address in (*of_services, *of_endpoints))


def _namespace(item: Mapping[str, Any]) -> str:
    return str(part(item, "metadata").get("namespace") or "default")
