"""Listeners that several services share: no call of the others goes elsewhere."""

from __future__ import annotations

import pytest

from tests.reach import client_of, made_of


def entry(name: str, ports: str, namespace: str = "shop", spec: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: {name}
  namespace: {namespace}
  annotations: {{thrift.aeraki.io/transport: framed}}
spec:
  hosts: [{name}.example.com]
  resolution: DNS
  ports: [{ports}]
  {spec}
"""


def service(name: str, port: str, namespace: str = "shop") -> str:
    return f"""
---
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {namespace}
  annotations: {{thrift.aeraki.io/transport: framed}}
spec: {{clusterIP: 10.96.3.4, selector: {{app: a}}, ports: [{port}]}}
"""


def sidecar(egress: str, namespace: str = "web") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: {namespace}}}
spec: {{egress: [{egress}]}}
"""


THRIFT = "{number: 9090, name: tcp-thrift, protocol: TCP}"


@pytest.mark.parametrize("protocol", ["TLS", "HTTPS"])
@pytest.mark.parametrize("address", ["", "addresses: [10.8.0.0/16]"])
def test_the_chains_of_tls_stay_beside_ours(protocol: str, address: str) -> None:
    made = made_of(
        entry("orders", THRIFT),
        entry("other", f"{{number: 9090, name: tls, protocol: {protocol}}}", spec=address),
    )
    client = client_of(made, "web")
    assert client.reaches("0.0.0.0_9090") >= {"outbound|9090||other.example.com"}
    assert client.config.outbound == client.plain.outbound
    assert "AER0207" in made.codes


def test_an_http_port_has_no_listener_at_its_address() -> None:
    made = made_of(
        service("web", "{name: http, port: 9090}"),
        entry("orders", THRIFT, spec="addresses: [10.96.3.4]"),
    )
    assert client_of(made, "web").filters("10.96.3.4_9090") == ["thrift_proxy"]


def test_an_http_entry_without_address_leaves_the_chain_of_tcp() -> None:
    made = made_of(
        entry("http", "{number: 9090, name: http, protocol: HTTP}", spec="exportTo: [web]"),
        entry("orders", THRIFT),
    )
    client = client_of(made, "web")
    assert client.reaches("0.0.0.0_9090") == {"outbound|9090||orders.example.com"}
    assert "thrift_proxy" in client.filters("0.0.0.0_9090")


@pytest.mark.parametrize(
    ("bind", "listener"), [("0.0.0.0", "0.0.0.0_9090"), ("10.1.1.1", "10.1.1.1_9090")]
)
def test_a_sidecar_that_binds_to_the_address_of_a_service_is_named(
    bind: str, listener: str
) -> None:
    spec = "addresses: [10.1.1.1]" if bind == "10.1.1.1" else ""
    port = "{number: 9090, protocol: TCP, name: own}"
    made = made_of(
        entry("orders", THRIFT, spec=spec),
        service("stock", "{name: tcp-plain, port: 9090}"),
        sidecar(f"{{port: {port}, bind: {bind}, hosts: ['shop/stock.shop.svc.cluster.local']}}"),
    )
    (finding,) = (each for each in made.findings if each.code.id == "AER0222")
    assert f"the listener {listener} for its own services; the filter changes it" in finding.message


def test_a_service_that_a_sidecar_does_not_import_hides_no_other() -> None:
    # In web, orders.example.com is the entry of shop: its Sidecar does not import its own.
    made = made_of(
        entry("orders", THRIFT, spec="exportTo: [web]"),
        entry("orders", "{number: 9091, name: tcp, protocol: TCP}", namespace="web"),
        entry("stock", THRIFT, namespace="web"),
        sidecar("{hosts: [shop/*]}"),
    )
    client = client_of(made, "web")
    assert client.reaches("0.0.0.0_9090") == {"outbound|9090||orders.example.com"}
    assert not client.missing("0.0.0.0_9090")


def test_only_entries_that_are_alike_have_clusters_for_all_their_ports() -> None:
    routes = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.shop.svc.cluster.local]
  http: [{route: [{destination: {host: stock.example.com, port: {number: 9090}}}]}]
"""
    first = entry("stock", "{number: 9091, name: tcp, protocol: TCP}")
    second = entry("stock", THRIFT, spec="RESOLUTION").replace("name: stock", "name: stock-2", 1)
    for resolution, missing in (("NONE", True), ("DNS", False)):
        made = made_of(
            service("orders", "{name: tcp-thrift, port: 9090}"),
            first,
            second.replace("resolution: DNS", f"resolution: {resolution}").replace(
                "RESOLUTION", ""
            ),
            routes,
        )
        client = client_of(made, "web")
        assert not client.missing("10.96.3.4_9090")
        assert (
            "outbound|9090||stock.example.com" in client.reaches("10.96.3.4_9090")
        ) is not missing


def test_each_namespace_that_a_match_names_has_its_own_route() -> None:
    routes = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.shop.svc.cluster.local]
  SECTION:
  - match: [{sourceNamespace: bank}]
    route: [{destination: {host: stock.example.com}}]
  - match: [{sourceNamespace: web}]
    route: [{destination: {host: other.example.com}}]
"""
    for section in ("tcp", "http"):
        made = made_of(
            service("orders", "{name: tcp-thrift, port: 9090}"),
            entry("stock", THRIFT, spec="addresses: [10.1.1.1]"),
            entry("other", THRIFT, spec="addresses: [10.1.1.2]"),
            routes.replace("SECTION", section),
        )
        for namespace, host in (("bank", "stock"), ("web", "other")):
            reached = client_of(made, namespace).reaches("10.96.3.4_9090")
            assert f"outbound|9090||{host}.example.com" in reached
            assert len([each for each in reached if "example.com" in each]) == 1


