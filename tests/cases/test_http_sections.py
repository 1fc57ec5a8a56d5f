"""Routes written for other ports, hosts or protocols: they change nothing, and are not blamed."""

from __future__ import annotations

import pytest

from tests.cases.test_cases import ORDERS, about
from tests.cases.test_more_kinds import LISTENER, SELF, TO_V2, V2, istio, service
from tests.reach import client_of, made_of

V1 = f"outbound|9090|v1|{ORDERS}"
HTTP_AND_THRIFT = "{name: http-admin, port: 8080}, {name: tcp-thrift, port: 9090}"
TO_V1 = TO_V2.replace("v2", "v1")
SUBSETS = istio(
    "DestinationRule",
    '{host: orders, subsets: [{name: v1, labels: {v: "1"}}, {name: v2, labels: {v: "2"}}]}',
).replace("name: x", "name: orders")


def routes(sections: str, *, hosts: str = "orders", name: str = "x", created: str = "") -> str:
    text = istio("VirtualService", f"{{hosts: [{hosts}], {sections}}}").replace("x,", f"{name},", 1)
    return text.replace("shop}", f'shop, creationTimestamp: "{created}"}}', 1) if created else text


@pytest.mark.parametrize("field", ["rewrite: {uri: /x}", "corsPolicy: {allowMethods: [GET]}"])
def test_an_entry_that_asks_what_only_http_has_is_for_the_http_port(field: str) -> None:
    made = made_of(service(HTTP_AND_THRIFT), SUBSETS, routes(f"http: [{{{field}, {TO_V2}}}]"))
    assert client_of(made, "web").reaches(LISTENER) == {SELF}
    assert about(made, "AER0313", field.partition(":")[0], "port 9090")


@pytest.mark.parametrize("hosts", ["orders, web", "orders, shop.example.com", '"*.local"'])
def test_uri_matches_of_several_hosts_are_for_those_that_speak_http(hosts: str) -> None:
    entry = f"{{match: [{{uri: {{prefix: /a}}}}], {TO_V2}}}"
    made = made_of(service(), SUBSETS, routes(f"http: [{entry}]", hosts=hosts))
    assert client_of(made, "web").reaches(LISTENER) == {SELF}
    assert about(made, "AER0313", "uri")
    assert "error" not in made.findings_text


@pytest.mark.parametrize(
    ("tls_port", "is_named"), [("port: 443, ", False), ("", False), ("port: 9090, ", True)]
)
def test_tls_routes_of_another_port_are_no_mistake(tls_port: str, is_named: bool) -> None:
    ports = "{name: tls, port: 443}, {name: tcp-thrift, port: 9090}"
    section = f"tls: [{{match: [{{{tls_port}sniHosts: [orders]}}], {TO_V2}}}]"
    made = made_of(service(ports), SUBSETS, routes(section))
    assert about(made, "AER0311") == is_named, made.findings_text


@pytest.mark.parametrize("older", ["http: [{match: [{port: 8080}], %s}]", "tcp: [{%s}]"])
def test_of_two_virtual_services_the_one_without_effect_on_the_port_is_named(older: str) -> None:
    """An older one counts where it has a route for the port, by http or by tcp."""
    first = routes(older % TO_V1, name="a", created="2024-01-01T00:00:00Z")
    entry = f"http: [{{match: [{{port: 9090}}], {TO_V2}}}]"
    second = routes(entry, name="b", created="2024-02-01T00:00:00Z")
    made = made_of(service(HTTP_AND_THRIFT), SUBSETS, first, second)
    is_hidden = older.startswith("tcp")
    assert client_of(made, "web").reaches(LISTENER) == {V1 if is_hidden else V2, SELF}
    assert about(made, "AER0310", "shop/b") == is_hidden, made.findings_text


def test_private_routes_come_before_public_ones_without_a_word() -> None:
    private = istio(
        "VirtualService",
        f'{{hosts: [{ORDERS}], exportTo: ["."], http: [{{{TO_V2.replace("orders", ORDERS)}}}]}}',
        "web",
    )
    made = made_of(service(), SUBSETS, routes(f"http: [{{{TO_V1}}}]"), private)
    assert client_of(made, "web").reaches(LISTENER) == {V2, SELF}
    assert client_of(made, "crm").reaches(LISTENER) == {V1, SELF}
    assert not made.findings_text


@pytest.mark.parametrize("protocol", ["redis", "zookeeper"])
@pytest.mark.parametrize("entry", ["match: [{uri: {prefix: /metrics}}], ", ""])
def test_http_routes_of_a_metrics_port_are_no_mistake(protocol: str, entry: str) -> None:
    ports = f"{{name: tcp-{protocol}, port: 9090}}, {{name: http-metrics, port: 9121}}"
    text = service(ports, 'redis.aeraki.io/proxy: "always"' if protocol == "redis" else "")
    text = text.replace("thrift.aeraki.io/", "x.io/")
    made = made_of(text, SUBSETS, routes(f"http: [{{{entry}{TO_V2}}}]"))
    assert not made.findings_text


@pytest.mark.parametrize("gateway_only", [True, False])
def test_a_wildcard_or_a_gateway_means_no_port_of_connections(gateway_only: bool) -> None:
    sections = f"http: [{{match: [{{gateways: [g]}}], {TO_V2}}}], gateways: [mesh, g]"
    if not gateway_only:
        sections = f"http: [{{{TO_V2}}}]"
    text = service("{name: tcp-zookeeper, port: 9090}").replace("thrift.aeraki.io/", "x.io/")
    made = made_of(text, SUBSETS, routes(sections, hosts="orders" if gateway_only else '"*.local"'))
    assert not made.findings_text


@pytest.mark.parametrize("section", ["http", "tcp"])
@pytest.mark.parametrize(("gateways", "is_named"), [("", True), ("gateways: [mesh, g], ", False)])
def test_a_match_on_a_port_that_the_host_lacks_is_named(
    section: str, gateways: str, is_named: bool
) -> None:
    """A gateway has ports of its own."""
    entry = f"{gateways}{section}: [{{match: [{{port: 9091}}], {TO_V2}}}]"
    made = made_of(service(), SUBSETS, routes(entry))
    assert about(made, "AER0325", f"spec.{section}[0].match[0].port", "9091") == is_named


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        ("VirtualService", f"{{hosts: [orders], htpp: [{{{TO_V2}}}]}}", ("htpp", "http?")),
        ("DestinationRule", "{host: orders, subets: [{name: v2}]}", ("subets", "subsets?")),
    ],
)
def test_a_field_that_istio_does_not_have_is_named(
    kind: str, spec: str, words: tuple[str, str]
) -> None:
    made = made_of(service(), istio(kind, spec))
    assert about(made, "AER0307", kind, words[0], f"did you mean {words[1]}"), made.findings_text
