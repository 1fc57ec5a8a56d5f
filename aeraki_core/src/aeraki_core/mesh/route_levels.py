"""The VirtualServices that speak for a host, by how exactly they name it.

Those of a wildcard are the same for every host under it. So what follows from them is kept once
for each wildcard, and a port looks at a few of them only: neither the VirtualServices of one
namespace nor the ports of others make the work for the other ones grow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain, islice
from typing import NamedTuple

from aeraki_core.mesh.keys import VirtualServicesKey
from aeraki_core.mesh.resolve import ClientNamespace, RoutedPort, connection_order
from aeraki_core.model.istio import VirtualService
from aeraki_core.model.meta import ObjectRef

__all__ = ["MAX_WILDCARD_ROUTES", "LevelOrder", "RouteLevel", "first_few"]

MAX_WILDCARD_ROUTES = 20
"""Of VirtualServices that name a host only by a wildcard, for one client.

As many again may be read for their ``tcp`` entries, whose order is another one. A mesh has one or
two. Without a limit each port would read all that a tenant writes for ``*``.
"""


class LevelOrder(NamedTuple):
    """The VirtualServices of a level for one client, in the order of its sidecars."""

    all: tuple[VirtualService, ...]
    with_tcp: tuple[VirtualService, ...]
    """Those with ``tcp`` entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLevel:
    """The VirtualServices of a host itself or of one wildcard over it, whoever sees them.

    - key: the question that they answer; None for those of the host itself
    - virtual_services: the oldest first
    - namespaces: where their objects are
    - clients: the client namespaces that they name, by the namespace of the object
    """

    key: VirtualServicesKey | None
    virtual_services: tuple[VirtualService, ...]
    namespaces: frozenset[str]
    clients: Mapping[str, frozenset[str]]

    @classmethod
    def of(
        cls, key: VirtualServicesKey | None, virtual_services: Sequence[VirtualService]
    ) -> RouteLevel:
        """Make the level of VirtualServices."""
        clients: dict[str, set[str]] = {}
        for each in virtual_services:
            clients.setdefault(each.namespace, set()).update(each.client_namespaces)
        return cls(
            key=key,
            virtual_services=tuple(virtual_services),
            namespaces=frozenset(clients),
            clients={author: frozenset(names) for author, names in clients.items()},
        )

    def is_imported_with_service(self, virtual_service: VirtualService, routed: RoutedPort) -> bool:
        """Whether a listener that imports the service imports its VirtualService, too.

        Under a wildcard host it does so for those that name the host itself, which are a level of
        their own.
        """
        if virtual_service.namespace != routed.namespace:
            return False
        if not routed.host.startswith("*"):
            return True
        return self.key is None and routed.host in virtual_service.hosts

    def is_routed_elsewhere(self, routed: RoutedPort) -> bool:
        """Whether some of these are not imported just because the service is."""
        if self.namespaces != {routed.namespace}:
            return True
        return routed.host.startswith("*") and not all(
            self.is_imported_with_service(each, routed) for each in self.virtual_services
        )


def first_few(
    levels: Iterable[tuple[RouteLevel, LevelOrder]], client: ClientNamespace
) -> tuple[tuple[VirtualService, ...], VirtualService | None]:
    """Return all that name the host, and some of those that name it by a wildcard.

    They are the first in order, and the first with ``tcp`` entries in Istio's order for these. The
    second value is the first that is left out.
    """
    named: dict[ObjectRef, VirtualService] = {}
    wildcards: list[LevelOrder] = []
    for level, order in levels:
        if level.key is None:
            named |= {each.ref: each for each in order.all}
        else:
            wildcards.append(order)
    in_order = _once(named, chain.from_iterable(order.all for order in wildcards))
    few = {**named, **{each.ref: each for each in islice(in_order, MAX_WILDCARD_ROUTES)}}
    unread = next(in_order, None)
    if unread is None:
        return tuple(few.values()), None
    # Istio's order for tcp entries is by age, whichever wildcard it is. What is younger must not
    # keep one of these from being obeyed.
    by_age = merge(
        *(order.with_tcp for order in wildcards),
        key=lambda each: connection_order(each, client),
    )
    few |= {each.ref: each for each in islice(_once(named, by_age), MAX_WILDCARD_ROUTES)}
    if unread.ref in few:
        unread = next((each for each in in_order if each.ref not in few), None)
    return tuple(few.values()), unread


def _once(
    known: Collection[ObjectRef], virtual_services: Iterable[VirtualService]
) -> Iterator[VirtualService]:
    """Yield each VirtualService once, but for those that are known."""
    yielded: set[ObjectRef] = set()
    for each in virtual_services:
        if each.ref not in known and each.ref not in yielded:
            yielded.add(each.ref)
            yield each
