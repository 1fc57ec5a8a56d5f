"""Cluster IPs for Services from Git, which the API server has not given any.

The name of a sidecar's listener holds the service's address, so there is no outbound filter without
one. Live addresses come from the cluster. Stand-in addresses suffice where a configuration is only
checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.meta import ObjectRef

if TYPE_CHECKING:
    from aeraki_core.kube.client import Client

__all__ = ["STAND_IN_RANGE", "Addressed", "cluster_addresses", "lacks_address", "with_addresses"]

STAND_IN_RANGE = "250.0.0.0/8"
"""Part of a block reserved for no use (RFC 1112), apart from Istio's 240.240.0.0/16."""

_STAND_IN_IPV6 = "100::"  # the discard-only block, RFC 6666


@dataclass(frozen=True, slots=True)
class Addressed:
    """Objects with addresses. ``stand_ins``: the Services that got an address that nothing has."""

    objects: tuple[SourceObject, ...]
    stand_ins: Mapping[ObjectRef, str]


def with_addresses(
    objects: Sequence[SourceObject],
    live: Mapping[ObjectRef, tuple[str, ...]],
    *,
    stand_in: bool,
) -> Addressed:
    """Return the objects; each Service without a cluster IP gets its live one.

    Without a live one it gets a stand-in, if wanted.
    """
    stand_ins: dict[ObjectRef, str] = {}
    taken: set[str] = set()
    completed = []
    for source_object in objects:
        if not lacks_address(source_object):
            completed.append(source_object)
        elif source_object.ref in live:
            completed.append(_with_ips(source_object, live[source_object.ref]))
        elif stand_in:
            address = _stand_in(source_object, taken)
            taken.add(address)
            stand_ins[source_object.ref] = address
            completed.append(_with_ips(source_object, (address,)))
        else:
            completed.append(source_object)
    return Addressed(tuple(completed), stand_ins)


def cluster_addresses(client: Client) -> dict[ObjectRef, tuple[str, ...]]:
    """Return the cluster IPs of the cluster's Services; those without one are left out.

    Raises:
        AerakiError: the Services cannot be read.
    """
    from aeraki_core.kube.resources import ApiResource

    addresses: dict[ObjectRef, tuple[str, ...]] = {}
    for service in client.pages(ApiResource("", "v1", "Service", "services", True).path()):
        metadata, spec = service["metadata"], service.get("spec") or {}
        ips = spec.get("clusterIPs") or [spec.get("clusterIP")]
        usable = tuple(ip for ip in ips if ip and ip != "None")
        if usable:
            addresses[ObjectRef("Service", metadata["namespace"], metadata["name"])] = usable
    return addresses


def lacks_address(source_object: SourceObject) -> bool:
    """Report whether the manifest lacks the cluster IP that the API server would set."""
    if source_object.ref.kind != "Service" or source_object.api_version != "v1":
        return False
    spec = _spec(source_object)
    if not spec or spec.get("type") == "ExternalName":
        return False
    return not spec.get("clusterIP") and not spec.get("clusterIPs")


def _with_ips(source_object: SourceObject, ips: Iterable[str]) -> SourceObject:
    ips = list(ips)
    spec = {**_spec(source_object), "clusterIP": ips[0], "clusterIPs": ips}
    return replace(source_object, content={**source_object.content, "spec": spec})


def _spec(source_object: SourceObject) -> dict[str, Any]:
    spec = source_object.content.get("spec")
    return spec if isinstance(spec, dict) else {}


def _stand_in(source_object: SourceObject, taken: set[str]) -> str:
    """Return an address made of the name, independent of other services.

    If it is in use, return the next free one.
    """
    ref = source_object.ref
    number = int.from_bytes(hashlib.sha256(f"{ref.namespace}/{ref.name}".encode()).digest()[:3])
    families = _spec(source_object).get("ipFamilies")
    is_ipv6 = isinstance(families, list) and families[:1] == ["IPv6"]
    while True:
        address = (
            f"{_STAND_IN_IPV6}{number >> 16:x}:{(number & 0xFFFF) + 1:x}"
            if is_ipv6
            else f"250.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        )
        if address not in taken:
            return address
        number = (number + 1) % 2**24
