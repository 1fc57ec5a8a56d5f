"""Names of the outbound listeners that istiod makes for a service port.

Facts: facts/istio.md, "Addresses and outbound TCP listeners".

In: a service, a port, its endpoints if it is headless. Out: :class:`Listener` values in a stable order.
"""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core.model.endpoints import Endpoints
from aeraki_core.model.service import Resolution, Service

__all__ = ["Listener", "needs_endpoints", "outbound_listeners"]

WILDCARD = "0.0.0.0"  # the bind address of listeners without one of their own; nothing is bound to it here


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener by name. ``ranges``: its chain matches address ranges, and a passthrough chain stands beside it."""

    name: str
    ranges: bool = False


def needs_endpoints(service: Service) -> bool:
    """Whether the listeners follow the endpoints: a headless service has one for each."""
    return service.headless


def outbound_listeners(service: Service, port: int, endpoints: Endpoints | None) -> tuple[Listener, ...]:
    """The listeners of that port; empty when there are none, or none that can be known (see NO_LISTENER, NO_ADDRESS)."""
    if service.headless:
        return tuple(Listener(f"{address}_{port}") for address in (endpoints.addresses if endpoints else ()))
    if service.resolution is Resolution.CLUSTER_IP:
        # Dual stack: one listener under the first address; the others are its additionalAddresses.
        return tuple(Listener(f"{address}_{port}") for address in service.addresses[:1])
    if service.addresses:
        plain = [Listener(f"{address}_{port}") for address in service.addresses if "/" not in address]
        if len(plain) < len(service.addresses):
            plain.append(Listener(f"{WILDCARD}_{port}", ranges=True))
        return tuple(plain)
    if service.resolution is Resolution.NONE and service.selector:
        # istiod makes one for each workload that it selects, and those are not in any object that we read.
        return ()
    return (*(Listener(f"{address}_{port}") for address in service.auto_addresses), Listener(f"{WILDCARD}_{port}"))
