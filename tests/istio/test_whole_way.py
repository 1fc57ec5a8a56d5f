"""From a Service in the cluster to calls of a pod with an intercepting sidecar; all parts real."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aeraki_core.filters.envoyfilter import to_dict
from aeraki_core.kube.client import connect
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.sinks.kubernetes.sink import KubernetesSink
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.source import IstiodSource

from tests.istio.traffic import redis_serving
from tests.kubernetes.filters import redis_filter
from tests.kubernetes.running import Running
from tests.peers import redis as peer
from tests.peers.processes import Address
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import PodFactory, SidecarFactory
from tests.rig.interception import Pod
from tests.rig.names import listener_of, outbound
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

pytestmark = pytest.mark.mesh

REDIS = Port("tcp-redis", 6379, 16379)
REDIS_PROXY = "envoy.filters.network.redis_proxy"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
API = ("networking.istio.io/v1alpha3", "EnvoyFilter")


def test_a_service_gets_its_protocol_and_loses_it_again(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    service = workloads.workload("redis", [REDIS])
    sidecar = sidecar_factory(workloads.pod("client"))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        config = sidecar.wait_filter(listener_of(service, REDIS), REDIS_PROXY)
        cluster = outbound("redis", namespace, REDIS)
        assert config["prefix_routes"]["catch_all_route"]["cluster"] == cluster
        control_plane.api.delete("v1", "Service", "redis", namespace=namespace)
        running.wait(lambda: not running.sink.live(), "the filters to go")
    assert not sidecar.rejected()


def test_istiod_alone_is_enough_for_the_clients_side(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
    istiod: Istiod,
) -> None:
    service = workloads.workload("redis", [REDIS])
    sidecar = sidecar_factory(workloads.pod("client"))
    with Running(control_plane.kubeconfig, ["redis"], sources=[IstiodSource(istiod)]):
        sidecar.wait_filter(listener_of(service, REDIS), REDIS_PROXY)


def test_calls_go_through_both_sidecars(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    client, server = pod_factory("client"), pod_factory("redis", labels={"app": "redis"})
    service = workloads.workload("redis", [REDIS], pods=[server.record])
    with redis_serving(server, REDIS.target_port), Running(control_plane.kubeconfig, ["redis"]):
        near, far = client.sidecar(), server.sidecar()
        near.wait_filter(listener_of(service, REDIS), REDIS_PROXY)
        near.wait_endpoints(outbound("redis", namespace, REDIS), [f"{server.ip}:16379"])
        far.wait_cluster(f"inbound|{REDIS.target_port}||")
        call(client, (service["spec"]["clusterIP"], REDIS.port))
        seen = near.stats(r"^redis\..*command\.set\.total$")
        assert sum(seen.values()) == 1, near.stats(r"^redis")
        assert not near.rejected()
        assert not far.rejected()


def test_adopting_upstreams_filters_leaves_no_gap(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    client, server = pod_factory("client"), pod_factory("redis", labels={"app": "redis"})
    service = workloads.workload("redis", [REDIS], pods=[server.record])
    host, address = f"redis.{namespace}.svc.cluster.local", service["spec"]["clusterIP"]
    name = f"aeraki-outbound-{host}-{address}-{REDIS.port}"
    theirs = to_dict(
        redis_filter(host=host, listener=listener_of(service, REDIS), stat_prefix="upstream")
    )
    del theirs["spec"]["priority"]
    theirs["metadata"] = {
        "name": name,
        "namespace": "istio-system",
        "labels": {"manager": "Aeraki"},
    }
    control_plane.api.create(theirs)
    with redis_serving(server, REDIS.target_port):
        near = client.sidecar()
        near.wait_filter(
            listener_of(service, REDIS),
            REDIS_PROXY,
            lambda config: config["stat_prefix"] == "upstream",
        )
        near.wait_endpoints(f"outbound|{REDIS.port}||{host}", [f"{server.ip}:16379"])
        sink = KubernetesSink(lambda: connect(control_plane.kubeconfig), adopt_upstream=True)
        with calling(client, (address, REDIS.port)) as failures:
            with Running(control_plane.kubeconfig, ["redis"], sink=sink) as running:
                near.wait_filter(
                    listener_of(service, REDIS),
                    REDIS_PROXY,
                    lambda config: config["stat_prefix"] != "upstream",
                )
                wait_until(
                    lambda: control_plane.api.find(*API, name, namespace="istio-system") is None,
                    15,
                    "upstream's filter to go",
                )
                assert running.count(Action.CREATE) >= 1
            kinds = [each["name"] for each in near.filters(listener_of(service, REDIS))]
            assert REDIS_PROXY in kinds
            assert TCP_PROXY not in kinds
        # Our filter also gives the cluster its hash balancer. Envoy answers calls in flight there
        # with an error (docs/changes.md). Connections and all other calls continue.
        assert failures in ([], ["upstream failure"])
        assert not near.rejected()


def call(pod: Pod, address: Address) -> None:
    with pod.inside(), peer.client(address) as client:
        assert client.set("key", "value")
        assert client.get("key") == "value"


@contextmanager
def calling(pod: Pod, address: Address) -> Iterator[list[str]]:
    """Calls all the time, each on a connection of its own; gives the failures."""
    stopped, failures, count = threading.Event(), list[str](), 0

    def go_on() -> None:
        nonlocal count
        with pod.inside():
            while not stopped.is_set():
                try:
                    with peer.client(address) as client:
                        client.set("key", "value")
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is a failed call
                    failures.append(str(error))
                count += 1

    def wait_more(calls: int) -> None:
        goal = count + calls
        wait_until(lambda: count >= goal, 60, f"{calls} calls more", seen=lambda: failures)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        wait_more(20)
        yield failures
        wait_more(20)
    finally:
        stopped.set()
        thread.join()
