"""Real calls of every protocol through two intercepting sidecars, with our filters from istiod."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.running import Run, clean_environment, runner
from tests.dataplane.support_routes import assert_share
from tests.istio.traffic import (
    ANYWHERE,
    PEERS,
    Peer,
    Route,
    routed,
    share,
    wait_inbound,
)
from tests.istio.truth import FILTER, as_file, assert_in_sidecars, our_filters, proxy
from tests.kubernetes.running import Running
from tests.peers import needs, zookeeper
from tests.peers.processes import Address
from tests.rig import sidecar as sidecar_module
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import PodFactory
from tests.rig.interception import Pod
from tests.rig.names import listener_of, outbound
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

Answers = Counter[tuple[str, str]]


@pytest.mark.usefixtures("redis_kinds")
@pytest.mark.parametrize("mode", ["DISABLE", "STRICT"])
@pytest.mark.parametrize("protocol", PEERS)
def test_a_route_changes_under_load(
    protocol: str,
    mode: str,
    control_plane: ControlPlane,
    workloads: Workloads,
    pod_factory: PodFactory,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs.need(*needs.REDIS, *needs.ZOOKEEPER)
    clean_environment(monkeypatch)
    aeraki = runner(capfd, monkeypatch)
    with routed(protocol, control_plane, workloads, pod_factory, mode=mode) as route:
        with route.load.running():
            before = route.load.wait_more(route.peer.calls)
            route.turn_round()
            after = route.load.wait_more(route.peer.calls)
        assert_share(*share(before, "new", "v1"), route.first)
        assert_share(*share(after, "new", "v1"), route.then)
        assert_open_connections(protocol, before, after, route)
        for sidecar in route.far:
            assert sum(sidecar.stats(route.peer.counts).values()) > 0
            handshakes = sum(sidecar.stats(r"listener.*15006.*ssl\.handshake$").values())
            assert (handshakes > 0) == (mode == "STRICT")
        assert_what_is_told_is_there(route, aeraki, tmp_path)


def assert_open_connections(protocol: str, before: Answers, after: Answers, route: Route) -> None:
    """Open connections keep the old route until Envoy has drained the old filter.

    None is cut off, except for Redis.
    """
    match protocol:
        case "redis":
            # Closed with an answer, so no command is lost. A client that does not look before its
            # next command sees it once.
            assert_share(*share(before, "open", "v1"), route.first)
            assert_share(*share(after, "open", "v1"), route.then)
            assert [failure.partition(":")[0] for failure in route.load.failures] in ([], ["open"])
        case "zookeeper":
            # Routed once, when it is made.
            assert len({server for kind, server in before + after if kind == "open"}) == 1
            assert route.load.failures == []
        case _:
            assert_share(*share(before, "open", "v1"), route.first)
            assert_share(*share(after, "open", "v1"), route.first)
            assert route.load.failures == []


def assert_what_is_told_is_there(route: Route, aeraki: Run, folder: Path) -> None:
    """`aeraki status` and `explain` list the live filters, and the sidecars have every field."""
    api = route.plane.api
    path = as_file(
        api, [route.namespace], folder / "mesh.json", [("redis.aeraki.io/v1alpha1", "RedisService")]
    )
    written = {"/".join(each) for each in our_filters(api)}
    for place in (("-f", path), ("--controller", route.controller.url)):
        status = aeraki("status", *place, "-o", "json")
        assert status.code == 0, status.err
        ports = json.loads(status.out)["ports"]
        assert {name for each in ports for name in each["filters"]} == written
        assert [(each["protocol"], each["state"]) for each in ports] == [
            (route.peer.name, "current")
        ] * len(ports)
        (why,) = json.loads(aeraki("explain", route.service, *place, "-o", "json").out)["ports"]
        made = [each["filter"].split("/") for each in why["filters"]]
        assert len(made) == 2
        for space, name in made:
            assert_in_sidecars(api.get(*FILTER, name, namespace=space), route.near, route.far)


@pytest.mark.parametrize("protocol", ["dubbo", "thrift"])
def test_a_connection_is_cut_once_when_the_old_filter_has_drained(
    protocol: str,
    control_plane: ControlPlane,
    workloads: Workloads,
    pod_factory: PodFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change costs each open connection one call at most, and new ones none."""
    monkeypatch.setattr(
        sidecar_module, "ENVOY_FLAGS", (*sidecar_module.ENVOY_FLAGS, "--drain-time-s", "2")
    )
    with routed(protocol, control_plane, workloads, pod_factory) as route:
        with route.load.running():
            route.load.wait_more(20)
            route.turn_round()
            gone = r"^listener_manager\.total_(filter_chains|listeners)_draining$"
            route.near.wait_for(
                lambda envoy: set(envoy.stats(gone).values()) == {0}, "the old filter to be gone"
            )
            after = route.load.wait_more(150)
        assert_share(*share(after, "open", "v1"), route.then)
        assert len(route.load.failures) <= 1
        assert all(failure.startswith("open: ") for failure in route.load.failures)
        for sidecar in (route.near, *route.far):
            assert sidecar.process.running


