"""``tcp`` routes for subnets: calls go where istiod's chain of the closest subnet sends them."""

from __future__ import annotations

import pytest

from tests.cases.test_cases import about
from tests.cases.test_http_sections import HTTP_AND_THRIFT, SUBSETS, TO_V1, V1
from tests.cases.test_more_kinds import SELF, TO_V2, V2, istio, service
from tests.reach import client_of, made_of

INSIDE, OUTSIDE = "10.96.0.0/16", "10.97.0.0/16"


def match(*subnets: str, more: str = "") -> str:
    return f"{{destinationSubnets: [{', '.join(subnets)}]{more}}}"


def entry(route: str, *matches: str) -> str:
    return f"{{match: [{', '.join(matches)}], {route}}}" if matches else f"{{{route}}}"


def tcp(*entries: str, host: str = "orders") -> str:
    return istio("VirtualService", f"{{hosts: [{host}], tcp: [{', '.join(entries)}]}}")


@pytest.mark.parametrize(
    ("entries", "goes_to"),
    [
        # Beside it: the default route, a route after it, a route before it.
        ([entry(TO_V2, match(INSIDE))], V2),
        ([entry(TO_V2, match(OUTSIDE))], SELF),
        ([entry(TO_V2, match(INSIDE)), entry(TO_V1)], V2),
        ([entry(TO_V2, match(OUTSIDE)), entry(TO_V1)], V1),
        ([entry(TO_V1), entry(TO_V2, match(INSIDE))], V1),
        # The closest subnet counts, whichever comes first.
        ([entry(TO_V1, match("10.0.0.0/8")), entry(TO_V2, match(INSIDE))], V2),
        ([entry(TO_V2, match("10.96.3.4")), entry(TO_V1, match(INSIDE))], V2),
        # Several subnets and matches, one without subnets among them.
        ([entry(TO_V2, match(OUTSIDE, INSIDE))], V2),
        ([entry(TO_V2, match(OUTSIDE), match(INSIDE))], V2),
        ([entry(TO_V2, match(OUTSIDE), "{port: 9090}"), entry(TO_V1, match(INSIDE))], V2),
        # Other conditions beside it.
        ([entry(TO_V2, match(INSIDE, more=", port: 9090"))], V2),
        ([entry(TO_V2, match(INSIDE, more=", port: 8080"))], SELF),
        ([entry(TO_V2, match(INSIDE, more=", gateways: [g]"))], SELF),
        ([entry(TO_V2, match(OUTSIDE, more=", sourceLabels: {app: web}"))], SELF),
        # istiod leaves out a subnet that starts at 0.0.0.0, unless there are only such.
        ([entry(TO_V2, match("0.0.0.0/0"))], V2),
        ([entry(TO_V2, match("0.0.0.0/0", OUTSIDE))], SELF),
    ],
)
def test_a_route_for_subnets_counts_if_the_service_is_inside(
    entries: list[str], goes_to: str
) -> None:
    made = made_of(service(HTTP_AND_THRIFT), SUBSETS, tcp(*entries))
    client = client_of(made, "web")
    assert client.dials("10.96.3.4", 9090, plain=True) == {goes_to}
    assert client.dials("10.96.3.4", 9090) == {goes_to}
    assert not made.findings_text


def test_an_older_route_for_subnets_comes_before_an_http_section_where_it_counts() -> None:
    http = istio(
        "VirtualService",
        f"{{hosts: [orders], http: [{{match: [{{method: {{exact: a}}}}], {TO_V1}}}]}}",
    ).replace("name: x", "name: younger")
    for subnet, reached in ((INSIDE, {V2}), (OUTSIDE, {V1, SELF})):
        made = made_of(service(), SUBSETS, tcp(entry(TO_V2, match(subnet))), http)
        assert client_of(made, "web").dials("10.96.3.4", 9090) == reached


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger, namespace: shop}
spec:
  hosts: [ledger.example.net]
  addresses: [%s]
  resolution: STATIC
  endpoints: [{address: 10.0.0.9}]
  ports: [{number: 9090, name: tcp-thrift, protocol: TCP}]
"""
LEDGER = "outbound|9090||ledger.example.net"


@pytest.mark.parametrize("addresses", ["10.96.0.1", "10.96.0.1, 10.96.0.2"])
def test_every_address_of_a_service_entry_is_compared(addresses: str) -> None:
    routes = tcp(entry(TO_V2, match(INSIDE)), host="ledger.example.net")
    made = made_of(service(), ENTRY % addresses, routes)
    for address in addresses.split(", "):
        assert client_of(made, "web").dials(address, 9090) == {V2}
    assert not made.findings_text


def test_addresses_with_different_routes_are_named() -> None:
    routes = tcp(entry(TO_V2, match(INSIDE)), host="ledger.example.net")
    made = made_of(service(), ENTRY % "10.96.0.1, 10.97.0.1", routes)
    assert client_of(made, "web").dials("10.96.0.1", 9090) == {LEDGER}
    words = "for 10.96.0.1 of ledger.example.net and not for 10.97.0.1"
    assert about(made, "AER0306", "spec.tcp[0].match", words), made.findings_text


@pytest.mark.parametrize("addresses", ["", "10.96.0.0/24", "10.96.0.1, 10.97.0.0/24"])
def test_a_listener_for_any_address_cannot_follow_a_subnet(addresses: str) -> None:
    routes = tcp(entry(TO_V2, match(INSIDE)), host="ledger.example.net")
    made = made_of(service(), ENTRY % addresses, routes)
    field = "spec.tcp[0].match[0].destinationSubnets"
    assert about(made, "AER0306", field, "not for a few fixed addresses"), made.findings_text
