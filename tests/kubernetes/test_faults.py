"""Faults around the controller cost no filter.

Each test counts lost filters (none) and needless writes (none).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from aeraki_core.pipeline.reconcile import Action

from tests.rig.api import Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.waiting import wait_until

from .running import Running

pytestmark = pytest.mark.mesh

API = ("networking.istio.io/v1alpha3", "EnvoyFilter")
GROUP = "networking.istio.io/v1"
SERVICES = 40


def entry(number: int, namespace: str) -> Object:
    """A service of its own, without a selector: one filter each."""
    return {
        "apiVersion": GROUP,
        "kind": "ServiceEntry",
        "metadata": {
            "name": f"redis-{number}",
            "namespace": namespace,
            "annotations": {"redis.aeraki.io/proxy": "always"},
        },
        "spec": {
            "hosts": [f"redis-{number}.{namespace}.example.org"],
            "addresses": [f"240.1.{number // 250}.{number % 250 + 1}"],
            "ports": [{"number": 6379, "name": "tcp-redis", "protocol": "TCP"}],
            "resolution": "DNS",
        },
    }


def make(plane: ControlPlane, namespace: str, numbers: Iterable[int]) -> None:
    for number in numbers:
        plane.api.create(entry(number, namespace))


def live(plane: ControlPlane) -> dict[str, str]:
    """Name and uid of all our filters: one that was deleted and made again has another uid."""
    found = plane.api.objects(*API, labels="app.kubernetes.io/managed-by=aeraki")
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}


def versions(plane: ControlPlane) -> dict[str, str]:
    found = plane.api.objects(*API, labels="app.kubernetes.io/managed-by=aeraki")
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in found}


@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_the_api_server_is_away(
    seconds: float, control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aeraki_core.kube")
    make(control_plane, namespace, range(SERVICES))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        running.wait_written(SERVICES)
        before = versions(control_plane)
        control_plane.apiserver.kill()
        time.sleep(seconds)
        control_plane.apiserver.start()
        make(control_plane, namespace, [SERVICES])  # seen only by who watches again
        running.wait_written(SERVICES + 1, timeout=40)
        assert running.count(Action.DELETE) == 0
        after = versions(control_plane)
        assert {name: version for name, version in after.items() if name in before} == before
    assert "listing again" in caplog.text  # the server's memory began anew: 410


def test_the_api_server_dies_while_we_write(control_plane: ControlPlane, namespace: str) -> None:
    count = 150
    make(control_plane, namespace, range(count))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        wait_until(lambda: len(live(control_plane)) > 10, 30, "the first writes")
        control_plane.apiserver.kill()
        control_plane.apiserver.start()
        wait_until(lambda: len(live(control_plane)) == count, 60, "all filters")
        running.wait(lambda: running.controller.held is None, "the source to be synced again")
        assert running.count(Action.DELETE) == 0
    with Running(control_plane.kubeconfig, ["redis"]) as again:
        again.wait(lambda: again.passes, "a pass")
        assert again.passes[0].written == ()


def test_etcd_pauses(control_plane: ControlPlane, namespace: str) -> None:
    make(control_plane, namespace, range(SERVICES))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        running.wait_written(SERVICES)
        before = live(control_plane)
        control_plane.etcd.pause()
        time.sleep(5)
        control_plane.etcd.resume()
        wait_until(
            lambda: live(control_plane) == before,
            30,
            "the API server to answer again",
            swallow=(Exception,),
        )
        make(control_plane, namespace, [SERVICES])
        running.wait_written(SERVICES + 1, timeout=40)
        assert running.count(Action.DELETE) == 0
        assert before.items() <= live(control_plane).items()


def test_istiod_is_away_and_its_webhook_with_it(
    control_plane: ControlPlane, namespace: str
) -> None:
    make(control_plane, namespace, range(SERVICES))
    control_plane.istiod.kill()
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        running.wait(lambda: any(each.failures for each in running.passes), "refused writes")
        assert all(done.retry for each in running.passes for done in each.failures)
        control_plane.istiod.start()
        running.wait_written(SERVICES, timeout=60)
        assert len(live(control_plane)) == SERVICES


def test_the_definition_of_service_entries_is_deleted(namespace: str) -> None:
    # A cluster of its own: this fault breaks other tests.
    with ControlPlane() as plane:
        space = plane.namespaces.make()
        make(plane, space, range(SERVICES))
        with Running(plane.kubeconfig, ["redis"]) as running:
            running.wait_written(SERVICES)
            before = versions(plane)
            crd = (
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "serviceentries.networking.istio.io",
            )
            plane.api.delete(*crd)
            wait_until(lambda: plane.api.find(*crd) is None, 20, "the definition to be gone")
            running.wait(
                lambda: "does not serve" in (running.controller.held or ""), "a word about it"
            )
            assert versions(plane) == before
        # Started anew, nothing is known of them; and nothing is deleted.
        with Running(plane.kubeconfig, ["redis"]) as again:
            again.wait(lambda: again.passes, "a pass")
            assert "does not serve" in (again.controller.held or "")
            assert again.count(*Action) == 0
        assert versions(plane) == before


PROGRAM = """
import sys, threading
from pathlib import Path
from tests.kubernetes.running import Running
with Running(Path(sys.argv[1]), ["redis"]):
    threading.Event().wait()
"""


def test_killed_in_the_middle_of_500_writes(control_plane: ControlPlane, namespace: str) -> None:
    count = 500
    make(control_plane, namespace, range(count))
    root = Path(__file__).parents[2]
    for share in (0.1, 0.5, 0.9):
        before = live(control_plane)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(control_plane.kubeconfig)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        try:
            wait_until(
                lambda share=share: len(live(control_plane)) > count * share,  # type: ignore[misc]
                60,
                "some writes",
            )
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        after = live(control_plane)
        assert before.items() <= after.items()  # nothing was lost or made twice
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        before = live(control_plane)
        wait_until(lambda: len(live(control_plane)) == count, 60, "all filters")
        running.wait(lambda: running.passes, "a pass")
        assert before.items() <= live(control_plane).items()
        assert running.count(*Action) == count - len(before)


def test_our_filters_are_all_in_the_root_namespace(
    control_plane: ControlPlane, namespace: str
) -> None:
    make(control_plane, namespace, range(2))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        running.wait_written(2)
    found = control_plane.api.objects(*API, namespace=ROOT_NAMESPACE)
    assert len(found) == 2


def test_many_deletions_wait_for_a_fresh_answer(
    control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(control_plane, namespace, range(SERVICES))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        running.wait_written(SERVICES)
        path = f"/apis/{GROUP}/namespaces/{namespace}/serviceentries"
        control_plane.api.request("DELETE", path, {})
        wait_until(lambda: not live(control_plane), 20, "all filters to go")
        assert "would be deleted at once" in caplog.text
        # Asked for anew, and only then deleted.
        assert "not all lists have arrived" in running.unsynced
