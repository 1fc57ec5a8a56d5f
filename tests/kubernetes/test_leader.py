"""Of several replicas one writes: real processes with a real API server, killed and paused."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from aeraki_core.kube.client import connect
from aeraki_core.pipeline.reconcile import Action, reconcile
from aeraki_core.sinks.kubernetes.sink import KubernetesSink

from tests.rig.control_plane import ControlPlane
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

from .filters import redis_filter
from .relay import Relay, address_of, through
from .replica import Replica, metric
from .test_faults import API, GROUP, SERVICES, entry, live, make

pytestmark = pytest.mark.mesh

LEASE = ("coordination.k8s.io/v1", "Lease", "aeraki-controller")
SHORT = (
    "--lease-duration",
    "6s",
    "--renew-deadline",
    "4s",
    "--retry-period",
    "500ms",
    "--debounce-quiet",
    "1s",
)
PASSES = "controller_runtime_reconcile_total"
LONG = ("--lease-duration", "5m", "--renew-deadline", "4m", "--retry-period", "500ms")


def state(plane: ControlPlane) -> dict[str, tuple[str, int, str]]:
    """Of every filter of ours what any write at all would change."""
    found = plane.api.objects(*API, labels="app.kubernetes.io/managed-by=aeraki")
    return {
        each["metadata"]["name"]: (
            each["metadata"]["uid"],
            each["metadata"]["generation"],
            each["metadata"]["resourceVersion"],
        )
        for each in found
    }


def wait_for_filters(plane: ControlPlane, number: int) -> None:
    """Wait until they are there. A slow machine writes them in several rounds."""
    wait_until(lambda: len(live(plane)) == number, 120, f"{number} filters")


def lease(plane: ControlPlane, namespace: str) -> dict[str, Any]:
    return dict(plane.api.get(*LEASE, namespace=namespace)["spec"])


def test_a_leader_that_is_killed_is_followed_without_a_needless_write(
    control_plane: ControlPlane, namespace: str
) -> None:
    make(control_plane, namespace, range(SERVICES))
    kubeconfig = control_plane.kubeconfig
    with Replica("one", kubeconfig, namespace, *SHORT) as one:
        one.wait_for(", leads")
        wait_for_filters(control_plane, SERVICES)
        with Replica("two", kubeconfig, namespace, *SHORT) as two:
            two.wait_for("standby: another replica leads")
            before = state(control_plane)
            assert len(before) == SERVICES
            one.send(signal.SIGKILL)
            two.wait_for(", leads", timeout=40)
            two.wait_for("nothing to write")
            assert state(control_plane) == before
            assert lease(control_plane, namespace)["holderIdentity"].startswith("two_")
            assert lease(control_plane, namespace)["leaseTransitions"] == 1
            make(control_plane, namespace, [SERVICES])
            two.wait_for("1 created")
            assert before.items() <= state(control_plane).items()


def test_a_paused_leader_that_wakes_up_writes_nothing(
    control_plane: ControlPlane, namespace: str
) -> None:
    """The replica decides by its own clock.

    It resumes with something to write, before it can hear that another one leads.
    """
    # A renewal without an answer is given up after less than three seconds. The next try follows
    # two seconds later.
    times = ("--lease-duration", "12s", "--renew-deadline", "10s", "--retry-period", "2s")
    quiet = ("--debounce-quiet", "9s", "--debounce-max", "9s")
    # Only Thrift: the controller would ask again and again for the kinds of other plugins, which
    # the cluster does not serve.
    make_thrift(control_plane, namespace, range(SERVICES))
    kubeconfig, entries = control_plane.kubeconfig, (GROUP, "ServiceEntry")
    with (
        Relay(address_of(control_plane.server)) as relay,
        Replica(
            "one", through(relay, kubeconfig), namespace, *times, *quiet, plugins="thrift"
        ) as one,
    ):
        wait_for_filters(control_plane, SERVICES)
        with Replica(
            "two", kubeconfig, namespace, *times, "--debounce-quiet", "1s", plugins="thrift"
        ) as two:
            two.wait_for("standby: another replica leads")
            # The first replica has seen these services, and waits for quiet before it writes. It
            # resumes with them.
            make_thrift(control_plane, namespace, range(SERVICES, SERVICES + 5))
            wait_until(
                lambda: one.get(f"/explain?target={host(SERVICES + 4, namespace)}")[0] == 200,
                8,
                "it to know them",
            )
            passes = metric(one, PASSES)
            with relay.holding():
                relay.wait_for_calls(len(relay.calls) + 1)  # it renews its Lease
                one.send(signal.SIGSTOP)
                two.wait_for(", leads", timeout=60)
                two.wait_for(f"{SERVICES + 5} filters in")
                for number in (0, SERVICES, SERVICES + 1):
                    control_plane.api.delete(*entries, f"redis-{number}", namespace=namespace)
                wait_until(
                    lambda: len(live(control_plane)) == SERVICES + 2, 60, "the deletions of two"
                )
                changed = {"spec": {"addresses": ["240.9.9.9"]}}
                control_plane.api.merge(*entries, "redis-1", changed, namespace=namespace)
                two.wait_for("1 updated")
                assert len(live(control_plane)) == SERVICES + 2
                version, mark = version_of_filters(control_plane), one.mark()
                one.send(signal.SIGCONT)
                wait_until(
                    lambda: metric(one, PASSES) > passes, 30, "the pass that it was about to do"
                )
            one.wait_for("stands by", since=mark)
            # Once it has seen a later change, it has seen all that went before.
            for number in (98, 99):
                make_thrift(control_plane, namespace, [number])
                two.wait_for(f"created istio-system/aeraki-outbound-redis-{number}.")
                target = f"/explain?target={host(number, namespace)}"
                wait_until(
                    lambda target=target: one.get(target)[0] == 200,  # type: ignore[misc]
                    20,
                    "the first to see it",
                )
            # Every write that the API server received, even if a later one undid it.
            changes = control_plane.api.watch(*API, resource_version=version)
            written = (change["object"]["metadata"]["name"] for change in changes)
            assert ["-98." in next(written), "-99." in next(written)] == [True, True]


def version_of_filters(plane: ControlPlane) -> str:
    """Where a watch for what is written from now on begins."""
    return str(plane.api.request("GET", plane.api.type(*API).path())["metadata"]["resourceVersion"])


def make_thrift(plane: ControlPlane, namespace: str, numbers: Iterable[int]) -> None:
    for number in numbers:
        made = entry(number, namespace)
        made["spec"]["ports"][0]["name"] = "tcp-thrift"
        plane.api.create(made)


def host(number: int, namespace: str) -> str:
    return f"redis-{number}.{namespace}.example.org"


def test_a_leader_that_ends_hands_over_at_once(control_plane: ControlPlane, namespace: str) -> None:
    make(control_plane, namespace, range(SERVICES))
    kubeconfig = control_plane.kubeconfig
    # Leases of five minutes: the second replica leads in time only if the first releases its Lease.
    with Replica("one", kubeconfig, namespace, *LONG) as one:
        wait_for_filters(control_plane, SERVICES)
        with Replica("two", kubeconfig, namespace, *LONG) as two:
            two.wait_for("standby: another replica leads")
            before = state(control_plane)
            one.send(signal.SIGTERM)
            assert one.process.wait(30) == 0
            assert one.said("gave the Lease back")
            two.wait_for(", leads", timeout=30)
            two.wait_for("nothing to write")
            assert state(control_plane) == before
            # No other replica is left to take over the Lease.
            two.send(signal.SIGTERM)
            assert two.process.wait(30) == 0
            assert lease(control_plane, namespace)["holderIdentity"] == ""


def test_a_leader_cut_off_from_the_api_server_stands_by_and_leads_again(
    control_plane: ControlPlane, namespace: str
) -> None:
    make(control_plane, namespace, range(SERVICES))
    with Replica("one", control_plane.kubeconfig, namespace, *SHORT) as one:
        wait_for_filters(control_plane, SERVICES)
        before, mark = state(control_plane), one.mark()
        control_plane.apiserver.pause()
        one.wait_for("stands by", since=mark, timeout=60)
        assert one.get("/healthz")[0] == 200
        mark = one.mark()
        control_plane.apiserver.resume()
        one.wait_for(", leads", since=mark)
        one.wait_for("nothing to write", since=mark)
        assert state(control_plane) == before
        assert one.process.poll() is None


@pytest.mark.parametrize("action", [Action.CREATE, Action.UPDATE, Action.DELETE])
def test_the_gate_is_asked_before_each_single_write(
    control_plane: ControlPlane, namespace: str, action: Action
) -> None:
    old = {item.key: item for item in (redis_filter(number) for number in range(10))}
    new = {
        item.key: item for item in (redis_filter(number, stat_prefix="two") for number in range(10))
    }
    allowed = [True] * 100

    def may_write() -> bool:
        # The watch asks too, for another reason.
        return not threading.current_thread().name.startswith("write") or (
            bool(allowed) and allowed.pop()
        )

    sink = KubernetesSink(lambda: connect(control_plane.kubeconfig), workers=1, may_write=may_write)
    try:
        sink.start(lambda key: None)
        if action is not Action.CREATE:
            _apply(sink, old)
        before = state(control_plane)
        allowed[:] = [True] * 3
        done = _apply(sink, {Action.CREATE: old, Action.UPDATE: new, Action.DELETE: {}}[action])
        after = state(control_plane)
    finally:
        sink.stop()
    assert [item.step.action for item in done] == [action] * 10
    assert [item.skipped for item in done] == [False] * 3 + [True] * 7
    assert len(set(before.items()) ^ set(after.items())) == (6 if action is Action.UPDATE else 3)


def _apply(sink: KubernetesSink, desired: Any) -> list[Any]:
    live = dict(sink.live())
    plan = reconcile({*desired, *live}, desired, live, active_plugins={"redis"})
    return list(sink.apply(plan.steps))


class TestTheEnd:
    """SIGTERM ends it within the pod's grace period, whatever it does."""

    GRACE = 30.0

    def ends(self, replica: Replica) -> None:
        replica.send(signal.SIGTERM)
        assert replica.process.wait(self.GRACE) == 0

    def test_in_the_middle_of_many_writes(
        self, control_plane: ControlPlane, namespace: str
    ) -> None:
        count = 600
        make(control_plane, namespace, range(count))
        with Replica("one", control_plane.kubeconfig, namespace, *LONG) as one:
            wait_until(lambda: len(live(control_plane)) > 20, 60, "the first writes")
            self.ends(one)
            before = state(control_plane)
            assert 20 < len(before) < count  # else it was not in the middle
            assert lease(control_plane, namespace)["holderIdentity"] == ""
            assert not [line for line in one.lines if line["level"] == "error"]
        with Replica("two", control_plane.kubeconfig, namespace, *LONG) as two:
            # The number of leftovers is unknown: requests of the last moment may be written after
            # the end.
            wait_until(lambda: len(live(control_plane)) == count, 60, "all others to be written")
            two.wait_for(f"{count} filters in")
            assert before.items() <= state(control_plane).items()

    def test_with_an_api_server_that_does_not_answer(
        self, control_plane: ControlPlane, namespace: str
    ) -> None:
        make(control_plane, namespace, range(SERVICES))
        with Replica("one", control_plane.kubeconfig, namespace, *LONG) as one:
            wait_for_filters(control_plane, SERVICES)
            control_plane.apiserver.pause()
            self.ends(one)

    def test_while_writes_get_no_answer(
        self, control_plane: ControlPlane, namespace: str, workloads: Workloads
    ) -> None:
        make(control_plane, namespace, range(SERVICES))
        with Replica(
            "one", control_plane.kubeconfig, namespace, *LONG, "--debounce-quiet", "100ms"
        ) as one:
            wait_for_filters(control_plane, SERVICES)
            # istiod's webhook judges every filter: while it is paused, writes hang.
            control_plane.istiod.pause()
            workloads.workload("cache", [Port("tcp-redis", 6379, 16379)])
            busy = "controller_runtime_active_workers"
            wait_until(
                lambda: metric(one, busy) and metric(one, busy),
                20,
                "a write that hangs",
                interval=0.2,
            )
            self.ends(one)
