"""Clients keep a load balancer of their own, although the mesh's filter merges MAGLEV."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.testing import destination_rule, service, service_entry
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from tests.reach import client_of, made_of

CACHE = service(
    "cache",
    {"tcp-redis": 6379},
    namespace="shop",
    annotations={"redis.aeraki.io/proxy": "always"},
)
HOST = "cache.shop.svc.cluster.local"
CLUSTER = f"outbound|6379||{HOST}"


def balancer(namespace: str, *objects: dict[str, Any], **labels: str) -> str:
    cluster = client_of(made_of(CACHE, *objects), namespace, labels=labels).config.cluster(CLUSTER)
    return str(Cluster.LbPolicy.Name(cluster.lb_policy))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"simple": "PASSTHROUGH"}, "CLUSTER_PROVIDED"),
        ({"consistentHash": {"useSourceIp": True}}, "RING_HASH"),
        ({"simple": "RANDOM"}, "MAGLEV"),
    ],
    ids=["passthrough", "ring hash", "random"],
)
def test_a_clients_own_rule_decides(given: dict[str, Any], expected: str) -> None:
    """redis_proxy is there in the last case alone, and it needs MAGLEV."""
    policy = {"loadBalancer": given}
    rule = destination_rule("own", HOST, namespace="web", trafficPolicy=policy)
    assert balancer("web", rule) == expected
    assert balancer("client", rule) == "MAGLEV"
    assert "AER0221" not in made_of(CACHE, rule).codes


def test_the_rule_of_some_workloads_decides_for_them() -> None:
    general = destination_rule(
        "own", HOST, namespace="web", trafficPolicy={"loadBalancer": {"simple": "PASSTHROUGH"}}
    )
    random = destination_rule(
        "front",
        HOST,
        namespace="web",
        trafficPolicy={"loadBalancer": {"simple": "RANDOM"}},
        workloadSelector={"matchLabels": {"app": "front"}},
    )
    assert balancer("web", general, random) == "CLUSTER_PROVIDED"
    assert balancer("web", general, random, app="front") == "MAGLEV"
    assert balancer("client", general, random, app="front") == "MAGLEV"
    passthrough = {
        **random,
        "spec": {**random["spec"], "trafficPolicy": general["spec"]["trafficPolicy"]},
    }
    assert balancer("web", passthrough) == "MAGLEV"
    assert balancer("web", passthrough, app="front") == "CLUSTER_PROVIDED"


def test_the_settings_of_the_port_decide() -> None:
    policy = {
        "loadBalancer": {"simple": "ROUND_ROBIN"},
        "portLevelSettings": [
            {"port": {"number": 6379}, "loadBalancer": {"simple": "PASSTHROUGH"}}
        ],
    }
    rule = destination_rule("own", HOST, namespace="web", trafficPolicy=policy)
    assert balancer("web", rule) == "CLUSTER_PROVIDED"


def test_a_private_entry_for_the_host_keeps_the_balancer_of_its_type() -> None:
    entry = service_entry(
        "own", [HOST], {"tcp": 6379}, namespace="web", resolution="NONE", exportTo=["."]
    )
    assert balancer("web", entry) == "CLUSTER_PROVIDED"
