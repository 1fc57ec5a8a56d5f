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


def virtual_services(mesh: Mesher, number: int, **destination: str) -> None:
    route = {"route": [{"destination": {"host": HOST, **destination}}]}
    mesh.routes(f"r{number}", [HOST], [route])


def destination_rules(mesh: Mesher, number: int) -> None:
    mesh.put("DestinationRule", f"d{number}", {"host": HOST, "subsets": [{"name": f"v{number}"}]})


def rules_of_workloads(mesh: Mesher, number: int) -> None:
    selector = {"matchLabels": {f"app{number}": "x"}}
    spec = {"host": HOST, "workloadSelector": selector, "subsets": [{"name": f"v{number}"}]}
    mesh.put("DestinationRule", f"d{number}", spec, namespace="web")
    virtual_services(mesh, 0, subset="v0")


def sidecars_of_workloads(mesh: Mesher, number: int) -> None:
    spec = {"egress": [{"hosts": ["*/*"]}], "workloadSelector": {"labels": {"app": f"a{number}"}}}
    mesh.put("Sidecar", f"s{number}", spec, namespace="web")
    virtual_services(mesh, 0, subset="v0")


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
        rules_of_workloads,
        sidecars_of_workloads,
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


HTTP_ONLY = [{"match": [{"uri": {"prefix": "/"}}], "route": [{"destination": {"host": "x"}}]}]


def many_ports(services: int) -> Mesher:
    mesh = Mesher()
    for number in range(services):
        mesh.service(f"s{number}", f"10.0.0.{number + 1}")
    return mesh


def cost_of_wildcards(services: int, number: int, entries: int = 1) -> int:
    """What the private VirtualServices of one tenant for all hosts cost."""
    mesh = many_ports(services)
    for each in range(number):
        http = HTTP_ONLY * entries
        mesh.routes(f"r{each}", ["*"], http, namespace="evil", exportTo=["."])
    called, _ = calls(mesh.run)
    return called


def test_ports_and_wildcard_routes_do_not_multiply() -> None:
    cost_of_wildcards(1, 1)  # what is imported once
    few = cost_of_wildcards(40, 40)
    assert cost_of_wildcards(40, 400) < 1.3 * few
    assert cost_of_wildcards(80, 40) < 2.2 * few


def test_ports_and_the_entries_of_a_wildcard_route_do_not_multiply() -> None:
    cost_of_wildcards(1, 1)  # what is imported once
    assert cost_of_wildcards(5, 1, entries=4000) < 1.3 * cost_of_wildcards(5, 1, entries=600)


def test_what_is_not_read_of_a_tenants_wildcard_routes_is_reported_for_its_clients() -> None:
    mesh = many_ports(1)
    for number in range(22):
        mesh.routes(f"r{number:02}", ["*"], HTTP_ONLY, namespace="evil", exportTo=["."])
    mesh.run()
    (finding,) = (each for each in mesh.pipeline.findings() if each.code.id == "AER0323")
    assert str(finding.ref) == "VirtualService evil/r20"
    assert finding.message == (
        "clients in evil: 20 VirtualServices name s0.shop.svc.cluster.local by a wildcard and come "
        "first; neither this one nor those after it are read for that host"
    )


def test_younger_wildcard_routes_do_not_crowd_out_an_older_tcp_route() -> None:
    mesh = Mesher()
    mesh.service()
    mesh.service("other", "10.0.0.2")
    tcp = [{"route": [{"destination": {"host": "other.shop.svc.cluster.local"}}]}]
    mesh.routes(
        "old", ["*"], [], namespace="ops", creationTimestamp="2020-01-01T00:00:00Z", tcp=tcp
    )
    for number in range(30):
        mesh.routes(f"r{number}", ["*.shop.svc.cluster.local"], HTTP_ONLY, namespace="evil")
    assert "*>outbound|7000||other.shop.svc.cluster.local:1" in mesh.said()


def test_entries_that_are_not_read_are_reported() -> None:
    mesh = many_ports(1)
    for number in range(2):
        mesh.routes(f"r{number}", ["*"], HTTP_ONLY * 300, namespace="evil", exportTo=["."])
    mesh.run()
    (finding,) = (each for each in mesh.pipeline.findings() if each.code.id == "AER0324")
    assert (str(finding.ref), finding.field) == ("VirtualService evil/r1", "spec.http[200]")
    assert finding.message.startswith("clients in evil: more than 500 conditions of http entries")


def test_a_thousand_claims_of_a_listener_name_a_few() -> None:
    mesh = Mesher()
    for number in range(40):
        ranges_of_one_port(mesh, number)
    mesh.run()
    messages = {each.message for each in mesh.pipeline.findings() if each.code.id == "AER0207"}
    assert len(messages) > 1
    assert all("and others;" in message for message in messages)
