"""Our changes beside the filters: merged clusters and listeners, a replaced Redis Cluster.

Services of no protocol that share a listener with ours must not change.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest
from aeraki_core.findings.codes import SHARED_CIDR

from tests.istio.traffic import move_into, redis_serving
from tests.istio.truth import (
    PROTOCOLS,
    chain_filters,
    chains_at,
    entry,
    our_filters,
    proxy,
    redis_kind,
    subsets,
    wait_chains,
    wait_outbound,
)
from tests.kubernetes.running import Running
from tests.peers import needs, redis
from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import PodFactory, SidecarFactory
from tests.rig.names import listener_of, outbound
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

DUBBO = Port("tcp-dubbo", 20880, 30880)
THRIFT = Port("tcp-thrift", 9090, 19090)
REDIS = Port("tcp-redis", 6379, 16379)
LIMIT = 32 * 2**20


def test_options_reach_every_cluster_and_the_listeners_of_both_sides(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    pod = workloads.pod("server", labels={"app": "server", "version": "v1"})
    services: dict[str, Object] = {}
    for name, port, annotation in (
        ("dubbo", DUBBO, {"dubbo.aeraki.io/buffer-limit-bytes": str(LIMIT)}),
        ("thrift", THRIFT, {"thrift.aeraki.io/transport": "framed"}),
    ):
        services[name] = workloads.service(
            name, [port], selector={"app": "server"}, annotations=annotation
        )
        workloads.endpoints(name, [port], [pod])
        control_plane.api.create(subsets(name, namespace, "v1"))
    near, far = sidecar_factory(workloads.pod("client")), sidecar_factory(pod)
    with Running(control_plane.kubeconfig, PROTOCOLS):
        for sidecar, listener in (
            (near, listener_of(services["dubbo"], DUBBO)),
            (far, "virtualInbound"),
        ):
            sidecar.wait_listener(
                listener, lambda found: found.get("per_connection_buffer_limit_bytes") == LIMIT
            )
        places = [(near, "outbound", ("", "v1")), (far, "inbound", ("",))]
        for sidecar, side, names in places:
            for subset in names:
                inbound = side == "inbound"
                name = (
                    f"inbound|{DUBBO.target_port}||"
                    if inbound
                    else outbound("dubbo", namespace, DUBBO, subset)
                )
                sidecar.wait_cluster(
                    name, lambda found: found.get("per_connection_buffer_limit_bytes") == LIMIT
                )
                name = (
                    f"inbound|{THRIFT.target_port}||"
                    if inbound
                    else outbound("thrift", namespace, THRIFT, subset)
                )
                sidecar.wait_cluster(
                    name, lambda found: proxy("thrift") in found["typed_extension_protocol_options"]
                )
    for sidecar in (near, far):
        assert not sidecar.rejected()
        assert not sidecar.warnings()


def test_a_port_whose_app_protocol_istio_does_not_know(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    """Istio looks whether it is HTTP, and what is not goes to our filter."""
    port = Port("rpc", 20880, 30880, app_protocol="dubbo")
    pod = workloads.pod("dubbo-0", labels={"app": "dubbo"})
    service = workloads.workload("dubbo", [port], pods=[pod])
    near, far = sidecar_factory(workloads.pod("client")), sidecar_factory(pod)
    with Running(control_plane.kubeconfig, ["dubbo"]):
        near.wait_filter(listener_of(service, port), proxy("dubbo"))
        far.wait_filter("virtualInbound", proxy("dubbo"))
        clients = Counter(chain_filters(near.listeners()[listener_of(service, port)]))
        assert (
            clients
            == chains_at(far, port.target_port)
            == {("http_connection_manager",): 1, ("dubbo_proxy",): 1}
        )
    assert not near.rejected()
    assert not far.rejected()


@pytest.mark.parametrize("name", ["tcp-thrift", "tcp-plain"])
def test_ranges_of_two_services_on_one_port_are_left_alone(
    name: str,
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    """Their chains are in one listener, and no patch could distinguish them."""
    near = sidecar_factory(workloads.pod("client"))
    listener, api = f"0.0.0.0_{THRIFT.port}", control_plane.api
    with Running(control_plane.kubeconfig, PROTOCOLS) as running:
        api.create(entry("one", namespace, THRIFT, "240.10.0.0/16"))
        wait_outbound(near, listener, ("thrift_proxy",))
        api.create(entry("two", namespace, Port(name, THRIFT.port), "240.11.0.0/16"))
        near.wait_listener(
            listener, lambda found: Counter(chain_filters(found)) == {("tcp_proxy",): 3}
        )
        assert not our_filters(api)
        assert SHARED_CIDR in {finding.code for finding in running.controller.findings}
    assert not near.rejected()


@pytest.mark.usefixtures("redis_kinds")
def test_keys_go_where_a_redis_service_sends_them(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    needs.need(*needs.REDIS)
    client = pod_factory("client")
    pods = {name: pod_factory(name) for name in ("one", "two")}
    asked = {"redis.aeraki.io/inbound": "true"}
    services = {
        name: workloads.workload(name, [REDIS], pods=[pod.record], annotations=asked)
        for name, pod in pods.items()
    }
    routes = {
        "host": ["one"],
        "redis": [
            {"match": {"key": {"prefix": "user:"}}, "route": {"host": "two"}},
            {"route": {"host": "one"}},
        ],
    }
    control_plane.api.create(redis_kind("RedisService", "one", namespace, routes))
    with ExitStack() as running:
        for pod in pods.values():
            running.enter_context(redis_serving(pod, REDIS.target_port))
        running.enter_context(Running(control_plane.kubeconfig, ["redis"]))
        near, *far = (pod.sidecar() for pod in (client, *pods.values()))
        near.wait_filter(
            listener_of(services["one"], REDIS),
            proxy("redis"),
            lambda config: "|two." in str(config),
        )
        for name, pod in pods.items():
            near.wait_endpoints(outbound(name, namespace, REDIS), [f"{pod.ip}:{REDIS.target_port}"])
        for sidecar in far:
            wait_chains(sidecar, REDIS, ("redis_proxy",), 1)
        with (
            client.inside(),
            redis.client((services["one"]["spec"]["clusterIP"], REDIS.port)) as connection,
        ):
            for key in ("user:1", "other"):
                assert connection.set(key, key)
                assert connection.get(key) == key
        for name, key in (("one", "other"), ("two", "user:1")):
            with pods[name].inside(), redis.client(("127.0.0.1", REDIS.target_port)) as direct:
                assert direct.keys() == [key]
        for sidecar in far:
            assert sum(sidecar.stats(r"^redis\..*inbound.*command\.set\.total$").values()) == 1
        for sidecar in (near, *far):
            assert not sidecar.rejected()


@pytest.mark.usefixtures("redis_kinds")
def test_a_redis_cluster_has_a_cluster_beside_istios(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    needs.need(*needs.REDIS)
    client, pod = pod_factory("client"), pod_factory("redis")
    with pod.inside():
        nodes = redis.RedisCluster(3, pod.ip)
    for node in nodes.servers:
        node.argv += ["--protected-mode", "no"]
        move_into(pod, node)
    first = nodes.servers[0].address[1]
    port = Port("tcp-redis", 6379, first)
    service = workloads.workload("redis", [port], pods=[pod.record])
    pool = {"redis": {"mode": "CLUSTER", "discoveryEndpoints": [f"{pod.ip}:{first}"]}}
    destination = {"host": "redis", "trafficPolicy": {"connectionPool": pool}}
    name = outbound("redis", namespace, port)
    with ExitStack() as running:
        with pod.inside():
            running.enter_context(nodes)
        running.enter_context(Running(control_plane.kubeconfig, ["redis"]))
        near = client.sidecar()
        near.wait_filter(listener_of(service, port), proxy("redis"))
        assert near.wait_cluster(name)["type"] == "EDS"
        control_plane.api.create(redis_kind("RedisDestination", "redis", namespace, destination))
        added = f"aeraki-redis|{name}"
        assert near.wait_cluster(added)["cluster_type"]["name"] == "envoy.clusters.redis"
        near.wait_endpoints(added, ["{}:{}".format(*node.address) for node in nodes.servers])
        assert near.wait_cluster(name)["type"] == "EDS"
        keys = {f"key-{number}" for number in range(50)}
        with client.inside(), redis.client((service["spec"]["clusterIP"], port.port)) as connection:
            for key in keys:
                assert connection.set(key, key)
            assert {connection.get(key) for key in keys} == keys
        with pod.inside():
            shares = [node.keys() for node in nodes.servers]
        assert all(shares)
        assert set.union(*shares) == keys
        assert not near.rejected()