@pytest.mark.parametrize("protocol", ["dubbo", "thrift"])
def test_pods_of_a_headless_service(
    protocol: str,
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    pod_factory: PodFactory,
) -> None:
    peer = PEERS[protocol]
    port = Port(
        peer.port.name, peer.port.port
    )  # a headless service cannot have another target port
    client = pod_factory("client")
    servers = {name: pod_factory(name, labels={"app": protocol}) for name in ("one", "two")}
    one, two = (pod.record for pod in servers.values())
    workloads.workload(protocol, [port], pods=[one], headless=True)
    with ExitStack() as running:
        for name, pod in servers.items():
            running.enter_context(peer.serve(pod, name, (ANYWHERE, port.target_port)))
        running.enter_context(Running(control_plane.kubeconfig, [protocol]))
        near, *far = (pod.sidecar() for pod in (client, *servers.values()))
        near.wait_filter(f"{one.ip}_{port.port}", proxy(protocol))
        wait_inbound(far, port, f"{protocol}_proxy")
        assert call_in(client, peer, (one.ip, port.port)) == "one"
        workloads.endpoints(protocol, [port], [one, two])
        near.wait_filter(f"{two.ip}_{port.port}", proxy(protocol))
        assert call_in(client, peer, (two.ip, port.port)) == "two"
        assert call_in(client, peer, (one.ip, port.port)) == "one"
        for sidecar in (near, *far):
            assert not sidecar.rejected()


def call_in(pod: Pod, peer: Peer, address: Address) -> str:
    """Who answers."""
    with pod.inside(), peer.caller(address) as call:
        return call()


def test_zookeeper_is_counted_on_both_sides(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    needs.need(*needs.ZOOKEEPER)
    peer = PEERS["zookeeper"]
    client, pod = pod_factory("client"), pod_factory("zookeeper")
    service = workloads.workload("zookeeper", [peer.port], pods=[pod.record])
    with (
        peer.serve(pod, "zookeeper", (ANYWHERE, peer.port.target_port)),
        Running(control_plane.kubeconfig, ["zookeeper"]),
    ):
        near, far = client.sidecar(), pod.sidecar()
        near.wait_filter(listener_of(service, peer.port), proxy("zookeeper"))
        near.wait_endpoints(
            outbound("zookeeper", namespace, peer.port), [f"{pod.ip}:{peer.port.target_port}"]
        )
        wait_inbound([far], peer.port, "zookeeper_proxy")
        with (
            client.inside(),
            zookeeper.client((service["spec"]["clusterIP"], peer.port.port)) as session,
        ):
            session.create("/a", b"1")
            assert session.get("/a")[0] == b"1"
        for sidecar, side in ((near, "outbound"), (far, "inbound")):
            counted = sidecar.stats(rf"^{side}.*zookeeper\.(create|getdata)_rq$")
            assert sorted(counted.values()) == [1, 1], counted
            assert not sidecar.rejected()
