"""One service port through its generator, for all its clients.

Most ports have one filter for the whole mesh, made for *everybody else*: clients whose namespace no
object mentions. views.py runs the generator again for clients whose answers differ.

In: a service port with its protocol, the store and the dispatcher. Out: a :class:`PortOutput`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aeraki_core.findings.codes import MISSING_EXTENSION
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.calls import CallLimit
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.record import Record
from aeraki_core.mesh.routes import PlannedRoute
from aeraki_core.mesh.store import Store
from aeraki_core.model.service import Port, Service
from aeraki_core.pipeline.audiences import BaseAudiences, base_audiences
from aeraki_core.pipeline.port_output import PortOutput, PortRun
from aeraki_core.pipeline.views import ViewRunner
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.context import Detect, GenerateContext
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.types import Protocol

__all__ = ["ClientRoutes", "client_routes", "generate_port"]


def generate_port(
    service: Service,
    port: Port,
    protocol: Protocol,
    store: Store,
    dispatcher: Dispatcher,
    detect: Detect,
    *,
    by_import: bool = False,
) -> PortOutput:
    """Run the generator of one service port for all its clients.

    ``detect`` says what other ports speak. ``by_import``: filters may go to the namespaces that
    import the service instead of to the whole mesh.
    """
    reads = _reads_for(service, store)
    reads.service(service.id)
    runner, base = _run_for_clients(
        service, port, protocol, reads, dispatcher, detect, by_import=by_import
    )
    audiences, findings = base.audiences, base.findings
    if not audiences:
        # Clients without the extension keep plain TCP; the workloads may have a filter.
        runner.run_for_workloads()
    views = runner.views
    failed_views = [view for view in views if view.failed]
    generated = [view.generated for view in views if view.generated is not None]
    if not views and not protocol.extension.stock:
        findings = (*findings, _missing_extension(service, port, protocol))
    # The clients of one view may fail alone. Without the mesh-wide filter nobody else has one, so
    # then all is held.
    failed = (bool(views) and len(failed_views) == len(views)) or runner.mesh_wide_failed()
    inbound_view = runner.inbound_view() if views else None
    inbound_failed = failed or (inbound_view is not None and inbound_view.failed)
    failed_in = {
        audience.namespace
        for view in failed_views
        for audience in view.audiences
        if audience.namespace is not None
    }
    run = PortRun(
        service=service,
        port=port,
        protocol=protocol,
        plugin=dispatcher.registry.owner(protocol).name,
        findings=(*findings, *runner.findings()),
        objects=tuple(sorted(reads.objects)),
        failed=failed,
        failed_in=frozenset(failed_in),
        calls=len(generated),
        seconds=sum(each.seconds for each in generated),
        is_everybodys=base.is_everybodys,
        by_import=base.by_import,
    )
    return PortOutput(
        run=run,
        held={
            audience.client: frozenset(listener.name for listener in view.listeners)
            for view in failed_views
            for audience in view.audiences
        },
        outbound=() if failed or not audiences else tuple(runner.outbound()),
        inbound=() if inbound_failed or inbound_view is None else runner.inbound(inbound_view),
        inbound_failed=inbound_failed,
        keys=frozenset(reads.keys),
    )


def _run_for_clients(
    service: Service,
    port: Port,
    protocol: Protocol,
    reads: Reads,
    dispatcher: Dispatcher,
    detect: Detect,
    *,
    by_import: bool,
) -> tuple[ViewRunner, BaseAudiences]:
    """Run the generator for each group of clients, and say who they are."""
    base = base_audiences(service, protocol, reads, by_import=by_import)
    runner = ViewRunner(service, port, protocol, reads, dispatcher, detect)
    if base.audiences:
        runner.run_for_clients(base.audiences)
    if base.by_import and runner.changes_clusters():
        # A route brings the service's clusters to clients that do not import the service.
        return _run_for_clients(service, port, protocol, reads, dispatcher, detect, by_import=False)
    return runner, base


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRoutes:
    """The routes of a service port for clients that see the same mesh.

    - audiences: these clients; without a namespace, all that no other audience names
    - is_theirs: the host is this service for them
    - routes: None when the protocol's plugin asks for none, because calls are not routed one by one
    - limits: which calls the service takes at all, by the options that say so
    """

    audiences: tuple[Audience, ...]
    is_theirs: bool
    routes: tuple[PlannedRoute, ...] | None
    limits: tuple[CallLimit, ...]


def client_routes(
    service: Service,
    port: Port,
    protocol: Protocol,
    store: Store,
    dispatcher: Dispatcher,
    detect: Detect,
    *,
    by_import: bool = False,
) -> tuple[ClientRoutes, ...]:
    """The routes of one service port for all its clients, by a run of its generator.

    They are not remembered, because a mesh has many and they are asked for one port at a time.
    """
    reads = _reads_for(service, store)
    runner, _ = _run_for_clients(
        service, port, protocol, reads, dispatcher, detect, by_import=by_import
    )
    return tuple(
        ClientRoutes(
            audiences=tuple(view.audiences),
            is_theirs=view.generated is not None,
            routes=view.call.recorder.routes,
            limits=tuple(_limits(view.call.context)),
        )
        for view in runner.views
    )


def _reads_for(service: Service, store: Store) -> Reads:
    owners = frozenset({service.namespace, store.mesh.root_namespace})
    return Reads(store, record=Record(owners=owners))


def _limits(context: GenerateContext) -> Iterator[CallLimit]:
    """The options that limit calls, with their values for this service."""
    for option in context.protocol.options:
        if option.limits_calls:
            value = context.option(option)
            values = (value,) if isinstance(value, str) else tuple(value or ())
            yield CallLimit(option.name, () if "*" in values else tuple(filter(None, values)))


def _missing_extension(service: Service, port: Port, protocol: Protocol) -> Finding:
    message = (
        f"port {port.number} speaks {protocol.name}, "
        f"but no proxy is known to have {protocol.extension.name}; "
        "no filter is written; proxies that have it are named by --proxy-extensions"
    )
    return Finding(MISSING_EXTENSION, message, service.ref, "spec.ports")
