"""The way of the data from objects to filters, re-running only what a change touches.

In: objects taken in and removed by a source. Out of :meth:`Pipeline.run`: a :class:`Pass`: which filters changed, which generators
ran; and at any time all filters, findings and the reason for each. No I/O: ``run``, ``generate``, ``diff``, ``validate`` and tests
all walk this one path and differ only in source and sink.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum

from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort
from aeraki_core.filters.live import Live, namespaces_of
from aeraki_core.findings.by_place import FindingsByPlace
from aeraki_core.findings.codes import UNKNOWN_HOST
from aeraki_core.findings.finding import Finding, in_order
from aeraki_core.mesh.dependents import Dependents
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.store import Key, ServiceId, SourceObject, Store
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.scope import EVERYWHERE, Scope
from aeraki_core.model.service import Port, Service, is_wildcard
from aeraki_core.pipeline.arrange import Arrangement, Group, Placement, assemble, place
from aeraki_core.pipeline.detect import Detection, Detector
from aeraki_core.pipeline.generate import PortId, PortOutput, generate_port
from aeraki_core.pipeline.groups import Groups
from aeraki_core.pipeline.overlaps import Overlaps, Standing
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.validate import ValidateContext

__all__ = ["Pass", "Pipeline", "PortReport", "PortState"]

_MANY = 1_000  # changes at once from which a pass counts as a load of the mesh


class PortState(StrEnum):
    """How a service port stands: CURRENT filters, HELD last good ones, NONE written."""

    CURRENT = "current"
    HELD = "held"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PortReport:
    """Why a service port is as it is. ``output`` None: no protocol, so no generator ran."""

    service: Service
    port: Port
    detection: Detection
    state: PortState
    output: PortOutput | None
    filters: tuple[FilterKey, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one run did. ``generated``: service ports whose generator ran; ``changed``: filters that are new, other or gone.

    ``objects``: objects of plugins' kinds, and VirtualServices, about which something else may be true now.
    """

    generated: tuple[PortId, ...]
    calls: int
    changed: frozenset[FilterKey]
    seconds: float
    objects: frozenset[ObjectRef] = frozenset()


