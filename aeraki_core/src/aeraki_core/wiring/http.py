"""What a running controller answers over HTTP: probes, metrics, status and explanations."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aeraki_core.console.describe import arranged, explanation, port_row, weights_text
from aeraki_core.console.finding_forms import as_dict
from aeraki_core.console.page.content import (
    MAX_PORTS,
    PageContent,
    WriteRecord,
    page_row,
    shown_first,
)
from aeraki_core.console.page.render import HEADERS, render
from aeraki_core.controller.callers import Callers
from aeraki_core.controller.endpoints_age import TOO_OLD, EndpointsAge
from aeraki_core.controller.metrics import Metrics
from aeraki_core.controller.serving import Answers, ProbeAnswer, Server
from aeraki_core.controller.snapshot import Snapshots
from aeraki_core.model.plugin_calls import PLUGIN_CALLS
from aeraki_core.plugins.discovery import core_version

if TYPE_CHECKING:
    from aeraki_core.controller.leader import Leader
    from aeraki_core.controller.loop import Controller
    from aeraki_core.findings.finding import Finding
    from aeraki_core.kube.client import Client
    from aeraki_core.model.service import Port, Service
    from aeraki_core.pipeline.pipeline import Pipeline, PortReport
    from aeraki_core.settings import Settings

__all__ = ["HttpService", "http_services"]

log = logging.getLogger("aeraki_core.controller")

# A loop that takes no event, runs no generator and writes no filter for so long is stuck.
_STUCK = 300.0
_PATIENCE = 15.0  # seconds that an answer waits for the loop
_OF_NAMESPACE = 200  # findings of one namespace that /status lists
_AT_ONCE = 200  # ports whose rows are made without a pause: some milliseconds
_ROUTES_AT_ONCE = 20  # ports whose routes are: each costs a run of its generator


class HttpService:
    """Serves from its start to its end.

    The constructor binds the address, so that a used port is an error of the start.
    """

    def __init__(
        self,
        address: str,
        answers: Answers,
        setting: str,
        *,
        probes_only: bool = False,
        callers: Callers | None = None,
    ) -> None:
        """Listen.

        Raises:
            SettingsError: the address cannot be used.
        """
        host, _, port = address.rpartition(":")
        self._what = "answers probes" if probes_only else "answers"
        self._server = Server(
            host.strip("[]"),
            int(port),
            answers,
            probes_only=probes_only,
            callers=callers,
            setting=setting,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, the one that was chosen if 0 was asked for."""
        return self._server.address

    def start(self) -> None:
        """Log where it listens."""
        log.info("%s on %s port %s", self._what, *self.address)

    def stop(self) -> None:
        """Stop listening."""
        self._server.stop()


def http_services(
    settings: Settings,
    pipeline: Pipeline,
    controller: Controller,
    leader: Leader | None,
    identity: str,
    client: Client | None,
    writes: Callable[[], tuple[WriteRecord, ...]],
    endpoints: Callable[[], EndpointsAge] = EndpointsAge,
) -> tuple[list[HttpService], Metrics]:
    """The servers that the settings ask for, and the metrics, which must observe the controller.

    ``identity`` names this replica; ``client`` is that of its cluster, if it has one;
    ``endpoints`` says how old those of weight sets are.

    Raises:
        SettingsError: an address cannot be used.
    """
    metrics = Metrics(
        pipeline,
        settings.sources(),
        settings.lease_name() if leader is not None else "",
        queued=lambda: controller.queued,
        busy=lambda: controller.busy,
        endpoints=endpoints,
    )
    cluster = client.server if client is not None else ""
    answering = _Answering(
        settings, pipeline, controller, leader, identity, cluster, metrics, writes, endpoints
    )
    answers = Answers(
        healthy=answering.healthy,
        ready=answering.ready,
        metrics=answering.metrics_text,
        status=answering.status,
        explain=answering.explain,
        page=answering.page,
        page_headers=HEADERS,
    )
    services = []
    if settings.http_address:
        callers = (
            Callers(client, settings.http_audience)
            if settings.http_authentication and client is not None
            else None
        )
        service = HttpService(settings.http_address, answers, "--http-address", callers=callers)
        services.append(service)
    if settings.probe_address:
        probes = HttpService(settings.probe_address, answers, "--probe-address", probes_only=True)
        services.append(probes)
    return services, metrics


