"""A live filter of ours."""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.filters.names import COMPANION, INBOUND, OUTBOUND
from aeraki_core.filters.output import Output

__all__ = ["Live", "is_as_we_write", "namespaces_of"]


@dataclass(frozen=True, slots=True)
class Live:
    """A filter of ours as a sink found it.

    ``filter`` None: it cannot be read, so it equals no wanted one. ``namespaces``: those of its
    services, from its labels; empty when its labels do not name them.
    """

    key: FilterKey
    plugin: str
    service_ports: tuple[ServicePort, ...]
    filter: Output | None
    namespaces: tuple[str, ...] = ()

    @classmethod
    def of(cls, output: Output) -> Live:
        """A filter that was read, or written, whole."""
        return cls(
            key=output.key,
            plugin=output.plugin,
            service_ports=output.service_ports,
            filter=output,
            namespaces=output.namespaces,
        )


def is_as_we_write(live: Live, root_namespace: str) -> bool:
    """Whether a filter is certainly ours: its name, its labels and its own namespace fit together.

    Anybody who may write EnvoyFilters in a namespace can put our label on one there. What does not
    fit is treated as ours, for it would be restored and removed like any other, but it is no
    measure of how many filters there are.
    """
    if live.filter is None or not live.service_ports:
        return False
    if live.key.name.startswith(INBOUND):
        return live.namespaces in ((), (live.key.namespace,))
    if not live.key.name.startswith(COMPANION if live.key.kind.is_named else OUTBOUND):
        return False
    return live.key.namespace == root_namespace or live.key.namespace in live.namespaces


def namespaces_of(live: Live, domain: str) -> tuple[str, ...]:
    """The namespaces of the services that a live filter is for; empty when nothing says which.

    Older versions wrote no label for it. Then an inbound filter is for services of its own
    namespace, and hosts of Kubernetes Services in the mesh's ``domain`` hold the namespace.
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
    namespaces = {parts[1] for parts in heads if len(parts) == 2}
    return (
        tuple(sorted(namespaces))
        if len(heads) == len(live.service_ports) and all(len(parts) == 2 for parts in heads)
        else ()
    )
