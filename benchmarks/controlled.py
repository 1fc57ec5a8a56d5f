"""A controller in a process of its own over a cluster, which reports the cost of each pass.

It sends a :class:`Cost` after the first pass, and after each pass that wrote something. A standby
sends one after every pass that generated something, too.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from aeraki_core.controller.loop import Controller
from aeraki_core.controller.observer import ControllerEvent, PassReport
from aeraki_core.kube.client import Client, connect
from aeraki_core.plugins.registry import build_registry
from aeraki_core.sinks.kubernetes.sink import KubernetesSink
from aeraki_core.sources.events import Source
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.source import IstiodSource
from aeraki_core.sources.kubernetes.source import KubernetesSource

from benchmarks import mesh
from benchmarks.processes import peak_kilobytes, resident_kilobytes

_PATIENCE = 1800.0


@dataclass(frozen=True, kw_only=True)
class IstiodAccess:
    """Where an istiod is and how it is reached; see :class:`Istiod`."""

    address: str
    certificate: bytes
    token: bytes
    server_name: str

    def open(self) -> Istiod:
        """Return it as the source takes it."""
        return Istiod(self.address, lambda: self.certificate, lambda: self.token, self.server_name)


@dataclass(frozen=True)
class Cost:
    """``at``: the wall-clock time at which the pass ended, ``started``: at which it began.

    ``cpu`` are the seconds of the process and ``requests`` the requests by method, both since the
    start. ``written`` and ``failed`` count this pass only. ``kilobytes`` is the peak since the
    start, ``resident`` the memory after the pass.
    """

    at: float
    started: float
    cpu: float
    requests: dict[str, int]
    written: int
    failed: int
    kilobytes: int
    resident: int


class _Teller:
    def __init__(self, to: Connection) -> None:
        self._to = to

    def __call__(self, event: ControllerEvent) -> None:
        if isinstance(event, PassReport) and (
            event.first or event.written or (event.standby and event.generated.calls)
        ):
            report = event
            requests: dict[str, int] = {}
            for (method, _), count in Client.requests.counts().items():
                requests[method] = requests.get(method, 0) + count
            failed = len(report.failures)
            written = len(report.written) - failed
            now = time.time()
            cost = Cost(
                now,
                now - report.seconds,
                time.process_time(),
                requests,
                written,
                failed,
                peak_kilobytes(),
                resident_kilobytes(),
            )
            self._to.send(cost)


def _run(kubeconfig: Path, to: Connection, standby: bool, istiod: IstiodAccess | None) -> None:
    pipeline = mesh.pipeline()
    leads = threading.Event()
    may_write = leads.is_set if standby else None
    sources: list[Source] = [KubernetesSource(lambda: connect(kubeconfig), build_registry().kinds)]
    if istiod is not None:
        sources.append(IstiodSource(istiod.open()))
    controller = Controller(
        pipeline,
        sources,
        KubernetesSink(lambda: connect(kubeconfig), may_write=may_write),
        observer=_Teller(to),
        may_write=may_write,
    )
    stop = threading.Event()

    def listen() -> None:
        while to.recv() == "lead":
            leads.set()
            controller.lead(True)
        stop.set()

    threading.Thread(target=listen, daemon=True).start()
    controller.run(stop)


class Controlled:
    """A context manager that runs the process. ``began`` is the wall-clock time of its start.

    ``standby``: it writes nothing before :meth:`lead`. ``istiod``: a second source.
    """

    def __init__(
        self, kubeconfig: Path, *, standby: bool = False, istiod: IstiodAccess | None = None
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, self._there = context.Pipe()
        self._process = context.Process(
            target=_run, args=(kubeconfig, self._there, standby, istiod)
        )
        self.began = 0.0

    def __enter__(self) -> Controlled:
        self.began = time.time()
        self._process.start()
        self._there.close()  # so that the end of the process is the end of the pipe
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(BrokenPipeError):  # it has ended
            self._here.send("stop")
        self._process.join(20)
        self._process.kill()

    def lead(self) -> None:
        """Make a standby the leader."""
        self._here.send("lead")

    def next(self) -> Cost:
        """The next pass that wrote something, or the first.

        Raises:
            RuntimeError: there was none for half an hour, or the process ended.
        """
        try:
            if not self._here.poll(_PATIENCE):
                raise RuntimeError("the controller made no pass")
            cost: Cost = self._here.recv()
        except EOFError as error:
            raise RuntimeError("the controller ended") from error
        return cost
