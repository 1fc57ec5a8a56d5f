"""What a running controller answers over HTTP: probes, metrics, status and explanations."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aeraki_core.console.describe import explanation, overview
from aeraki_core.controller.metrics import Metrics
from aeraki_core.controller.serving import Answers, ProbeAnswer, Server
from aeraki_core.plugins.discovery import core_version

if TYPE_CHECKING:
    from aeraki_core.controller.leader import Leader
    from aeraki_core.controller.loop import Controller
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.settings import Settings

__all__ = ["HttpService", "http_service"]

log = logging.getLogger("aeraki_core.controller")

# A loop that is at the same work for so long is stuck. The first pass of ten thousand services takes a minute.
_STUCK = 300.0
_PATIENCE = 15.0  # seconds that an answer waits for the loop


class HttpService:
    """Serves from its start to its end; the address is bound at once, so that a taken port is an error of the start."""

    def __init__(self, address: str, answers: Answers) -> None:
        """Listen.

        Raises:
            SettingsError: the address cannot be used.
        """
        host, _, port = address.rpartition(":")
        self._server = Server(host.strip("[]"), int(port), answers)

    def start(self) -> None:
        """Log where it listens."""
        log.info("answers on %s port %s", *self._server.address)

    def stop(self) -> None:
        """Stop listening."""
        self._server.stop()


def http_service(
    settings: Settings,
    pipeline: Pipeline,
    controller: Controller,
    leader: Leader | None,
    identity: str,
) -> tuple[HttpService, Metrics]:
    """The server, and the metrics that it shows, which must observe the controller.

    Raises:
        SettingsError: the address cannot be used.
    """
    metrics = Metrics(
        pipeline,
        settings.sources(),
        settings.lease_name() if leader is not None else "",
        queued=lambda: controller.queued,
        busy=lambda: controller.busy,
    )
    answering = _Answering(settings, pipeline, controller, leader, identity)
    answers = Answers(
        answering.healthy, answering.ready, metrics.text, answering.status, answering.explain
    )
    return HttpService(settings.http_address, answers), metrics


@dataclass(frozen=True, slots=True)
class _Answering:
    """The answers about one controller."""

    settings: Settings
    pipeline: Pipeline
    controller: Controller
    leader: Leader | None
    identity: str

    def healthy(self) -> ProbeAnswer:
        busy = self.controller.busy
        if busy > _STUCK:
            return ProbeAnswer(False, f"the loop has been at the same work for {busy:.0f} s")
        return ProbeAnswer(True, "ok")

    def ready(self) -> ProbeAnswer:
        waiting = self.controller.waiting
        return ProbeAnswer(False, waiting) if waiting else ProbeAnswer(True, f"ok, {self._role()}")

    def status(self) -> dict[str, Any]:
        return self.controller.call(self._status, _PATIENCE)

    def explain(self, target: str) -> dict[str, Any]:
        return self.controller.call(lambda: explanation(self.pipeline, target), _PATIENCE)

    def _role(self) -> str:
        if self.leader is None:
            return "no leader election"
        if self.controller.leading:
            return "leader"
        return f"standby, {self.leader.holder or 'nobody'} leads"

    def _status(self) -> dict[str, Any]:
        """Called in the controller's thread."""
        controller = self.controller
        about = {
            "version": core_version(),
            "identity": self.identity,
            "role": self._role(),
            "leads": controller.leading,
            "ready": controller.waiting is None,
            "held": controller.held,
            "sources": list(self.settings.sources()),
            "filters": len(self.pipeline.filters),
        }
        return {"controller": about, **overview(self.pipeline.reports(), controller.findings)}
