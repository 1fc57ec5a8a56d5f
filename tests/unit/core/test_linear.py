"""Twice as many objects about one host or listener cost twice as much, not four times."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.counting import calls
from tests.unit.core.echo import Mesher

HOST = "cart.shop.svc.cluster.local"


def one_host(mesh: Mesher, number: int) -> None:
    mesh.entry(f"e{number}", ["a.example.com"], resolution="DNS")


def one_address(mesh: Mesher, number: int) -> None:
    mesh.entry(f"e{number}", [f"a{number}.example.com"], addresses=["240.0.0.1"], resolution="DNS")


def one_port(mesh: Mesher, number: int) -> None:
    mesh.entry(f"e{number}", [f"a{number}.example.com"], resolution="DNS")


def ranges_of_one_port(mesh: Mesher, number: int) -> None:
    mesh.entry(f"e{number}", [f"a{number}.example.com"], addresses=[f"10.0.{number}.0/24"])


def objects_of_a_plugin(mesh: Mesher, number: int) -> None:
    mesh.put("EchoPolicy", f"p{number}", {"host": HOST})


def virtual_services(mesh: Mesher, number: int) -> None:
    route = {"route": [{"destination": {"host": HOST}}]}
    mesh.routes(f"r{number}", [HOST], [route])


def destination_rules(mesh: Mesher, number: int) -> None:
    mesh.put("DestinationRule", f"d{number}", {"host": HOST, "subsets": [{"name": f"v{number}"}]})


@pytest.mark.parametrize(
    "add",
    [
        one_host,
        one_address,
        one_port,
        ranges_of_one_port,
        objects_of_a_plugin,
        virtual_services,
        destination_rules,
    ],
)
def test_the_cost_grows_with_the_number(add: Callable[[Mesher, int], None]) -> None:
    def cost(number: int) -> int:
        mesh = Mesher()
        mesh.service()
        for each in range(number):
            add(mesh, each)
        called, _ = calls(mesh.run)
        return called

    cost(1)  # what is imported once
    assert cost(160) < 2.6 * cost(80)


def test_a_thousand_claims_of_a_listener_name_a_few() -> None:
    mesh = Mesher()
    for number in range(40):
        ranges_of_one_port(mesh, number)
    mesh.run()
    messages = {each.message for each in mesh.pipeline.findings() if each.code.id == "AER0207"}
    assert len(messages) > 1
    assert all("and others;" in message for message in messages)
