"""What a service port's generator made, as values.

The rest of the pipeline works with these and never with the generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aeraki_core.filters.patch import Patch
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.keys import Key
from aeraki_core.mesh.mesh_client import EVERYBODY_ELSE, MeshClient
from aeraki_core.mesh.weight_sets import WeightSet
from aeraki_core.model.listeners import Listener
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Service, ServiceId
from aeraki_core.model.sidecar import PASSTHROUGH
from aeraki_core.pipeline.own_listeners import Restore
from aeraki_core.pipeline.placement import InboundGroup, Placement
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.types import Protocol

__all__ = ["OutboundPatches", "PortId", "PortOutput", "PortRun"]


class PortId(NamedTuple):
    """Names a port of one object's service."""

    service: ServiceId
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundPatches:
    """What one audience of clients gets, on which listeners.

    ``restores``: what of the mesh-wide filter's changes is undone for them. ``weight_sets``: what
    carries the weights of the routes in the patches. ``clients``: the namespaces of all audiences
    with these patches (None: the whole mesh). ``catch_all``: the cluster of their calls to no
    service, which share wildcard listeners.
    """

    audience: Audience
    listeners: tuple[Listener, ...]
    patches: tuple[Patch, ...]
    restores: tuple[Restore, ...] = ()
    weight_sets: tuple[WeightSet, ...] = ()
    clients: frozenset[str | None] = frozenset()
    catch_all: str = PASSTHROUGH


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRun:
    """How the generator of a service port ran. This is remembered; the patches go into placements.

    - failed: the generator could not make patches, and what it made before stays
    - failed_in: the client namespaces for which alone it could not; their filters stay
    - objects: what it read
    - calls, seconds: its runs and their wall time
    - is_everybodys: the host is this service for everybody else, or for nobody
    - by_import: its outbound filters are in the namespaces that import the service
    """

    service: Service
    port: Port
    protocol: Protocol
    plugin: str
    findings: tuple[Finding, ...]
    objects: tuple[ObjectRef, ...]
    failed: bool
    failed_in: frozenset[str] = frozenset()
    calls: int
    seconds: float
    is_everybodys: bool = True
    by_import: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PortOutput:
    """What a service port's generator made, and the questions that it asked.

    Without patches if it failed.

    ``held``: the clients (everybody else: the whole mesh) for which it failed, and the listeners
    that are the port's own there. What was made for them before stays, as far as it is on those
    listeners. ``inbound_failed``: it failed for the workloads' own namespace, so their filters
    stay.
    """

    run: PortRun
    held: Mapping[MeshClient, frozenset[str]]
    outbound: tuple[OutboundPatches, ...]
    inbound: tuple[Patch, ...]
    inbound_failed: bool
    keys: frozenset[Key]

    def held_of(self, before: Iterable[Placement]) -> Iterator[Placement]:
        """The placements that stay because the generator failed.

        What the port lost meanwhile does not stay: clients whose host is somebody else's now, and
        listeners that have another owner. Else the owner of an object that fails would keep what he
        had before the rightful owner came.
        """
        for placement in before:
            client = placement.client
            if client not in self.held and client.labels:
                # Without the filters for more workloads nobody knows what it must replace.
                client = next(filter(client.is_within, self.held), client)
            if isinstance(placement.group, InboundGroup):
                if self.inbound_failed:
                    yield placement
            elif client in self.held:
                remaining = placement.only_on(self.held[client])
                if remaining.patches:
                    yield remaining
            elif EVERYBODY_ELSE in self.held:
                yield placement
            elif client == EVERYBODY_ELSE and self.held and self.run.by_import:
                # It serves those for whom it failed, until they have a filter of their own.
                remaining = placement.only_on(frozenset().union(*self.held.values()))
                if remaining.patches:
                    yield remaining
