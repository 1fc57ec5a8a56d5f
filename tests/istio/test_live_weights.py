"""A canary by live weights: real calls over open connections follow each step, and none fails.

All tests share one mesh, whose clients call from the first test to the last. `make live` repeats
each scenario.
"""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tests.istio.shop import FOR_STRANGER, Shop
from tests.istio.steady import ThreadLoad, wait_calls, wait_obeyed
from tests.istio.traffic import dubbo_caller
from tests.rig.control_plane import ControlPlane
from tests.rig.interception import PodNetwork
from tests.waiting import wait_until

# The limit counts the start of the mesh, too.
pytestmark = [pytest.mark.mesh, pytest.mark.timeout(900)]

STEPS = [10, 25, 50, 75, 100, 60, 0, 30, 90, 0]
CANARIES = ("greeter", "store")
AWAY = 10.0  # seconds that the API server is away
ROUNDS = range(int(os.environ.get("AERAKI_LIVE_ROUNDS", "1")))
"""How often each scenario runs."""


@pytest.fixture(scope="module")
def shop(control_plane: ControlPlane, pod_network: PodNetwork) -> Iterator[Shop]:
    """All clients call all the time, from the first test to the last."""
    with Shop(control_plane, pod_network) as shop:
        shop.start_loads()
        wait_calls(shop.loads, 100)
        yield shop


@contextmanager
def nothing_fails(shop: Shop) -> Iterator[None]:
    """In the block no call fails, no connection is closed, and no filter changes."""
    failed = {load.name: load.counts().failed for load in shop.loads}
    filters, connections = shop.filters(), shop.connections()
    yield
    for load in shop.loads:
        counts = load.counts()
        assert counts.failed == failed[load.name], (load.name, counts.errors)
    assert shop.connections() == connections
    assert shop.filters() == filters
    for sidecar in shop.sidecars():
        assert not sidecar.rejected()


def write(shop: Shop, second: int) -> None:
    """Give v2 so many of 100 calls of both canaries."""
    for name in CANARIES:
        shop.write_split(name, second)


def wait_live(shop: Shop, second: int) -> None:
    """Wait until the client's sidecar has a step."""
    for name in CANARIES:
        shop.wait_split(name, second)


def check_obeyed(shop: Shop, second: int) -> None:
    """Check that the next calls of each client obey a step."""
    wait_obeyed(shop.canary_loads, {"v1": 100 - second, "v2": second})


# A new leader keeps what filters named for two minutes: so these two come first.


def test_leader_killed_in_the_middle_of_a_step(shop: Shop) -> None:
    for round_ in ROUNDS:
        second = (50, 20, 80)[round_ % 3]
        leader = shop.leader()
        with nothing_fails(shop):
            with shop.next_write("greeter"):
                write(shop, second)
            leader.send(signal.SIGKILL)
            start = time.monotonic()
            # The dead leader wrote this step in part or as a whole, and nothing of the next.
            write(shop, second + 10)
            wait_live(shop, second + 10)
            print(
                f"the standby wrote the next step {time.monotonic() - start:.1f} s after the kill"
            )
            check_obeyed(shop, second + 10)
        shop.controllers.remove(leader)
        shop.add_controller(f"next-{round_}")


def test_api_server_away(shop: Shop) -> None:
    for _ in ROUNDS:
        with nothing_fails(shop):
            write(shop, 100)
            wait_live(shop, 100)
            shop.plane.apiserver.kill()
            threading.Event().wait(AWAY)
            check_obeyed(shop, 100)
            shop.plane.apiserver.start()
            start = time.monotonic()
            write(shop, 0)
            wait_live(shop, 0)
            print(f"the step is live {time.monotonic() - start:.1f} s after the API server is back")
            check_obeyed(shop, 0)


def test_ten_steps(shop: Shop) -> None:
    seconds: list[float] = []
    begin = (len(shop.copy.calls), shop.load("Thrift").counts().answered)
    with nothing_fails(shop):
        for second in STEPS * len(ROUNDS):
            start = time.monotonic()
            write(shop, second)
            wait_live(shop, second)
            seconds.append(time.monotonic() - start)
            check_obeyed(shop, second)
    print(f"steps are live after {statistics.median(seconds):.2f} s, {max(seconds):.2f} s at most")
    end = (len(shop.copy.calls), shop.load("Thrift").counts().answered)
    copies, calls = (after - before for before, after in zip(begin, end, strict=True))
    assert 0.4 < copies / calls < 0.6  # half of the calls have a copy


