"""Routes that a client's Sidecar resource does not import: they have no effect on its calls."""

from __future__ import annotations

import pytest

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
