"""What users get from ZooKeeper's options, whatever they write; a real Envoy judges it."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.testing import (
    Envoy,
    EnvoyConfig,
    Made,
    generate,
    service,
    validate_many,
    virtual_service,
)
from hypothesis import given
from hypothesis import strategies as st

import aeraki_plugins_zookeeper

OPTIONS = [option.name for option in aeraki_plugins_zookeeper.ZOOKEEPER.options]


def made(*objects: dict[str, Any], **options: str) -> Made:
    """Return the result of a ZooKeeper service: options (``_`` for ``-``) and objects."""
    annotations = {
        f"zookeeper.aeraki.io/{name.replace('_', '-')}": value for name, value in options.items()
    }
    ports = {"tcp-zookeeper": (2181, 12181)}
    given = service("zookeeper", ports, selector={"app": "zookeeper"}, annotations=annotations)
    return generate(given, *objects, plugins=[aeraki_plugins_zookeeper])


def configs(result: Made) -> dict[str, dict[str, Any]]:
    """The zookeeper_proxy configuration of each filter by its stat prefix."""
    found = [patch["patch"]["value"]["typed_config"] for patch in result.patches()]
    return {item["stat_prefix"]: item for item in found}


def one(result: Made) -> dict[str, Any]:
    """The configuration that both sides have."""
    found = [
        {name: value for name, value in item.items() if name not in ("@type", "stat_prefix")}
        for item in configs(result).values()
    ]
    assert len(found) == 2
    assert found[0] == found[1]
    return found[0]


def test_clients_and_servers_get_the_same_filter_with_stats_of_their_own() -> None:
    result = made()
    assert set(configs(result)) == {
        "outbound|2181||zookeeper.default.svc.cluster.local",
        "inbound|12181||",
    }
    assert one(result) == {}
    assert result.codes == ()


@pytest.mark.parametrize(
    ("option", "value", "field", "seen"),
    [
        ("max_packet_bytes", "4294967295", "max_packet_bytes", 4294967295),
        ("latency_threshold_metrics", "true", "enable_latency_threshold_metrics", True),
        (
            "per_opcode_request_bytes_metrics",
            "true",
            "enable_per_opcode_request_bytes_metrics",
            True,
        ),
        (
            "per_opcode_response_bytes_metrics",
            "True",
            "enable_per_opcode_response_bytes_metrics",
            True,
        ),
        (
            "per_opcode_decoder_error_metrics",
            "true",
            "enable_per_opcode_decoder_error_metrics",
            True,
        ),
    ],
)
def test_an_option_is_envoys_field(option: str, value: str, field: str, seen: object) -> None:
    result = made(**{option: value})
    assert one(result) == {field: seen}
    assert result.codes == ()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("1ms", "0.001s"),
        ("1.5s", "1.500s"),
        ("24h", "86400s"),
        ("1m30s", "90s"),
        ("0.0015s", "0.001500s"),
    ],
)
def test_a_threshold_is_exactly_what_was_written(text: str, seen: str) -> None:
    result = made(
        latency_threshold_metrics="true",
        default_latency_threshold=text,
        latency_thresholds=f"Ping: {text}",
    )
    found = one(result)
    assert found["default_latency_threshold"] == seen
    assert found["latency_threshold_overrides"] == [{"opcode": "Ping", "threshold": seen}]


def test_the_order_and_case_of_opcodes_change_nothing() -> None:
    text, other = "Multi: 1s, GetData: 2s", "getdata: 2s,MULTI: 1s"
    first = made(latency_threshold_metrics="true", latency_thresholds=text)
    assert first.filters == made(latency_threshold_metrics="true", latency_thresholds=other).filters


def test_thresholds_without_their_metrics_are_warned_about() -> None:
    assert made(latency_thresholds="Ping: 1s").codes == ("ZKP0103",)
    assert made(default_latency_threshold="1s", latency_threshold_metrics="false").codes == (
        "ZKP0103",
    )


@pytest.mark.parametrize(
    "item", ["Gossip: 1s", "Ping: soon", "Ping: 0.5ms", "Ping: 25h", "getdata: 3s"]
)
def test_a_threshold_that_cannot_be_read_is_left_out(item: str) -> None:
    result = made(latency_threshold_metrics="true", latency_thresholds=f"GetData: 2s, {item}")
    assert result.codes == ("ZKP0102",)
    assert one(result)["latency_threshold_overrides"] == [{"opcode": "GetData", "threshold": "2s"}]


ROUTE = {"route": [{"destination": {"host": "zookeeper"}}]}


@pytest.mark.parametrize(
    ("spec", "codes"), [({"http": [ROUTE]}, ("ZKP0101",)), ({"tcp": [ROUTE]}, ())]
)
def test_http_routes_are_said_to_have_no_effect(
    spec: dict[str, Any], codes: tuple[str, ...]
) -> None:
    result = made(virtual_service("zookeeper", ["zookeeper"], **spec))
    assert result.codes == codes
    assert result.filters == made().filters


@pytest.mark.envoy
def test_whatever_is_written_loads_without_a_warning(envoy: Envoy) -> None:
    texts = [
        "0",
        "1",
        "true",
        "1ms",
        "0.0011s",
        "24h",
        "25h",
        "Connect: 1ms",
        "connect: 24h, Connect: 1s",
        "x: y",
        "",
    ]
    known = {f"{name}={text}": made(**{name: text}) for name in OPTIONS for text in texts}
    every = {
        "max-packet-bytes": "1",
        "latency-threshold-metrics": "true",
        "default-latency-threshold": "1ms",
        "latency-thresholds": ", ".join(f"{name}: 24h" for name in _opcodes()),
        "per-opcode-request-bytes-metrics": "true",
        "per-opcode-response-bytes-metrics": "true",
        "per-opcode-decoder-error-metrics": "true",
    }
    assert every.keys() == set(OPTIONS)
    known["every option"] = made(**every)
    assert len(one(known["every option"])["latency_threshold_overrides"]) == len(_opcodes())
    loaded: dict[str, EnvoyConfig] = {}
    for name, result in known.items():
        loaded.update(
            {f"{name} at {proxy}": config for proxy, config in result.envoy_configs().items()}
        )
    assert validate_many(envoy, loaded) == {}


def _opcodes() -> list[str]:
    from envoy.extensions.filters.network.zookeeper_proxy.v3.zookeeper_proxy_pb2 import (
        LatencyThresholdOverride,
    )

    return list(LatencyThresholdOverride.Opcode.keys())


@given(st.sampled_from(OPTIONS), st.text())
def test_no_text_makes_the_generator_fail(name: str, text: str) -> None:
    result = made(**{name: text})
    assert len(result.filters) == 2
    assert set(result.codes) <= {"ZKP0102", "ZKP0103", "AER0111"}
