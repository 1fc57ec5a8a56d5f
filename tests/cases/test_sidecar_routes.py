"""Routes that a client's Sidecar resource does not import: they have no effect on its calls."""

from __future__ import annotations

import pytest
from aeraki_core.testing import endpoint_slice, service, service_entry, virtual_service

from tests.reach import client_of, made_of

GREETER = "greeter.shop.svc.cluster.local"
LISTENER = "10.96.3.4_20880"
MESH = """
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: shop}
spec:
  clusterIP: 10.96.3.4
  selector: {app: greeter}
  ports: [{name: tcp-dubbo, port: 20880}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter, namespace: shop}
spec:
  host: greeter
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greeter, namespace: NAMESPACE}
spec:
  hosts: [greeter.shop.svc.cluster.local]
  http: [{route: [{destination: {host: greeter.shop.svc.cluster.local, subset: v2}}]}]
"""


def sidecar(namespace: str, *hosts: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {"egress": [{"hosts": list(hosts)}], **spec},
    }


V2 = f"outbound|20880|v2|{GREETER}"


@pytest.mark.parametrize(
    ("routes", "hosts", "routed"),
    [
        ("platform", ("shop/*",), False),
        ("platform", ("shop/*", "platform/*"), True),
        ("platform", ("*/*",), True),
        ("platform", ("*/*", f"~platform/{GREETER}"), False),
        ("platform", (f"*/{GREETER}",), True),
        ("shop", ("shop/*",), True),
        ("shop", (f"shop/{GREETER}",), True),
        ("web", ("shop/*",), False),
        ("web", ("shop/*", "./*"), True),
    ],
)
@pytest.mark.parametrize("where", ["web", "istio-system"])
def test_routes_that_a_sidecar_does_not_import(
    routes: str, hosts: tuple[str, ...], routed: bool, where: str
) -> None:
    made = made_of(MESH.replace("NAMESPACE", routes), sidecar(where, *hosts))
    client = client_of(made, "web")
    assert (V2 in client.reaches(LISTENER)) is routed
    assert not client.missing(LISTENER)
    # Who has another Sidecar, or none, sees what that imports.
    other = client_of(made, "other")
    assert (V2 in other.reaches(LISTENER)) is (where == "web" or (routed and "./*" not in hosts))


def test_a_namespace_with_a_sidecar_of_its_own_is_not_bound_by_the_root_s() -> None:
    made = made_of(
        MESH.replace("NAMESPACE", "platform"),
        sidecar("istio-system", "shop/*"),
        sidecar("web", "*/*"),
        sidecar("app", "*/*", workloadSelector={"labels": {"app": "x"}}),
    )
    for namespace, routed in (("web", True), ("app", False), ("other", False)):
        client = client_of(made, namespace)
        assert (V2 in client.reaches(LISTENER)) is routed, namespace
        assert not client.missing(LISTENER)


WILDCARD = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: web}
spec:
  hosts: ["*.example.com"]
  resolution: NONE
  ports: [{name: tcp-dubbo, number: 20880}, {name: tcp-dubbo-2, number: 20881}]
---
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: shop}
spec:
  clusterIP: 10.96.3.5
  selector: {app: stock}
  ports: [{name: tcp-plain, port: 20880}, {name: tcp-other, port: 20881}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: elsewhere, namespace: bank}
spec:
  hosts: [api.example.com]
  tcp: [{route: [{destination: {host: stock.shop.svc.cluster.local}}]}]
