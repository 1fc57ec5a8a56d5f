"""One service port through its generator: for which clients and workloads, onto which listeners.

In: a service port with its protocol, the store (read through a recording view), the dispatcher. Out: a :class:`PortOutput`: patches
with their audience and listeners, findings, and what was read. arrange.py files the patches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from aeraki_core.filters.patch import Inbound, Outbound, Patch
from aeraki_core.findings.codes import (
    LISTENER_TAKEN,
    MISSING_EXTENSION,
    NO_ADDRESS,
    NO_LISTENER,
    SHARED_CIDR,
)
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.store import Key, ServiceId, Store
from aeraki_core.model.listeners import Listener, needs_endpoints, outbound_listeners
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Resolution, Service
from aeraki_core.plugins.context import Audience, GenerateContext
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.types import Protocol

__all__ = ["OutboundPatches", "PortId", "PortOutput", "generate_port"]

PortId = tuple[ServiceId, int]

EVERYBODY = Audience(None)


@dataclass(frozen=True, slots=True)
class OutboundPatches:
    """What one audience of clients gets, on which listeners."""

    audience: Audience
    listeners: tuple[Listener, ...]
    patches: tuple[Patch, ...]


@dataclass(frozen=True, slots=True)
class PortOutput:
    """What a service port's generator gave.

    ``failed``: it could not; the other fields but ``findings`` and ``keys`` are empty, and what it gave before stays.
    ``calls`` counts generator runs, ``seconds`` is their wall time.
    """

    service: Service
    port: Port
    protocol: Protocol
    plugin: str
    outbound: tuple[OutboundPatches, ...]
    inbound: tuple[Patch, ...]
    findings: tuple[Finding, ...]
    keys: tuple[Key, ...]
    objects: tuple[ObjectRef, ...]
    failed: bool = False
    calls: int = 0
    seconds: float = 0.0


def generate_port(
    service: Service, port: Port, protocol: Protocol, store: Store, dispatcher: Dispatcher
) -> PortOutput:
    """Run the generator of one service port, once for each audience of clients."""
    reads = Reads(store)
    reads.service(service.id)
    findings: list[Finding] = []
    audiences = client_audiences(service, protocol, reads)
    listeners = _listeners(service, port, reads, findings) if audiences else ()
    outbound: list[OutboundPatches] = []
    inbound: tuple[Patch, ...] = ()
    calls, seconds, failed = 0, 0.0, False
    inbound_only = Audience(service.namespace, service.selector)
    todo = deque(audiences or (inbound_only,))
    while todo:
        audience, first = todo.popleft(), not calls
        context = GenerateContext(protocol, service, port, audience, reads)
        if not audiences and not _any_covered(context.inbound, service, protocol, reads.mesh):
            break
        result = dispatcher.generate(protocol, context)
        calls += 1
        seconds += result.seconds
        findings += result.findings
        if result.patches is None:
            failed = True
            break
        if audience == EVERYBODY:
            todo.extend(
                audience for audience in _with_more(context, reads.mesh) if audience not in todo
            )
        if audiences and listeners:
            clients = tuple(patch for patch in result.patches if isinstance(patch.side, Outbound))
            # Clients that need nothing of their own keep the filter of the whole mesh.
            if not (audience.overrides and clients == outbound[0].patches):
                outbound.append(OutboundPatches(audience, listeners, clients))
        if first:
            inbound = tuple(
                patch
                for patch in result.patches
                if isinstance(patch.side, Inbound)
                and _covered(patch.side, service, protocol, reads.mesh)
            )
    if not calls:
        findings.append(
            Finding(
                MISSING_EXTENSION,
                f"port {port.number} speaks {protocol.name}, but no proxy is known to have {protocol.extension.name}; "
                f"no filter is written; proxies that have it are named by --proxy-extensions",
                service.ref,
                "spec.ports",
            )
        )
    return PortOutput(
        service,
        port,
        protocol,
        dispatcher.registry.owner(protocol).name,
        () if failed else tuple(outbound),
        () if failed else inbound,
        tuple(findings),
        tuple(reads.keys),
        tuple(sorted(reads.objects)),
        failed,
        calls,
        seconds,
    )


def client_audiences(service: Service, protocol: Protocol, reads: Reads) -> tuple[Audience, ...]:
    """The clients that get filters: those that the service is exported to and whose proxies have the extension.

    A VirtualService that is exported to some namespaces only gives their clients routes of their own, over those of the rest; so do
    further extensions that some have (see :func:`_with_more`). What is written into the root namespace reaches the whole mesh:
    nothing is written there for its own proxies alone, unless only they have the listener.
    """
    mesh = reads.mesh
    root = mesh.root_namespace
    namespaces = _namespaces(service, mesh)
    rules = mesh.rules_for(protocol.extension.name)
    everywhere = protocol.extension.stock or any(rule.namespace is None for rule in rules)
    found: set[Audience] = set()
    if everywhere:
        found.update(
            Audience(namespace, overrides=root in namespaces - {namespace})
            for namespace in namespaces
        )
    else:
        for rule in rules:
            is_reached = None in namespaces or rule.namespace in namespaces
            if is_reached and (rule.namespace != root or service.export_to == {root}):
                found.add(Audience(rule.namespace, rule.labels))
        # A whole namespace has it: its workloads need no filter of their own.
        whole = {audience.namespace for audience in found if not audience.labels}
        found = {
            audience for audience in found if not audience.labels or audience.namespace not in whole
        }
    if EVERYBODY in found:
        for virtual_service in reads.virtual_services(service.host):
            for namespace in virtual_service.client_namespaces - {root}:
                found.add(Audience(namespace, overrides=True))
    return tuple(
        sorted(found, key=lambda item: (item.overrides, item.namespace or "", item.labels))
    )


def _with_more(context: GenerateContext, mesh: Mesh) -> list[Audience]:
    """Namespaces whose proxies have an extension that the generator asked for and that not all have: another filter for them."""
    names = {
        rule.namespace
        for extension in context.extensions_asked
        for rule in mesh.rules_for(extension)
        if rule.namespace not in (None, mesh.root_namespace)
        and not rule.labels
        and not context.has_extension(extension)
    }
    return [Audience(name, overrides=True) for name in sorted(names)]


def _namespaces(service: Service, mesh: Mesh) -> frozenset[str | None]:
    """Where outbound filters go; None is the root namespace, for the whole mesh."""
    wanted = {service.namespace if name == "." else name for name in mesh.namespaces}
    if "*" in service.export_to:
        return frozenset(wanted) if wanted else frozenset({None})
    return frozenset(service.export_to & wanted if wanted else service.export_to)


def _covered(side: Inbound, service: Service, protocol: Protocol, mesh: Mesh) -> bool:
    """Whether the proxies of these workloads are known to have the protocol's extension."""
    rules = mesh.rules_for(protocol.extension.name)
    return protocol.extension.stock or any(
        rule.covers(service.namespace, side.selector) for rule in rules
    )


