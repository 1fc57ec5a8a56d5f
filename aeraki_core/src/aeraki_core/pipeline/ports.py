"""What is remembered of each service port between passes, and who must run again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from aeraki_core.mesh.dependents import Dependents
from aeraki_core.mesh.keys import Key
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Service, ServiceId
from aeraki_core.pipeline.detect import Detection, Detector, ProblemKind
from aeraki_core.pipeline.placement import Placement
from aeraki_core.pipeline.port_choice import PortChoice
from aeraki_core.pipeline.port_output import PortId, PortOutput, PortRun
from aeraki_core.plugins.types import Protocol

__all__ = ["Affected", "PortState", "PortTable"]


class PortState(StrEnum):
    """How a service port stands.

    CURRENT: its filters are up to date. PARTIAL: so are those that it has, and some are missing,
    such as that of an address that an older service claims. HELD: the last good ones are kept.
    NONE: it has no filter.
    """

    CURRENT = "current"
    PARTIAL = "partial"
    HELD = "held"
    NONE = "none"


class Affected(NamedTuple):
    """Who read something that changed: service ports to generate, objects to validate."""

    ports: set[PortId]
    objects: set[ObjectRef]


class PortTable:
    """The detected protocol, the last run and the last good placements of each service port.

    ``kinds`` are groups and names of the plugins' kinds. The table records which service ports read
    their objects.
    """

    def __init__(self, detector: Detector, kinds: Collection[tuple[str, str]]) -> None:
        self._detector = detector
        self._kinds = kinds
        self._detections: dict[ServiceId, dict[int, Detection]] = {}
        self._runs: dict[PortId, PortRun] = {}
        self._placements: dict[PortId, tuple[Placement, ...]] = {}
        self._dependents: Dependents[PortId | ObjectRef] = Dependents()
        self._reading: dict[ObjectRef, set[PortId]] = defaultdict(set)
        self._touched: set[ObjectRef] = set()
        self._unspoken: dict[str, set[PortId]] = defaultdict(set)
        self._unspoken_touched: set[str] = set()
        self._states: dict[PortId, tuple[str, PortState]] = {}
        self.counts: Counter[tuple[str, PortState]] = Counter()
        """How many service ports there are of each protocol and state."""

    # -- look-ups ----------------------------------------------------------------------------------

    def detection(self, service: Service, number: int) -> Detection | None:
        """Return the detected protocol of a port; None before the service's first pass."""
        return self._detections.get(service.id, {}).get(number)

    def spoken(self, service: Service, port: Port) -> Protocol | None:
        """Return what a port speaks. A service without a pass is detected for this answer alone."""
        detection = self.detection(service, port.number)
        return (detection or self._detector.detect(service, port)).protocol

    def run_of(self, port: PortId) -> PortRun | None:
        """Return the last run of a port's generator; None without a protocol."""
        return self._runs.get(port)

    def runs(self) -> Mapping[PortId, PortRun]:
        """Return the last run of each service port that speaks a protocol."""
        return self._runs

    def placements(self, port: PortId) -> tuple[Placement, ...]:
        """Return the port's last good placements."""
        return self._placements.get(port, ())

    def placed(self) -> tuple[PortId, ...]:
        """Return all ports with good placements."""
        return tuple(self._placements)

    def has_good_output(self, port: PortId) -> bool:
        """Report whether the port's generator has succeeded, even without patches."""
        return port in self._placements

    def placements_of(self, service: Service) -> Iterable[Placement]:
        """Yield the last good placements of all ports of a service."""
        for number in self._detections.get(service.id, ()):
            yield from self.placements(PortId(service.id, number))

    def reading(self, ref: ObjectRef) -> Collection[PortId]:
        """Return the service ports whose generator read an object of a plugin's kind."""
        return self._reading.get(ref, ())

    def resources_of(self, port: PortId) -> tuple[ObjectRef, ...]:
        """Return the objects of plugins' kinds that a port's generator read."""
        return _resources(self._runs.get(port), self._kinds)

    def affected(self, keys: Iterable[Key]) -> Affected:
        """Return the ports that asked one of these questions in their last run."""
        affected = Affected(set(), set())
        for key in keys:
            for reader in self._dependents.of(key):
                if isinstance(reader, PortId):
                    affected.ports.add(reader)
                else:
                    affected.objects.add(reader)
        return affected

    def take_touched(self) -> set[ObjectRef]:
        """Return the objects of plugins' kinds whose readers changed since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def detections(self, service_id: ServiceId) -> Mapping[int, Detection]:
        """Return the detection of each port of a service."""
        return self._detections.get(service_id, {})

    def take_unspoken(self) -> Mapping[str, Collection[PortId]]:
        """Return the ports named ``tcp-<word>``, by each word that changed since the last call."""
        words, self._unspoken_touched = self._unspoken_touched, set()
        return {word: self._unspoken.get(word, ()) for word in words}

    # -- changes -----------------------------------------------------------------------------------

    def detect(
        self, service_id: ServiceId, service: Service | None, choice: PortChoice
    ) -> tuple[set[PortId], set[PortId]]:
        """Detect the protocols of a changed service's ports; None: the service is gone.

        ``choice``: the ports that annotations include and exclude. Returns the ports to generate,
        and the ports that had filters and speak no protocol any more.
        """
        before = self._detections.pop(service_id, {})
        after: Mapping[int, Detection] = {}
        if service is not None:
            # The service's own values, so that no second copy of the reference is kept.
            service_id = service.id
            after = {
                port.number: self._detector.detect(
                    service, port, choice, before=_protocol(before.get(port.number))
                )
                # Of two ports with one number, that for TCP has the listener.
                for port in sorted(service.ports, key=lambda port: port.protocol == "TCP")
            }
        if after:
            self._detections[service_id] = dict(after)
        self._count_unspoken(service_id, before, after)
        speaking = {PortId(service_id, number) for number in after if after[number].protocol}
        silent = {PortId(service_id, number) for number in before} - speaking
        return speaking, {port for port in silent if port in self._runs}

    def remember(self, port: PortId, output: PortOutput) -> None:
        """Remember how a port's generator ran and what it read."""
        if output.run.failed:
            # It may have failed before it asked everything. What it asked before is worth another
            # try, too.
            self._dependents.extend(port, output.keys)
        else:
            self._dependents.record(port, output.keys)
        self._set_run(port, output.run)

    def forget(self, port: PortId) -> tuple[Placement, ...]:
        """Forget a port. Returns the placements that it had."""
        self._dependents.record(port, ())
        self._set_run(port, None)
        return self._placements.pop(port, ())

    def place(self, port: PortId, placements: tuple[Placement, ...]) -> None:
        """These are the port's good placements from here on."""
        self._placements[port] = placements

    def set_state(self, port: PortId, state: PortState | None) -> None:
        """How a port stands from here on; None: it speaks no protocol."""
        before = self._states.pop(port, None)
        if before is not None:
            self.counts[before] -= 1
        run = self._runs.get(port)
        if state is not None and run is not None:
            after = (run.protocol.name, state)
            self._states[port] = after
            self.counts[after] += 1

    def record_validation(self, ref: ObjectRef, keys: Iterable[Key]) -> None:
        """An object was validated, and its validator asked these questions."""
        self._dependents.record(ref, keys)

    def _count_unspoken(
        self, service_id: ServiceId, before: Mapping[int, Detection], after: Mapping[int, Detection]
    ) -> None:
        for detections, is_after in ((before, False), (after, True)):
            for number, detection in detections.items():
                problem = detection.problem
                if problem is None or problem.kind not in _UNSPOKEN:
                    continue
                ports = self._unspoken[problem.word]
                (ports.add if is_after else ports.discard)(PortId(service_id, number))
                if not ports:
                    del self._unspoken[problem.word]
                self._unspoken_touched.add(problem.word)

    def _set_run(self, port: PortId, after: PortRun | None) -> None:
        before = self._runs.pop(port, None)
        if after is not None:
            self._runs[port] = after
        old, new = (set(_resources(run, self._kinds)) for run in (before, after))
        self._touched |= old | new
        for ref in old - new:
            self._reading[ref].discard(port)
            if not self._reading[ref]:
                del self._reading[ref]
        for ref in new - old:
            self._reading[ref].add(port)


def _protocol(detection: Detection | None) -> Protocol | None:
    return detection.protocol if detection is not None else None


_UNSPOKEN = (ProblemKind.NOBODY, ProblemKind.DISABLED)


def _resources(run: PortRun | None, kinds: Collection[tuple[str, str]]) -> tuple[ObjectRef, ...]:
    return tuple(ref for ref in (run.objects if run else ()) if (ref.group, ref.kind) in kinds)
