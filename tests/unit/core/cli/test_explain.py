from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.running import Run

from .conftest import OUTBOUND, POLICY, SERVICE


def test_says_port_match_plugin_reads_filters_and_findings(aeraki: Run, secretive: Path) -> None:
    result = aeraki("explain", "cart.shop.svc.cluster.local:7000", "-f", secretive)
    assert result.code == 0
    out = result.out
    assert out.startswith(
        f"cart.shop.svc.cluster.local:7000  Service shop/cart, {secretive}/cart.yaml:1\n"
    )
    assert "protocol   echo: port name 'tcp-echo'" in out
    assert "plugin     echo (aeraki-echo 1.2)" in out
    assert "state      current" in out
    for name, file in (
        ("EchoPolicy shop/cart", "policy"),
        ("Secret shop/words", "secret"),
        ("Service shop/cart", "cart"),
    ):
        assert any(
            name in line and f"{secretive}/{file}.yaml:1" in line for line in out.splitlines()
        )
    assert f"{OUTBOUND}  (all clients)" in out
    assert (
        "outbound NETWORK_FILTER REPLACE at listener 10.96.0.1_7000, "
        "filter envoy.filters.network.tcp_proxy" in out
    )
    assert (
        "inbound NETWORK_FILTER REPLACE at port 17000, filter envoy.filters.network.tcp_proxy"
        in out
    )
    assert "findings   none" in out


@pytest.mark.parametrize(
    "target", ["cart", "cart.shop", "cart.shop.svc", "CART.shop", "cart.shop.svc.cluster.local"]
)
def test_as_much_of_the_host_as_is_unique(aeraki: Run, shop: Path, target: str) -> None:
    result = aeraki("explain", target, "-f", shop)
    assert result.code == 0
    assert "cart.shop.svc.cluster.local:7000 " in result.out
    assert "cart.shop.svc.cluster.local:80 " in result.out


def test_a_port_without_a_protocol_says_why_and_what_to_do(aeraki: Run, shop: Path) -> None:
    out = aeraki("explain", "cart:80", "-f", shop).out
    assert "protocol   none: " in out
    assert "name the port tcp-<protocol>" in out
    assert "echo" in out


def test_an_ambiguous_host_gives_1_and_names_all(aeraki: Run, shop: Path) -> None:
    (shop / "other.yaml").write_text(
        SERVICE.replace("namespace: shop", "namespace: depot").replace("10.96.0.1", "10.96.0.2")
    )
    result = aeraki("explain", "cart", "-f", shop)
    assert (result.code, result.out) == (1, "")
    assert "'cart' can mean cart.depot.svc.cluster.local, cart.shop.svc.cluster.local" in result.err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("cat", "no service 'cat'; did you mean cart.shop.svc.cluster.local?"),
        ("cart:81", "cart.shop.svc.cluster.local has no port 81; it has 7000, 80"),
        ("zzzzzz", "no service 'zzzzzz'; there are 1"),
    ],
)
def test_what_is_not_there_gives_1_and_a_suggestion(
    aeraki: Run, shop: Path, target: str, words: str
) -> None:
    result = aeraki("explain", target, "-f", shop)
    assert (result.code, result.out) == (1, "")
    assert words in result.err


def test_an_external_name_has_no_port_and_says_where_calls_go(aeraki: Run, shop: Path) -> None:
    (shop / "alias.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: alias, namespace: shop}\n"
        "spec: {type: ExternalName, externalName: cart.example.com, ports: [{port: 7000}]}\n"
    )
    result = aeraki("explain", "alias", "-f", shop)
    assert (result.code, result.out) == (1, "")
    assert "ExternalName Service: calls go to cart.example.com by DNS" in result.err


def test_a_finding_is_shown_with_its_line(aeraki: Run, shop: Path) -> None:
    (shop / "policy.yaml").write_text(POLICY)  # its Secret is missing
    out = aeraki("explain", "cart:7000", "-f", shop).out
    assert "state      no filter" in out
    assert f"{shop}/policy.yaml:6: error AER0405: no Secret words" in out


def test_json_and_yaml_say_the_same(aeraki: Run, shop: Path) -> None:
    content = json.loads(aeraki("explain", "cart:7000", "-f", shop, "-o", "json").out)
    assert yaml.safe_load(aeraki("explain", "cart:7000", "-f", shop, "-o", "yaml").out) == content
    (port,) = content["ports"]
    assert (port["protocol"], port["plugin"], port["state"]) == ("echo", "echo", "current")
    assert port["filters"][0]["filter"] == OUTBOUND


def test_usage(aeraki: Run, shop: Path) -> None:
    assert aeraki("explain").code == 2
    assert "aeraki explain cart -f deploy/" in aeraki("explain", "cart").err
    assert "'x' is not a port number" in aeraki("explain", "cart:x", "-f", shop).err
