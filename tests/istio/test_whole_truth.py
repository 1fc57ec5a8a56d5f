"""The result of a real istiod with our filters in a real Envoy.

Each listener and each chain is the intended one, and there is no other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.findings.codes import MISSING_EXTENSION
from aeraki_core.model.mesh import Mesh
from aeraki_core.pipeline.arrange import Arrangement

from tests.cli.running import clean_environment, runner
from tests.istio.truth import (
    FILTER,
    PASSTHROUGH_CHAIN,
    PROTOCOLS,
    TCP_PROXY,
    as_file,
    chains_of,
    entry,
    istio,
    our_filters,
    proxy,
    subsets,
    wait_chains,
    wait_outbound,
    weights,
)
from tests.kubernetes.replica import Replica
from tests.kubernetes.running import Running
from tests.rig.api import Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.fixtures import NamespaceFactory, PodFactory, SidecarFactory
from tests.rig.names import listener_of, outbound
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

DUBBO = Port("tcp-dubbo", 20880, 30880)
KAFKA = Port("tcp-kafka", 9092, 19092)
REDIS = Port("tcp-redis", 6379, 16379)
THRIFT = Port("tcp-thrift", 9090, 19090)
ZOOKEEPER = Port("tcp-zookeeper", 2181, 12181)
PLAIN = Port("tcp-plain", 7000, 17000)

# What is in the listener of a service, for its clients; and in the chains of its pods.
OUTBOUND = {
    DUBBO: ("dubbo_proxy",),
    KAFKA: ("tcp_proxy",),
    REDIS: ("redis_proxy",),
    THRIFT: ("thrift_proxy",),
    ZOOKEEPER: ("zookeeper_proxy", "tcp_proxy"),
    PLAIN: ("tcp_proxy",),
}
INBOUND = {**OUTBOUND, REDIS: ("tcp_proxy",)}  # redis_proxy stands there only where it is asked for


def name_of(port: Port) -> str:
    return port.name.removeprefix("tcp-")


def test_every_protocol_and_what_the_program_says_of_it(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One pod serves all, and the test distinguishes the chains of its ports.
    pod = workloads.pod("server", labels={"app": "server"})
    services: dict[Port, Object] = {}
    for port in OUTBOUND:
        services[port] = workloads.service(name_of(port), [port], selector={"app": "server"})
        workloads.endpoints(name_of(port), [port], [pod])
    near, far = sidecar_factory(workloads.pod("client")), sidecar_factory(pod)
    clean_environment(monkeypatch)
    aeraki = runner(capfd, monkeypatch)
    plugins = ",".join(PROTOCOLS)
    with Replica(
        "one", control_plane.kubeconfig, namespace, plugins=plugins, elects=False
    ) as controller:
        for port, filters in OUTBOUND.items():
            wait_outbound(near, listener_of(services[port], port), filters)
            wait_chains(far, port, INBOUND[port], 1)
        for port in (DUBBO, REDIS, THRIFT, ZOOKEEPER):
            config = near.wait_filter(listener_of(services[port], port), proxy(name_of(port)))
            assert outbound(name_of(port), namespace, port) in json.dumps(config)
        written = our_filters(control_plane.api)
        assert len(written) == 4 + 3
        for sidecar in (near, far):
            assert not sidecar.rejected()
            assert not sidecar.warnings()

        path = as_file(control_plane.api, [namespace], tmp_path / "mesh.json")
        for place in (("-f", path), ("--controller", controller.url)):
            told = json.loads(aeraki("status", *place, "--all-ports", "-o", "json").out)["ports"]
            said = {each["port"]: each for each in told if f".{namespace}." in each["host"]}
            assert (
                sorted(tuple(name.split("/")) for each in said.values() for name in each["filters"])
                == written
            )
            for port, filters in OUTBOUND.items():
                assert said[port.port]["protocol"] == (None if port is PLAIN else name_of(port))
                assert (MISSING_EXTENSION.id in said[port.port]["findings"]) == (port is KAFKA)
                target = f"{name_of(port)}.{namespace}:{port.port}"
                (why,) = json.loads(aeraki("explain", target, *place, "-o", "json").out)["ports"]
                patches = " ".join(patch for each in why["filters"] for patch in each["patches"])
                assert (listener_of(services[port], port) in patches) == (filters != ("tcp_proxy",))
                assert (f"port {port.target_port}, " in patches) == (
                    INBOUND[port] != ("tcp_proxy",)
                )
    same = aeraki("diff", "-f", path, "--kubeconfig", control_plane.kubeconfig, "--live", "cluster")
    assert (same.code, same.out) == (0, ""), same.err


@pytest.mark.parametrize(("mode", "count"), [("PERMISSIVE", 3), ("STRICT", 1)])
def test_all_inbound_chains_of_the_target_port_and_no_other(
    mode: str,
    count: int,
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    pod_factory: PodFactory,
) -> None:
    control_plane.set_mtls(mode)
    # With certificates, or there would be no chain for them.
    pod, other = pod_factory("server", mtls=True), pod_factory("other", mtls=True)
    ports = [DUBBO, REDIS, THRIFT, ZOOKEEPER, PLAIN]
    workloads.workload(
        "server", ports, pods=[pod.record], annotations={"redis.aeraki.io/inbound": "true"}
    )
    # The same target port at a workload of no protocol.
    workloads.workload("other", [Port("tcp-x", 20880, DUBBO.target_port)], pods=[other.record])
    far, beside = pod.sidecar(), other.sidecar()
    with Running(control_plane.kubeconfig, PROTOCOLS):
        for port in ports:
            wait_chains(far, port, OUTBOUND[port], count)
        wait_chains(beside, DUBBO, ("tcp_proxy",), count)
        far.wait_cluster(f"aeraki-redis|inbound|{REDIS.target_port}||")
    assert not far.rejected()


@pytest.mark.parametrize(
    ("policy", "cluster"),
    [("ALLOW_ANY", "PassthroughCluster"), ("REGISTRY_ONLY", "BlackHoleCluster")],
)
@pytest.mark.parametrize("port", [DUBBO, ZOOKEEPER], ids=name_of)
def test_the_chain_for_all_other_addresses_stays_as_it_was(
    port: Port,
    policy: str,
    cluster: str,
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    control_plane.set_mesh_config(outboundTrafficPolicy={"mode": policy})
    control_plane.api.create(entry("wide", namespace, port, "240.9.0.0/16"))
    near = sidecar_factory(workloads.pod("client"))
    name = f"0.0.0.0_{port.port}"
    before = near.wait_listener(name, lambda found: passthrough(found)["cluster"] == cluster)
    with Running(
        control_plane.kubeconfig, PROTOCOLS, mesh=Mesh(registry_only=policy == "REGISTRY_ONLY")
    ) as running:
        listener = wait_outbound(near, name, OUTBOUND[port])
        assert chains_of(listener)[PASSTHROUGH_CHAIN] == ("tcp_proxy",)
        after = passthrough(listener)
        assert after["cluster"] == cluster
        # These are all of Istio's fields there beside the access log, which is off by default.
        assert {key: after[key] for key in ("stat_prefix", "cluster")} == {
            key: passthrough(before)[key] for key in ("stat_prefix", "cluster")
        }
        control_plane.api.delete(
            "networking.istio.io/v1", "ServiceEntry", "wide", namespace=namespace
        )
        running.wait(lambda: not our_filters(control_plane.api), "the filter to go")
    assert not near.rejected()


def passthrough(listener: dict[str, Any]) -> dict[str, Any]:
    """The tcp_proxy of the chain for addresses that no service has."""
    chains = [*listener.get("filter_chains", []), listener.get("default_filter_chain", {})]
    (chain,) = (each for each in chains if each.get("name") == PASSTHROUGH_CHAIN)
    config: dict[str, Any] = next(each for each in chain["filters"] if each["name"] == TCP_PROXY)[
        "typed_config"
    ]
    return config


def test_every_kind_of_address(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    ports = {
        name: Port("tcp-dubbo", number)
        for number, name in enumerate(("plain", "several", "mixed", "none"), 20001)
    }
    api = control_plane.api
    api.create(entry("plain", namespace, ports["plain"], "240.8.0.1/32"))
    api.create(entry("several", namespace, ports["several"], "240.8.0.2", "240.8.0.3"))
    api.create(
        entry("mixed", namespace, ports["mixed"], "240.8.0.4", "240.9.0.0/24", "240.9.1.0/24")
    )
    api.create(entry("none", namespace, ports["none"]))
    headless = workloads.workload("headless", [DUBBO], headless=True)
    assert headless["spec"]["clusterIP"] == "None"
    (address,) = (
        each["addresses"][0]
        for each in api.get(
            "discovery.k8s.io/v1", "EndpointSlice", "headless-rig", namespace=namespace
        )["endpoints"]
    )
    # One sees the addresses that istiod gives (its proxy answers DNS), the other does not.
    plain = sidecar_factory(workloads.pod("client"))
    capturing = sidecar_factory(
        workloads.pod("dns"), metadata={"DNS_CAPTURE": "true", "DNS_AUTO_ALLOCATE": "true"}
    )
    given = {
        "240.8.0.1_20001",
        "240.8.0.2_20002",
        "240.8.0.3_20002",
        "240.8.0.4_20003",
        "0.0.0.0_20003",
        f"{address}_{DUBBO.port}",
    }
    with Running(control_plane.kubeconfig, PROTOCOLS):
        for sidecar in (plain, capturing):
            for name in given:
                wait_outbound(sidecar, name, ("dubbo_proxy",))
        wait_outbound(plain, "0.0.0.0_20004", ("dubbo_proxy",))
        status = api.get("networking.istio.io/v1", "ServiceEntry", "none", namespace=namespace)[
            "status"
        ]
        allocated = [each["value"] for each in status["addresses"]]
        assert allocated
        names = {name for name in capturing.listeners() if name.endswith("_20004")}
        assert names == {f"{value}_20004" for value in allocated if ":" not in value}
        for name in names:
            wait_outbound(capturing, name, ("dubbo_proxy",))
        # Only beside ranges of addresses there is a chain for all others.
        for sidecar in (plain, capturing):
            spared = {
                name: chains_of(each).get(PASSTHROUGH_CHAIN)
                for name, each in sidecar.listeners().items()
            }
            found = {
                name: filters
                for name, filters in spared.items()
                if filters and name.startswith("0.0.0.0_")
            }
            assert found == {"0.0.0.0_20003": ("tcp_proxy",)}
            assert not sidecar.rejected()


def test_all_services_of_a_namespace_in_one_filter(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    services = {name: workloads.workload(name, [THRIFT]) for name in ("one", "two", "three")}
    near = sidecar_factory(workloads.pod("client"))
    with Running(control_plane.kubeconfig, PROTOCOLS, arrangement=Arrangement.NAMESPACE):
        for name, service in services.items():
            cluster = {"cluster": outbound(name, namespace, THRIFT)}
            near.wait_filter(
                listener_of(service, THRIFT),
                proxy("thrift"),
                lambda config, wanted=cluster: action(config) == wanted,  # type: ignore[misc]
            )
        written = [
            name for space, name in our_filters(control_plane.api) if space == ROOT_NAMESPACE
        ]
        assert len(written) == 1
    assert not near.rejected()


def test_clients_of_some_namespaces_only(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    make_namespace: NamespaceFactory,
    sidecar_factory: SidecarFactory,
) -> None:
    """A service that is exported to its own namespace; routes that are exported to another one."""
    api, elsewhere = control_plane.api, make_namespace()
    own = workloads.workload("own", [DUBBO], annotations={"networking.istio.io/exportTo": "."})
    shared = workloads.workload("shared", [THRIFT])
    api.create(subsets("shared", namespace, "v1", "v2"))
    route = weights("shared", namespace, {"v1": 10, "v2": 90}, exportTo=[elsewhere])
    near, far = (
        sidecar_factory(workloads.pod("here")),
        sidecar_factory(Workloads(api, elsewhere).pod("there")),
    )
    listener = listener_of(shared, THRIFT)
    cluster = outbound("shared", namespace, THRIFT)
    with Running(control_plane.kubeconfig, PROTOCOLS):
        for sidecar in (near, far):
            sidecar.wait_filter(
                listener, proxy("thrift"), lambda config: action(config) == {"cluster": cluster}
            )
        wait_outbound(near, listener_of(own, DUBBO), ("dubbo_proxy",))
        assert listener_of(own, DUBBO) not in far.listeners()
        api.create(route)
        far.wait_filter(
            listener, proxy("thrift"), lambda config: "weighted_clusters" in action(config)
        )
        assert chains_of(far.listeners()[listener]) == {
            "": ("thrift_proxy",)
        }  # in the place of the mesh's, not beside it
        (config,) = (each["typed_config"] for each in near.filters(listener))
        assert action(config) == {"cluster": cluster}
        where = {
            name: space
            for space, name in our_filters(api)
            if "outbound" in name and "shared" not in name
        }
        assert list(where.values()) == [namespace]
        overriding = [space for space, name in our_filters(api) if "outbound-shared" in name]
        assert sorted(overriding) == sorted([ROOT_NAMESPACE, elsewhere])
        # Both are ours, and only the order of priorities makes the second the last. Delete it to
        # see which one is live.
        api.delete("networking.istio.io/v1", "VirtualService", "shared", namespace=namespace)
        far.wait_filter(
            listener, proxy("thrift"), lambda config: action(config) == {"cluster": cluster}
        )
    assert not far.rejected()


def action(config: dict[str, Any]) -> dict[str, Any]:
    """The action of the only route of a thrift_proxy."""
    (route,) = config["route_config"]["routes"]
    found: dict[str, Any] = route["route"]
    return found


def test_a_users_own_filter_of_a_higher_priority_comes_after_ours(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    """However old it is, also where ours is in the workload's namespace."""
    pod = workloads.pod("dubbo-0", labels={"app": "dubbo"})
    service = workloads.workload("dubbo", [DUBBO], pods=[pod])
    api = control_plane.api
    for context, space in (
        ("SIDECAR_OUTBOUND", ROOT_NAMESPACE),
        ("SIDECAR_INBOUND", ROOT_NAMESPACE),
    ):
        api.create(users_filter(context, space))
    near, far = sidecar_factory(workloads.pod("client")), sidecar_factory(pod)
    with Running(control_plane.kubeconfig, ["dubbo"]):
        near.wait_filter(
            listener_of(service, DUBBO),
            proxy("dubbo"),
            lambda config: config["stat_prefix"] == "mine",
        )
        far.wait_filter(
            "virtualInbound", proxy("dubbo"), lambda config: config["stat_prefix"] == "mine"
        )


def users_filter(context: str, namespace: str) -> Object:
    """Replace each by another dubbo_proxy. istiod does a MERGE last, so it would show no order."""
    kind = "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy"
    patch = {
        "applyTo": "NETWORK_FILTER",
        "match": {
            "context": context,
            "listener": {"filterChain": {"filter": {"name": proxy("dubbo")}}},
        },
        "patch": {
            "operation": "REPLACE",
            "value": {
                "name": proxy("dubbo"),
                "typed_config": {"@type": kind, "stat_prefix": "mine"},
            },
        },
    }
    name = f"mine-{context.lower().replace('_', '-')}"
    made = istio("EnvoyFilter", name, namespace, {"priority": 20, "configPatches": [patch]})
    return {**made, "apiVersion": FILTER[0]}
