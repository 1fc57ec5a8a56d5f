"""Filters move to who imports the service and back; no listener is without one meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import grpc
import pytest
from aeraki_core.pipeline.arrange import Arrangement
from envoy.config.listener.v3.listener_pb2 import Listener

from tests.istio.truth import our_filters
from tests.kubernetes.running import Running
from tests.rig.ads import AdsClient
from tests.rig.api import Object
from tests.rig.bootstrap import Node
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.fixtures import NamespaceFactory
from tests.rig.names import listener_of
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

pytestmark = pytest.mark.mesh

DUBBO = Port("tcp-dubbo", 20880)
SIDECAR = ("networking.istio.io/v1", "Sidecar")


def sidecar(namespace: str, *hosts: str) -> Object:
    return {
        "apiVersion": SIDECAR[0],
        "kind": SIDECAR[1],
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {"egress": [{"hosts": list(hosts)}]},
    }


def last_filters(listeners: Mapping[str, Listener], name: str) -> set[str]:
    """The last filter of each chain of a listener; none without that listener."""
    chains = listeners[name].filter_chains if name in listeners else ()
    return {chain.filters[-1].name.rpartition(".")[2] for chain in chains}


def test_no_listener_is_without_its_filter_while_the_arrangement_changes(
    control_plane: ControlPlane,
    namespace: str,
    make_namespace: NamespaceFactory,
    workloads: Workloads,
) -> None:
    api, front, new = control_plane.api, make_namespace(), make_namespace()
    listener = listener_of(workloads.workload("greeter", [DUBBO]), DUBBO)
    clients = {
        name: Node.of(Workloads(api, name).pod("client")) for name in (namespace, front, new)
    }
    api.create(sidecar(front, f"{namespace}/*", f"{ROOT_NAMESPACE}/*"))
    seen: dict[str, list[set[str]]] = {name: [] for name in (namespace, front)}

    def places() -> set[str]:
        filters = our_filters(api)
        return {space for space, name in filters if name.startswith("aeraki-outbound-greeter.")}

    def watch(client: AdsClient, name: str) -> None:
        try:
            for listeners in client.pushes(clients[name]):
                seen[name].append(last_filters(listeners, listener))
        except grpc.RpcError:
            pass  # the client was closed

    def asked(name: str) -> set[str]:
        with AdsClient(control_plane.istiod_ports.grpc) as client:
            return last_filters(client.config(clients[name]).listeners, listener)

    with (
        AdsClient(control_plane.istiod_ports.grpc) as client,
        Running(control_plane.kubeconfig, ["dubbo"], arrangement=Arrangement.IMPORTS),
    ):
        for name in seen:
            threading.Thread(target=watch, args=(client, name), daemon=True).start()
        wait_until(
            lambda: all(each and each[-1] == {"dubbo_proxy"} for each in seen.values()),
            60,
            "the filter at both clients",
        )
        assert places() == {ROOT_NAMESPACE}
        for each in seen.values():
            each.clear()
        api.create(sidecar(ROOT_NAMESPACE, "./*", f"{ROOT_NAMESPACE}/*"))
        try:
            wait_until(lambda: places() == {namespace, front}, 60, "filters for who imports")
            # The other namespace has no Sidecar, so the root's hides the service from it.
            wait_until(lambda: asked(new) == set(), 60, "no listener in the new namespace")
        finally:
            api.delete(*SIDECAR, "default", namespace=ROOT_NAMESPACE)
        wait_until(lambda: places() == {ROOT_NAMESPACE}, 60, "the filter for all")
        wait_until(lambda: asked(new) == {"dubbo_proxy"}, 60, "it in the new namespace")
        for name in seen:
            assert asked(name) == {"dubbo_proxy"}
    assert all(seen.values())
    assert {name for lists in seen.values() for each in lists for name in each or {"none"}} == {
        "dubbo_proxy"
    }
