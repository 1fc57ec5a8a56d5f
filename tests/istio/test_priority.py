"""An EnvoyFilter inserts before tcp_proxy, and ours replaces it: istiod's order decides."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.pipeline.arrange import PRIORITY

from tests.istio.truth import FILTER, chain_filters
from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import SidecarFactory
from tests.rig.names import listener_of
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh
PORT = Port("tcp-redis", 6379, 16379)
TYPE = "type.googleapis.com/envoy.extensions.filters.network"


def envoy_filter(
    name: str, namespace: str, priority: int, listener: Object, patch: Object
) -> Object:
    match = {
        "context": "SIDECAR_OUTBOUND",
        "listener": {
            **listener,
            "filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}},
        },
    }
    patches = [{"applyTo": "NETWORK_FILTER", "match": match, "patch": patch}]
    spec: dict[str, Any] = {"configPatches": patches}
    if priority:
        spec["priority"] = priority
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": FILTER[0], "kind": FILTER[1], "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("priority", "filters"),
    [(-10, ("redis_proxy",)), (PRIORITY, ("local_ratelimit", "redis_proxy"))],
)
def test_a_filter_that_somebody_inserts_before_tcp_proxy(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
    priority: int,
    filters: tuple[str, ...],
) -> None:
    pod = workloads.pod("server", labels={"app": "server"})
    service = workloads.service("cache", [PORT], selector={"app": "server"})
    workloads.endpoints("cache", [PORT], [pod])
    limit = {
        "name": "envoy.filters.network.local_ratelimit",
        "typed_config": {
            "@type": f"{TYPE}.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "x",
            "token_bucket": {"max_tokens": 10, "fill_interval": "1s"},
        },
    }
    redis = {
        "name": "envoy.filters.network.redis_proxy",
        "typed_config": {
            "@type": f"{TYPE}.redis_proxy.v3.RedisProxy",
            "stat_prefix": "x",
            "settings": {"op_timeout": "1s"},
            "prefix_routes": {
                "catch_all_route": {
                    "cluster": f"outbound|6379||cache.{namespace}.svc.cluster.local"
                }
            },
        },
    }
    listener = listener_of(service, PORT)
    control_plane.api.create(
        envoy_filter(
            "theirs",
            namespace,
            0,
            {"portNumber": 6379},
            {"operation": "INSERT_BEFORE", "value": limit},
        )
    )
    control_plane.api.create(
        envoy_filter(
            "ours",
            namespace,
            priority,
            {"name": listener},
            {"operation": "REPLACE", "value": redis},
        )
    )
    client = sidecar_factory(workloads.pod("client"))
    found = client.wait_listener(listener, lambda found: "redis_proxy" in str(found))
    assert set(chain_filters(found)) == {filters}
