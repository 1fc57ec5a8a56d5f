"""The composition root of ``aeraki run``: from settings to a controller and its services.

:func:`build_operator` builds in one order: client, leader, pipeline, controller, then the services
that use the controller. Nothing runs before :meth:`Operator.run`. It starts the services, runs the
controller, and stops them in reverse order, so that the Lease is released after the last write.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aeraki_core.errors import SettingsError
from aeraki_core.settings import SinkKind, SourceKind
from aeraki_core.wiring.cluster import connector, istiod_of
from aeraki_core.wiring.plugins import inactive_findings, open_registry
from aeraki_core.wiring.sources_and_sinks import open_sink, open_sources

if TYPE_CHECKING:
    from aeraki_core.controller.leader import Leader
    from aeraki_core.controller.loop import Controller, LoopTiming
    from aeraki_core.controller.webhook import WebhookServer
    from aeraki_core.kube.client import Client
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.settings import Settings
    from aeraki_core.wiring.run_log import RunLog

__all__ = ["Operator", "SideService", "build_operator", "build_single_pass"]

log = logging.getLogger("aeraki_core.controller")


class SideService(Protocol):
    """Something that runs in threads of its own."""

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def stop(self) -> None:
        """End, within a few seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Operator:
    """A controller and the services beside it, in the order in which they start."""

    controller: Controller
    services: tuple[SideService, ...]

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop`` is set.

        Raises:
            AerakiError: a source, the sink or a service cannot be used at all.
        """
        with ExitStack() as running:
            for service in self.services:
                running.callback(service.stop)
                service.start()
            log.info("started; Ctrl-C or SIGTERM ends it")
            self.controller.run(stop)


def build_single_pass(settings: Settings) -> Controller:
    """The controller of ``aeraki run --once``: no election, and nothing beside it.

    Raises:
        SettingsError: a setting that a source or the sink needs is missing.
    """
    from aeraki_core.controller.loop import Controller

    pipeline = _open_pipeline(settings)
    return Controller(
        pipeline,
        open_sources(settings, pipeline, watch=False),
        open_sink(settings, watch=False),
        timing=_loop_timing(settings),
        observer=_run_log(settings, pipeline, watch=False),
    )


def build_operator(settings: Settings, stop: threading.Event) -> Operator:
    """Build the controller and its services from the settings.

    Nothing is written once ``stop`` is set.

    Raises:
        SettingsError: a setting is missing, or the times of the election contradict each other.
        AerakiError: there is no usable configuration of a cluster where one is needed.
    """
    from aeraki_core.controller.loop import Controller
    from aeraki_core.controller.observer import Observers

    reports_to_cluster = _reports_to_cluster(settings)
    elects = _elects(settings)
    # A name of this process alone: a restart in the same pod must not pass for the process before.
    identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"

    # Whoever cannot ask the cluster about callers must not answer them.
    reviews_callers = settings.http_authentication and bool(settings.http_address)
    needs_cluster = elects or reports_to_cluster or reviews_callers
    client = connector(settings)() if needs_cluster else None

    def changed(leads: bool) -> None:
        controller.lead(leads)  # the election starts after the controller exists

    leader = _leader(settings, client, identity, changed) if elects and client else None

    def may_write() -> bool:
        """Whether this replica may write now: asked before each single write."""
        return not stop.is_set() and (leader is None or leader.may_write())

    pipeline = _open_pipeline(settings)
    run_log = _run_log(settings, pipeline, watch=True)
    observers = Observers([run_log])
    sink = open_sink(settings, watch=True, may_write=may_write)
    controller = Controller(
        pipeline,
        open_sources(settings, pipeline, watch=True),
        sink,
        timing=_loop_timing(settings),
        observer=observers,
        may_write=may_write if leader is not None else None,
    )

    services: list[SideService] = []
    if settings.http_address or settings.probe_address:
        from aeraki_core.controller.endpoints_age import EndpointsClock
        from aeraki_core.wiring.http import http_services

        pods_from = [kind for kind in settings.sources() if kind is not SourceKind.ISTIOD]
        endpoints = EndpointsClock(lambda: pipeline.filters, sink.live, pods_from)
        observers.add(endpoints)
        servers, metrics = http_services(
            settings,
            pipeline,
            controller,
            leader,
            identity,
            client,
            lambda: run_log.writes,
            endpoints.age,
        )
        observers.add(metrics)
        services += servers
    if settings.webhook_address:
        services.append(_webhook(settings, pipeline, controller))
    if leader is not None:
        services.append(leader)
    if reports_to_cluster and client is not None:
        from aeraki_core.controller.events import Events
        from aeraki_core.controller.status import Statuses

        writer = client.only_if(may_write)
        kinds = pipeline.registry.kinds
        statuses = Statuses(pipeline, writer, controller.problem)
        events = Events(writer, kinds, lambda: controller.findings, identity)
        observers.add(statuses)
        observers.add(events)
        services += [statuses, events]
    if SourceKind.ISTIOD in settings.sources() or settings.istiod_address:
        from aeraki_core.controller.refusals import Refusals

        refusals = Refusals(
            partial(istiod_of, settings), controller.post, root_namespace=settings.root_namespace
        )
        observers.add(refusals)
        services.append(refusals)
    if settings.plugin_files:
        from aeraki_core.wiring.reload import PluginFiles

        services.append(PluginFiles(settings, controller, pipeline))
    if settings.file is not None:
        from aeraki_core.wiring.reload import SettingsFile

        services.append(SettingsFile(settings))
    return Operator(controller, tuple(services))


def _open_pipeline(settings: Settings) -> Pipeline:
    """The pipeline with the wanted plugins; those that are broken are logged."""
    from aeraki_core.wiring.run_log import log_finding
    from aeraki_core.wiring.session import make_pipeline

    registry = open_registry(settings)
    for finding in inactive_findings(registry):
        log_finding(finding)
    # Files may leave out the Sidecars of other people.
    sees_all = not {SourceKind.KUBERNETES, SourceKind.ISTIOD}.isdisjoint(settings.sources())
    return make_pipeline(settings, registry, sees_all=sees_all)


def _run_log(settings: Settings, pipeline: Pipeline, *, watch: bool) -> RunLog:
    from aeraki_core.wiring.run_log import RunLog

    where = settings.to if settings.sink_kind() is SinkKind.FILES else "the cluster"
    sources = {
        SourceKind.FILES: ", ".join(str(path) for path in settings.paths),
        SourceKind.KUBERNETES: "the cluster",
        SourceKind.ISTIOD: f"istiod at {settings.istiod_address}",
    }
    watched = ", ".join(sources[kind] for kind in settings.sources())
    return RunLog(pipeline, where, watched if watch else "")


def _loop_timing(settings: Settings) -> LoopTiming:
    from aeraki_core.controller.loop import LoopTiming

    return LoopTiming(quiet=settings.debounce_quiet, longest=settings.debounce_max)


def _elects(settings: Settings) -> bool:
    """Report whether this replica takes part in an election.

    The default is yes in a pod that writes to the cluster.
    """
    if settings.leader_elect is not None:
        return settings.leader_elect
    return settings.sink_kind() is SinkKind.KUBERNETES and bool(os.environ.get("POD_NAMESPACE"))


def _reports_to_cluster(settings: Settings) -> bool:
    """Report whether statuses and Events are written.

    This requires that objects come from the cluster that filters go to.
    """
    reads_cluster = SourceKind.KUBERNETES in settings.sources()
    return reads_cluster and settings.sink_kind() is SinkKind.KUBERNETES


def _webhook(settings: Settings, pipeline: Pipeline, controller: Controller) -> WebhookServer:
    """The admission webhook, for objects that the controller would read from the same cluster.

    Raises:
        SettingsError: the certificate is not named, objects come from elsewhere, or the address
            cannot be used.
    """
    from aeraki_core.controller.admission import Reviewer
    from aeraki_core.controller.webhook import Certificate, WebhookServer

    if not settings.webhook_certificate:
        raise SettingsError(
            "--webhook-address: name the folder of its certificate, too: --webhook-certificate DIR"
        )
    if SourceKind.KUBERNETES not in settings.sources():
        raise SettingsError("--webhook-address needs the cluster's objects: --source kubernetes")
    host, _, port = settings.webhook_address.rpartition(":")
    reviewer = Reviewer(pipeline, controller, ignore=settings.ignore)
    certificate = Certificate(Path(settings.webhook_certificate))
    return WebhookServer(host.strip("[]"), int(port), reviewer.review, certificate)


def _leader(
    settings: Settings, client: Client, identity: str, changed: Callable[[bool], None]
) -> Leader:
    from aeraki_core.controller.leader import Leader, LeaseTiming

    timing = LeaseTiming(settings.lease_duration, settings.renew_deadline, settings.retry_period)
    namespace = os.environ.get("POD_NAMESPACE") or settings.root_namespace
    return Leader(client, namespace, settings.lease_name(), identity, changed, timing)