"""


STOCK, OUTSIDE = "stock.shop.svc.cluster.local", "*.example.com"


@pytest.mark.parametrize(
    ("egress", "first", "second"),
    [
        ([{"hosts": ["*/*"]}], STOCK, STOCK),
        ([{"hosts": ["./*"]}], OUTSIDE, OUTSIDE),
        # Each egress listener has only the VirtualServices that it imports itself.
        ([{"port": {"number": 9090}, "hosts": ["*/*"]}, {"hosts": ["./*"]}], OUTSIDE, OUTSIDE),
        ([{"port": {"number": 20880}, "hosts": ["*/*"]}, {"hosts": ["./*"]}], STOCK, OUTSIDE),
        ([{"port": {"number": 20880}, "hosts": ["./*"]}, {"hosts": ["*/*"]}], OUTSIDE, STOCK),
        # The service is imported, but not the host under it.
        ([{"hosts": ["*/*", "~*/api.example.com"]}], OUTSIDE, OUTSIDE),
    ],
)
@pytest.mark.parametrize("where", ["web", "istio-system"])
def test_routes_of_a_host_under_a_wildcard_service(
    egress: list[dict[str, object]], first: str, second: str, where: str
) -> None:
    made = made_of(WILDCARD, {**sidecar(where), "spec": {"egress": egress}})
    client = client_of(made, "web")
    for port, host in ((20880, first), (20881, second)):
        listener = f"0.0.0.0_{port}"
        assert client.filters(listener) != ["tcp_proxy"]
        assert (f"outbound|{port}||{STOCK}" in client.reaches(listener)) is (host == STOCK)
        assert not client.missing(listener)


@pytest.mark.parametrize(("exclude", "routed"), [((), True), (("~web/api.example.com",), False)])
def test_routes_of_the_wildcard_service_s_own_namespace(
    exclude: tuple[str, ...], routed: bool
) -> None:
    made = made_of(WILDCARD.replace("bank", "web"), sidecar("web", "./*", *exclude))
    client = client_of(made, "web")
    assert (f"outbound|20881||{STOCK}" in client.reaches("0.0.0.0_20881")) is routed
    assert not client.missing("0.0.0.0_20881")


def tcp_routes(name: str, host: str, subset: str, created: str) -> dict[str, object]:
    destination = {"host": GREETER, "subset": subset}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
        "spec": {"hosts": [host], "tcp": [{"route": [{"destination": destination}]}]},
    }


@pytest.mark.parametrize(("wide", "subset"), [("2026-01-01", "v2"), ("2026-03-01", "v1")])
def test_the_oldest_tcp_route_counts_whether_its_host_is_a_wildcard_or_not(
    wide: str, subset: str
) -> None:
    service_and_rule = MESH.rpartition("---")[0]
    made = made_of(
        service_and_rule,
        tcp_routes("wide", "*.shop.svc.cluster.local", "v2", f"{wide}T00:00:00Z"),
        tcp_routes("exact", GREETER, "v1", "2026-02-01T00:00:00Z"),
    )
    reached = client_of(made, "web").reaches(LISTENER)
    assert {name for name in reached if "|v" in name} == {f"outbound|20880|{subset}|{GREETER}"}


OTHER_PORT = """
apiVersion: v1
kind: Service
metadata: {name: canary, namespace: shop}
spec:
  clusterIP: 10.96.3.6
  selector: {app: canary}
  ports: [{name: tcp-dubbo, port: 20881}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter.shop.svc.cluster.local]
  http:
  - match: [{method: {exact: sayHello}}]
    route: [{destination: {host: canary, port: {number: 20881}}}]
"""


@pytest.mark.parametrize(
    ("egress", "routed"),
    [
        ([{"hosts": ["shop/*"]}], True),
        ([{"port": {"number": 20880}, "hosts": ["shop/*"]}], False),
        ([{"port": {"number": 20880}, "hosts": ["shop/*"]}, {"hosts": ["./*"]}], False),
        ([{"port": {"number": 20880}, "hosts": ["shop/*"]}, {"hosts": ["shop/*"]}], True),
        (
            [
                {"port": {"number": 20880}, "hosts": ["shop/*"]},
                {"hosts": ["shop/canary.shop.svc.cluster.local"]},
            ],
            True,
        ),
    ],
)
def test_an_egress_listener_with_a_port_imports_no_other_port_of_a_destination(
    egress: list[dict[str, object]], routed: bool
) -> None:
    service_and_rule = MESH.rpartition("---")[0]
    resource = {**sidecar("web"), "spec": {"egress": egress}}
    made = made_of(service_and_rule, OTHER_PORT, resource)
    client, canary = client_of(made, "web"), "outbound|20881||canary.shop.svc.cluster.local"
    assert (canary in client.reaches(LISTENER)) is routed
    assert not client.missing(LISTENER)
    assert canary in client_of(made, "other").reaches(LISTENER)
    assert ("AER0322" in {finding.code.id for finding in made.findings}) is not routed


def test_an_egress_listener_with_a_port_imports_no_routes_for_the_pods_of_a_headless_service() -> (
    None
):
    # The listeners of the pods are those of the entry without a port, which imports shop alone.
    egress = [
        {"port": {"number": 9090, "protocol": "TCP", "name": "own"}, "hosts": ["*/*"]},
        {"hosts": ["shop/*"]},
    ]
    ports = {"tcp-thrift": 9090}
    host = "store.shop.svc.cluster.local"
    made = made_of(
        service("store", ports, namespace="shop", cluster_ip="None", selector={"app": "store"}),
        endpoint_slice("store", ["10.9.0.1"], ports, namespace="shop"),
        service_entry("other", ["other.example.com"], ports, addresses=["10.1.1.1"]),
        virtual_service(
            "store",
            [host],
            namespace="web",
            tcp=[{"route": [{"destination": {"host": "other.example.com"}}]}],
        ),
        sidecar("web", egress=egress),
    )
    client = client_of(made, "web")
    assert client.reaches("10.9.0.1_9090") == {f"outbound|9090||{host}"}
