"""The way of the data from objects to filters.

What changed is detected, generated, arranged and assembled again.

A source hands objects to :meth:`Pipeline.upsert` and :meth:`Pipeline.remove`; :meth:`Pipeline.run`
then runs only the generators and validators that asked a question whose answer changed, so a pass
costs what the change costs, not what the mesh costs. There is no I/O: ``run``, ``generate``,
``diff``, ``validate`` and tests walk this one path, and differ in source and sink.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial

from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.filters.live import Live, namespaces_of
from aeraki_core.filters.output import Output
from aeraki_core.findings.by_place import FindingsByPlace, Place, Subject
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.keys import DetectionKey, EndpointsKey, Key
from aeraki_core.mesh.store import SourceObject, Store
from aeraki_core.model.memory import collector_paused
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.scope import EVERYWHERE, Scope
from aeraki_core.model.service import Port, Service, ServiceId
from aeraki_core.pipeline.arrange import Arrangement, assemble_inbound, assemble_outbound, place
from aeraki_core.pipeline.changes import PendingChanges
from aeraki_core.pipeline.checks import SERVICE_KINDS, ObjectChecks
from aeraki_core.pipeline.detect import Detector
from aeraki_core.pipeline.filters import FilterTable
from aeraki_core.pipeline.foreign_filters import foreign_filter_findings
from aeraki_core.pipeline.generate import ClientRoutes, client_routes, generate_port
from aeraki_core.pipeline.groups import Groups
from aeraki_core.pipeline.lost_protocols import lost_protocols, unspoken_ports
from aeraki_core.pipeline.overlaps import Overlaps, Rank
from aeraki_core.pipeline.passes import Pass, in_turns
from aeraki_core.pipeline.placement import Group, InboundGroup, group_order
from aeraki_core.pipeline.port_choice import PortChoice
from aeraki_core.pipeline.port_output import PortId, PortOutput, PortRun
from aeraki_core.pipeline.ports import Affected, PortState, PortTable
from aeraki_core.pipeline.reports import PortReport, Reports
from aeraki_core.pipeline.work import DetectionReads, Work, groups_of, work_for
from aeraki_core.plugins.discovery import PluginState
from aeraki_core.plugins.dispatch import Dispatcher, HookDetection
from aeraki_core.plugins.registry import Registry
from aeraki_core.plugins.types import Protocol

__all__ = ["Pass", "Pipeline", "PortReport", "PortState"]

_MANY = 1_000  # changes at once from which a pass counts as a load of the mesh


class Pipeline:
    """Store, detection, generators and arrangement of one mesh.

    ``instance``: the controller that its filters belong to. ``reloads``: whether
    :meth:`replace_plugin` is used. ``store``: the objects to begin with; they are neither detected
    nor generated until they change, or :meth:`detect` names their services.
    """

    def __init__(
        self,
        mesh: Mesh,
        dispatcher: Dispatcher,
        arrangement: Arrangement = Arrangement.SERVICE,
        *,
        instance: str = "",
        reloads: bool = False,
        store: Store | None = None,
    ) -> None:
        self.mesh = mesh
        self.dispatcher = dispatcher
        self.arrangement = arrangement
        self._by_import = arrangement is Arrangement.IMPORTS
        self.instance = instance
        self.store = store or Store(
            mesh,
            self.registry.kinds,
            keep_labels=reloads or self.registry.takes("aeraki_detect_protocol", "labels"),
            reloads=reloads,
        )
        self.unlocated = FindingsByPlace()
        """All findings of the pipeline without files and lines.

        To compare them costs no look into a file.
        """
        self._scope = EVERYWHERE
        self._changes = PendingChanges(self._is_read)
        # What a run left for the next one, and whether all filters were ever made.
        self._waiting: set[PortId] = set()
        self._outdated: set[Group] = set()
        self._undetected: set[ServiceId] = set()
        self._last_turn = ""
        self._loaded = False
        self._detector = detector = Detector(
            (), partial(_ask_hooks, dispatcher, self.store), opt_in=mesh.opt_in
        )
        self._learn_plugins()
        self._ports = PortTable(detector, {(kind.group, kind.kind) for kind in self.registry.kinds})
        self._groups = Groups()
        self._overlaps = Overlaps(self._groups, self.store)
        self._filters = FilterTable()
        self._checks = ObjectChecks(
            store=self.store,
            detector=detector,
            ports=self._ports,
            dispatcher=dispatcher,
            findings=self.unlocated,
        )
        self._reports = Reports(
            store=self.store,
            detector=detector,
            ports=self._ports,
            filters=self._filters,
            findings=self.unlocated,
        )

    @property
    def registry(self) -> Registry:
        """The plugins."""
        return self.dispatcher.registry

    @property
    def filters(self) -> dict[FilterKey, Output]:
        """All filters that should be, and the companions that they name."""
        return self._filters.by_key

    @property
    def scope(self) -> Scope:
        """The namespaces that the sources read."""
        return self._scope

    # -- what a source says ------------------------------------------------------------------------

    def upsert(self, item: SourceObject) -> bool:
        """An object is new or changed. Returns whether a run must follow the end of a burst."""
        return self._changes.add(self.store.upsert(item))

    def remove(self, ref: ObjectRef) -> bool:
        """An object is gone. Returns whether a run must follow the end of a burst."""
        return self._changes.add(self.store.remove(ref))

    def _is_read(self, key: Key) -> bool:
        """Whether a run would do something for a key of endpoints."""
        if isinstance(key, EndpointsKey) and any(
            True for _ in groups_of(key, self.store, self._ports)
        ):
            return True
        return any(self._ports.affected([key]))

    def detect(self, services: Iterable[ServiceId]) -> None:
        """The next run detects the protocols of these services, and generates for what is new."""
        self._undetected.update(services)

    @property
    def pending(self) -> frozenset[Key]:
        """The questions whose answers changed since the last run."""
        return self._changes.pending

    def readers(self, keys: Iterable[Key]) -> Affected:
        """Return the service ports and the objects whose last run asked one of these questions."""
        return self._ports.affected(keys)

    def replace_plugin(self, registry: Registry, name: str) -> None:
        """Use these plugins, of which the one of that name is another version.

        The next run generates its ports, and those that its add-ons extend, anew.
        """
        addons = [
            addon
            for plugin in (self.registry.plugin(name), registry.plugin(name))
            if plugin is not None
            for addon in plugin.addons
        ]
        self.dispatcher.registry = registry
        self._learn_plugins()
        self._checks.learn(registry)
        self._changes.add_all(self.store.replace_kinds(registry.kinds, name))
        self._undetected.update(service.id for service in self.store.services())
        self._waiting.update(
            port
            for port, run in self._ports.runs().items()
            if run.plugin == name or any(addon.extends(run.protocol) for addon in addons)
        )

    def _learn_plugins(self) -> None:
        registry = self.registry
        self._detection_reads = DetectionReads(
            labels=registry.takes("aeraki_detect_protocol", "labels"),
            annotations=registry.takes("aeraki_detect_protocol", "annotations"),
        )
        unused = [plugin for plugin in registry.plugins if not plugin.active]
        self._detector.learn(
            registry.protocols,
            inactive={
                plugin.name: f"is {plugin.state}: {plugin.reason}"
                for plugin in unused
                if plugin.state is not PluginState.DISABLED
            },
            disabled=[plugin.name for plugin in unused if plugin.state is PluginState.DISABLED],
        )

    def rescope(self, scope: Scope) -> None:
        """The sources read these namespaces from here on."""
        self._scope = scope

    # -- a pass ------------------------------------------------------------------------------------

    def run(self, enough: Callable[[], bool] = lambda: False) -> Pass:
        """Bring everything up to date. Without a change that a generator read, nothing runs.

        ``enough`` is called after each generator. Once it is true the run ends, and the next one
        continues with what is ``left``. Namespaces take turns, so none waits for all ports of
        another. No filter is assembled before everything was generated for the first time: a filter
        of an earlier process would lose the missing parts.
        """
        dirty = self._changes.take()
        if not dirty and not self._waiting and not self._undetected:
            return Pass()
        many = len(dirty) + len(self._waiting) > _MANY
        with collector_paused() if many else nullcontext():
            return self._run(dirty, enough)

    @property
    def weights_moved(self) -> bool:
        """Whether endpoints changed that carry weights, for :meth:`follow_endpoints`."""
        return self._changes.moved_weights

    def follow_endpoints(self) -> Pass:
        """Bring the weights of changed endpoints up to date, and nothing else."""
        return self._run(self._changes.take_weights(), lambda: False)

    def _run(self, dirty: set[Key], enough: Callable[[], bool]) -> Pass:
        work = work_for(dirty, self.store, self._ports, self._detection_reads)
        work.relabelled |= self._undetected - work.services
        self._undetected = set()
        # A load of the mesh has hundreds of thousands of keys, and nothing below needs them.
        dirty.clear()
        for namespace in work.namespaces:
            self._checks.check_namespace(namespace)
        self._detect_again(work)
        self._waiting |= work.ports
        self._outdated |= work.groups
        runs = self._generate_waiting(enough)
        changed, assembled = self._assemble_outdated()
        self._report(work, runs, assembled)
        return Pass(
            generated=tuple(runs),
            calls=sum(run.calls for run in runs.values()),
            changed=frozenset(changed),
            seconds=sum(run.seconds for run in runs.values()),
            objects=frozenset(
                self._ports.take_touched()
                | {ref for ref in work.objects if ref.kind not in SERVICE_KINDS}
            ),
            left=bool(self._waiting),
        )

    def _detect_again(self, work: Work) -> None:
        """Detect what the ports of changed services speak, and forget those that fell silent."""
        detected: set[Key] = set()
        all_silent: set[PortId] = set()
        for service_id in (*work.services, *work.relabelled):
            before = self._protocols(service_id)
            speaking, silent = self._detect(service_id)
            after = self._protocols(service_id)
            failed = (
                finding
                for detection in self._ports.detections(service_id).values()
                for finding in detection.findings
            )
            lost = lost_protocols(self.store.service(service_id), silent, self._ports)
            self.unlocated.put(Place(Subject.SERVICE, service_id), (*failed, *lost))
            if after != before:
                detected.add(DetectionKey(*service_id))
            if service_id in work.relabelled:
                # Its generators have asked for the annotations that they rest on.
                speaking = {
                    port for port in speaking if after[port.number] != before.get(port.number)
                }
            work.ports |= speaking
            all_silent |= silent
            for port in silent:
                work.groups |= self._forget(port)
                self._ports.set_state(port, None)
        dependents = self._ports.affected(detected)
        work.objects |= dependents.objects
        work.ports |= dependents.ports
        work.ports -= all_silent
        for word, unspoken in self._ports.take_unspoken().items():
            self.unlocated.put(Place(Subject.WORD, word), unspoken_ports(word, unspoken))

    def _generate_waiting(self, enough: Callable[[], bool]) -> dict[PortId, PortRun]:
        """Run the generators of waiting ports until it is enough. The others wait on."""
        runs: dict[PortId, PortRun] = {}
        for port in in_turns(self._waiting, after=self._last_turn):
            self._last_turn = port.service.ref.namespace
            self._waiting.discard(port)
            output = self._generate(port)
            if output is None:
                continue
            runs[port] = output.run
            self._outdated |= self._remember(port, output)
            if enough():
                break
        return runs

    def _assemble_outdated(self) -> tuple[set[FilterKey], set[Group]]:
        """Assemble the groups whose members changed, once every port was ever generated.

        Returns the filters that are new, other or gone, and all groups that were assembled: others
        may depend on them.
        """
        if self._waiting and not self._loaded:
            return set(), set()
        self._loaded = True
        outdated, self._outdated = self._outdated, set()
        return self._assemble_all(outdated)

    def _report(
        self, work: Work, generated: Collection[PortId], assembled: Collection[Group]
    ) -> None:
        """Bring states and findings up to date with the filters."""
        for ref in work.rejected:
            self.unlocated.put(Place(Subject.REJECTED, ref), self.store.rejected().get(ref, ()))
        placed = (port for group in assembled for port in self._groups.ports(group))
        for port in {*generated, *placed}:
            self._ports.set_state(port, self._reports.state(port))
        if work.foreign_filters or self.store.foreign_filters:
            for port in self._ports.placed() if work.foreign_filters else generated:
                self._meet_foreign_filters(port)
        detected = {service_id.ref for service_id in work.services | work.relabelled}
        for ref in sorted(work.objects | detected):
            self._checks.check(ref)

    def _detect(self, service_id: ServiceId) -> tuple[set[PortId], set[PortId]]:
        service = self.store.service(service_id)
        namespace = self.store.namespace(service_id.ref.namespace)
        choice = PortChoice(
            self.store.annotations(service_id.ref),
            dict(namespace.annotations) if namespace is not None else {},
        )
        return self._ports.detect(service_id, service, choice)

    def _protocols(self, service_id: ServiceId) -> dict[int, Protocol]:
        """What the ports of a service speak, as it was last detected."""
        return {
            number: detection.protocol
            for number, detection in self._ports.detections(service_id).items()
            if detection.protocol is not None
        }

    def _generate(self, port: PortId) -> PortOutput | None:
        """The output of a port's generator; None when it speaks no protocol any more."""
        service = self.store.service(port.service)
        service_port = service.port(port.number) if service is not None else None
        detection = self._ports.detection(service, port.number) if service is not None else None
        if service is None or service_port is None or not (detection and detection.protocol):
            return None
        return generate_port(
            service,
            service_port,
            detection.protocol,
            self.store,
            self.dispatcher,
            self._ports.spoken,
            by_import=self._by_import,
        )

    def _remember(self, port: PortId, output: PortOutput) -> set[Group]:
        """Remember an output. Returns the groups whose filters may differ now."""
        self._ports.remember(port, output)
        self.unlocated.put(Place(Subject.PORT, port), output.run.findings)
        if output.run.failed and not self._ports.has_good_output(port):
            return set()
        before = self._ports.placements(port)
        after = (*place(output, self.mesh, self.arrangement), *output.held_of(before))
        if after == before and self._ports.has_good_output(port):
            return set()
        self._ports.place(port, after)
        return self._groups.replace(port, before, after)

    def _meet_foreign_filters(self, port: PortId) -> None:
        findings = foreign_filter_findings(
            self._ports.placements(port), self.store.foreign_filters, self.mesh.root_namespace
        )
        self.unlocated.put(Place(Subject.FOREIGN_FILTERS, port), findings)

    def _forget(self, port: PortId) -> set[Group]:
        self.unlocated.put(Place(Subject.PORT, port), ())
        self.dispatcher.forget(port.service, port.number)
        self.unlocated.put(Place(Subject.FOREIGN_FILTERS, port), ())
        return self._groups.replace(port, self._ports.forget(port), ())

    def _assemble_all(self, groups: Iterable[Group]) -> tuple[set[FilterKey], set[Group]]:
        changed: set[FilterKey] = set()
        assembled: set[Group] = set()
        todo = self._overlaps.update(groups)
        while todo:
            # A group's rank rests on the ranks of older groups, which may be found out after it:
            # then it is ranked again.
            recheck: set[Group] = set()
            for group in sorted(todo, key=group_order):
                rank = self._overlaps.rank(group)
                changed |= self._assemble(group, rank)
                recheck |= rank.recheck
                assembled.add(group)
            todo = recheck
        return changed, assembled

    def _assemble(self, group: Group, rank: Rank) -> set[FilterKey]:
        members = self._groups.members(group)
        if not isinstance(group, InboundGroup):
            return self._filters.replace(group, assemble_outbound(members, self.instance))
        filters, findings = assemble_inbound(
            group,
            members,
            broader=self._groups.broader(group),
            narrower=self._groups.narrower(group),
            instance=self.instance,
            after=rank.after,
        )
        place = Place(Subject.GROUP, group)
        self.unlocated.put(place, (*findings, *rank.findings) if members else ())
        return self._filters.replace(group, filters)

    # -- answers (reports.py) ----------------------------------------------------------------------

    def why_held(self, service_port: ServicePort, namespaces: Collection[str] = ()) -> str | None:
        """Why a live filter of a service port must stay; None when it need not.

        ``namespaces``: those of the filter's services; empty when they are not known.
        """
        return self._reports.why_held(service_port, namespaces)

    def why_outside(self, live: Live) -> str | None:
        """Why a live filter is not ours to judge; None when it is."""
        return self._scope.why_outside(namespaces_of(live, self.mesh.domain))

    def findings(self) -> tuple[Finding, ...]:
        """All findings in order, each at its file and line where the source knows them."""
        return self._reports.findings()

    def findings_about(self, ref: ObjectRef) -> tuple[Finding, ...]:
        """What is wrong with an object of a plugin's kind.

        By its model, its plugin, or a generator that read it.
        """
        return self._reports.findings_about(ref)

    def objects_read_for(self, service_port: ServicePort) -> Iterator[ObjectRef]:
        """The objects of plugins' kinds that the filters of a service port rest on."""
        return self._reports.resources_read_for(service_port)

    def reports_reading(self, ref: ObjectRef) -> tuple[PortReport, ...]:
        """The service ports that rest on an object of a plugin's kind, by host and port."""
        return self._reports.reading(ref)

    def locate(self, finding: Finding) -> Finding:
        """The finding with its file and line, if its object came from a file."""
        return self._reports.locate(finding)

    def reports(self) -> tuple[PortReport, ...]:
        """Every port of every service and why it is as it is, sorted by host and port."""
        return self._reports.all()

    def report(self, service: Service, port: Port) -> PortReport:
        """Why one service port is as it is."""
        return self._reports.port(service, port)

    def client_routes(self, service: Service, port: Port) -> tuple[ClientRoutes, ...]:
        """The routes of one service port for all its clients; none when it speaks no protocol."""
        protocol = self._ports.spoken(service, port)
        if protocol is None:
            return ()
        return client_routes(
            service,
            port,
            protocol,
            self.store,
            self.dispatcher,
            self._ports.spoken,
            by_import=self._by_import,
        )

    def has_filter(self, service: Service) -> bool:
        """Whether a port of the service has a filter."""
        return any(
            self._filters.has_any(ServicePort(service.host, port.number)) for port in service.ports
        )

    def port_counts(self) -> Mapping[tuple[str, PortState], int]:
        """How many service ports there are of each protocol and state."""
        return self._ports.counts


def _ask_hooks(dispatcher: Dispatcher, store: Store, port: Port, service: Service) -> HookDetection:
    """Return what the plugins' own detection says.

    No method, for the pipeline and its detector would then hold each other.
    """
    return dispatcher.detect(
        port,
        service,
        labels=store.labels(service.ref),
        annotations=store.annotations(service.ref),
    )
