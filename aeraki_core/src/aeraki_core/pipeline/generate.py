"""One service port through its generator: for which clients and workloads, onto which listeners.

The generator runs once for each audience of clients, because they may see other routes or have other Envoy extensions. In: a
service port with its protocol, the store (read through a recording view) and the dispatcher. Out: a :class:`PortOutput`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aeraki_core.filters.patch import Inbound, Outbound, Patch
from aeraki_core.findings.codes import (
    LISTENER_TAKEN,
    MISSING_EXTENSION,
    NO_ADDRESS,
    NO_LISTENER,
    SHARED_CIDR,
)
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.keys import Key
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.store import Store
from aeraki_core.model.listeners import Listener, needs_endpoints, outbound_listeners
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Resolution, Service, ServiceId
from aeraki_core.plugins.context import Audience, Detect
from aeraki_core.plugins.dispatch import Dispatcher, Generated, PortCall
from aeraki_core.plugins.types import Protocol

__all__ = ["OutboundPatches", "PortId", "PortOutput", "PortRun", "generate_port"]

EVERYBODY = Audience(None)


class PortId(NamedTuple):
    """Names a port of one object's service."""

    service: ServiceId
    number: int


@dataclass(frozen=True, slots=True)
class OutboundPatches:
    """What one audience of clients gets, on which listeners."""

    audience: Audience
    listeners: tuple[Listener, ...]
    patches: tuple[Patch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRun:
    """How the generator of a service port ran. This is remembered; the patches go into placements.

    ``failed``: the generator could not make patches, and what it made before stays. ``objects`` are those that it read.
    ``calls`` counts generator runs, ``seconds`` is their wall time.
    """

    service: Service
    port: Port
    protocol: Protocol
    plugin: str
    findings: tuple[Finding, ...]
    objects: tuple[ObjectRef, ...]
    failed: bool
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PortOutput:
    """What a service port's generator made, and the questions that it asked. Without patches if it failed."""

    run: PortRun
    outbound: tuple[OutboundPatches, ...]
    inbound: tuple[Patch, ...]
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the generator made for one audience."""

    audience: Audience
    generated: Generated

    def outbound(self) -> tuple[Patch, ...]:
        return tuple(
            patch for patch in self.generated.patches or () if isinstance(patch.side, Outbound)
        )


def generate_port(
    service: Service,
    port: Port,
    protocol: Protocol,
    store: Store,
    dispatcher: Dispatcher,
    detect: Detect,
) -> PortOutput:
    """Run the generator of one service port, once for each audience of clients."""
    reads = Reads(store)
    reads.service(service.id)
    runner = _Runner(service, port, protocol, reads, dispatcher, detect)
    audiences = client_audiences(service, protocol, reads)
    listeners, findings = _own_listeners(service, port, reads) if audiences else ((), ())
    answers = tuple(runner.for_clients(audiences) if audiences else runner.for_workloads())
    if not answers:
        findings = (_missing_extension(service, port, protocol),)
    failed = any(answer.generated.patches is None for answer in answers)
    run = PortRun(
        service=service,
        port=port,
        protocol=protocol,
        plugin=dispatcher.registry.owner(protocol).name,
        findings=(*findings, *(each for answer in answers for each in answer.generated.findings)),
        objects=tuple(sorted(reads.objects)),
        failed=failed,
        calls=len(answers),
        seconds=sum(answer.generated.seconds for answer in answers),
    )
    return PortOutput(
        run=run,
        outbound=() if failed or not listeners else _merge_outbound(answers, listeners),
        inbound=() if failed or not answers else runner.inbound(answers[0]),
        keys=tuple(reads.keys),
    )


@dataclass(frozen=True, slots=True)
class _Runner:
    """Runs the generator of one service port."""

    service: Service
    port: Port
    protocol: Protocol
    reads: Reads
    dispatcher: Dispatcher
    detect: Detect

    def for_clients(self, audiences: tuple[Audience, ...]) -> Iterator[_Answer]:
        """One run for each audience, until one fails: half of a port's filters would contradict the other half."""
        todo = [*audiences]
        for audience in todo:
            call = self._call(audience)
            answer = _Answer(audience, self.dispatcher.generate(call))
            yield answer
            if answer.generated.patches is None:
                return
            if audience == EVERYBODY:
                more = _with_more_extensions(call, self.reads.mesh)
                todo += [audience for audience in more if audience not in todo]

    def for_workloads(self) -> Iterator[_Answer]:
        """One run for the inbound side alone, when no client has the extension but the workload's proxies do."""
        audience = Audience(self.service.namespace, self.service.selector)
        call = self._call(audience)
        if any(self._is_covered(side) for side in call.context.inbound):
            yield _Answer(audience, self.dispatcher.generate(call))

    def inbound(self, answer: _Answer) -> tuple[Patch, ...]:
        """The inbound patches for workloads whose proxies have the extension."""
        return tuple(
            patch
            for patch in answer.generated.patches or ()
            if isinstance(patch.side, Inbound) and self._is_covered(patch.side)
        )

    def _call(self, audience: Audience) -> PortCall:
        return self.dispatcher.prepare(
            self.protocol,
            self.service,
            self.port,
            audience=audience,
            reads=self.reads,
            detect=self.detect,
        )

    def _is_covered(self, side: Inbound) -> bool:
        """Whether the proxies of these workloads are known to have the protocol's extension."""
        extension = self.protocol.extension
        return extension.stock or any(
            rule.covers(self.service.namespace, side.selector)
            for rule in self.reads.mesh.rules_for(extension.name)
        )


def _merge_outbound(
    answers: Iterable[_Answer], listeners: tuple[Listener, ...]
) -> tuple[OutboundPatches, ...]:
    """The patches of each audience. An override that changes nothing is left out: its clients have the mesh-wide filter."""
    first, *others = answers
    mesh_wide = first.outbound()
    merged = [OutboundPatches(first.audience, listeners, mesh_wide)]
    for answer in others:
        patches = answer.outbound()
        if not answer.audience.overrides or patches != mesh_wide:
            merged.append(OutboundPatches(answer.audience, listeners, patches))
    return tuple(merged)


def client_audiences(service: Service, protocol: Protocol, reads: Reads) -> tuple[Audience, ...]:
    """The clients that get filters: those that see the service and whose proxies have the extension.

    A VirtualService that is exported to some namespaces only gives their clients routes of their own, in a filter that
    overrides the mesh-wide one. A filter in the root namespace reaches the whole mesh, so none is written there for the
    proxies of that namespace alone, unless only they have the listener.
    """
    mesh = reads.mesh
    root = mesh.root_namespace
    namespaces = _filter_namespaces(service, mesh)
    rules = mesh.rules_for(protocol.extension.name)
    everywhere = protocol.extension.stock or any(rule.namespace is None for rule in rules)
    audiences: set[Audience] = set()
    if everywhere:
        audiences.update(
            Audience(namespace, overrides=root in namespaces - {namespace})
            for namespace in namespaces
        )
    else:
        for rule in rules:
            is_reached = None in namespaces or rule.namespace in namespaces
            if is_reached and (rule.namespace != root or service.export_to == {root}):
                audiences.add(Audience(rule.namespace, rule.labels))
        # Where a whole namespace has the extension, its workloads need no filter of their own.
        whole = {audience.namespace for audience in audiences if not audience.labels}
        audiences = {
            audience
            for audience in audiences
            if not audience.labels or audience.namespace not in whole
        }
    if EVERYBODY in audiences:
        for virtual_service in reads.virtual_services(service.host):
            for namespace in virtual_service.client_namespaces - {root}:
                audiences.add(Audience(namespace, overrides=True))
    # The mesh-wide audience comes first: overrides are compared with it.
    return tuple(
        sorted(audiences, key=lambda each: (each.overrides, each.namespace or "", each.labels))
    )


def _with_more_extensions(call: PortCall, mesh: Mesh) -> list[Audience]:
    """Namespaces whose proxies have an extension that the generator asked for in vain: they may get another filter."""
    names = {
        rule.namespace
        for extension in tuple(call.recorder.extensions)
        for rule in mesh.rules_for(extension)
        if rule.namespace not in (None, mesh.root_namespace)
        and not rule.labels
        and not call.context.has_extension(extension)
    }
    return [Audience(name, overrides=True) for name in sorted(names)]


def _filter_namespaces(service: Service, mesh: Mesh) -> frozenset[str | None]:
    """The namespaces of the outbound filters; None is the root namespace, for the whole mesh."""
    wanted = {service.namespace if name == "." else name for name in mesh.namespaces}
    if "*" in service.export_to:
        return frozenset(wanted) if wanted else frozenset({None})
    return frozenset(service.export_to & wanted if wanted else service.export_to)


def _own_listeners(
    service: Service, port: Port, reads: Reads
) -> tuple[tuple[Listener, ...], tuple[Finding, ...]]:
    """The listeners that no older service claims, and findings. Two filters on one listener would be an outage."""
    endpoints = reads.endpoints(service) if needs_endpoints(service) else None
    wanted = outbound_listeners(service, port.number, endpoints)
    if len({listener.families for listener in wanted}) > 1:
        # istiod looks at each patch for every proxy: none for a listener that no proxy has
        # (docs/internals/istio.md).
        families = reads.proxy_families()
        wanted = tuple(listener for listener in wanted if listener.families & families)
    findings: list[Finding] = []
    if not wanted:
        findings.append(_no_listener(service, port))
    own: list[Listener] = []
    for listener in wanted:
        claims = reads.claims(listener.name)
        others = [claim for claim in claims if claim.service != service.id]
        if others and any(claim.ranges for claim in claims):
            names = ", ".join(str(claim.service.ref) for claim in others)
            message = f"listener {listener.name} is shared with {names}; its chains cannot be told apart, none is patched"
            findings.append(Finding(SHARED_CIDR, message, service.ref, "spec.addresses"))
        elif claims and claims[0].service != service.id:
            older = claims[0].service
            message = f"listener {listener.name} belongs to {older.ref} ({older.host}), which is older; no filter for it here"
            findings.append(Finding(LISTENER_TAKEN, message, service.ref, "spec.ports"))
        else:
            own.append(listener)
    return tuple(own), tuple(findings)


def _no_listener(service: Service, port: Port) -> Finding:
    if service.resolution is Resolution.CLUSTER_IP and not service.headless:
        message = f"port {port.number}: no spec.clusterIP, so the name of the listener is not known; no outbound filter"
        return Finding(NO_ADDRESS, message, service.ref, "spec.clusterIP")
    message = f"port {port.number}: no endpoint is known, and sidecars have a listener for each; no outbound filter"
    return Finding(NO_LISTENER, message, service.ref, "spec.ports")


def _missing_extension(service: Service, port: Port, protocol: Protocol) -> Finding:
    message = (
        f"port {port.number} speaks {protocol.name}, but no proxy is known to have {protocol.extension.name}; "
        "no filter is written; proxies that have it are named by --proxy-extensions"
    )
    return Finding(MISSING_EXTENSION, message, service.ref, "spec.ports")
