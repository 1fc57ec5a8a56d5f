"""Plain sidecars get EnvoyFilters through istiod and report what they reject.

So does the webhook.
"""

from __future__ import annotations

from typing import Any

import pytest

from .api import Object
from .control_plane import ControlPlane
from .errors import ApiError
from .fixtures import SidecarFactory
from .names import listener_of, outbound
from .samples import REDIS, REDIS_PROXY, TCP_PROXY, envoy_filter, redis_proxy
from .workloads import Port, Workloads

pytestmark = pytest.mark.mesh


def test_an_envoy_filter_reaches_a_plain_sidecar(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    service = workloads.workload("redis", [REDIS])
    sidecar = sidecar_factory(workloads.pod("client"))
    listener, cluster = listener_of(service, REDIS), outbound("redis", namespace, REDIS)
    sidecar.wait_filter(listener, TCP_PROXY, lambda config: config["cluster"] == cluster)
    sidecar.wait_for(lambda each: len(each.endpoints(cluster)) == 1, "the endpoint of the cluster")

    filter_ = envoy_filter(listener, redis_proxy(cluster))
    _, warnings = control_plane.api.create_with_warnings(filter_)
    assert any("EnvoyFilter exposes internal" in warning for warning in warnings)
    found = sidecar.wait_filter(listener, REDIS_PROXY)
    assert found["stat_prefix"] == "rig"
    assert not sidecar.rejected()
    assert not sidecar.warnings()

    metadata = filter_["metadata"]
    control_plane.api.delete(
        filter_["apiVersion"], filter_["kind"], metadata["name"], namespace=metadata["namespace"]
    )
    sidecar.wait_no_filter(listener, REDIS_PROXY)


@pytest.mark.parametrize("delta", [True, False])
def test_a_sidecar_has_the_inbound_listener_of_its_pod(
    delta: bool, namespace: str, workloads: Workloads, sidecar_factory: SidecarFactory
) -> None:
    pod = workloads.pod("redis-0", labels={"app": "redis"})
    workloads.workload("redis", [REDIS], pods=[pod])
    sidecar = sidecar_factory(pod, delta=delta)
    sidecar.wait_cluster(f"inbound|{REDIS.target_port}||")

    def has_chain(listener: dict[str, Any]) -> bool:
        ports = [
            chain.get("filter_chain_match", {}).get("destination_port")
            for chain in listener["filter_chains"]
        ]
        return REDIS.target_port in ports

    sidecar.wait_listener("virtualInbound", has_chain)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "x", "typed_config": {"@type": "type.googleapis.com/no.Such"}}, "no.Such"),
        (None, "missing patch value"),
    ],
)
def test_the_webhook_refuses_a_bad_envoy_filter(
    value: Object | None, message: str, control_plane: ControlPlane, namespace: str
) -> None:
    bad = envoy_filter("10.96.0.98_6379", {})
    patch = bad["spec"]["configPatches"][0]["patch"]
    patch.pop("value") if value is None else patch.update(value=value)
    with pytest.raises(ApiError, match=message) as refused:
        control_plane.api.create(bad)
    assert "denied the request" in str(refused.value)


def test_a_sidecar_says_what_it_refuses(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    """Valid for istiod but not for this Envoy: it lacks the extension, as stock proxies do."""
    service = workloads.workload("kafka", [Port("tcp-kafka", 9092)])
    sidecar = sidecar_factory(workloads.pod("client"))
    listener = f"{service['spec']['clusterIP']}_9092"
    kind = "envoy.extensions.filters.network.kafka_broker.v3.KafkaBroker"
    value = {
        "name": "envoy.filters.network.kafka_broker",
        "typed_config": {"@type": f"type.googleapis.com/{kind}", "stat_prefix": "rig"},
    }
    # Its last good listener, which it keeps.
    sidecar.wait_for(lambda envoy: listener in envoy.listeners(), "the listener")
    control_plane.api.create(envoy_filter(listener, value, operation="INSERT_BEFORE"))
    refused = sidecar.wait_for(lambda envoy: envoy.rejected(), "a refused listener")
    assert "kafka_broker" in refused[listener]
    assert [each["name"] for each in sidecar.filters(listener)] == [TCP_PROXY]
