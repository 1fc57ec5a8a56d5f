"""A live filter of ours."""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort
from aeraki_core.filters.names import INBOUND

__all__ = ["Live", "namespaces_of"]


@dataclass(frozen=True, slots=True)
class Live:
    """A filter of ours as a sink found it.

    ``filter`` None: it cannot be read, so it equals no wanted one. ``namespaces``: those of its services, from its labels;
    empty when its labels do not name them.
    """

    key: FilterKey
    plugin: str
    service_ports: tuple[ServicePort, ...]
    filter: EnvoyFilter | None
    namespaces: tuple[str, ...] = ()

    @classmethod
    def of(cls, envoy_filter: EnvoyFilter) -> Live:
        """A filter that was read, or written, whole."""
        return cls(
            key=envoy_filter.key,
            plugin=envoy_filter.plugin,
            service_ports=envoy_filter.service_ports,
            filter=envoy_filter,
            namespaces=envoy_filter.namespaces,
        )


def namespaces_of(live: Live, domain: str) -> tuple[str, ...]:
    """The namespaces of the services that a live filter is for; empty when nothing says which.

    Older versions wrote no label for it. Then an inbound filter is for services of its own namespace, and hosts of
    Kubernetes Services in the mesh's ``domain`` hold the namespace.
    """
    if live.namespaces:
        return live.namespaces
    if live.key.name.startswith(INBOUND):
        return (live.key.namespace,)
    tail = f".svc.{domain}"
    heads = [
        service_port.host.removesuffix(tail).split(".")
        for service_port in live.service_ports
        if service_port.host.endswith(tail)
    ]
    found = {parts[1] for parts in heads if len(parts) == 2}
    return (
        tuple(sorted(found))
        if len(heads) == len(live.service_ports) and all(len(parts) == 2 for parts in heads)
        else ()
    )
