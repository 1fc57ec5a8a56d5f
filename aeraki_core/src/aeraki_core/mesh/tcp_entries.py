"""The entries of a ``tcp`` section that take connections to a service port.

istiod makes a chain of each entry for subnets, and Envoy picks the chain by the address that the
client dialled. One filter of ours stands in all chains of a listener. So the subnets of an entry
are compared here with the addresses of the port: each address is in a subnet, or it is not.

Source: buildSidecarOutboundTCPFilterChainOpts in istio/istio, pilot/pkg/networking/core/tls.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aeraki_core.findings.codes import CLIENT_MATCH, UNSUPPORTED_MATCH
from aeraki_core.mesh.http_routes import asks_other_clients
from aeraki_core.mesh.route_scope import RouteScope
from aeraki_core.model.istio import TCPMatch, TCPRoute
from aeraki_core.model.listeners import fixed_addresses
from aeraki_core.model.service import Service

__all__ = ["TCPEntry", "entry_of_all_addresses", "read_tcp"]

_NAMED = 3  # addresses in one finding
_COMPARED = 16
"""Of addresses of a service: each is compared with every subnet of its VirtualServices."""
_DROPPED = ipaddress.IPv4Address("0.0.0.0")
"""istiod leaves out subnets that start there; a chain without any other is for all addresses."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TCPEntry:
    """An entry of ``tcp`` that takes connections of these clients to the port.

    - index: its place in ``spec.tcp``
    - scope: the VirtualService
    - prefixes: by address of the port, the length of the longest subnet around it; None without a
      subnet: it takes all connections, and no entry after it counts
    """

    index: int
    scope: RouteScope
    prefixes: Mapping[str, int] | None

    @property
    def path(self) -> str:
        """Where it is in the VirtualService."""
        return f"spec.tcp[{self.index}]"

    @property
    def entry(self) -> TCPRoute:
        """The entry itself."""
        return self.scope.virtual_service.tcp[self.index]

    @property
    def takes_all_addresses(self) -> bool:
        """Whether all connections to the port match it."""
        addresses = _addresses(self.scope.service)
        return self.prefixes is None or all(address in self.prefixes for address in addresses)


def read_tcp(scope: RouteScope, *, report: bool) -> Iterator[TCPEntry]:
    """Yield the entries that take connections to the port from these clients, in order.

    ``report``: also report the matches that one filter for all of them cannot follow.
    """
    addresses = _addresses(scope.service)
    for index, entry in enumerate(scope.virtual_service.tcp):
        matches = [
            match
            for number, match in enumerate(entry.match or ())
            if match.port in (None, scope.port.number)
            and not asks_other_clients(match, scope.namespace)
            # A match for other addresses asks nothing of this port, whatever else it asks.
            and (not match.subnets or not addresses or _prefixes([match], addresses))
            and _is_usable(scope, match, f"spec.tcp[{index}].match[{number}]", report=report)
        ]
        if not entry.match or any(not match.subnets for match in matches):
            yield TCPEntry(index=index, scope=scope, prefixes=None)
        elif matches:
            yield TCPEntry(index=index, scope=scope, prefixes=_prefixes(matches, addresses))


def entry_of_all_addresses(entries: Sequence[TCPEntry], service: Service) -> TCPEntry | None:
    """Return the entry with the closest subnet around every address of the service, if one has it.

    ``entries``: those with subnets. Where addresses have different entries, none can be followed:
    those are reported.
    """
    addresses = _addresses(service)
    closest = {address: _closest(entries, address) for address in addresses}
    chosen = [entry for entry in entries if any(entry is each for each in closest.values())]
    if len(chosen) == 1 and None not in closest.values():
        return chosen[0]
    for entry in chosen:
        inside = [address for address in addresses if closest[address] is entry]
        others = [address for address in addresses if closest[address] is not entry]
        message = (
            f"destinationSubnets is for {_listed(inside)} of {service.host} and not for "
            f"{_listed(others)}; one filter serves all its addresses, so the route is left out, "
            f"and calls to {_listed(inside)} go by the routes without subnets"
        )
        entry.scope.report(UNSUPPORTED_MATCH, message, f"{entry.path}.match")
    return None


def _addresses(service: Service) -> tuple[str, ...]:
    addresses = fixed_addresses(service)
    return addresses if len(addresses) <= _COMPARED else ()


def _closest(entries: Iterable[TCPEntry], address: str) -> TCPEntry | None:
    """Return the entry of the longest subnet around an address, as Envoy picks its chain."""
    around = [entry for entry in entries if entry.prefixes and address in entry.prefixes]
    return max(around, key=lambda entry: (entry.prefixes or {})[address], default=None)


def _prefixes(matches: Iterable[TCPMatch], addresses: Iterable[str]) -> dict[str, int]:
    """Return the length of the longest subnet around each address that is in one."""
    subnets = [subnet for match in matches for subnet in match.subnets]
    ranges = [subnet for subnet in subnets if subnet.network_address != _DROPPED]
    if not ranges:
        return dict.fromkeys(addresses, 0)
    prefixes = {}
    for address in addresses:
        ip = ipaddress.ip_address(address)
        lengths = [subnet.prefixlen for subnet in ranges if ip in subnet]
        if lengths:
            prefixes[address] = max(lengths)
    return prefixes


def _is_usable(scope: RouteScope, match: TCPMatch, path: str, *, report: bool) -> bool:
    """Whether it asks nothing that one filter for all clients and addresses cannot ask."""
    problems = [(UNSUPPORTED_MATCH, name, "cannot be matched") for name in match.others()]
    if match.source_labels:
        why = "cannot be matched: one filter serves all clients of a namespace"
        problems.append((CLIENT_MATCH, "sourceLabels", why))
    if match.subnets and not _addresses(scope.service):
        why = (
            f"cannot be matched: the listeners of {scope.service.host} are not for a few "
            "fixed addresses, so calls to the subnets go by the routes without them"
        )
        problems.append((UNSUPPORTED_MATCH, "destinationSubnets", why))
    for code, name, why in problems if report else ():
        scope.report(code, f"{name} {why}; the route is left out", f"{path}.{name}")
    return not problems


def _listed(addresses: Sequence[str]) -> str:
    more = len(addresses) - _NAMED
    return ", ".join(addresses[:_NAMED]) + (f" and {more} more" if more > 0 else "")
