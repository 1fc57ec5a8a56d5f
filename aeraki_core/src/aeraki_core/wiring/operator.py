"""What runs beside the controller: the leader election, what it tells over HTTP, statuses and Events, the settings file.

In: settings and a controller that is not started. Out: :class:`Beside`, to be started before it and stopped after it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aeraki_core.wiring.sources_and_sinks import sink_word, source_words

if TYPE_CHECKING:
    from aeraki_core.controller.events import Events
    from aeraki_core.controller.leader import Leader
    from aeraki_core.controller.loop import Controller
    from aeraki_core.controller.observer import Observer
    from aeraki_core.controller.refusals import Refusals
    from aeraki_core.controller.serving import Answers, ProbeAnswer, Server
    from aeraki_core.controller.status import Statuses
    from aeraki_core.filters.envoyfilter import FilterKey
    from aeraki_core.kube.client import Client
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.settings import Settings
    from aeraki_core.sources.events import Event

__all__ = ["Beside", "Gate", "elects"]

log = logging.getLogger("aeraki_core.controller")

# A loop that is at the same work for so long is stuck. The first pass of ten thousand services takes a minute.
_STUCK = 300.0
_ANSWER = 15.0  # seconds that /status waits for the loop


def elects(settings: Settings) -> bool:
    """Whether this replica takes part in an election: as said, else in a pod that writes to the cluster."""
    if settings.is_default("leaderElect"):
        return sink_word(settings) == "kubernetes" and bool(os.environ.get("POD_NAMESPACE"))
    return bool(settings["leaderElect"])


class Gate:
    """Says before each single write whether it may be sent: not after the end was asked for, and not without the Lease."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.leader: Leader | None = None

    def __call__(self) -> bool:
        """Whether this replica may write now."""
        return not self._stop.is_set() and (self.leader is None or self.leader.may_write())


class Beside:
    """All of it, as the settings want it. Raises SettingsError or AerakiError when one of them cannot be had."""

    def __init__(self, settings: Settings, pipeline: Pipeline, gate: Gate) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._gate = gate
        # A name of this process alone: after a restart in the same pod nobody may take it for the one before.
        self.identity = (
            f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        )
        self._controller: Controller | None = None
        self._client: Client | None = None
        self._leader: Leader | None = None
        self._server: Server | None = None
        self._statuses: Statuses | None = None
        self._events: Events | None = None
        self._refusals: Refusals | None = None
        self._metrics: Callable[[], bytes] = lambda: b""
        self._file = _settings_file(settings)

    def observers(self) -> list[Observer]:
        """Those who must hear what the controller does."""
        found: list[Observer] = []
        settings = self._settings
        if settings["httpAddress"]:
            from aeraki_core.controller.metrics import Metrics

            election = settings.election_id() if elects(settings) else ""
            metrics = Metrics(
                self._pipeline,
                source_words(settings),
                election,
                queued=lambda: self._loop.queued,
                busy=lambda: self._loop.busy,
            )
            self._metrics = metrics.text
            found.append(metrics)
        if sink_word(settings) == "kubernetes" and "kubernetes" in source_words(settings):
            from aeraki_core.controller.events import Events
            from aeraki_core.controller.status import Statuses

            client = self._connected().only_if(self._gate)
            self._statuses = Statuses(self._pipeline, client, self._problem)
            kinds = self._pipeline.registry.kinds
            self._events = Events(client, kinds, lambda: self._loop.findings, self.identity)
            found += [self._statuses, self._events]
        if "istiod" in source_words(settings) or not settings.is_default("istiodAddress"):
            from functools import partial

            from aeraki_core.controller.refusals import Refusals
            from aeraki_core.wiring.cluster import istiod_of

            self._refusals = Refusals(
                partial(istiod_of, settings),
                self._tell,
                root_namespace=settings["rootNamespace"],
            )
            found.append(self._refusals)
        return found

    def start(self, controller: Controller) -> None:
        """Begin. The election may tell the controller at once that it leads.

        Raises:
            SettingsError: the address cannot be used, or the times of the election make no sense.
        """
        self._controller = controller
        settings = self._settings
        if elects(settings):
            from aeraki_core.controller.leader import Leader, LeaseTiming

            timing = LeaseTiming(
                settings["leaseDuration"], settings["renewDeadline"], settings["retryPeriod"]
            )
            namespace = os.environ.get("POD_NAMESPACE") or settings["rootNamespace"]
            self._leader = Leader(
                self._connected(),
                namespace,
                settings.election_id(),
                self.identity,
                controller.lead,
                timing,
            )
            self._gate.leader = self._leader
        if settings["httpAddress"]:
            from aeraki_core.controller.serving import Server

            host, _, port = settings["httpAddress"].rpartition(":")
            self._server = Server(host.strip("[]"), int(port), self._answers())
            log.info("answers on %s port %s", *self._server.address)
        for part in (self._leader, self._statuses, self._events, self._refusals, self._file):
            if part is not None:
                part.start()

    def stop(self) -> None:
        """End, the Lease last, when nothing is written any more."""
        for part in (
            self._file,
            self._refusals,
            self._statuses,
            self._events,
            self._leader,
            self._server,
        ):
            if part is not None:
                part.stop()

    def _tell(self, event: Event) -> None:
        self._loop.tell(event)

    def _problem(self, key: FilterKey) -> str | None:
        return self._loop.problem(key)

    @property
    def _loop(self) -> Controller:
        if self._controller is None:
            raise RuntimeError("not started")
        return self._controller

    def _connected(self) -> Client:
        from aeraki_core.wiring.cluster import connector

        if self._client is None:
            self._client = connector(self._settings)()
        return self._client

    # -- over HTTP ----------------------------------------------------------------------------------------------------

    def _answers(self) -> Answers:
        from aeraki_core.console.describe import explanation
        from aeraki_core.controller.serving import Answers

        return Answers(
            self._healthy,
            self._ready,
            self._metrics,
            lambda: self._loop.call(self._status, _ANSWER),
            lambda target: self._loop.call(lambda: explanation(self._pipeline, target), _ANSWER),
        )

    def _healthy(self) -> ProbeAnswer:
        from aeraki_core.controller.serving import ProbeAnswer

        busy = self._loop.busy
        if busy > _STUCK:
            return ProbeAnswer(False, f"the loop has been at the same work for {busy:.0f} s")
        return ProbeAnswer(True, "ok")

    def _ready(self) -> ProbeAnswer:
        from aeraki_core.controller.serving import ProbeAnswer

        waiting = self._loop.waiting
        return ProbeAnswer(False, waiting) if waiting else ProbeAnswer(True, f"ok, {self._role()}")

    def _role(self) -> str:
        if self._leader is None:
            return "alone"
        if self._loop.leading:
            return "leads"
        return f"stands by, {self._leader.holder or 'nobody'} leads"

    def _status(self) -> dict[str, Any]:
        from aeraki_core.console.describe import overview
        from aeraki_core.plugins.discovery import core_version

        loop = self._loop
        about = {
            "version": core_version(),
            "identity": self.identity,
            "role": self._role(),
            "leads": loop.leading,
            "ready": loop.waiting is None,
            "held": loop.held,
            "sources": list(source_words(self._settings)),
            "filters": len(self._pipeline.filters),
        }
        return {"controller": about, **overview(self._pipeline.reports(), loop.findings)}


def _settings_file(settings: Settings) -> Any:
    from aeraki_core.wiring.reload import SettingsFile

    return SettingsFile(settings)
