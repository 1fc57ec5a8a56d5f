"""`aeraki explain` names what was meant for a service and misses it, and who gets which filter."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Run

from .conftest import SERVICE

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: NAMESPACE}
spec:
  hosts: [HOST]
  gateways: [GATEWAY]
  http: [{route: [{destination: {host: cart}}]}]
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec: {host: HOST}
"""


def _nearly(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("  nearly")]


@pytest.mark.parametrize(
    ("namespace", "host", "gateway", "words"),
    [
        ("shop", "crat", "mesh", "its host is crat.shop.svc.cluster.local, which no service has"),
        ("depot", "cart", "mesh", "its host is cart.depot.svc.cluster.local, which no service has"),
        ("shop", "cart", "edge/gw", "it is for gateways only; add `mesh` to gateways"),
    ],
)
def test_a_virtual_service_that_misses_the_service(
    aeraki: Run, shop: Path, namespace: str, host: str, gateway: str, words: str
) -> None:
    text = ROUTE.replace("NAMESPACE", namespace).replace("HOST", host).replace("GATEWAY", gateway)
    (shop / "route.yaml").write_text(text)
    [line] = _nearly(aeraki("explain", "cart:7000", shop).out)
    assert f"VirtualService {namespace}/cart, {shop}/route.yaml:1: {words}" in line


def test_a_destination_rule_that_misses_the_service(aeraki: Run, shop: Path) -> None:
    (shop / "rule.yaml").write_text(RULE.replace("HOST", "carts"))
    [line] = _nearly(aeraki("explain", "cart:7000", shop).out)
    assert "DestinationRule shop/cart" in line


def test_what_reaches_the_service_or_another_one_is_no_miss(aeraki: Run, shop: Path) -> None:
    fits = ROUTE.replace("NAMESPACE", "shop").replace("HOST", "cart").replace("GATEWAY", "mesh")
    (shop / "route.yaml").write_text(fits)
    other = SERVICE.replace("name: cart", "name: carts").replace("10.96.0.1", "10.96.0.2")
    (shop / "other.yaml").write_text(other)
    (shop / "rule.yaml").write_text(RULE.replace("HOST", "carts"))
    assert not _nearly(aeraki("explain", "cart.shop.svc.cluster.local:7000", shop).out)


def test_it_says_who_gets_which_filter(aeraki: Run, shop: Path) -> None:
    out = aeraki("explain", "cart:7000", shop).out
    assert "(all clients)" in out
    assert "(workloads app=cart of namespace shop)" in out


def test_a_misspelt_port_is_told_what_was_meant(aeraki: Run, shop: Path) -> None:
    (shop / "cart.yaml").write_text(SERVICE.replace("tcp-echo", "tcp-ehco"))
    out = aeraki("explain", "cart:7000", shop).out
    [line] = [line for line in out.splitlines() if line.startswith("  to do")]
    assert "tcp-echo" in line
