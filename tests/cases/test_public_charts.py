"""Services as public charts write them: nothing that worked breaks, and nothing healthy is blamed.

The names are those of Bitnami's redis, redis-cluster, zookeeper and kafka, of Argo CD, of Strimzi
and of the Redis operators.
"""

from __future__ import annotations

import pytest
from aeraki_core.testing import Made

from aeraki_core import Severity
from tests.cases.test_cases import about
from tests.reach import client_of, made_of


def chart(name: str, *ports: str, ip: str = "10.96.3.4", annotations: str = "") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: data, annotations: {{{annotations}}}}}
spec:
  clusterIP: {ip}
  selector: {{app: {name}}}
  ports: [{", ".join(f"{{{port}}}" for port in ports)}]
"""


def warnings(made: Made) -> list[str]:
    return [str(each) for each in made.findings if each.severity is not Severity.INFO]


HEADLESS = {"ip": "None"}


@pytest.mark.parametrize(
    "services",
    [
        (
            chart("redis-master", "name: tcp-redis, port: 6379"),
            chart("redis-headless", "name: tcp-redis, port: 6379", **HEADLESS),
        ),
        (
            chart("redis-cluster", "name: tcp-redis, port: 6379"),
            chart(
                "redis-cluster-headless",
                "name: tcp-redis, port: 6379",
                "name: tcp-redis-bus, port: 16379",
                **HEADLESS,
            ),
        ),
        (chart("redis", "name: tcp-redis, port: 6379", "name: tcp-sentinel, port: 26379"),),
        (chart("zookeeper-headless", "name: tcp-zookeeper, port: 2181", **HEADLESS),),
        (chart("ledger", "name: tcp-thrift, port: 9090", **HEADLESS),),
        (
            chart("argocd-redis-ha", "name: tcp-server, port: 6379", **HEADLESS),
            chart("argocd-redis-ha-haproxy", "name: tcp-haproxy, port: 6379"),
        ),
        (chart("kafka-bootstrap", "name: tcp-replication, port: 9091", "name: tcp-tls, port: 1"),),
        (chart("rfs-redis", "name: sentinel, port: 26379"),),
    ],
)
def test_a_healthy_chart_has_no_warning(services: tuple[str, ...]) -> None:
    assert warnings(made_of(*services)) == []


@pytest.mark.parametrize(
    ("port", "word"), [("tcp-redis-sentinel", "sentinel"), ("tcp-redis-bus", "bus")]
)
def test_ports_beside_redis_that_take_other_commands_stay_plain(port: str, word: str) -> None:
    made = made_of(chart("redis", f"name: {port}, port: 26379"))
    assert client_of(made, "web").filters("10.96.3.4_26379") == ["tcp_proxy"]
    assert about(made, "RDS0117", "port 26379", f"says {word}")
    asked = chart(
        "redis", f"name: {port}, port: 26379", annotations="redis.aeraki.io/proxy: always"
    )
    assert client_of(made_of(asked), "web").filters("10.96.3.4_26379") == ["redis_proxy"]


@pytest.mark.parametrize(
    ("auth", "tls", "words"),
    [
        ("", "", ("without Istio's mutual TLS; nodes",)),
        (
            ", auth: {plain: {password: s3}}",
            "",
            ("mutual TLS, and the password goes out in clear",),
        ),
        ("", "tls: {mode: DISABLE}", ()),
    ],
)
def test_a_redis_cluster_without_mutual_tls_is_named(
    auth: str, tls: str, words: tuple[str, ...]
) -> None:
    destination = f"""
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {{name: nodes, namespace: data}}
spec:
  host: nodes
  exportTo: ["*"]
  trafficPolicy: {{connectionPool: {{redis: {{mode: CLUSTER{auth}}}}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: nodes, namespace: data}}
spec: {{host: nodes, trafficPolicy: {{{tls}}}}}
"""
    made = made_of(chart("nodes", "name: tcp-redis, port: 6379"), destination)
    assert client_of(made, "web").filters("10.96.3.4_6379") == ["redis_proxy"]
    assert about(made, "RDS0118", *words) == bool(words), made.findings_text
