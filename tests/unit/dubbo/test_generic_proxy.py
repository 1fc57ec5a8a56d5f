"""How timeouts and retries reach generic_proxy, whose defaults are not Istio's."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.model.mesh import Mesh, ProxyRule
from aeraki_core.testing import destination_rule, generate, service, virtual_service

import aeraki_plugins_dubbo

MESH = Mesh(proxy_rules=(ProxyRule("envoy.filters.network.generic_proxy"),))


def action(**route: Any) -> dict[str, Any]:
    """What the route's action is in the clients' filter."""
    http = [{"route": [{"destination": {"host": "greeter"}}], **route}]
    made = generate(
        service("greeter", {"tcp-dubbo": 20880}),
        virtual_service("greeter", ["greeter"], http=http),
        plugins=[aeraki_plugins_dubbo],
        mesh=MESH,
    )
    assert made.findings == ()
    (patch,) = made.patches()
    (host,) = patch["patch"]["value"]["typed_config"]["route_config"]["virtual_hosts"]
    (matcher,) = host["routes"]["matcher_list"]["matchers"]
    found: dict[str, Any] = matcher["on_match"]["action"]["typed_config"]
    return found


def test_without_a_timeout_there_is_none() -> None:
    # Envoy's own default is 15 s.
    assert action()["timeout"] == "0s"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("0s", "0s"),
        ("1.5s", "1.500s"),
        ("1m30s", "90s"),
        ("250ms", "0.250s"),
        # Envoy counts in milliseconds, and would take less than one as no timeout.
        ("10us", "0.001s"),
        ("9999999999h", "315576000s"),
    ],
)
def test_a_timeout_is_told_in_milliseconds(written: str, told: str) -> None:
    assert action(timeout=written)["timeout"] == told


def test_without_retries_a_call_is_tried_once() -> None:
    assert "retry_policy" not in action()


@pytest.mark.parametrize(("attempts", "tries"), [(0, 1), (1, 2), (5, 6), (2**31 - 1, 2**31)])
def test_the_first_try_counts_in_envoy_but_not_in_istio(attempts: int, tries: int) -> None:
    assert action(retries={"attempts": attempts})["retry_policy"] == {"num_retries": tries}


def test_of_equal_weights_the_first_destination_takes_all() -> None:
    route = [
        {"destination": {"host": "greeter", "subset": subset}, "weight": 50}
        for subset in ("v2", "v1")
    ]
    made = generate(
        service(
            "greeter", {"tcp-dubbo": 20880}, annotations={"dubbo.aeraki.io/engine": "generic_proxy"}
        ),
        destination_rule("greeter", "greeter", {"v1": {"v": "1"}, "v2": {"v": "2"}}),
        virtual_service("greeter", ["greeter"], http=[{"route": route}]),
        plugins=[aeraki_plugins_dubbo],
        mesh=MESH,
    )
    assert made.codes == ("DUB0105",)
    assert "outbound|20880|v2|" in made.yaml
    assert "outbound|20880|v1|" not in made.yaml
