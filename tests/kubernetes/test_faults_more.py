"""Faults that come and go while services change: no filter is lost, doubled or rewritten."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from aeraki_core.filters.names import outbound_name
from aeraki_core.pipeline.reconcile import Action

from tests.rig.control_plane import ControlPlane
from tests.rig.processes import Server
from tests.waiting import wait_until

from .relay import Relay, address_of, through
from .running import Running
from .test_faults import SERVICES, live, make, versions

pytestmark = pytest.mark.mesh

ENTRY = ("networking.istio.io/v1", "ServiceEntry")


def names(namespace: str, numbers: Iterable[int]) -> set[str]:
    """The names of their filters."""
    return {outbound_name(f"redis-{number}.{namespace}.example.org", 6379) for number in numbers}


def remove(plane: ControlPlane, namespace: str, *numbers: int) -> None:
    for number in numbers:
        plane.api.delete(*ENTRY, f"redis-{number}", namespace=namespace)


@contextmanager
def stuttering(server: Server) -> Iterator[list[float]]:
    """Pause the server for 0.4 seconds again and again; yield the times of the pauses."""
    ended, since = threading.Event(), list[float]()

    def go_on() -> None:
        while not ended.is_set():
            server.pause()
            since.append(time.monotonic())
            ended.wait(0.4)
            server.resume()
            ended.wait(0.1)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield since
    finally:
        ended.set()
        thread.join()


def test_the_api_server_is_slow(control_plane: ControlPlane, namespace: str) -> None:
    make(control_plane, namespace, range(SERVICES))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        running.wait_written(SERVICES)
        before = versions(control_plane)
        with stuttering(control_plane.apiserver) as stops:
            for turn in range(5):
                wait_until(lambda turn=turn: len(stops) > turn, 20, "it to stand still")  # type: ignore[misc]
                make(control_plane, namespace, [SERVICES + 2 * turn, SERVICES + 2 * turn + 1])
            remove(control_plane, namespace, 0, 1)
            wanted = names(namespace, range(2, SERVICES + 10))
            running.wait(
                lambda: live(control_plane).keys() == wanted, "the filters of the services", 60
            )
        running.wait(lambda: running.controller.held is None, "the source to be in sync")
        after = versions(control_plane)
        kept = {name: version for name, version in before.items() if name in after}
        assert len(kept) == SERVICES - 2
        assert {name: after[name] for name in kept} == kept  # not written again
        running.wait(lambda: running.count(Action.DELETE) == 2, "the deletions to be known")
        running.wait(
            lambda: running.count(Action.CREATE) == SERVICES + 10, "the writes to be known"
        )


def test_watches_and_writes_are_cut_in_the_middle(
    control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aeraki_core.kube")
    make(control_plane, namespace, range(SERVICES))
    with (
        Relay(address_of(control_plane.server)) as relay,
        Running(through(relay, control_plane.kubeconfig), ["redis"]) as running,
    ):
        running.wait_written(SERVICES)
        before = versions(control_plane)
        for turn in range(6):
            cut, first = relay.cut, SERVICES + 3 * turn
            relay.cut_answers()
            make(control_plane, namespace, range(first, first + 3))
            remove(control_plane, namespace, turn)
            wanted = names(namespace, range(turn + 1, first + 3))
            running.wait(
                lambda wanted=wanted: live(control_plane).keys() == wanted,  # type: ignore[misc]
                "their filters",
            )
            assert relay.cut > cut
        after = versions(control_plane)
        kept = {name: version for name, version in before.items() if name in after}
        assert len(kept) == SERVICES - 6
        assert {name: after[name] for name in kept} == kept
        assert "listing again" not in caplog.text  # each watch went on where it was


def test_etcd_pauses_while_we_write(control_plane: ControlPlane, namespace: str) -> None:
    count = 150
    make(control_plane, namespace, range(count))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        wait_until(lambda: len(live(control_plane)) > 10, 30, "the first writes")
        control_plane.etcd.pause()
        threading.Event().wait(3)  # the fault
        control_plane.etcd.resume()
        wait_until(
            lambda: len(live(control_plane)) == count, 60, "all filters", swallow=(Exception,)
        )
        running.wait(lambda: running.count(Action.CREATE) == count, "all writes to be known")
        assert running.count(Action.DELETE) == 0
    with Running(control_plane.kubeconfig, ["redis"]) as again:
        again.wait(lambda: again.passes, "a pass")
        assert again.passes[0].written == ()