ROUTES = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: NAMESPACE}
spec:
  hosts: [orders.shop.svc.cluster.local]
  http: [{route: [{destination: {host: DESTINATION}}]}]
"""


@pytest.mark.parametrize(("labels", "routed"), [("{v: '2'}", True), ("{v: '1'}", False)])
def test_a_subset_of_a_dns_entry_needs_an_endpoint_with_its_labels(
    labels: str, routed: bool
) -> None:
    rule = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock, namespace: shop}
spec: {host: stock.example.com, subsets: [{name: v2, labels: {v: "2"}}]}
"""
    endpoints = f"endpoints: [{{address: a.example.org, labels: {labels}}}]"
    made = made_of(
        service("orders", "{name: tcp-thrift, port: 9090}"),
        entry("stock", THRIFT, spec=f"{endpoints}\n  addresses: [10.1.1.1]"),
        rule,
        ROUTES.replace("NAMESPACE", "shop").replace(
            "{host: DESTINATION}", "{host: stock.example.com, subset: v2}"
        ),
    )
    client = client_of(made, "web")
    assert not client.missing("10.96.3.4_9090")
    assert ("outbound|9090|v2|stock.example.com" in client.reaches("10.96.3.4_9090")) is routed
    assert ("AER0302" in made.codes) is not routed


def test_a_service_of_the_client_s_namespace_is_the_destination_whatever_it_is_exported_to() -> (
    None
):
    stock = service("stock", "{name: tcp-thrift, port: 9091}").replace("10.96.3.4", "10.96.3.5")
    hidden = stock.replace("annotations: {", 'annotations: {networking.istio.io/exportTo: "bank", ')
    made = made_of(
        service("orders", "{name: tcp-thrift, port: 9090}"),
        hidden,
        entry("stock", THRIFT, namespace="crm").replace(
            "stock.example.com", "stock.shop.svc.cluster.local"
        ),
        ROUTES.replace("NAMESPACE", "crm")
        .replace("http:", "tcp:")
        .replace("DESTINATION", "stock.shop.svc.cluster.local"),
    )
    for namespace, port in (("shop", 9091), ("web", 9090)):
        client = client_of(made, namespace)
        cluster = f"outbound|{port}||stock.shop.svc.cluster.local"
        assert cluster in client.reaches("10.96.3.4_9090"), namespace


def test_an_entry_beside_the_service_of_some_clients_is_routed_as_istio_does() -> None:
    # istiod gives web the Service alone, and a listener of the entry whose connections it routes.
    made = made_of(
        service("orders", "{name: tcp-thrift, port: 9090}").replace(
            "annotations: {", 'annotations: {networking.istio.io/exportTo: "web", '
        ),
        entry("orders", THRIFT, spec="addresses: [10.1.1.1]").replace(
            "orders.example.com", "orders.shop.svc.cluster.local"
        ),
        entry("stock", THRIFT, spec="addresses: [10.1.1.2]"),
        ROUTES.replace("NAMESPACE", "web")
        .replace("http:", "tcp:")
        .replace("DESTINATION", "stock.example.com"),
    )
    web, others = client_of(made, "web"), client_of(made, "bank")
    assert web.filters("10.1.1.1_9090") == ["tcp_proxy"]
    assert web.reaches("10.1.1.1_9090") == {"outbound|9090||stock.example.com"}
    assert others.filters("10.1.1.1_9090") == ["thrift_proxy"]


@pytest.mark.parametrize(("ports", "port"), [("[]", 9090), ("[{name: tcp, port: 9091}]", 9091)])
def test_a_tcp_route_to_another_name_leads_to_the_host_that_it_stands_for(
    ports: str, port: int
) -> None:
    name = f"""
---
apiVersion: v1
kind: Service
metadata: {{name: store, namespace: shop}}
spec: {{type: ExternalName, externalName: stock.example.com, ports: {ports}}}
"""
    other = "{number: 9091, name: tcp-thrift-2, protocol: TCP}"
    made = made_of(
        service("orders", "{name: tcp-thrift, port: 9090}"),
        name,
        entry("stock", f"{THRIFT}, {other}", spec="addresses: [10.1.1.1]"),
        ROUTES.replace("NAMESPACE", "shop")
        .replace("http:", "tcp:")
        .replace("DESTINATION", "store.shop.svc.cluster.local"),
    )
    client = client_of(made, "web")
    assert client.reaches("10.96.3.4_9090") >= {f"outbound|{port}||stock.example.com"}
    assert not client.missing("10.96.3.4_9090")
    assert "AER0301" not in made.codes