class _Answering:
    """The answers about one controller.

    Code that reads the pipeline runs in the controller's thread, in small parts.
    """

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        controller: Controller,
        leader: Leader | None,
        identity: str,
        cluster: str,
        metrics: Metrics,
        writes: Callable[[], tuple[WriteRecord, ...]],
        endpoints: Callable[[], EndpointsAge],
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._controller = controller
        self._leader = leader
        self._identity = identity
        self._cluster = cluster
        self._metrics = metrics
        self._writes = writes
        self._endpoints = endpoints
        self._snapshots = Snapshots(lambda: controller.passes)
        # Some numbers change without a pass, such as whether a source is in sync.
        self._metrics_text = Snapshots(lambda: controller.passes, stale=1.0)

    def healthy(self) -> ProbeAnswer:
        stalled = self._controller.stalled
        if stalled > _STUCK:
            return ProbeAnswer(False, f"the loop has made no progress for {stalled:.0f} s")
        return ProbeAnswer(True, "ok")

    def ready(self) -> ProbeAnswer:
        stuck = PLUGIN_CALLS.stuck()
        if stuck:
            return ProbeAnswer(False, str(stuck[0]))
        waiting = self._controller.waiting
        if waiting:
            return ProbeAnswer(False, waiting)
        age = self._endpoints()
        # A standby answers for what it reads alone: it must be able to take over from a leader that
        # cannot write, and a rollout waits for it.
        if max(age.unread, age.unwritten if self._controller.leading else 0.0) > TOO_OLD:
            return ProbeAnswer(False, f"endpoints of live weights are old: {age.reason}")
        return ProbeAnswer(True, f"ok, {self._role()}")

    def metrics_text(self) -> bytes:
        return self._metrics_text.get("metrics", self._metrics.text)

    def status(self) -> bytes:
        return self._snapshots.get("status", lambda: json.dumps(self._status()).encode())

    def explain(self, target: str) -> bytes:
        def explained() -> bytes:
            answer = self._controller.call(lambda: explanation(self._pipeline, target), _PATIENCE)
            return json.dumps(answer).encode()

        return self._snapshots.get(f"explain {target}", explained)

    def page(self) -> bytes:
        return self._snapshots.get("page", self._page)

    def _page(self) -> bytes:
        call = self._controller.call
        about = call(self._about, _PATIENCE)
        ports = call(self._ports, _PATIENCE)
        reports: list[PortReport] = []
        for start in range(0, len(ports), _AT_ONCE):
            part = ports[start : start + _AT_ONCE]
            reports += call(partial(self._reports, part), _PATIENCE)
        shown = shown_first(reports)
        rows: list[dict[str, Any]] = []
        for start in range(0, len(shown[:MAX_PORTS]), _ROUTES_AT_ONCE):
            part_shown = shown[:MAX_PORTS][start : start + _ROUTES_AT_ONCE]
            rows += call(partial(self._page_rows, part_shown), _PATIENCE)
        listed, left_out = _bounded(call(lambda: self._controller.findings, _PATIENCE))
        content = PageContent(
            title="Mesh",
            facts=_facts(about, left_out),
            ports=rows,
            filters=about["filters"],
            more_ports=len(shown[MAX_PORTS:]),
            silent_ports=len(reports) - len(shown),
            findings=tuple(listed),
            writes=call(self._writes, _PATIENCE),
            plugins=self._pipeline.registry.plugins,
            docs_url=self._settings.docs_url,
            at=datetime.now(UTC),
        )
        return render(content)

    def _role(self) -> str:
        if self._leader is None:
            return "no leader election"
        if self._controller.leading:
            return "leader"
        return f"standby, {self._leader.holder or 'nobody'} leads"

    def _status(self) -> dict[str, Any]:
        call = self._controller.call
        about = call(self._about, _PATIENCE)
        ports = call(self._ports, _PATIENCE)
        rows: list[dict[str, Any]] = []
        for start in range(0, len(ports), _AT_ONCE):
            part = ports[start : start + _AT_ONCE]
            rows += call(partial(self._rows, part), _PATIENCE)
        listed, left_out = _bounded(call(lambda: self._controller.findings, _PATIENCE))
        return {
            "controller": about,
            "ports": rows,
            "arrangement": call(lambda: arranged(self._pipeline), _PATIENCE),
            "findings": [as_dict(finding) for finding in listed],
            "findingsLeftOut": left_out,
        }

    # In the controller's thread:

    def _about(self) -> dict[str, Any]:
        controller, age = self._controller, self._endpoints()
        return {
            "version": core_version(),
            "identity": self._identity,
            "cluster": self._cluster or None,
            "leader": self._leader.holder or None if self._leader is not None else None,
            "lastPass": controller.passed_at,
            "role": self._role(),
            "leads": controller.leading,
            "ready": controller.waiting is None,
            "held": controller.held,
            "sources": list(self._settings.sources()),
            "filters": len(self._pipeline.filters),
            "weightSets": {"count": age.sets, "age": round(age.seconds, 1), "reason": age.reason},
        }

    def _ports(self) -> list[tuple[Service, Port]]:
        services = sorted(
            self._pipeline.store.services(), key=lambda service: (service.host, service.ref)
        )
        return [(service, port) for service in services for port in service.ports]

    def _reports(self, ports: Sequence[tuple[Service, Port]]) -> list[PortReport]:
        return [self._pipeline.report(service, port) for service, port in ports]

    def _page_rows(self, reports: Sequence[PortReport]) -> list[dict[str, Any]]:
        return [page_row(self._pipeline, report) for report in reports]

    def _rows(self, ports: Sequence[tuple[Service, Port]]) -> list[dict[str, Any]]:
        return [port_row(self._pipeline.report(service, port)) for service, port in ports]


