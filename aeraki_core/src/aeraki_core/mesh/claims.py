"""Which services want an outbound listener, and which of them it serves in a client's proxies.

istiod makes one listener for each address and port. What a filter of ours does to a listener
reaches everybody who shares it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aeraki_core.model.meta import Age
from aeraki_core.model.service import ServiceId
from aeraki_core.model.sidecar import SidecarScope

__all__ = ["Claim", "in_proxies", "seen_elsewhere"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A service port that istiod makes a listener for, in the proxies of ``export_to``.

    ``ranges``: its chain matches address ranges, or server names of TLS. ``by_sidecar``: only where
    a Sidecar names the port of the listener; a headless service has a wildcard listener there.
    """

    age: Age
    service: ServiceId
    port: int
    ranges: bool = False
    export_to: frozenset[str] = frozenset({"*"})
    by_sidecar: bool = False

    @property
    def namespace(self) -> str:
        """The namespace of the service."""
        return self.service.ref.namespace

    @property
    def is_private(self) -> bool:
        """Whether only clients in its own namespace see it."""
        return self.export_to <= {self.namespace}


def in_proxies(
    claims: Iterable[Claim], sidecar: SidecarScope | None, client: str | None
) -> Iterator[Claim]:
    """Yield the claims of one listener that count for a client with that Sidecar; the first has it.

    ``claims``: those that the client sees, in istiod's order. Where the Sidecar names the
    listener's port, only the services that it imports there share the listener.
    """
    if sidecar is None or not sidecar.egress:
        yield from (claim for claim in claims if not claim.by_sidecar)
        return
    ports = [egress for egress in sidecar.egress if egress.port and not egress.has_own_listeners]
    if ports:
        claims = tuple(claims)
    for egress in ports:
        named = [
            claim
            for claim in claims
            if claim.port == egress.port
            and egress.imports(claim.namespace, claim.service.host, client)
        ]
        if named:
            yield from named
            return
    others = [
        egress for egress in sidecar.egress if not egress.port and not egress.has_own_listeners
    ]
    for claim in claims:
        if not claim.by_sidecar and any(
            egress.imports(claim.namespace, claim.service.host, client) for egress in others
        ):
            yield claim


def seen_elsewhere(claims: Iterable[Claim]) -> Iterator[Claim]:
    """Yield the claims that everybody else does not see, but some clients of other namespaces do.

    No filter can undo for these what a filter of the mesh does to chains that stand side by side.
    So it must not do it at all. What a private service does to its own namespace changes nothing
    for others.
    """
    return (claim for claim in claims if "*" not in claim.export_to and not claim.is_private)
