"""A controller in this process over the rig's cluster, as `aeraki run` builds it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from aeraki_core.controller.loop import Controller, LoopTiming
from aeraki_core.controller.observer import (
    ControllerEvent,
    Observers,
    PassReport,
    SourceSynced,
    SourceUnsynced,
)
from aeraki_core.controller.refusals import Refusals
from aeraki_core.kube.client import connect
from aeraki_core.kube.informer import Tuning
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.selector import parse_selector
from aeraki_core.pipeline.arrange import Arrangement
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import build_registry
from aeraki_core.sinks.kubernetes.sink import KubernetesSink
from aeraki_core.sources.events import Event, Source
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.kubernetes.source import KubernetesSource

from tests.waiting import wait_until

QUICK = LoopTiming(quiet=0.05, longest=1.0, retry_first=0.2, retry_longest=1.0, linger=0.5)


class Running:
    """A context manager; remembers every pass.

    ``plugins``: only these run. ``refusals``: the istiod whose proxies are watched. ``namespaces``
    or ``selectors``: only those are watched. ``instance``: the controller's name among several.
    """

    def __init__(
        self,
        kubeconfig: Path,
        plugins: Sequence[str],
        *,
        mesh: Mesh | None = None,
        sources: Sequence[Source] | None = None,
        sink: KubernetesSink | None = None,
        tuning: Tuning | None = None,
        arrangement: Arrangement = Arrangement.SERVICE,
        refusals: Istiod | None = None,
        namespaces: Sequence[str] = (),
        selectors: Sequence[str] = (),
        instance: str = "",
    ) -> None:
        registry = build_registry(only=plugins)
        tuning = tuning or Tuning(absent=0.3)
        self.pipeline = Pipeline(
            mesh or Mesh(), Dispatcher(registry), arrangement, instance=instance
        )
        self.passes: list[PassReport] = []
        self.unsynced: list[str] = []
        self.synced = 0
        self.error: BaseException | None = None
        own = KubernetesSource(
            lambda: connect(kubeconfig),
            registry.kinds,
            namespaces=namespaces,
            selectors=[parse_selector(text) for text in selectors],
            tuning=tuning,
        )
        looked_at = [*namespaces, self.pipeline.mesh.root_namespace] if namespaces else ()
        self.sink = sink or KubernetesSink(
            lambda: connect(kubeconfig), namespaces=looked_at, tuning=tuning, instance=instance
        )
        self._refusals = (
            Refusals(
                lambda: refusals,
                self._tell,
                root_namespace=self.pipeline.mesh.root_namespace,
                every=0.2,
                patience=1.0,
            )
            if refusals
            else None
        )
        self.controller = Controller(
            self.pipeline,
            sources if sources is not None else [own],
            self.sink,
            timing=QUICK,
            observer=Observers([self, *([self._refusals] if self._refusals else [])]),
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)

    def _run(self) -> None:
        try:
            self.controller.run(self._stop)
        except BaseException as error:
            self.error = error
            raise

    def _tell(self, event: Event) -> None:
        self.controller.post(event)

    def __enter__(self) -> Running:
        self._thread.start()
        if self._refusals:
            self._refusals.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._refusals:
            self._refusals.stop()
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        if self.error is not None and error is None:
            raise self.error

    def __call__(self, event: ControllerEvent) -> None:
        match event:
            case PassReport() as report:
                self.passes.append(report)
            case SourceSynced():
                self.synced += 1
            case SourceUnsynced(_, reason):
                self.unsynced.append(reason)

    def count(self, *actions: Action) -> int:
        """How many steps of these kinds succeeded so far."""
        return sum(
            done.error is None and done.step.action in actions
            for each in self.passes
            for done in each.written
        )

    def wait(self, look: Callable[[], object], what: str, timeout: float = 20) -> None:
        wait_until(
            look, timeout, what, seen=lambda: (self.error, self.passes[-3:], self.unsynced[-3:])
        )

    def wait_written(self, count: int, timeout: float = 60) -> None:
        """Wait until so many filters were created or changed."""
        self.wait(
            lambda: self.count(Action.CREATE, Action.UPDATE) >= count, f"{count} writes", timeout
        )
