"""What a reader of the mesh asked, and whose answers may differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from aeraki_core.mesh.claims import Claim
from aeraki_core.mesh.keys import (
    AliasKey,
    DestinationKey,
    DestinationRulesKey,
    HostKey,
    Key,
    ListenerKey,
    OutboundPoliciesKey,
    ResourcesKey,
    VirtualServicesKey,
    WeightHostKey,
    WildcardsKey,
)
from aeraki_core.mesh.rejected import host_suffixes
from aeraki_core.model.meta import Label, ObjectRef
from aeraki_core.model.secret import Secret
from aeraki_core.model.service import Service

__all__ = [
    "HostQuestion",
    "Record",
    "RouteTargetKey",
    "RoutesKey",
    "ViewKey",
    "WeightHostProblem",
    "WithheldKey",
    "questions_of",
    "wildcards_over",
]

HostQuestion = VirtualServicesKey | DestinationRulesKey


class RoutesKey(NamedTuple):
    """The VirtualServices of a host whose routes count on one of its ports.

    The port matters because a Sidecar may import other VirtualServices for each listener.
    """

    host: str
    port: int


class RouteTargetKey(NamedTuple):
    """The services behind a port of a destination, in the clients' clusters."""

    routes: ObjectRef
    """The VirtualService that names the destination."""
    host: str
    port: int


class WithheldKey(NamedTuple):
    """The objects that speak for a host, but not to the client."""

    resources: ResourcesKey


ViewKey = (
    HostKey
    | AliasKey
    | DestinationKey
    | RoutesKey
    | RouteTargetKey
    | DestinationRulesKey
    | ResourcesKey
    | ListenerKey
    | OutboundPoliciesKey
    | WeightHostKey
    | WithheldKey
)
"""Questions whose answer depends on who asks."""


class WeightHostProblem(NamedTuple):
    """Why clients cannot use the host of a weight set, and who else claims it."""

    reason: str
    claimer: ObjectRef | None = None


@dataclass(slots=True)
class Record:
    """What was asked, for whichever client.

    - keys: the questions, so that a change of their answers runs the reader again
    - objects: those that an answer rested on, for ``explain``
    - secrets: those that were handed out, for redact.py
    - clients: the namespaces about which their own objects, or those of ``owners``, say something
    - named: the namespaces about which others say something, as Istio lets them, by who says it
    - selectors: the workloads of a namespace about which its own objects say something, by the
      labels that these select, with the oldest that was asked about first

    Only the answers of these namespaces can differ from those for everybody else. ``owners`` are
    the namespace of the service that the reader asks for, and the root namespace.
    """

    owners: frozenset[str] = frozenset()

    keys: set[Key] = field(default_factory=set)
    objects: set[ObjectRef] = field(default_factory=set)
    secrets: dict[ObjectRef, Secret] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)
    named: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    selectors: dict[str, dict[tuple[Label, ...], ObjectRef]] = field(default_factory=dict)

    def include(self, other: Record) -> None:
        """Note all that another reader asked, one without owners."""
        self.keys |= other.keys
        self.objects |= other.objects
        self.secrets |= other.secrets
        self.clients |= other.clients
        for author, namespaces in other.named.items():
            (self.clients if author in self.owners else self.named[author]).update(namespaces)
        for selectors in other.selectors.values():
            for selector, ref in selectors.items():
                self.note_selector(selector, ref)

    def note_exported(self, candidates: Sequence[Service | Claim]) -> None:
        """Note the clients that may see another object than everybody else.

        One public object is the same for everybody.
        """
        if len(candidates) != 1 or "*" not in candidates[0].export_to:
            for each in candidates:
                self.note(each.namespace, {each.namespace} | each.export_to)

    def note_selector(self, selector: tuple[Label, ...], ref: ObjectRef) -> None:
        """Note the workloads of an object's own namespace that it selects."""
        if selector:
            self.selectors.setdefault(ref.namespace, {}).setdefault(selector, ref)

    def note(self, author: str, namespaces: Collection[str]) -> None:
        """Note client namespaces about which an object of the author's namespace says something."""
        is_owners = author in self.owners
        for namespace in namespaces:
            if namespace != "*":
                is_own = is_owners or namespace == author
                (self.clients if is_own else self.named[author]).add(namespace)


@lru_cache(maxsize=65536)
def wildcards_over(about: Callable[[str], HostQuestion], domain: str) -> WildcardsKey:
    """The key for the wildcards over the hosts of a domain, one value for all of them."""
    return WildcardsKey(about, domain)


@lru_cache(maxsize=65536)
def questions_of(key: WildcardsKey) -> tuple[HostQuestion, ...]:
    """The questions about the wildcards over a host in a domain, the most specific first."""
    names = host_suffixes(f"x.{key.domain}" if key.domain else "x")
    return tuple(key.about(name) for name in names if name.startswith("*"))