def test_each_route_and_each_namespace_has_its_own_weights(shop: Shop) -> None:
    client, stranger = shop.client.pod, shop.stranger.pod
    here, far = shop.services["hello"].address, shop.services["greeter"].address
    loads = {
        "bye": ThreadLoad("bye", client, partial(dubbo_caller, here, "sayBye"), connections=8),
        "other": ThreadLoad(
            "other", client, partial(dubbo_caller, here, "sayHello"), connections=8
        ),
        "own": ThreadLoad("own", stranger, partial(dubbo_caller, here, "sayHello"), connections=8),
        "mesh": ThreadLoad("mesh", stranger, partial(dubbo_caller, far, "sayHello"), connections=8),
    }
    far_sidecar = shop.stranger.sidecar
    with shop.running(*loads.values()), nothing_fails(shop):
        for bye, other, own, mesh in ((20, 70, 100, 40), (100, 0, 30, 0)) * len(ROUNDS):
            shop.write_routes("hello", shop.hello_routes(bye, other))
            shop.write_split("hello", own, FOR_STRANGER)
            shop.write_split("greeter", mesh)
            shop.wait_split("hello", bye, other)
            shop.wait_split("hello", own, sidecar=far_sidecar)
            shop.wait_split("greeter", mesh, sidecar=far_sidecar)
            for name, second in {"bye": bye, "other": other, "own": own, "mesh": mesh}.items():
                wait_obeyed([loads[name]], {"v1": 100 - second, "v2": second}, calls=150)
    for load in loads.values():
        assert not load.counts().errors


def test_pods_scaled_and_restarted(shop: Shop) -> None:
    with nothing_fails(shop):
        write(shop, 40)
        wait_live(shop, 40)
        for _ in ROUNDS:
            more = add(shop, "v2")
            check_obeyed(shop, 40)
            remove(shop, more)
            for name in list(shop.backends):
                add(shop, shop.backends[name].version)
                remove(shop, name)
            wait_live(shop, 40)
            check_obeyed(shop, 40)


def add(shop: Shop, version: str) -> str:
    """Start a pod, and wait until it gets calls."""
    name = shop.add_backend(version)
    shop.publish()
    shop.wait_pod(name, [shop.weight_sets(service)[0] for service in CANARIES], there=True)
    return name


def remove(shop: Shop, name: str) -> None:
    """End a pod as kubelet does: first it gets no more calls, then it stops."""
    clusters = {
        shop.weight_sets(service)[0]: shop.subset(service, shop.backends[name].version)
        for service in CANARIES
    }
    shop.publish(terminating=[name])
    left = shop.wait_pod(name, [*clusters, *clusters.values()], there=False)
    late = [left[ours] - left[own] for ours, own in clusters.items()]
    print(f"{name} leaves {max(late):.2f} s after it leaves Istio's own endpoints")
    wait_calls(shop.canary_loads, 32)  # those that it may have got before are answered
    shop.remove_backend(name)


def test_istiod_restarted(shop: Shop) -> None:
    for _ in ROUNDS:
        with nothing_fails(shop):
            write(shop, 70)
            # istiod's webhook is away with it: the controller can write nothing.
            shop.plane.istiod.kill()
            wait_calls(shop.loads, 300)
            shop.plane.istiod.start()
            start = time.monotonic()
            wait_live(shop, 70)
            print(f"the step is live {time.monotonic() - start:.1f} s after istiod is back")
            check_obeyed(shop, 70)
            write(shop, 30)
            wait_live(shop, 30)
            check_obeyed(shop, 30)


def test_turned_off_again(shop: Shop) -> None:
    # Turned off when the mesh began: what carried its weights stays two minutes longer.
    assert shop.companions("greeter")
    wait_until(lambda: not shop.companions("spare"), 150, "all that carried weights to be gone")
