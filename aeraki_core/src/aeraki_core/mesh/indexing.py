"""The questions that an object answers, by which the store finds it."""

from __future__ import annotations

from collections.abc import Iterator

from aeraki_core.mesh.keys import (
    DestinationRulesKey,
    Key,
    ShortHostRulesKey,
    VirtualServicesKey,
    VirtualServicesUnderKey,
)
from aeraki_core.mesh.rejected import host_suffixes
from aeraki_core.model.istio import DestinationRule, VirtualService

__all__ = ["destination_rule_keys", "virtual_service_keys"]


def destination_rule_keys(rule: DestinationRule) -> Iterator[Key]:
    """Yield the questions about a DestinationRule: by its host as it stands, and by a short one."""
    yield DestinationRulesKey(rule.host)
    name, _, rest = rule.host.partition(".")
    namespace = rest.removesuffix(".svc")
    if namespace and "." not in namespace:
        yield ShortHostRulesKey(name, namespace)


def virtual_service_keys(virtual_service: VirtualService) -> set[Key]:
    """Return the questions about a VirtualService: by its hosts, and by wildcards over them."""
    keys: set[Key] = {VirtualServicesKey(host) for host in virtual_service.hosts}
    for host in virtual_service.hosts:
        wildcards = (name for name in host_suffixes(host) if name.startswith("*") and name != host)
        keys |= {VirtualServicesUnderKey(name) for name in wildcards}
    return keys
