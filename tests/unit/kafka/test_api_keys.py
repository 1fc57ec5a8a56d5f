"""API keys by name and by number."""

from __future__ import annotations

import pytest
from aeraki_plugins_kafka.api_keys import API_KEYS, API_VERSIONS, api_key
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("name", "number"),
    [
        # Spread over the table: a name left out or added in the middle shifts one of these.
        ("Produce", 0),
        ("Fetch", 1),
        ("ApiVersions", 18),
        ("WriteTxnMarkers", 27),
        ("SaslAuthenticate", 36),
        ("ElectLeaders", 43),
        ("AlterPartition", 56),
        ("AllocateProducerIds", 67),
        ("DescribeTopicPartitions", 75),
        ("ReadShareGroupStateSummary", 87),
        ("DeleteShareGroupOffsets", 92),
    ],
)
def test_a_name_is_its_number_in_kafkas_protocol(name: str, number: int) -> None:
    assert api_key(name) == api_key(name.upper()) == api_key(str(number)) == number


def test_every_name_counts_once() -> None:
    assert [api_key(name) for name in API_KEYS] == list(range(93))
    assert API_KEYS[API_VERSIONS] == "ApiVersions"


@pytest.mark.parametrize(
    "text",
    ["", "Fecth", "-1", "1.0", "0x1", "32768", "99999", "9" * 5000, "٣", "²", "Produce Fetch"],
)
def test_what_is_neither_is_none(text: str) -> None:
    assert api_key(text) is None


@given(st.text())
def test_any_text_gives_a_number_that_envoy_takes_or_none(text: str) -> None:
    number = api_key(text)
    assert number is None or 0 <= number <= 32767


def test_a_number_without_a_name_here_is_taken() -> None:
    assert api_key("32767") == 32767
    assert api_key("00120") == 120