def _facts(about: Mapping[str, Any], left_out: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """What the head of the page says about the controller."""
    last = about["lastPass"]
    facts = (
        ("version", about["version"]),
        ("replica", about["identity"]),
        ("role", about["role"]),
        ("leader", about["leader"] or ""),
        ("cluster", about["cluster"] or ""),
        ("sources", ", ".join(about["sources"])),
        ("last pass", f"{datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M:%S} UTC" if last else ""),
        ("deletions wait", about["held"] or ""),
        ("live weights", weights_text(about["weightSets"])),
        (
            "findings left out",
            ", ".join(f"{number} of {name or 'no namespace'}" for name, number in left_out.items()),
        ),
    )
    return tuple((name, value) for name, value in facts if value)


def _bounded(findings: Iterable[Finding]) -> tuple[list[Finding], dict[str, int]]:
    """The findings in their order, of a namespace with very many the worst; how many are left out.

    Without a bound, one tenant's objects would make everybody's answers as large as it likes.
    """
    numbered = list(enumerate(findings))
    counts: Counter[str] = Counter()
    listed = []
    for place, finding in sorted(numbered, key=lambda pair: -pair[1].severity):
        namespace = finding.ref.namespace if finding.ref is not None else ""
        counts[namespace] += 1
        if counts[namespace] <= _OF_NAMESPACE:
            listed.append(place)
    left_out = {
        namespace: number - _OF_NAMESPACE
        for namespace, number in sorted(counts.items())
        if number > _OF_NAMESPACE
    }
    return [numbered[place][1] for place in sorted(listed)], left_out
