"""Routes of the Gateway API for a Service: what istiod makes of them for a port of ours."""

from __future__ import annotations

import pytest

from tests.cases.test_cases import about
from tests.reach import client_of, made_of

LISTENER = "10.96.3.4_9090"
ORDERS, OTHER = (
    f"outbound|9090||{name}.shop.svc.cluster.local" for name in ("orders", "orders-v2")
)
PARENT = '{group: "", kind: Service, name: orders, namespace: shop, port: 9090}'


def mesh(ports: str = "") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: orders, namespace: shop, annotations: {{thrift.aeraki.io/transport: framed}}}}
spec:
  clusterIP: 10.96.3.4
  selector: {{app: orders}}
  ports: [{{name: tcp-thrift, port: 9090}}{ports}]
---
apiVersion: v1
kind: Service
metadata: {{name: orders-v2, namespace: shop}}
spec: {{clusterIP: 10.96.3.5, ports: [{{name: tcp-thrift, port: 9090}}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: ledger, namespace: shop}}
spec:
  hosts: [ledger.example.net]
  addresses: [240.1.1.1]
  resolution: DNS
  ports: [{{number: 9090, name: tcp-thrift, protocol: TCP}}]
"""


def route(kind: str, backends: str, parent: str = PARENT, namespace: str = "shop") -> str:
    return f"""
---
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: r, namespace: {namespace}}}
spec: {{parentRefs: [{parent}], rules: [{{backendRefs: [{backends}]}}]}}
"""


def test_a_tcp_route_decides_for_calls_that_nothing_else_routes() -> None:
    text = mesh() + route(
        "TCPRoute", "{name: orders, port: 9090, weight: 9}, {name: orders-v2, port: 9090}"
    )
    made = made_of(text)
    assert client_of(made, "web").shares(LISTENER) == {ORDERS: 9, OTHER: 1}
    assert not made.findings_text


@pytest.mark.parametrize(
    "parent",
    [
        "{name: ingress}",
        '{group: "", kind: Service, name: orders, port: 8080}',
        '{group: "", kind: Service, name: orders-v2}',
    ],
)
def test_a_tcp_route_for_something_else_changes_nothing(parent: str) -> None:
    text = mesh(", {name: http, port: 8080}")
    text += route("TCPRoute", "{name: orders-v2, port: 9090}", parent)
    assert client_of(made_of(text), "web").reaches(LISTENER) == {ORDERS}


def test_clients_obey_a_tcp_route_of_their_own_namespace_first() -> None:
    text = mesh() + route("TCPRoute", "{name: orders, port: 9090}")
    text += route("TCPRoute", "{name: orders-v2, namespace: shop, port: 9090}", namespace="web")
    made = made_of(text)
    assert OTHER in client_of(made, "web").reaches(LISTENER)
    assert client_of(made, "crm").reaches(LISTENER) == {ORDERS}


def test_a_tcp_route_hides_no_http_section() -> None:
    routes = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [orders]
  http: [{match: [{method: {exact: ping}}], route: [{destination: {host: orders}}]}]
"""
    made = made_of(mesh() + route("TCPRoute", "{name: orders-v2, port: 9090}") + routes)
    assert client_of(made, "web").reaches(LISTENER) == {ORDERS, OTHER}
    assert not made.findings_text


def test_a_backend_that_is_not_there_is_named_where_it_is_written() -> None:
    made = made_of(mesh() + route("TCPRoute", "{name: nope, port: 9090}"))
    assert about(made, "AER0301", "TCPRoute shop/r spec.rules[0].backendRefs[0].name")


@pytest.mark.parametrize(
    ("kind", "parent", "host"),
    [
        ("HTTPRoute", PARENT, "orders.shop.svc.cluster.local"),
        ("GRPCRoute", PARENT, "orders.shop.svc.cluster.local"),
        (
            "TCPRoute",
            "{group: networking.istio.io, kind: ServiceEntry, name: ledger}",
            "ledger.example.net",
        ),
    ],
)
def test_a_route_that_does_nothing_for_the_protocol_is_named(
    kind: str, parent: str, host: str
) -> None:
    made = made_of(mesh() + route(kind, "{name: orders-v2, port: 9090}", parent))
    assert client_of(made, "web").reaches(LISTENER) == {ORDERS}
    assert about(made, "AER0321", f"{kind} shop/r spec.parentRefs[0]", host)


def test_an_http_route_for_the_http_port_is_no_mistake() -> None:
    parent = '{group: "", kind: Service, name: orders}'
    text = mesh(", {name: http, port: 8080}") + route("HTTPRoute", "{name: x, port: 80}", parent)
    assert not made_of(text).findings_text