def _any_covered(
    sides: Iterable[Inbound], service: Service, protocol: Protocol, mesh: Mesh
) -> bool:
    return any(_covered(side, service, protocol, mesh) for side in sides)


def _listeners(
    service: Service, port: Port, reads: Reads, findings: list[Finding]
) -> tuple[Listener, ...]:
    """The port's own listeners: those that no older service claims (two filters on one listener would be an outage)."""
    endpoints = reads.endpoints(service) if needs_endpoints(service) else None
    wanted = outbound_listeners(service, port.number, endpoints)
    if len({listener.families for listener in wanted}) > 1:
        # Each patch costs istiod in every proxy: none for a listener that no proxy can have (facts/istio.md).
        families = reads.proxy_families()
        wanted = tuple(listener for listener in wanted if listener.families & families)
    if not wanted:
        findings.append(_no_listener(service, port))
    mine: list[Listener] = []
    for listener in wanted:
        claims = reads.claims(listener.name)
        others = [claim for claim in claims if claim.service != service.id]
        if others and any(claim.ranges for claim in claims):
            names = ", ".join(str(claim.service[0]) for claim in others)
            message = f"listener {listener.name} is shared with {names}; its chains cannot be told apart, none is patched"
            findings.append(Finding(SHARED_CIDR, message, service.ref, "spec.addresses"))
        elif claims and claims[0].service != service.id:
            older = claims[0].service
            message = f"listener {listener.name} belongs to {older[0]} ({older[1]}), which is older; no filter for it here"
            findings.append(Finding(LISTENER_TAKEN, message, service.ref, "spec.ports"))
        else:
            mine.append(listener)
    return tuple(mine)


def _no_listener(service: Service, port: Port) -> Finding:
    if service.resolution is Resolution.CLUSTER_IP and not service.headless:
        message = f"port {port.number}: no spec.clusterIP, so the name of the listener is not known; no outbound filter"
        return Finding(NO_ADDRESS, message, service.ref, "spec.clusterIP")
    message = f"port {port.number}: no endpoint is known, and sidecars have a listener for each; no outbound filter"
    return Finding(NO_LISTENER, message, service.ref, "spec.ports")