class Pipeline:
    """Store, detection, generators and arrangement of one mesh. ``instance``: the controller that its filters belong to.

    ``scope``: the namespaces that the sources read; they say when it changes.
    """

    def __init__(
        self,
        mesh: Mesh,
        dispatcher: Dispatcher,
        arrangement: Arrangement = Arrangement.SERVICE,
        *,
        instance: str = "",
    ) -> None:
        self.mesh = mesh
        self.dispatcher = dispatcher
        self.arrangement = arrangement
        self.instance = instance
        self.scope: Scope = EVERYWHERE
        registry = dispatcher.registry
        self.store = Store(mesh, registry.kinds)
        self.filters: dict[FilterKey, EnvoyFilter] = {}
        self._detector = Detector(registry.protocols, dispatcher.detect)
        self._dirty: set[Key] = set()
        self._ports: dict[ServiceId, dict[int, Detection]] = {}
        self._outputs: dict[PortId, PortOutput] = {}
        self._standing: Counter[tuple[str, PortState]] = Counter()
        self._placed: dict[PortId, tuple[Placement, ...]] = {}
        self._readers: Dependents[PortId | ObjectRef] = Dependents()
        self._groups = Groups()
        self._overlaps = Overlaps(self._groups, self.store)
        # Tuples: most have one or two, and a set for each would take four times as much.
        self._filters_of: dict[ServicePort, tuple[FilterKey, ...]] = {}
        self._group_filters: dict[Group, tuple[FilterKey, ...]] = {}
        self.unlocated = FindingsByPlace()
        """All findings of the pipeline without files and lines: to tell what is new costs no look into a file."""
        self._kinds = frozenset(kind.kind for kind in registry.kinds)
        self._ports_reading: dict[ObjectRef, set[PortId]] = {}
        self._touched: set[ObjectRef] = set()

    # -- in -----------------------------------------------------------------------------------------------------------

    def upsert(self, item: SourceObject) -> None:
        """Take an object in, new or changed."""
        self._dirty |= self.store.upsert(item)

    def remove(self, ref: ObjectRef) -> None:
        """An object is gone from its source."""
        self._dirty |= self.store.remove(ref)

    # -- run ----------------------------------------------------------------------------------------------------------

    def run(self) -> Pass:
        """Bring everything up to date; without a change that anyone read, nothing runs."""
        dirty, self._dirty = self._dirty, set()
        if not dirty:
            return Pass((), 0, frozenset(), 0.0)
        with _collector_paused() if len(dirty) > _MANY else nullcontext():
            return self._run(dirty)

    def _run(self, dirty: set[Key]) -> Pass:
        ports: set[PortId] = set()
        objects: set[ObjectRef] = set()
        for reader in (reader for key in dirty for reader in self._readers.of(key)):
            if isinstance(reader, ObjectRef):
                objects.add(reader)
            else:
                ports.add(reader)
        gone: list[PortId] = []
        for key in dirty:
            if key[0] == "service":
                fresh, dropped = self._detect(key)
                ports |= fresh
                gone += dropped
            elif key[0] in ("virtualservice-object", "resource"):
                objects.add(_parse_ref(key[1]))
            elif key[0] == "rejected-object":
                ref = _parse_ref(key[1])
                self.unlocated.put(("rejected", ref), self.store.rejected().get(ref, ()))
        groups = {group for key in dirty if key[0] == "endpoints" for group in self._groups_of(key)}
        for port in gone:
            groups |= self._drop(port)
            ports.discard(port)
        dirty.clear()  # at the first pass that is much, and needed no more
        ran = sorted(ports)
        calls, seconds = 0, 0.0
        for port in ran:
            output = self._generate(port)
            calls += output.calls
            seconds += output.seconds
            groups |= self._take(port, output)
        changed: set[FilterKey] = set()
        groups = self._overlaps.moved(groups)
        while groups:
            # The one that another comes after may be looked at later: then the other is looked at again.
            again: set[Group] = set()
            for group in sorted(groups):
                standing = self._overlaps.look(group)
                changed |= self._assemble(group, standing)
                again |= standing.again
            groups = again
        for ref in sorted(objects):
            self._check(ref)
        touched, self._touched = self._touched | objects, set()
        return Pass(tuple(ran), calls, frozenset(changed), seconds, frozenset(touched))

    def _groups_of(self, key: Key) -> Iterator[Group]:
        """The groups of a Kubernetes Service, by the key of its endpoints."""
        for service in self.store.services_of(ObjectRef("Service", key[1], key[2])):
            for port in self._ports.get(service.id, ()):
                yield from (item.group for item in self._placed.get((service.id, port), ()))

    def _detect(self, key: Key) -> tuple[set[PortId], list[PortId]]:
        """Look at a changed service's ports again: those to generate, and those that are gone."""
        service_id = (_parse_ref(key[1]), key[2])
        service = self.store.service(service_id)
        if service is not None:
            service_id = service.id  # whose parts are there already, not read from a text
        before = self._ports.pop(service_id, {})
        now = (
            {port.number: self._detector.detect(service, port) for port in service.ports}
            if service
            else {}
        )
        if now:
            self._ports[service_id] = now
        speaking = {(service_id, number) for number, detection in now.items() if detection.protocol}
        gone = [(service_id, number) for number in before if (service_id, number) not in speaking]
        return speaking, [port for port in gone if port in self._outputs]

    def _generate(self, port: PortId) -> PortOutput:
        service_id, number = port
        service = self.store.service(service_id)
        found = service.port(number) if service else None
        protocol = self._ports[service_id][number].protocol
        if service is None or found is None or protocol is None:
            raise LookupError(f"{service_id[1]}:{number} speaks no protocol")
        return generate_port(service, found, protocol, self.store, self.dispatcher)

    def _take(self, port: PortId, output: PortOutput) -> set[Group]:
        """Remember an output; the groups whose filters may now differ. After a failure the last good placements stay."""
        before = self._placed.get(port, ())
        self._readers.record(port, output.keys)
        # Its patches are in the placements from here on; a second copy would be a third of all memory.
        self._set_output(port, replace(output, outbound=(), inbound=(), keys=()))
        if output.failed:
            return set()
        after = place(output, self.mesh, self.arrangement)
        if after == before:
            return set()
        self._placed[port] = after
        return self._groups.replace(port, before, after)

    def _drop(self, port: PortId) -> set[Group]:
        self._set_output(port, None)
        self._readers.record(port, ())
        return self._groups.replace(port, self._placed.pop(port, ()), ())

    def _set_output(self, port: PortId, output: PortOutput | None) -> None:
        before = self._outputs.pop(port, None)
        for item, difference in ((before, -1), (output, 1)):
            if item is not None:
                state = PortState.HELD if item.failed else PortState.CURRENT
                self._standing[(item.protocol.name, state)] += difference
        if output is not None:
            self._outputs[port] = output
        self.unlocated.put(("port", port), output.findings if output is not None else ())
        self._index_objects(port, before, output)

    def _index_objects(
        self, port: PortId, before: PortOutput | None, after: PortOutput | None
    ) -> None:
        """Remember which ports rest on an object of a plugin's kind."""
        old, new = (
            {ref for ref in (item.objects if item else ()) if ref.kind in self._kinds}
            for item in (before, after)
        )
        self._touched |= old | new
        for ref in old - new:
            self._ports_reading[ref].discard(port)
            if not self._ports_reading[ref]:
                del self._ports_reading[ref]
        for ref in new - old:
            self._ports_reading.setdefault(ref, set()).add(port)

    def _assemble(self, group: Group, standing: Standing) -> set[FilterKey]:
        members = self._groups.members(group)
        broader, narrower = self._groups.broader(group), self._groups.narrower(group)
        filters, findings = assemble(
            members, broader, narrower, instance=self.instance, after=standing.after
        )
        before = self._group_filters.get(group, ())
        changed = {key for key in before if key not in filters}
        for key in changed:
            self._set_filter(key, None)
        for key, item in filters.items():
            if self.filters.get(key) != item:
                self._set_filter(key, item)
                changed.add(key)
        if members:
            self._group_filters[group] = tuple(filters)
        else:
            self._group_filters.pop(group, None)
        self.unlocated.put(("group", group), (*findings, *standing.findings) if members else ())
        return changed

    def _set_filter(self, key: FilterKey, item: EnvoyFilter | None) -> None:
        before = self.filters.pop(key, None)
        for service_port in before.service_ports if before else ():
            left = tuple(other for other in self._filters_of[service_port] if other != key)
            if left:
                self._filters_of[service_port] = left
            else:
                del self._filters_of[service_port]
        if item is not None:
            self.filters[key] = item
            for service_port in item.service_ports:
                self._filters_of[service_port] = (*self._filters_of.get(service_port, ()), key)

    def _check(self, ref: ObjectRef) -> None:
        """What is wrong with an object on its own: a plugin's resource by its plugin, a VirtualService here."""
        reads = Reads(self.store)
        findings: tuple[Finding, ...] = ()
        virtual_service = reads.virtual_service(ref) if ref.kind == "VirtualService" else None
        if virtual_service is not None and virtual_service.for_mesh:
            findings = tuple(
                Finding(
                    UNKNOWN_HOST,
                    f"no service {host} in the mesh; the routes have no effect",
                    ref,
                    "spec.hosts",
                )
                for host in virtual_service.hosts
                if not is_wildcard(host) and not reads.services_of_host(host)
            )
        resource = reads.resource(ref) if virtual_service is None else None
        if resource is not None:
            findings = self.dispatcher.validate(resource, ValidateContext(resource, reads))
        known = virtual_service is not None or resource is not None
        self._readers.record(ref, reads.keys if known else ())
        self.unlocated.put(("object", ref), findings)

    # -- out ----------------------------------------------------------------------------------------------------------

    def why_held(self, service_port: ServicePort) -> str | None:
        """Why the live filters of a service port must stay as they are, for :func:`~aeraki_core.pipeline.reconcile.reconcile`."""
        rejected = self.store.rejected_for(service_port.host)
        if rejected:
            return f"{rejected[0]} names {service_port.host} and cannot be used"
        for service in self.store.services_of_host(service_port.host):
            output = self._outputs.get((service.id, service_port.port))
            if (
                output is not None
                and output.failed
                and (service.id, service_port.port) not in self._placed
            ):
                return f"the generator of {service_port} did not succeed"
        return None

    def why_outside(self, live: Live) -> str | None:
        """Why a live filter is not ours to judge, for :func:`~aeraki_core.pipeline.reconcile.reconcile`."""
        return self.scope.why_outside(namespaces_of(live, self.mesh.domain))

    def findings(self) -> tuple[Finding, ...]:
        """All findings of the pipeline, each at its file and line where the source can tell, in order."""
        return in_order(self.locate(item) for item in self.unlocated)

    def findings_about(self, ref: ObjectRef) -> tuple[Finding, ...]:
        """What is wrong with one object of a plugin's kind: by its model, its plugin, or a generator that read it."""
        found = {*self.store.rejected().get(ref, ()), *self.unlocated.at(("object", ref))}
        for port in self._ports_reading.get(ref, ()):
            found.update(item for item in self.unlocated.at(("port", port)) if item.ref == ref)
        return in_order(found)

    def objects_read_for(self, service_port: ServicePort) -> Iterator[ObjectRef]:
        """The objects of plugins' kinds that the filters of a service port rest on."""
        for service in self.store.services_of_host(service_port.host):
            output = self._outputs.get((service.id, service_port.port))
            yield from (
                ref for ref in (output.objects if output else ()) if ref.kind in self._kinds
            )

    def reports_reading(self, ref: ObjectRef) -> tuple[PortReport, ...]:
        """The service ports whose filters rest on an object of a plugin's kind, sorted by host and port."""
        found = []
        for service_id, number in self._ports_reading.get(ref, ()):
            service = self.store.service(service_id)
            port = service.port(number) if service else None
            if service is not None and port is not None:
                found.append(self.report(service, port))
        return tuple(sorted(found, key=lambda item: (item.service.host, item.port.number)))

    def locate(self, finding: Finding) -> Finding:
        """The finding with its file and line, if its object came from a file."""
        if finding.source is not None or finding.ref is None:
            return finding
        origin = self.store.origin(finding.ref)
        if origin is None:
            return finding
        source, line = origin.locate(finding.field)
        return replace(finding, source=source, line=line)

    def reports(self) -> tuple[PortReport, ...]:
        """Every port of every service and why it is as it is, sorted by host and port."""
        services = sorted(self.store.services(), key=lambda item: (item.host, item.ref))
        return tuple(self.report(service, port) for service in services for port in service.ports)

    def report(self, service: Service, port: Port) -> PortReport:
        """Why one service port is as it is."""
        identity = (service.id, port.number)
        detection = self._ports.get(service.id, {}).get(port.number) or self._detector.detect(
            service, port
        )
        output = self._outputs.get(identity)
        keys = tuple(sorted(self._filters_of.get(ServicePort(service.host, port.number), ())))
        state = (
            PortState.NONE
            if output is None
            else PortState.HELD
            if output.failed
            else PortState.CURRENT
            if keys
            else PortState.NONE
        )
        findings = in_order(self.locate(item) for item in (output.findings if output else ()))
        return PortReport(service, port, detection, state, output, keys, findings)

    def standing(self) -> Mapping[tuple[str, PortState], int]:
        """How many service ports there are of each protocol and state."""
        return self._standing


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection inside: a whole mesh is made of values that stay, and looking at them again and again costs a third."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _parse_ref(text: str) -> ObjectRef:
    """The reference that ``str`` was made of."""
    kind, _, rest = text.partition(" ")
    namespace, slash, name = rest.partition("/")
    return ObjectRef(kind, namespace, name) if slash else ObjectRef(kind, "", rest)
