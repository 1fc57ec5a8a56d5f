"""Kafka: which sidecars get the filter, its bytes, and that others pass traffic as plain TCP.

kafka_broker is one of Envoy's contrib extensions. The Envoy of these tests lacks it, so its effect
is not tested here. The broker is real.
"""

from __future__ import annotations

import pytest
from aeraki_core.model.mesh import Mesh as MeshFacts
from aeraki_core.model.mesh import parse_proxy_rule
from aeraki_core.testing import (
    Made,
    NackError,
    Proxy,
    Sandbox,
    SidecarConfig,
    generate,
    service,
    to_envoy,
)

from tests.dataplane.support import Mesh, cluster
from tests.peers import kafka
from tests.peers.needs import JAVA, need

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

PORTS = {"tcp-kafka": 9092}
FILTER = "envoy.filters.network.kafka_broker"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
LISTENER = "127.62.0.1_9092"
ANNOTATIONS = {
    "kafka.aeraki.io/api-keys-allowed": "Produce, Metadata, ApiVersions, 300",
    "kafka.aeraki.io/api-keys-denied": "DeleteTopics",
    "kafka.aeraki.io/force-response-rewrite": "true",
    "kafka.aeraki.io/broker-rewrite": "1: b.example:9092, 0: a.example:80",
}


def kafka_where(*extensions: str) -> Made:
    """A Kafka service with all options, and proxies that have these extensions."""
    rules = tuple(parse_proxy_rule(f"{each}{FILTER}") for each in extensions)
    broker = service(
        "kafka",
        PORTS,
        cluster_ip=LISTENER.split("_", maxsplit=1)[0],
        selector={"app": "kafka"},
        annotations=ANNOTATIONS,
    )
    return generate(broker, mesh=MeshFacts(proxy_rules=rules))


def filters(config: SidecarConfig, listener: str, port: int = 0) -> list[str]:
    """The network filters of a listener, or of its chains for a port."""
    chains = config.listener(listener).filter_chains
    return [
        item.name
        for chain in chains
        if chain.filter_chain_match.destination_port.value == port
        for item in chain.filters
    ]


def test_a_real_broker_behind_proxies_without_the_extension(mesh: Mesh) -> None:
    """Traffic passes both sidecars, even if a third workload's proxy has the extension."""
    need(*JAVA)
    elsewhere = MeshFacts(proxy_rules=(parse_proxy_rule(f"default/app=reports:{FILTER}"),))
    at = mesh.service("kafka", PORTS)
    values = [b"%d" % number for number in range(100)]
    with kafka.KafkaBroker(advertised=at) as broker:
        mesh.lead("kafka", 9092, mesh.workload("kafka", 9092, broker.address, mesh=elsewhere))
        client = mesh.client(mesh=elsewhere)
        workload = mesh.sidecars[0]
        assert [item["spec"]["workloadSelector"] for item in client.made.filters] == [
            {"labels": {"app": "reports"}}
        ]
        kafka.create_topic(at, "orders")
        kafka.produce(at, "orders", values)
        assert kafka.consume(at, "orders", 100) == values
        assert client.envoy.stats()[f"cluster.{cluster('kafka', 9092)}.upstream_cx_total"] > 0
        assert workload.envoy.stats()["cluster.inbound|9092||.upstream_cx_total"] > 0


def test_without_the_extension_nothing_is_written() -> None:
    made = kafka_where()
    assert made.filters == ()
    assert made.codes == ("AER0205",)


def test_only_the_workload_that_has_the_extension_gets_the_filter() -> None:
    made = kafka_where("default/app=reports:")
    assert filters(made.sidecar(Proxy(labels={"app": "reports"})).config, LISTENER) == [
        FILTER,
        TCP_PROXY,
    ]
    for proxy in (
        Proxy(),
        Proxy(labels={"app": "other"}),
        Proxy("elsewhere", labels={"app": "reports"}),
    ):
        assert filters(made.sidecar(proxy).config, LISTENER) == [TCP_PROXY]
    broker = made.sidecar(Proxy(labels={"app": "kafka"})).config
    assert filters(broker, "virtualInbound", 9092) == [TCP_PROXY] * 3


def test_brokers_that_have_the_extension_get_the_filter() -> None:
    made = kafka_where("default/app=kafka:")
    broker = made.sidecar(Proxy(labels={"app": "kafka"})).config
    assert filters(broker, "virtualInbound", 9092) == [FILTER, TCP_PROXY] * 3
    assert filters(made.sidecar().config, LISTENER) == [TCP_PROXY]


def test_the_bytes_are_those_of_envoys_schema() -> None:
    """Written by hand from api/contrib/envoy/extensions/filters/network/kafka_broker/v3."""
    config = kafka_where("").sidecar().config
    packed = config.listener(LISTENER).filter_chains[0].filters[0].typed_config
    prefix = cluster("kafka", 9092).encode()
    rules = (
        b"\x0a\x0d"
        + b"\x12\x09a.example\x18\x50"
        + b"\x0a\x10"
        + b"\x08\x01\x12\x09b.example\x18\x84\x47"
    )
    assert (
        packed.type_url
        == "type.googleapis.com/envoy.extensions.filters.network.kafka_broker.v3.KafkaBroker"
    )
    assert packed.value == (
        b"\x0a"
        + bytes([len(prefix)])
        + prefix  # 1: stat_prefix
        + b"\x10\x01"  # 2: force_response_rewrite
        + b"\x1a"
        + bytes([len(rules)])
        + rules  # 3: id_based_broker_address_rewrite_spec
        + b"\x22\x05\x00\x03\x12\xac\x02"  # 4: api_keys_allowed: 0, 3, 18, 300
        + b"\x2a\x01\x14"  # 5: api_keys_denied: 20
    )


def test_this_envoy_refuses_the_filter_and_nothing_else(sidecars: Sandbox) -> None:
    made = kafka_where("")
    with pytest.raises(
        NackError, match=rf"Didn't find a registered implementation for '{FILTER}' with type URL"
    ):
        sidecars.run(made.objects, made.filters)
    config = to_envoy(made.sidecar().config)
    assert sidecars.envoy.lacking(config) == {FILTER}
    assert sidecars.envoy.validate(sidecars.envoy.without(config, frozenset({FILTER}))).clean
