"""What the mesh knows of Kubernetes Services beside the services themselves.

Each class keeps one kind of fact for the store, and answers a change with the keys that moved.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator

from aeraki_core.mesh.keys import AliasKey, Key, ProxyFamiliesKey, ServiceKey
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.mesh import Mesh, ProxyFamily
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import ExternalName, Service

__all__ = ["AddressFamilies", "ExternalNames", "MirroredAddresses"]

_IPV4_CLUSTER = frozenset({ProxyFamily.IPV4, ProxyFamily.DUAL})
_API_SERVER = ObjectRef("Service", "default", "kubernetes")


class ExternalNames:
    """Services of type ExternalName, which are no services of the mesh (ServiceKey)."""

    def __init__(self) -> None:
        self._by_ref: dict[ObjectRef, ExternalName] = {}

    def __iter__(self) -> Iterator[ExternalName]:
        return iter(self._by_ref.values())

    def get(self, ref: ObjectRef) -> ExternalName | None:
        """Return the one of that object."""
        return self._by_ref.get(ref)

    def copy_from(self, other: ExternalNames) -> None:
        """Hold what another one holds."""
        self._by_ref = dict(other._by_ref)

    def put(self, ref: ObjectRef, external: ExternalName | None) -> set[Key]:
        """Keep what an object is; None: it is none. Returns the keys whose answer changed."""
        before = self._by_ref.pop(ref, None)
        if external is not None:
            self._by_ref[ref] = external
        services = {each.service for each in (before, external) if each is not None}
        if before == external:
            return set()
        return {key for each in services for key in (ServiceKey(*each.id), AliasKey(each.host))}


class MirroredAddresses:
    """Addresses of Services in other clusters, which a mirror of the source knows."""

    def __init__(self) -> None:
        self._by_ref: dict[ObjectRef, tuple[str, ...]] = {}

    def copy_from(self, other: MirroredAddresses) -> None:
        """Hold what another one holds."""
        self._by_ref = dict(other._by_ref)

    def note(self, item: SourceObject) -> None:
        """Keep the addresses of a Service as the mirror has it."""
        addresses = (item.content.get("spec") or {}).get("clusterIPs") or ()
        self._by_ref[item.ref] = tuple(addresses)

    def remove(self, ref: ObjectRef) -> None:
        """Forget a Service."""
        self._by_ref.pop(ref, None)

    def added_to(self, service: Service) -> Service:
        """Return the service with its addresses in other clusters.

        A mirror that lacks the service's own addresses is late, so what else it says is too.
        """
        mirrored = self._by_ref.get(service.ref)
        if mirrored is None:
            return service
        own = service.addresses
        known = set(own) <= set(mirrored) and not service.headless
        remote = tuple(address for address in mirrored if address not in own) if known else ()
        return dataclasses.replace(service, remote_addresses=remote)


class AddressFamilies:
    """The IP families of the mesh's proxies, as addresses of objects show them (ProxyFamiliesKey).

    Unless the mesh names the families, IPv6-only proxies are assumed once a Kubernetes Service or
    an EndpointSlice of a namespace has an IPv6 address.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._with_ipv6: defaultdict[str, set[ObjectRef]] = defaultdict(set)

    def copy_from(self, other: AddressFamilies) -> None:
        """Hold what another one holds."""
        for namespace, refs in other._with_ipv6.items():
            self._with_ipv6[namespace] = set(refs)

    def note(self, ref: ObjectRef, addresses: Iterable[str]) -> set[Key]:
        """Keep which addresses an object has. Returns the keys whose answer changed."""
        # The API server's own Service tells of the whole cluster.
        namespace = self._mesh.root_namespace if ref == _API_SERVER else ref.namespace
        with_ipv6 = self._with_ipv6[namespace]
        before = bool(with_ipv6)
        if any(":" in address for address in addresses):
            with_ipv6.add(ref)
        else:
            with_ipv6.discard(ref)
        after = bool(with_ipv6)
        if not after:
            del self._with_ipv6[namespace]
        return {ProxyFamiliesKey(namespace)} if after != before else set()

    def of(self, namespaces: Iterable[str]) -> frozenset[ProxyFamily]:
        """Return the families of proxies that reach objects of these namespaces."""
        if self._mesh.proxy_families:
            return frozenset(self._mesh.proxy_families)
        has_ipv6 = any(namespace in self._with_ipv6 for namespace in namespaces)
        return frozenset(ProxyFamily) if has_ipv6 else _IPV4_CLUSTER
