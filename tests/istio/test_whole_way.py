"""From a Service in the cluster to the listener of a sidecar that intercepts traffic, with every part real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.kubernetes.running import Running
from tests.peers import redis as peer
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import PodFactory, SidecarFactory
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

REDIS = Port("tcp-redis", 6379, 16379)
REDIS_PROXY = "envoy.filters.network.redis_proxy"


def test_a_service_gets_its_protocol_in_a_sidecar_and_loses_it_again(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, sidecar_factory: SidecarFactory
) -> None:
    service = workloads.workload("redis", [REDIS])
    sidecar = sidecar_factory(workloads.pod("client"))
    listener = f"{service['spec']['clusterIP']}_{REDIS.port}"
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        config = sidecar.wait_filter(listener, REDIS_PROXY)
        cluster = f"outbound|{REDIS.port}||redis.{namespace}.svc.cluster.local"
        assert config["prefix_routes"]["catch_all_route"]["cluster"] == cluster
        control_plane.api.delete("v1", "Service", "redis", namespace=namespace)
        running.wait(lambda: not running.sink.live(), "the filters to go")
    assert not sidecar.rejected()
