"""A controller that runs in a thread of its own, and what a test needs to lead it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aeraki_core.controller.loop import Controller, LoopTiming
from aeraki_core.controller.observer import (
    ControllerEvent,
    FilterChanged,
    Observer,
    Observers,
    PassReport,
    SourceSynced,
    SourceUnsynced,
)
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.sinks.base import Sink
from aeraki_core.sources.events import (
    Emit,
    Incomplete,
    Problems,
    Removed,
    Source,
    Synced,
    Unsynced,
    Upserted,
)
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.echo import EchoPlugin, Mesher

WAIT = 20.0  # seconds that a pass may take to come on a busy machine
FAST = LoopTiming(quiet=0.05, longest=5.0, retry_first=0.05, retry_longest=0.2)


def key(name: str, port: int = 7000) -> FilterKey:
    """The outbound filter of one of the mesh's services."""
    return FilterKey("istio-system", f"aeraki-outbound-{name}.shop.svc.cluster.local-{port}")


def service(name: str, number: int = 1, **annotations: str) -> SourceObject:
    spec = {
        "clusterIP": f"10.0.{number // 256}.{number % 256}",
        "selector": {"app": name},
        "ports": [{"name": "tcp-echo", "port": 7000, "targetPort": 9000}],
    }
    given = {f"echo.aeraki.io/{option}": value for option, value in annotations.items()}
    return _object("Service", "v1", name, spec, annotations=given)


def routes(name: str, method: str, **metadata: Any) -> SourceObject:
    http = [{"match": [{"method": {"exact": method}}], "route": [{"destination": {"host": name}}]}]
    return _object(
        "VirtualService",
        "networking.istio.io/v1",
        name,
        {"hosts": [name], "http": http},
        **metadata,
    )


def _object(
    kind: str, api_version: str, name: str, spec: Mapping[str, Any], **metadata: Any
) -> SourceObject:
    content = {"metadata": {"name": name, "namespace": "shop", **metadata}, "spec": spec}
    return SourceObject(ObjectRef(kind, "shop", name), api_version, content)


def pipeline(*plugins: Any) -> Pipeline:
    return Mesher(*(plugins or (EchoPlugin(),))).pipeline


class Feed(Source):
    """A source that sends what the test puts; what is put before it starts is its first state."""

    def __init__(self, *objects: SourceObject, name: str = "feed", sync: bool = True) -> None:
        self.name = name
        self._before = objects
        self._sync = sync
        self._emit: Emit | None = None
        self.stopped = False

    def start(self, emit: Emit) -> None:
        self._emit = emit
        for item in self._before:
            emit(Upserted(self.name, item))
        if self._sync:
            emit(Synced(self.name))

    def stop(self) -> None:
        self.stopped = True

    def say(self, *events: Any) -> None:
        assert self._emit is not None
        self._emit(*events)

    def put(self, *objects: SourceObject) -> None:
        for item in objects:
            self.say(Upserted(self.name, item))

    def say_together(self, *objects: SourceObject) -> None:
        """All at one moment."""
        self.say(*(Upserted(self.name, item) for item in objects))

    def drop(self, *objects: SourceObject) -> None:
        """All at one moment."""
        self.say(*(Removed(self.name, item.ref) for item in objects))

    def sync(self, incomplete: Incomplete | None = None) -> None:
        self.say(Synced(self.name, incomplete))

    def lose(self, reason: str = "no answer") -> None:
        self.say(Unsynced(self.name, reason))

    def problems(self, place: str, *findings: Any) -> None:
        self.say(Problems(self.name, place, findings))


class Recorder:
    """Remembers all its calls."""

    def __init__(self) -> None:
        self.reports: queue.SimpleQueue[PassReport] = queue.SimpleQueue()
        self.said: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()

    def __call__(self, event: ControllerEvent) -> None:
        match event:
            case SourceSynced(source, incomplete):
                self.said.put(("synced", source, incomplete or ""))
            case SourceUnsynced(source, reason):
                self.said.put(("unsynced", source, reason))
            case FilterChanged(key):
                self.said.put(("changed", str(key)))
            case PassReport() as report:
                self.reports.put(report)


class Running:
    """A context in which a controller runs."""

    def __init__(
        self,
        *sources: Source,
        sink: Sink | None = None,
        of: Pipeline | None = None,
        timing: LoopTiming = FAST,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer | None = None,
    ) -> None:
        self.sink = sink or MemorySink()
        self.pipeline = of or pipeline()
        self.recorder = Recorder()
        self.controller = Controller(
            self.pipeline,
            sources,
            self.sink,
            timing=timing,
            observer=Observers([*([observer] if observer else []), self.recorder]),
            clock=clock,
        )
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.controller.run(self.stop)
        except BaseException as error:  # noqa: BLE001  # for the test to see
            self.error = error

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self.stop.set()
        self._thread.join(timeout=WAIT)
        assert not self._thread.is_alive()

    def next(self) -> PassReport:
        """The report of the next pass."""
        return self.recorder.reports.get(timeout=WAIT)

    def until(self, wanted: Any) -> PassReport:
        """Return the first report that fulfils the condition."""
        while not wanted(report := self.next()):
            pass
        return report


def written(report: PassReport) -> list[str]:
    """What was done to which filter, as ``update outbound cart``; in the order of it."""
    return [
        f"{item.step.action} {short(item.step.key)}"
        for item in report.written
        if item.error is None
    ]


def short(found: FilterKey) -> str:
    """A filter's side and service."""
    side, _, rest = found.name.removeprefix("aeraki-").partition("-")
    return f"{side} {rest.removeprefix('app-').partition('.')[0].partition('-')[0]}"


def codes(findings: Iterable[Any]) -> list[str]:
    return [finding.code.id for finding in findings]
