"""A proxy that refuses is named."""

from __future__ import annotations

import queue
import time

import pytest
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.findings.finding import Finding
from aeraki_core.model.mesh import Mesh, ProxyRule
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.proxies import (
    ProxyWatch,
    Refusal,
    Unacknowledged,
    explain,
    parse_syncz,
    refusals,
    suspects,
)

from tests.kubernetes.running import Running
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.fixtures import SidecarFactory
from tests.rig.workloads import Port, Workloads

KAFKA = Port("tcp-kafka", 9092)


@pytest.mark.mesh
def test_an_envoy_without_the_extension_is_named(
    istiod: Istiod,
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    service = workloads.workload("kafka", [KAFKA])
    sidecar = sidecar_factory(workloads.pod("client"))
    listener = f"{service['spec']['clusterIP']}_{KAFKA.port}"
    sidecar.wait_listener(listener)
    told: queue.SimpleQueue[tuple[Refusal, ...]] = queue.SimpleQueue()
    watch = ProxyWatch(istiod, told.put, every=0.2, patience=1.0)
    watch.start()
    try:
        before = time.monotonic()
        name = FilterKey(ROOT_NAMESPACE, "aeraki-outbound-kafka")
        control_plane.api.create(kafka_filter(name, listener))
        sidecar.wait_for(lambda each: listener in each.rejected(), "the refusal of the listener")
        refused = told.get(timeout=15)
        assert [(item.proxy, item.part) for item in refused] == [
            (f"client.{namespace}", "listener")
        ]
        written = {
            name: before,
            FilterKey(ROOT_NAMESPACE, "older"): before - 100,
            FilterKey("elsewhere", "newer"): before,
        }
        causes = suspects(refused[0], written, time.monotonic(), ROOT_NAMESPACE)
        assert causes == [name, FilterKey(ROOT_NAMESPACE, "older")]
        finding = explain(refused[0], causes)
        assert finding.code.id == "AER0509"
        assert f"client.{namespace}" in finding.message
        assert name.name in finding.message
        control_plane.api.delete(
            "networking.istio.io/v1alpha3", "EnvoyFilter", name.name, namespace=name.namespace
        )
        assert told.get(timeout=15) == ()
    finally:
        watch.stop()


@pytest.mark.mesh
def test_the_controller_tells_of_a_proxy_that_refuses_its_filter(
    istiod: Istiod,
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    service = workloads.workload("kafka", [KAFKA])
    sidecar = sidecar_factory(workloads.pod("client"))
    sidecar.wait_listener(f"{service['spec']['clusterIP']}_{KAFKA.port}")
    # What --proxy-extensions says and this Envoy does not have.
    mesh = Mesh(proxy_rules=(ProxyRule("envoy.filters.network.kafka_broker"),))
    with Running(control_plane.kubeconfig, ["kafka"], mesh=mesh, refusals=istiod) as running:
        told = f"proxy client.{namespace} does not accept the listeners"

        def found() -> list[Finding]:
            return [item for item in running.controller.findings if told in item.message]

        running.wait(found, "the finding about the proxy", timeout=30)
        (finding,) = found()
        assert finding.code.id == "AER0509"
        assert str(finding.ref) == (
            "EnvoyFilter "
            f"{ROOT_NAMESPACE}/aeraki-outbound-kafka.{namespace}.svc.cluster.local-{KAFKA.port}"
        )
        control_plane.api.delete("v1", "Service", "kafka", namespace=namespace)
        running.wait(lambda: not found(), "the end of the finding", timeout=30)


def kafka_filter(key: FilterKey, listener: str) -> dict[str, object]:
    """A filter that Envoy without contrib does not know."""
    kind = "type.googleapis.com/envoy.extensions.filters.network.kafka_broker.v3.KafkaBroker"
    name = "envoy.filters.network.kafka_broker"
    match = {
        "name": listener,
        "filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}},
    }
    patch = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "SIDECAR_OUTBOUND", "listener": match},
        "patch": {
            "operation": "INSERT_BEFORE",
            "value": {"name": name, "typed_config": {"@type": kind, "stat_prefix": "kafka"}},
        },
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"priority": 10, "configPatches": [patch]},
    }


def test_only_listeners_and_clusters_that_were_not_acknowledged_count() -> None:
    answer = [
        {
            "proxy": "a.x",
            "listener_sent": "1",
            "listener_acked": "1",
            "cluster_sent": "2",
            "cluster_acked": "1",
        },
        {"proxy": "b.x", "listener_sent": "3", "endpoint_sent": "9"},
        {"proxy": "aeraki.istio-system", "proxy_type": "router"},
    ]
    assert parse_syncz(answer) == {
        Unacknowledged("a.x", "cluster", "2"),
        Unacknowledged("b.x", "listener", "3"),
    }


@pytest.mark.parametrize("answer", [{}, [1], "text", None])
def test_another_form_is_an_error(answer: object) -> None:
    with pytest.raises(ValueError, match="syncz"):
        parse_syncz(answer)


def test_a_proxy_counts_once_its_patience_is_over_and_stops_when_it_acknowledges() -> None:
    slow = Unacknowledged("a.x", "listener", "1")
    since, late = refusals({}, [slow], 100.0, 10.0)
    assert late == ()
    since, late = refusals(since, [Unacknowledged("a.x", "listener", "2")], 110.0, 10.0)
    assert late == (Refusal("a.x", "listener", 10.0),)
    since, late = refusals(since, [], 111.0, 10.0)
    assert (since, late) == ({}, ())
