"""What users get from Kafka's options, whatever they write."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.model.mesh import Mesh, parse_proxy_rule
from aeraki_core.testing import Made, generate, service, virtual_service
from hypothesis import given
from hypothesis import strategies as st

import aeraki_plugins_kafka

EVERYWHERE = Mesh(proxy_rules=(parse_proxy_rule("envoy.filters.network.kafka_broker"),))
OPTIONS = [option.name for option in aeraki_plugins_kafka.KAFKA.options]


def made(*objects: dict[str, Any], **options: str) -> Made:
    """What comes of a Kafka service with those options (``_`` for ``-``) and what else is given."""
    annotations = {
        f"kafka.aeraki.io/{name.replace('_', '-')}": value for name, value in options.items()
    }
    kafka = service(
        "kafka", {"tcp-kafka": (9092, 19092)}, selector={"app": "kafka"}, annotations=annotations
    )
    return generate(kafka, *objects, plugins=[aeraki_plugins_kafka], mesh=EVERYWHERE)


def configs(result: Made) -> dict[str, dict[str, Any]]:
    """The kafka_broker configuration of each filter by its stat prefix."""
    found = [patch["patch"]["value"]["typed_config"] for patch in result.patches()]
    return {item["stat_prefix"]: item for item in found}


def test_clients_and_brokers_get_the_same_filter_with_stats_of_their_own() -> None:
    result = made(api_keys_denied="DeleteTopics")
    found = configs(result)
    assert set(found) == {"outbound|9092||kafka.default.svc.cluster.local", "inbound|19092||"}
    assert all(item["api_keys_denied"] == [20] for item in found.values())
    assert result.codes == ()


def test_tcp_proxy_stays_behind_the_filter() -> None:
    result = made()
    assert {patch["patch"]["operation"] for patch in result.patches()} == {"INSERT_BEFORE"}
    for sidecar in result.sidecars:
        for listener in sidecar.config.outbound:
            names = [item.name for chain in listener.filter_chains for item in chain.filters]
            if "envoy.filters.network.kafka_broker" in names:
                assert names[-2:] == [
                    "envoy.filters.network.kafka_broker",
                    "envoy.filters.network.tcp_proxy",
                ]
                break
        else:
            pytest.fail(f"no listener of {sidecar.config.proxy} has the filter")


def test_without_the_extension_nothing_is_written_and_it_is_said() -> None:
    result = generate(service("kafka", {"tcp-kafka": 9092}), plugins=[aeraki_plugins_kafka])
    assert result.filters == ()
    assert result.codes == ("AER0205",)
    assert "--proxy-extensions" in result.findings[0].message


def test_the_order_of_items_changes_nothing() -> None:
    one = made(api_keys_allowed="18,Produce,3", broker_rewrite="1: b:2, 0: a:1")
    other = made(api_keys_allowed="Metadata, 0, ApiVersions, 3", broker_rewrite="0: a:1,1: b:2")
    assert one.filters == other.filters
    assert one.codes == other.codes == ()


def test_a_typing_error_never_allows_more() -> None:
    """Envoy takes an empty list for "all"; with nothing to keep, nothing is written."""
    some = made(api_keys_allowed="ApiVersions, Prodcue")
    assert all(item["api_keys_allowed"] == [18] for item in configs(some).values())
    assert some.codes == ("KAF0102",)
    none = made(api_keys_allowed="Prodcue")
    assert none.filters == ()
    assert none.codes == ("KAF0102", "KAF0102")


def test_allowing_without_api_versions_is_warned_about() -> None:
    assert made(api_keys_allowed="Produce, Metadata").codes == ("KAF0103",)
    assert made(api_keys_allowed="").codes == ()


@pytest.mark.parametrize(
    ("rule", "host", "port"),
    [
        ("0: kafka.example.com:9092", "kafka.example.com", 9092),
        ("0: 192.0.2.1:1", "192.0.2.1", 1),
        ("0:[2001:db8::1]:65535", "2001:db8::1", 65535),
    ],
)
def test_a_broker_is_told_by_name_or_address(rule: str, host: str, port: int) -> None:
    result = made(broker_rewrite=rule)
    for item in configs(result).values():
        assert item["id_based_broker_address_rewrite_spec"] == {
            "rules": [{"host": host, "port": port}]
        }


@pytest.mark.parametrize(
    "rule",
    [
        "0: host",
        "0: host:0",
        "0: host:65536",
        "0: :9092",
        "a: host:1",
        "-1: host:1",
        "0: 2001:db8::1:9092",
        "2147483648: h:1",
    ],
)
def test_a_rule_that_cannot_be_read_is_left_out(rule: str) -> None:
    result = made(broker_rewrite=f"7: good:1, {rule}")
    assert result.codes == ("KAF0104",)
    assert result.findings[0].field == "metadata.annotations.kafka.aeraki.io/broker-rewrite"
    for item in configs(result).values():
        assert item["id_based_broker_address_rewrite_spec"] == {
            "rules": [{"id": 7, "host": "good", "port": 1}]
        }


ROUTE = {"route": [{"destination": {"host": "kafka"}}]}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"http": [ROUTE]}, ["spec.http[0]"]),
        (
            {"http": [{"match": [{"port": 8080}], **ROUTE}, {"match": [{"port": 9092}], **ROUTE}]},
            ["spec.http[1]"],
        ),
        ({"tcp": [ROUTE]}, []),
        ({"http": [ROUTE], "gateways": ["ingress"]}, []),
    ],
)
def test_http_routes_for_this_port_are_said_to_have_no_effect(
    spec: dict[str, Any], fields: list[str]
) -> None:
    result = made(virtual_service("kafka", ["kafka"], **spec))
    assert [item.field for item in result.findings if item.code.id == "KAF0101"] == fields
    assert result.filters == made().filters


@pytest.mark.parametrize("other", ["http", "http2-web", "grpc", "grpc-web-x", "https"])
def test_http_routes_may_be_meant_for_an_http_port_of_the_service(other: str) -> None:
    both = service("kafka", {"tcp-kafka": 9092, other: 8080})
    routes = virtual_service("kafka", ["kafka"], http=[ROUTE])
    assert generate(both, routes, plugins=[aeraki_plugins_kafka], mesh=EVERYWHERE).codes == ()


@given(st.sampled_from(OPTIONS), st.text())
def test_no_text_makes_the_generator_fail_or_give_what_envoy_refuses(name: str, text: str) -> None:
    result = made(**{name: text})
    for finding in result.findings:
        assert finding.code.id in {"KAF0102", "KAF0103", "KAF0104", "AER0111"}
    for item in configs(result).values():
        assert all(key <= 32767 for key in item.get("api_keys_allowed", []))
        for rule in item.get("id_based_broker_address_rewrite_spec", {}).get("rules", []):
            assert rule["host"]
            assert 1 <= rule["port"] <= 65535
