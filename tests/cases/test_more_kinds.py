"""Further meshes of the reported kinds: where calls go, and what is said about the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from aeraki_core.testing import Mesh

from tests.cases.test_cases import ORDERS, about
from tests.reach import client_of, made_of

LISTENER = "10.96.3.4_9090"
SELF = f"outbound|9090||{ORDERS}"
V2 = f"outbound|9090|v2|{ORDERS}"
HTTP_PORT = "{name: http-admin, port: 8080}, "


def service(ports: str = "{name: tcp-thrift, port: 9090}", annotations: str = "") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata:
  name: orders
  namespace: shop
  annotations: {{thrift.aeraki.io/transport: framed, {annotations}}}
spec:
  clusterIP: 10.96.3.4
  selector: {{app: orders}}
  ports: [{ports}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: orders, namespace: shop}}
spec: {{host: orders, subsets: [{{name: v2, labels: {{v: "2"}}}}]}}
"""


def istio(kind: str, spec: str, namespace: str = "shop") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: {kind}
metadata: {{name: x, namespace: {namespace}}}
spec: {spec}
"""


def routes(sections: str, host: str = "orders", namespace: str = "shop") -> str:
    return istio("VirtualService", f"{{hosts: [{host}], {sections}}}", namespace)


TO_V2 = "route: [{destination: {host: orders, subset: v2}}]"


@dataclass(frozen=True)
class Case:
    """``reaches``: by client namespace. ``words``: of findings; empty for a mesh without any."""

    mesh: str
    reaches: dict[str, set[str]] = field(default_factory=dict)
    words: tuple[str, ...] = ()


CASES = {
    "a redirect is for the HTTP port": Case(
        service(HTTP_PORT + "{name: tcp-thrift, port: 9090}")
        + routes(f"http: [{{redirect: {{uri: /x}}}}], tcp: [{{{TO_V2}}}]"),
        {"web": {SELF, V2}},
        ("AER0313", "redirect"),
    ),
    "a redirect without an HTTP port is a mistake": Case(
        service() + routes("http: [{redirect: {uri: /x}}]"),
        {"web": {SELF}},
        ("AER0307", "cannot answer with redirect"),
    ),
    "routes of a service for other namespaces only": Case(
        service(annotations='networking.istio.io/exportTo: "web"') + routes(f"http: [{{{TO_V2}}}]"),
        {"web": {SELF, V2}},
    ),
    "routes that no client of the service sees": Case(
        service(annotations='networking.istio.io/exportTo: "web"')
        + routes(f'exportTo: ["."], http: [{{{TO_V2}}}]'),
        {"web": {SELF}},
        ("AER0301", "no client sees both"),
    ),
    "a ServiceEntry that takes the host in its own namespace": Case(
        service()
        + routes(f"http: [{{{TO_V2}}}]")
        + istio(
            "ServiceEntry",
            f"{{hosts: [{ORDERS}], addresses: [10.96.3.4], resolution: STATIC, "
            "ports: [{number: 9090, name: tcp-thrift, protocol: TCP}]}",
            "crm",
        ),
        {"web": {SELF, V2}, "crm": {SELF}},
        ("AER0302", "clients in crm"),
    ),
    "a Sidecar that binds all that it imports": Case(
        service() + istio("Sidecar", '{egress: [{captureMode: NONE, hosts: ["shop/*"]}]}', "web"),
        {"other": {SELF}},
        ("AER0222", "clients in web", "127.0.0.1_9090"),
    ),
    "a Sidecar that takes the port for HTTP": Case(
        service()
        + istio(
            "Sidecar",
            "{workloadSelector: {labels: {app: a}}, egress: [{port: {number: 9090, "
            'protocol: HTTP, name: http}, hosts: ["shop/*"]}]}',
            "web",
        ),
        {"other": {SELF}},
        ("AER0222", "clients with app=a in web", "0.0.0.0_9090", "HTTP"),
    ),
    "a host in capitals": Case(
        istio(
            "ServiceEntry",
            "{hosts: [Ledger.example.net], addresses: [10.96.3.4], resolution: DNS, "
            "ports: [{number: 9090, name: tcp-thrift, protocol: TCP}]}",
        ),
        {"web": {"outbound|9090||Ledger.example.net"}},
    ),
    "a subset of a host that DNS looks up": Case(
        istio(
            "ServiceEntry",
            "{hosts: [ledger.example.net], addresses: [10.96.3.4], resolution: DNS, "
            "ports: [{number: 9090, name: tcp-thrift, protocol: TCP}]}",
        )
        + istio(
            "DestinationRule",
            '{host: ledger.example.net, subsets: [{name: v2, labels: {v: "2"}}, {name: all}]}',
        )
        + routes(
            "http: [{match: [{method: {exact: a}}], "
            "route: [{destination: {host: ledger.example.net, subset: v2}}]}, "
            "{route: [{destination: {host: ledger.example.net, subset: all}}]}]",
            "ledger.example.net",
        ),
        {"web": {f"outbound|9090|{each}|ledger.example.net" for each in ("", "all")}},
        ("AER0302", "looked up by DNS"),
    ),
    "an entry of the same second and address, whose host comes first": Case(
        service()
        + istio(
            "ServiceEntry",
            "{hosts: [api.example.net], addresses: [10.96.3.4], resolution: DNS, "
            "ports: [{number: 9090, name: tcp-thrift, protocol: TCP}]}",
        ),
        {"web": {"outbound|9090||api.example.net"}},
        ("AER0201", "api.example.net"),
    ),
    "a host that istiod makes no cluster for": Case(
        istio(
            "ServiceEntry",
            '{hosts: ["*.example.net"], resolution: DYNAMIC_DNS, '
            "ports: [{number: 9090, name: tcp-thrift, protocol: TCP}]}",
        ),
        words=("AER0202", "DYNAMIC_DNS"),
    ),
    "a target port in quotes": Case(
        service('{name: tcp-thrift, port: 9090, targetPort: "9091"}'),
        words=("AER0106", "targetPort"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_calls_go_where_istio_sends_them(case: Case) -> None:
    made = made_of(case.mesh)
    for namespace, reached in case.reaches.items():
        client = client_of(made, namespace)
        assert client.filters(LISTENER) == ["thrift_proxy"]
        assert client.reaches(LISTENER) == reached
        assert not client.missing(LISTENER)
    if case.words:
        assert about(made, *case.words), made.findings_text
    else:
        assert not made.findings_text
    if not case.reaches:
        assert not any("OUTBOUND" in str(item) for item in made.filters)


HEADLESS = """
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec: {clusterIP: None, selector: {app: %s}, ports: [{name: %s, port: 9090}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s, namespace: shop, labels: {kubernetes.io/service-name: %s}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}]
ports: [{name: tcp-thrift, port: 9090}]
"""
CHAINED = Mesh(headless_filter_chains=True)


def test_headless_services_with_one_listener_for_all_pods() -> None:
    web = service("{name: http-web, port: 9090}").replace("thrift.aeraki.io/", "x.io/")
    made = made_of(
        HEADLESS % (("store",) * 2 + ("tcp-thrift",) + ("store",) * 2), web, mesh=CHAINED
    )
    client = client_of(made, "web")
    assert client.filters("0.0.0.0_9090") == ["thrift_proxy", "thrift_proxy", "tcp_proxy"]
    assert client.reaches("0.0.0.0_9090") == {"outbound|9090||store.shop.svc.cluster.local"}
    assert client.filters("0.0.0.0_9090", "PassthroughFilterChain") == ["tcp_proxy"]


def test_two_headless_services_with_one_listener_are_not_told_apart() -> None:
    stores = [HEADLESS % ((name,) * 2 + ("tcp-thrift",) + (name,) * 2) for name in ("a", "b")]
    made = made_of(*stores, mesh=CHAINED)
    assert set(client_of(made, "web").filters("0.0.0.0_9090")) == {"tcp_proxy"}
    assert about(made, "AER0207", "Service shop/a", "0.0.0.0_9090")


def test_a_headless_service_has_no_listener_for_a_port_without_endpoints() -> None:
    first, second = (HEADLESS % ((name,) * 2 + ("tcp-thrift",) + (name,) * 2) for name in "ab")
    # Both name the same pods, whose EndpointSlice lacks the port of the first.
    without_port = "ports: [{name: tcp-admin, port: 9090}]"
    first = first.replace("ports: [{name: tcp-thrift, port: 9090}]\n", f"{without_port}\n")
    client = client_of(made_of(first, second), "web")
    assert client.filters("10.1.0.1_9090") == ["thrift_proxy"]
    assert client.reaches("10.1.0.1_9090") == {"outbound|9090||b.shop.svc.cluster.local"}


@pytest.mark.parametrize(
    ("port", "code", "words"),
    [
        ("{name: tcp-dubbo, port: 1, appProtocol: http}", "AER0211", "appProtocol is http"),
        ("{name: tcp-redis, port: 1, appProtocol: tls}", "AER0227", "appProtocol is tls"),
        ("{name: tcp-dubbo, port: 1, protocol: UDP}", "AER0211", "protocol is UDP"),
        ("{name: thirft, port: 1}", "AER0212", "did you mean tcp-thrift?"),
        ("{name: zookeper, port: 1}", "AER0212", "did you mean tcp-zookeeper?"),
        ("{name: dubbo-tcp, port: 1}", "AER0212", "name it tcp-dubbo, or set"),
        ("{name: metaprotocol-dubbo, port: 1}", "AER0211", "write tcp-dubbo"),
        ("{name: a, port: 1, appProtocol: metaprotocol-dubbo}", "AER0211", "write dubbo"),
        ("{name: a, port: 1, appProtocol: apache.dubbo/v2}", "AER0211", "did you mean dubbo?"),
        ("{name: a, port: 1, appProtocol: kafka-tls}", "AER0227", "clients speak TLS"),
    ],
)
def test_a_port_that_says_two_things_or_is_misspelt_is_named(
    port: str, code: str, words: str
) -> None:
    made = made_of(service(port).replace("thrift.aeraki.io/", "x.io/"))
    assert about(made, code, words), made.findings_text


def test_a_udp_port_of_the_same_number_hides_nothing() -> None:
    for ports in ("{T}, {U}", "{U}, {T}"):
        tcp, udp = "name: tcp-thrift, port: 9090", "name: thrift-udp, port: 9090, protocol: UDP"
        made = made_of(service(ports.replace("T", tcp).replace("U", udp)))
        assert client_of(made, "web").filters(LISTENER) == ["thrift_proxy"]
        assert not made.findings_text


@pytest.mark.parametrize(
    ("method", "is_named"),
    [("regex: GET|POST", False), ("prefix: P", False), ("exact: GET", False), ("prefix: x", True)],
)
def test_a_method_that_http_may_have_is_no_mistake_where_istio_looks_at_the_bytes(
    method: str, is_named: bool
) -> None:
    entry = (
        f"http: [{{match: [{{method: {{{method}}}}}], route: [{{destination: {{host: orders}}}}]}}]"
    )
    made = made_of(service("{port: 9090}").replace("thrift.aeraki.io/", "x.io/"), routes(entry))
    assert about(made, "AER0314") == is_named, made.findings_text


def test_gateway_routes_to_a_service_with_an_http_port_are_for_that_port() -> None:
    entry = "gateways: [g], http: [{route: [{destination: {host: orders}}]}]"
    assert not made_of(
        service(HTTP_PORT + "{name: tcp-thrift, port: 9090}"), routes(entry)
    ).findings


@pytest.mark.parametrize(
    "port", ["metrics", "http-dubbo", "amqp", "mysql", "client", "grpc-kafka", "redis-tls"]
)
def test_a_port_of_another_protocol_is_left_alone(port: str) -> None:
    text = service(f"{{name: {port}, port: 1}}").replace("thrift.aeraki.io/", "x.io/")
    assert not made_of(text).findings_text
