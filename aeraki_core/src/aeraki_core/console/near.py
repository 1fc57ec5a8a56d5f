"""VirtualServices and DestinationRules that nearly match a host, and why they do not.

An object that a user wrote for a service, but without effect, is not among those that were read for
it. Its host is misspelt or of another namespace, or it is for gateways alone. This is a guess for
people; no filter depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aeraki_core.mesh.store import Store
    from aeraki_core.model.meta import ObjectRef
    from aeraki_core.model.service import Service

__all__ = ["NearMiss", "near_misses"]

_ALIKE = 0.7  # of difflib: one or two letters of a short name


@dataclass(frozen=True, slots=True)
class NearMiss:
    """An object that was probably meant for a service; ``reason`` says why it has no effect."""

    ref: ObjectRef
    reason: str


def near_misses(store: Store, service: Service) -> Iterator[NearMiss]:
    """Yield a service's near misses by object; reads every VirtualService and DestinationRule."""
    host = service.host
    for virtual_service in sorted(store.all_virtual_services(), key=lambda each: each.ref):
        if host in virtual_service.hosts:
            if not virtual_service.for_mesh:
                yield NearMiss(
                    virtual_service.ref, "it is for gateways only; add `mesh` to gateways"
                )
            continue
        for other in virtual_service.hosts:
            if _is_alike(other, host) and not store.services_of_host(other):
                yield NearMiss(virtual_service.ref, _other_host(other))
    for rule in sorted(store.all_destination_rules(), key=lambda each: each.ref):
        is_other = rule.host != host and not store.services_of_host(rule.host)
        if is_other and _is_alike(rule.host, host):
            yield NearMiss(rule.ref, _other_host(rule.host))


def _other_host(host: str) -> str:
    return f"its host is {host}, which no service has"


def _is_alike(one: str, other: str) -> bool:
    """Report whether one host was probably meant as the other.

    They are alike if they have the same name elsewhere, or differ in a few letters.
    """
    name, _, rest = one.partition(".")
    other_name, _, other_rest = other.partition(".")
    if name == other_name:
        return True
    # The cheap bound first: a mesh may have ten thousand objects.
    matcher = SequenceMatcher(None, name, other_name)
    near = matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE
    return near and rest == other_rest
