"""A filter of ours as a sink finds it."""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort
from aeraki_core.filters.names import INBOUND

__all__ = ["Live", "namespaces_of"]


@dataclass(frozen=True, slots=True)
class Live:
    """A filter of ours as a sink found it. ``filter`` None: it could not be read, so it equals nothing.

    ``namespaces``: those of its services, as its labels say; empty when they do not.
    """

    key: FilterKey
    plugin: str
    service_ports: tuple[ServicePort, ...]
    filter: EnvoyFilter | None
    namespaces: tuple[str, ...] = ()


def namespaces_of(live: Live, domain: str) -> tuple[str, ...]:
    """The namespaces of the services that a live filter is for; empty when it cannot be told.

    A filter whose labels do not say so was written by an older version: then its own namespace tells, if it is for the inbound
    side, or the hosts do, if they are those of Kubernetes Services in the mesh's ``domain``.
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
