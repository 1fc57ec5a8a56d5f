"""Probes, metrics and status of a running controller, and changes of its settings file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.control_plane import ControlPlane
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

from .replica import ROOT, Replica, metric
from .test_faults import entry, make

pytestmark = pytest.mark.mesh


def aeraki(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aeraki_core", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_probes_metrics_and_status(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, tmp_path: Path
) -> None:
    make(control_plane, namespace, range(3))
    workloads.workload("cache", [Port("tcp-redis", 6379, 16379)])
    with (
        Replica("one", control_plane.kubeconfig, namespace) as one,
        Replica("two", control_plane.kubeconfig, namespace) as two,
    ):
        for replica in (one, two):
            wait_until(lambda replica=replica: replica.get("/readyz")[0] == 200, 60, "readiness")  # type: ignore[misc]
            assert replica.get("/healthz") == (200, "ok\n")
            assert replica.get("/nothing")[0] == 404
        wait_until(
            lambda: one.said("created, in") or two.said("created, in"), 60, "the first writes"
        )
        leader, standby = (one, two) if one.said("created, in") else (two, one)
        assert leader.get("/readyz")[1] == "ok, leader\n"
        wait_until(
            lambda: f"{leader.name}_" in standby.get("/readyz")[1],
            20,
            "the standby to know its leader",
        )

        created = {"action": "create", "result": "success"}
        wait_until(
            lambda: metric(leader, "aeraki_writes_total", **created) == 4,
            20,
            "4 writes",
            seen=lambda: leader.get("/status"),
        )
        assert metric(standby, "aeraki_writes_total") == 0
        # A standby's caches are as warm.
        for replica in (leader, standby):
            assert metric(replica, "aeraki_filters", state="current") == 4
            assert metric(replica, "aeraki_service_ports", protocol="redis", state="current") == 4
            assert metric(replica, "aeraki_source_synced", source="kubernetes") == 1
        assert metric(leader, "leader_election_master_status", name="aeraki-controller") == 1
        assert metric(standby, "leader_election_master_status", name="aeraki-controller") == 0
        # As many as were needed, and of the standby none but for the Lease.
        assert metric(leader, "rest_client_requests_total", method="PATCH", code="200") <= 4
        assert metric(leader, "rest_client_requests_total", method="PATCH", code="201") == 4
        assert metric(standby, "rest_client_requests_total", method="PATCH") == 0

        told = json.loads(leader.get("/status")[1])
        assert told["controller"]["leads"]
        assert json.loads(standby.get("/status")[1])["controller"]["role"].startswith("standby")
        assert {port["protocol"] for port in told["ports"] if namespace in port["host"]} == {
            "redis"
        }

        shown = aeraki("status", "--controller", leader.url)
        assert shown.returncode == 0, shown.stderr
        rows = [line.split() for line in shown.stdout.splitlines()]
        assert [f"redis-1.{namespace}.example.org", "6379", "redis", "current", "1", "-"] in rows
        assert "4 filters" in shown.stderr
        assert ", leader, cluster " in shown.stderr
        why = aeraki("explain", f"cache.{namespace}", "--controller", leader.url).stdout
        assert "protocol   redis: port name 'tcp-redis'" in why
        assert (
            f"read       EndpointSlice {namespace}/cache" in why
            or f"Service {namespace}/cache" in why
        )
        assert "outbound NETWORK_FILTER" in why
        missing = aeraki("explain", "nobody", "--controller", leader.url)
        assert missing.returncode == 1
        assert "no service 'nobody'" in missing.stderr


def test_not_ready_before_everything_was_read_once(
    control_plane: ControlPlane, namespace: str
) -> None:
    """A ServiceAccount without rights: alive, and never ready."""
    control_plane.apiserver.pause()
    with Replica("one", control_plane.kubeconfig, namespace) as one:
        assert one.get("/healthz")[0] == 200
        code, text = one.get("/readyz")
        assert (code, text) == (503, "waiting for source kubernetes\n")
        assert metric(one, "aeraki_source_synced", source="kubernetes") == 0
        control_plane.apiserver.resume()
        wait_until(lambda: one.get("/readyz")[0] == 200, 60, "readiness")


def test_a_settings_file_that_changes(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("logLevel: info\n")
    with Replica("one", control_plane.kubeconfig, namespace, "--config", str(file)) as one:
        one.wait_for("0 filters in")
        control_plane.api.create(entry(1, namespace))
        one.wait_for("1 created")
        assert not one.said("generated redis")
        file.write_text("logLevel: {all: info, pipeline: debug}\ndebounceMax: 20s\n")
        one.wait_for("log levels are now info,pipeline:debug")
        one.wait_for("debounceMax will count after a restart")
        control_plane.api.create(entry(2, namespace))
        one.wait_for(f"generated redis-2.{namespace}.example.org:6379")
        file.write_text("logLevel: loud\n")
        assert (
            f"{file}:1: logLevel: 'loud' is no level"
            in one.wait_for("its last valid content stays")["message"]
        )
        file.write_text("logLevel: warning\n")
        one.wait_for("log levels are now warning")
        mark = one.mark()
        control_plane.api.create(entry(3, namespace))
        wait_until(
            lambda: metric(one, "aeraki_writes_total", action="create") == 3, 30, "the third filter"
        )
        assert not one.lines[mark:]
