"""Faults between istiod and us cost no filter: empty answers, ending connections."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Self

import grpc
import pytest
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.sources.events import Removed
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.source import IstiodSource
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse

from tests.istio.truth import GROUP, istio
from tests.kubernetes.recorder import Recorder
from tests.kubernetes.relay import Relay
from tests.kubernetes.running import Running
from tests.kubernetes.test_faults import SERVICES, live, make
from tests.kubernetes.test_faults_more import names, remove
from tests.rig.control_plane import ControlPlane

pytestmark = pytest.mark.mesh

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
ENTRIES = f"{GROUP}/ServiceEntry"
VIRTUAL_SERVICE = {"hosts": ["x.example.org"], "tcp": [{"route": [{"destination": {"host": "x"}}]}]}


class Spoiler:
    """A proxy between us and istiod that empties answers or makes them unreadable on demand.

    A context manager. ``istiod`` is the address for the source under test. ``unreadable`` is the
    kind of the broken objects, and a part of their names.
    """

    def __init__(self, behind: Istiod) -> None:
        self._behind = behind
        self._left: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.emptied = 0
        self.unreadable: tuple[str, bytes] | None = None
        self._server = grpc.server(ThreadPoolExecutor(8))
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(
            self._stream
        )
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(_SERVICE, {"StreamAggregatedResources": handler})]
        )
        self.istiod = Istiod(f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.stop(grace=None).wait()

    def empty(self, type_url: str, answers: int) -> None:
        """The next so many answers of that type hold nothing."""
        with self._lock:
            self._left[type_url] = answers

    def _stream(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        with self._behind.channel() as channel:
            call: Any = channel.stream_stream(f"/{_SERVICE}/StreamAggregatedResources")
            answers: Any = call(requests, metadata=self._behind.headers())
            context.add_callback(answers.cancel)
            for answer in answers:
                yield self._changed(answer)

    def _changed(self, answer: bytes) -> bytes:
        response = DiscoveryResponse.FromString(answer)
        if self.unreadable is not None and response.type_url == self.unreadable[0]:
            for resource in response.resources:
                if self.unreadable[1] in resource.value:
                    resource.value = b"\xff"
            return bytes(response.SerializeToString())
        with self._lock:
            if not self._left[response.type_url]:
                return answer
            self._left[response.type_url] -= 1
            self.emptied += 1
        del response.resources[:]
        return bytes(response.SerializeToString())


def test_answers_without_content(
    control_plane: ControlPlane, namespace: str, istiod: Istiod
) -> None:
    make(control_plane, namespace, range(SERVICES))
    with Spoiler(istiod) as relay:
        source = IstiodSource(relay.istiod, believe_empty=0.3)
        with Running(control_plane.kubeconfig, ["redis"], sources=[source]) as running:
            running.wait_written(SERVICES)
            before = live(control_plane)
            # The source does not trust one such answer. It trusts two, but not that all filters
            # should go because of them.
            for turn, answers in enumerate((1, 2, 2)):
                wanted = relay.emptied + answers
                relay.empty(ENTRIES, answers)
                # A change of another kind makes istiod send all kinds.
                control_plane.api.create(
                    istio("VirtualService", f"x{turn}", namespace, VIRTUAL_SERVICE)
                )
                running.wait(
                    lambda wanted=wanted: relay.emptied == wanted,  # type: ignore[misc]
                    "answers without content",
                )
                make(control_plane, namespace, [SERVICES + turn])
                running.wait_written(SERVICES + turn + 1)
                assert running.count(Action.DELETE) == 0
            assert before.items() <= live(control_plane).items()
            # What really goes is believed.
            remove(control_plane, namespace, *range(SERVICES + 3))
            running.wait(lambda: running.count(Action.DELETE) == SERVICES + 3, "all filters to go")
            assert not live(control_plane)


def test_what_one_answer_removes_is_told_at_one_moment(
    control_plane: ControlPlane, namespace: str, istiod: Istiod
) -> None:
    """Half of it would pass for a small deletion, which is done without asking again."""
    make(control_plane, namespace, range(SERVICES))
    with Spoiler(istiod) as relay:
        source, seen = IstiodSource(relay.istiod, believe_empty=0.3), Recorder()
        source.start(seen)
        try:
            seen.wait(
                lambda: sum(namespace in name for name in seen.objects) == SERVICES, "all services"
            )
            mark = len(seen.calls)
            relay.empty(ENTRIES, 1000)
            control_plane.api.create(istio("VirtualService", "x", namespace, VIRTUAL_SERVICE))
            seen.wait(
                lambda: any(
                    isinstance(event, Removed) for call in seen.calls[mark:] for event in call
                ),
                "removals",
            )
            removing = next(
                call
                for call in seen.calls[mark:]
                if any(isinstance(event, Removed) for event in call)
            )
            assert (
                sum(
                    isinstance(event, Removed) and event.ref.namespace == namespace
                    for event in removing
                )
                == SERVICES
            )
        finally:
            source.stop()


def test_what_cannot_be_read_stays_as_it_was_and_is_said(
    control_plane: ControlPlane, namespace: str, istiod: Istiod
) -> None:
    make(control_plane, namespace, range(3))
    with (
        Spoiler(istiod) as relay,
        Running(
            control_plane.kubeconfig, ["redis"], sources=[IstiodSource(relay.istiod)]
        ) as running,
    ):
        running.wait_written(3)
        before = live(control_plane)
        relay.unreadable = (ENTRIES, f"{namespace}/redis-1".encode())
        make(control_plane, namespace, [3])
        running.wait_written(4)
        assert before.items() <= live(control_plane).items()
        (finding,) = [item for item in running.controller.findings if item.code.id == "AER0115"]
        assert "cannot be read" in finding.message
        # Deleted objects look the same as unreadable ones.
        remove(control_plane, namespace, 0)
        make(control_plane, namespace, [4])
        running.wait_written(5)
        assert running.count(Action.DELETE) == 0
        relay.unreadable = None
        make(control_plane, namespace, [5])
        running.wait(lambda: running.count(Action.DELETE) == 1, "what is really gone to go")
        assert running.controller.findings == ()
        assert live(control_plane).keys() == names(namespace, range(1, 6))


def test_connections_to_istiod_are_reset(
    control_plane: ControlPlane, namespace: str, istiod: Istiod
) -> None:
    make(control_plane, namespace, range(SERVICES))
    host, _, port = istiod.address.partition(":")
    with Relay((host, int(port))) as relay:
        at = replace(istiod, address="{}:{}".format(*relay.address))
        with Running(control_plane.kubeconfig, ["redis"], sources=[IstiodSource(at)]) as running:
            running.wait_written(SERVICES)
            before = live(control_plane)
            for turn in range(3):
                count = relay.accepted
                # In the middle of an answer, and between two.
                relay.cut_answers() if turn % 2 else relay.reset_connections()
                make(control_plane, namespace, [SERVICES + turn])
                running.wait(lambda count=count: relay.accepted > count, "another connection")  # type: ignore[misc]
                running.wait_written(SERVICES + turn + 1)
            remove(control_plane, namespace, 0)
            running.wait(lambda: running.count(Action.DELETE) == 1, "one filter to go")
            after = live(control_plane)
            assert after.keys() == names(namespace, range(1, SERVICES + 3))
            assert before.items() - after.items() == {
                (name, before[name]) for name in names(namespace, [0])
            }
