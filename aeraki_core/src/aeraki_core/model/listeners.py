"""The outbound listeners that istiod makes for a service port, and which proxies have them.

Facts: docs/internals/istio.md, "Addresses and outbound TCP listeners". The name of a listener holds
its first address, as the object has it. For a Service with several addresses that is the first one
of a family that the proxy has. Where there is none it is a wildcard, ``::`` in proxies with only
IPv6. Tested in tests/istio/test_ip_families.py. The order of the listeners is stable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aeraki_core.model.endpoints import PortEndpoints
from aeraki_core.model.mesh import ProxyFamily
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.service import Port, Resolution, Service

__all__ = ["Listener", "fixed_addresses", "needs_endpoints", "outbound_listeners", "wildcards"]

# The bind addresses of listeners without one of their own; nothing is bound to them here.
WILDCARD, WILDCARD_IPV6 = "0.0.0.0", "::"

_ALL = frozenset(ProxyFamily)
_IPV6_ALONE = frozenset({ProxyFamily.IPV6})
_WITH_IPV4 = _ALL - _IPV6_ALONE


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener by name.

    ``ranges``: its chain matches address ranges, and a passthrough chain stands beside it.

    ``families``: only proxies with addresses of these families have it.
    """

    name: str
    ranges: bool = False
    families: frozenset[ProxyFamily] = _ALL

    @property
    def has_passthrough(self) -> bool:
        """Whether it may have a chain for calls that no service takes.

        A wildcard listener has one where it is shared with an HTTP service, or where the proxy does
        not see the service.
        """
        return self.ranges or self.name.startswith((f"{WILDCARD}_", f"{WILDCARD_IPV6}_"))


def wildcards(port: int) -> tuple[str, str]:
    """Return the names of the wildcard listeners of a port."""
    return f"{WILDCARD}_{port}", f"{WILDCARD_IPV6}_{port}"


def needs_endpoints(service: Service) -> bool:
    """Report whether the listeners depend on the endpoints: there is one for each.

    So it is for a headless service, and for a ServiceEntry with resolution NONE and no address
    where another service of its host and namespace has endpoints.
    """
    is_anywhere = service.resolution is Resolution.NONE and not service.addresses
    return service.headless or (is_anywhere and not service.selector)


def fixed_addresses(service: Service) -> tuple[str, ...]:
    """Return the addresses that the service's listeners take calls to, in all clusters.

    Empty where a listener takes calls to others, or where they come and go with the endpoints.
    """
    addresses = (*service.addresses, *service.remote_addresses)
    if service.headless or any("/" in address for address in addresses):
        return ()
    return addresses


def outbound_listeners(
    service: Service,
    service_port: Port,
    endpoints: PortEndpoints | None,
    *,
    headless_filter_chains: bool = False,
) -> tuple[Listener, ...]:
    """Return the listeners of that port.

    Empty when there are none, or none that can be known (see NO_LISTENER, NO_ADDRESS).
    ``headless_filter_chains``: as in Mesh.
    """
    port = service_port.number
    if service.headless:
        pods = endpoints.pods if endpoints else ()
        # istiod keeps a listener for each pod where the port may speak HTTP as well.
        if pods and headless_filter_chains and port_protocol(service_port) is PortProtocol.TCP:
            return _wildcards(port, ranges=True)
        return tuple(Listener(f"{address}_{port}") for address in pods)
    if service.resolution is Resolution.CLUSTER_IP:
        # In a proxy of another cluster the listener has that cluster's address.
        remote = tuple(Listener(f"{address}_{port}") for address in service.remote_addresses)
        return (*_of_cluster_ips(service.addresses, port), *remote)
    if service.addresses:
        plain = tuple(
            Listener(f"{address}_{port}") for address in service.addresses if "/" not in address
        )
        return (
            plain
            if len(plain) == len(service.addresses)
            else (*plain, *_wildcards(port, ranges=True))
        )
    if service.resolution is Resolution.NONE and (service.selector or any(endpoints or ())):
        # istiod makes one for each workload that it selects, and those are not in any object that
        # we read; or one for each endpoint of the others of its host, which lead to these.
        return ()
    # Proxies that do not answer DNS have no use for allocated addresses.
    return (*_of_allocated(service.auto_addresses, port), *_wildcards(port))


def _of_cluster_ips(addresses: tuple[str, ...], port: int) -> tuple[Listener, ...]:
    """Dual stack: one listener in each proxy, under the first address of its families.

    The others are its additionalAddresses.
    """
    if not addresses:
        return ()
    first = addresses[0]
    other = _first(addresses, ipv6=":" not in first)
    if other is None:
        return (Listener(f"{first}_{port}"),)
    alone = frozenset({ProxyFamily.IPV4 if ":" in first else ProxyFamily.IPV6})
    return (
        Listener(f"{first}_{port}", families=_ALL - alone),
        Listener(f"{other}_{port}", families=alone),
    )


def _of_allocated(addresses: tuple[str, ...], port: int) -> tuple[Listener, ...]:
    """A proxy with IPv4 takes the IPv4 address, if there is one.

    No proxy takes an address of a family that it lacks.
    """
    has_ipv4 = _first(addresses, ipv6=False) is not None
    without = _IPV6_ALONE if has_ipv4 else _ALL - {ProxyFamily.IPV4}
    return tuple(
        Listener(f"{address}_{port}", families=without if ":" in address else _WITH_IPV4)
        for address in addresses
    )


def _first(addresses: Iterable[str], *, ipv6: bool) -> str | None:
    return next((address for address in addresses if (":" in address) is ipv6), None)


def _wildcards(port: int, *, ranges: bool = False) -> tuple[Listener, ...]:
    ipv4, ipv6 = wildcards(port)
    return (Listener(ipv4, ranges, _WITH_IPV4), Listener(ipv6, ranges, _IPV6_ALONE))
