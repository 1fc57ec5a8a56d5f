"""Which methods thrift_proxy can match, and what of a mirror's share is left in its millionths."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.testing import destination_rule, generate, service, virtual_service
from aeraki_plugins_thrift.routes import method_match
from hypothesis import given
from hypothesis import strategies as st

import aeraki_plugins_thrift
from aeraki_core import StringMatch


@pytest.mark.parametrize(
    "method", [None, StringMatch(), StringMatch(prefix=""), StringMatch(regex=".*")]
)
def test_any_method_is_an_empty_name(method: StringMatch | None) -> None:
    match = method_match(method)
    assert not isinstance(match, str)
    assert match.WhichOneof("match_specifier") == "method_name"
    assert match.method_name == ""


def test_a_method_of_a_multiplexed_service_is_its_whole_name() -> None:
    match = method_match(StringMatch(exact="Audit:report"))
    assert not isinstance(match, str)
    assert match.method_name == "Audit:report"


@pytest.mark.parametrize(
    ("prefix", "service_name"), [("Audit:", "Audit"), ("a:b:", "a:b"), (" :", " ")]
)
def test_a_prefix_that_ends_with_a_colon_is_a_service(prefix: str, service_name: str) -> None:
    match = method_match(StringMatch(prefix=prefix))
    assert not isinstance(match, str)
    assert match.service_name == service_name


@given(
    st.builds(StringMatch, exact=st.text())
    | st.builds(StringMatch, prefix=st.text())
    | st.builds(StringMatch, regex=st.text())
)
def test_no_method_becomes_any_method(method: StringMatch) -> None:
    match = method_match(method)
    if not isinstance(match, str) and not match.method_name and not match.service_name:
        assert method.prefix == "" or method.regex == ".*"


def mirrors(percentage: Any) -> list[dict[str, Any]]:
    """The mirror policies of a route with one mirror of that share."""
    route = [{"destination": {"host": "ledger", "subset": "v1"}}]
    mirror = {"destination": {"host": "ledger", "subset": "v2"}, **percentage}
    made = generate(
        service(
            "ledger", {"tcp-thrift": 9090}, annotations={"thrift.aeraki.io/transport": "framed"}
        ),
        destination_rule("ledger", "ledger", {"v1": {"v": "1"}, "v2": {"v": "2"}}),
        virtual_service("ledger", ["ledger"], http=[{"route": route, "mirrors": [mirror]}]),
        plugins=[aeraki_plugins_thrift],
    )
    assert made.findings == ()
    (patch,) = made.patches("NETWORK_FILTER")
    (found,) = patch["patch"]["value"]["typed_config"]["route_config"]["routes"]
    policies: list[dict[str, Any]] = found["route"].get("request_mirror_policies", [])
    return policies


@pytest.mark.parametrize("percentage", [{}, {"percentage": {"value": 100}}])
def test_all_calls_need_no_share(percentage: dict[str, Any]) -> None:
    (policy,) = mirrors(percentage)
    assert policy == {"cluster": "outbound|9090|v2|ledger.default.svc.cluster.local"}


@pytest.mark.parametrize(
    ("value", "numerator"), [(25, 250_000), (0.5, 5_000), (0.0001, 1), (99.9999, 999_999)]
)
def test_a_share_is_in_millionths_and_has_a_key(value: float, numerator: int) -> None:
    # Without a runtime key Envoy mirrors every call, whatever the share.
    (policy,) = mirrors({"percentage": {"value": value}})
    fraction = policy["runtime_fraction"]
    assert fraction["runtime_key"]
    assert fraction["default_value"] == {"numerator": numerator, "denominator": "MILLION"}


@pytest.mark.parametrize("value", [0, 0.00001])
def test_a_share_of_nothing_is_no_mirror(value: float) -> None:
    assert mirrors({"percentage": {"value": value}}) == []
