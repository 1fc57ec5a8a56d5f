"""Workloads that a DestinationRule or a Sidecar selects have filters that fit what they see."""

from __future__ import annotations

import re
from functools import partial

import pytest
from envoy.config.listener.v3.listener_pb2 import Listener

from tests.istio.truth import entry, istio
from tests.kubernetes.running import Running
from tests.rig.ads import AdsClient, ProxyConfig
from tests.rig.api import Object
from tests.rig.bootstrap import Node
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import NamespaceFactory
from tests.rig.names import listener_of
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

pytestmark = pytest.mark.mesh

DUBBO = Port("tcp-dubbo", 20880)
FRONT, GOLD = ("app", "front"), ("tier", "gold")


def rule(name: str, namespace: str, host: str, *subsets: str, **spec: object) -> Object:
    named = [{"name": each, "labels": {"version": each}} for each in subsets]
    return istio("DestinationRule", name, namespace, {"host": host, "subsets": named, **spec})


def selecting(label: tuple[str, str]) -> dict[str, object]:
    return {"workloadSelector": {"matchLabels": dict([label])}}


def has_subsets(client: AdsClient, node: Node, host: str, subsets: set[str]) -> bool:
    """Whether istiod gives a client clusters of these subsets of a host, and of no others."""
    names = [name.split("|") for name in client.config(node).clusters]
    found = {
        name[2] for name in names if len(name) == 4 and name[0] == "outbound" and name[3] == host
    }
    return found - {""} == subsets


def routed(config: ProxyConfig, listener: str) -> tuple[set[str], set[str]]:
    """The filters of a listener, and the subsets that these name."""
    found = config.listeners.get(listener, Listener())
    names = {chain.filters[-1].name.rpartition(".")[2] for chain in found.filter_chains}
    clusters = re.findall(rb"outbound\|20880\|(v\d)\|", found.SerializeToString())
    return names, {each.decode() for each in clusters}


def clusters_at(config: ProxyConfig, listener: str) -> tuple[set[str], set[str]]:
    """The last filters of a listener, and the first labels of the hosts that these name."""
    found = config.listeners.get(listener, Listener())
    names = {chain.filters[-1].name.rpartition(".")[2] for chain in found.filter_chains}
    hosts = re.findall(rb"outbound\|20881\|[^|]*\|(\w+)\.", found.SerializeToString())
    return names, {each.decode() for each in hosts}


def has_at(
    client: AdsClient, node: Node, listener: str, expected: tuple[set[str], set[str]]
) -> bool:
    return clusters_at(client.config(node), listener) == expected


def has_filter_for(client: AdsClient, node: Node, listener: str, subsets: set[str]) -> bool:
    return routed(client.config(node), listener) == ({"dubbo_proxy"}, subsets)


def test_each_workload_has_the_filter_of_the_rules_that_select_it(
    control_plane: ControlPlane,
    namespace: str,
    make_namespace: NamespaceFactory,
    workloads: Workloads,
) -> None:
    api, web, bank = control_plane.api, make_namespace(), make_namespace()
    host = f"greeter.{namespace}.svc.cluster.local"
    listener = listener_of(workloads.workload("greeter", [DUBBO]), DUBBO)
    routes = [
        {
            "match": [{"method": {"exact": f"m{subset}"}}],
            "route": [{"destination": {"host": host, "subset": subset}}],
        }
        for subset in ("v1", "v2", "v3", "v4")
    ]
    default = {"route": [{"destination": {"host": host}}]}
    api.create(
        istio("VirtualService", "greeter", namespace, {"hosts": [host], "http": [*routes, default]})
    )
    # Of two rules of one second, istiod takes the first by name for the older one.
    for each in (
        rule("greeter", namespace, host, "v1", "v2", "v3", "v4"),
        rule("greeter-front", namespace, host, "v1", **selecting(FRONT)),
        rule("a-front", web, host, "v1", **selecting(FRONT)),
        rule("b-gold", web, host, "v2", **selecting(GOLD)),
        rule("c-private", web, host, "v3", exportTo=["."]),
        rule("d-general", web, host, "v4"),
    ):
        api.create(each)
    everything = {"v1", "v2", "v3", "v4"}
    expected: dict[tuple[str, tuple[tuple[str, str], ...]], set[str]] = {
        (web, ()): {"v4"},
        (web, (FRONT,)): {"v1", "v3"},
        (web, (GOLD,)): {"v2", "v3"},
        (web, (FRONT, GOLD)): {"v1", "v3"},
        (namespace, (FRONT,)): {"v1"},
        (namespace, ()): everything,
        (bank, (FRONT, GOLD)): everything,
    }
    nodes = {}
    for number, (where, labels) in enumerate(expected):
        pod = Workloads(api, where).pod(f"client-{number}", labels=dict(labels) or None)
        nodes[where, labels] = Node.of(pod)
    with AdsClient(control_plane.istiod_ports.grpc) as client:
        for key, node in nodes.items():
            gives = partial(has_subsets, client, node, host, expected[key])
            wait_until(gives, 60, f"the clusters of {key}")
        with Running(control_plane.kubeconfig, ["dubbo"]):
            for key, node in nodes.items():
                fits = partial(has_filter_for, client, node, listener, expected[key])
                wait_until(fits, 60, f"the filter of {key}")


def test_each_workload_has_the_filter_of_the_service_that_its_sidecar_imports(
    control_plane: ControlPlane,
    namespace: str,
    make_namespace: NamespaceFactory,
) -> None:
    api, web = control_plane.api, make_namespace()
    dubbo, plain = Port("tcp-dubbo", 20881), Port("tcp", 20881)
    # Of two objects of one second, istiod takes the first by name for the older one.
    for name, port in (("a", dubbo), ("b", dubbo), ("c", plain)):
        api.create(entry(name, namespace, port, resolution="DNS"))
    for name, label in (("jobs", "b"), ("plain", "c")):
        hosts = [f"{namespace}/{label}.example.org", "istio-system/*"]
        spec = {"workloadSelector": {"labels": {name: "yes"}}, "egress": [{"hosts": hosts}]}
        api.create(istio("Sidecar", name, web, spec))
    jobs, tcp = ("jobs", "yes"), ("plain", "yes")
    expected: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[set[str], set[str]]] = {
        (web, ()): ({"dubbo_proxy"}, {"a"}),
        (web, (jobs,)): ({"dubbo_proxy"}, {"b"}),
        (web, (tcp,)): ({"tcp_proxy"}, {"c"}),
        (web, (jobs, tcp)): ({"dubbo_proxy"}, {"b"}),
        (namespace, (tcp,)): ({"dubbo_proxy"}, {"a"}),
    }
    nodes = {}
    for number, (where, labels) in enumerate(expected):
        pod = Workloads(api, where).pod(f"client-{number}", labels=dict(labels) or None)
        nodes[where, labels] = Node.of(pod)
    with (
        AdsClient(control_plane.istiod_ports.grpc) as client,
        Running(control_plane.kubeconfig, ["dubbo"]),
    ):
        for key, node in nodes.items():
            fits = partial(has_at, client, node, "0.0.0.0_20881", expected[key])
            wait_until(fits, 60, f"the filter of {key}")
