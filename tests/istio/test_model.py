"""The modelled sidecar of a client is the one that istiod gives it: listeners, chains, clusters.

Here are the kinds of objects that the judge's random meshes lack.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aeraki_core.testing import (
    Proxy,
    destination_rule,
    service,
    service_entry,
    virtual_service,
)

from tests.istio.judge.model import differences
from tests.istio.truth import as_file, istio
from tests.rig.ads import AdsClient
from tests.rig.bootstrap import Node
from tests.rig.control_plane import ControlPlane

pytestmark = pytest.mark.mesh

NAMESPACES = ("m-shop", "m-client", "m-other", "m-blind", "m-own")
CART = "cart.m-shop.svc.cluster.local"
TCP = {"number": 7000, "protocol": "TCP", "name": "tcp"}


def rule(name: str, namespace: str, host: str = CART, **spec: Any) -> dict[str, Any]:
    return destination_rule(name, host, namespace=namespace, **spec)


def limits(number: int, **more: Any) -> dict[str, Any]:
    return {"connectionPool": {"tcp": {"maxConnections": number}}, **more}


def entry(name: str, port: int, protocol: str, namespace: str, **spec: Any) -> dict[str, Any]:
    made = service_entry(name, [f"{name}.example.com"], {"p": port}, namespace=namespace, **spec)
    made["spec"]["ports"][0]["protocol"] = protocol
    made["spec"]["location"] = spec.get("location", "MESH_EXTERNAL")
    return made


def objects() -> Iterator[dict[str, Any]]:
    """One object of each kind of difference between clients; the order is the order of creation."""
    shop = "m-shop"
    yield service("cart", {"tcp-echo": 7000}, namespace=shop, cluster_ip="10.96.70.1")
    yield service("web", {"http": 9090}, namespace=shop, cluster_ip="10.96.70.2")
    yield service("api", {"grpc-api": 9090, "odd": 7100}, namespace=shop, cluster_ip="10.96.70.3")
    yield service("db", {"redis": 7200, "mongo": 7201}, namespace=shop, cluster_ip="10.96.70.4")
    yield service("sec", {"tls-x": 7300, "https": 7301}, namespace=shop, cluster_ip="10.96.70.5")
    hidden = {"networking.istio.io/exportTo": "."}
    yield service(
        "hidden", {"tcp": 7400}, namespace=shop, cluster_ip="10.96.70.6", annotations=hidden
    )
    yield entry("plain", 9090, "TCP", shop)
    fixed = {"resolution": "STATIC", "endpoints": [{"address": "10.76.0.1"}]}
    yield entry("range", 7500, "TCP", shop, addresses=["10.71.0.0/16"], **fixed)
    yield entry("many", 7501, "TCP", shop, addresses=["10.72.0.1", "10.72.0.2"])
    yield entry("tls", 7600, "TLS", shop)
    yield entry("mysql", 7700, "MySQL", shop)
    yield entry("static", 7800, "TCP", shop, addresses=["10.73.0.1"], **fixed)
    yield entry("none", 7900, "TCP", shop, resolution="NONE", addresses=["10.74.0.1"])
    yield entry("mine", 7950, "TCP", "m-client", exportTo=["."], addresses=["10.75.0.1"])
    yield entry("theirs", 7951, "TCP", "m-other", exportTo=["m-client"], addresses=["10.75.0.2"])
    capital = entry("capital", 7960, "TCP", shop, addresses=["10.77.0.1"])
    capital["spec"]["hosts"] = ["Capital.example.com"]
    yield capital
    yield rule("wide", shop, "*.m-shop.svc.cluster.local", trafficPolicy=limits(1))
    yield rule("cart-a", shop, subsets={"v1": {"v": "1"}})
    yield rule("cart-b", shop, subsets={"v2": {"v": "2"}}, trafficPolicy=limits(2))
    yield rule("cart", "m-client", trafficPolicy=limits(3, loadBalancer={"simple": "RANDOM"}))
    yield rule("private", "m-other", exportTo=["."], trafficPolicy=limits(4))
    tls = {"tls": {"mode": "SIMPLE", "sni": "db.example.com"}}
    yield rule("tls", shop, "static.example.com", trafficPolicy=tls)
    mutual = {"tls": {"mode": "ISTIO_MUTUAL"}}
    yield rule("mutual", shop, "db.m-shop.svc.cluster.local", trafficPolicy=mutual)
    ports = {"portLevelSettings": [{"port": {"number": 9090}, **limits(5)}], **limits(6)}
    yield rule("ports", shop, "api.m-shop.svc.cluster.local", trafficPolicy=ports)
    split = [
        {"destination": {"host": CART, "subset": "v1"}, "weight": 80},
        {"destination": {"host": CART, "subset": "v2"}, "weight": 20},
    ]
    yield virtual_service("cart", [CART], namespace=shop, tcp=[{"route": split}])
    to_web = [{"destination": {"host": "web.m-shop.svc.cluster.local"}}]
    yield virtual_service(
        "cart", [CART], namespace="m-other", exportTo=["."], tcp=[{"route": to_web}]
    )
    yield istio(
        "Sidecar",
        "default",
        "m-blind",
        {"egress": [{"hosts": ["./*", "m-shop/web.m-shop.svc.cluster.local"]}]},
    )
    # Hosts are compared as they are written.
    yield virtual_service(
        "capital", ["capital.example.com"], namespace=shop, tcp=[{"route": to_web}]
    )
    own = {"port": TCP, "bind": "127.0.0.9", "captureMode": "NONE", "hosts": ["m-shop/*"]}
    rest = {"hosts": ["m-shop/*"]}
    yield istio("Sidecar", "default", "m-own", {"egress": [own, rest]})


@pytest.fixture(scope="module")
def mesh() -> Iterator[ControlPlane]:
    """A mesh with auto mTLS, as Istio's default is."""
    with ControlPlane(mesh_config={"enableAutoMtls": True}, mtls="PERMISSIVE") as started:
        for name in NAMESPACES:
            started.namespaces.make(name)
        for item in objects():
            started.api.create(item)
        # A fresh istiod is ready once it has read everything, so nothing has to be waited for.
        started.istiod.restart()
        yield started


@pytest.fixture(scope="module")
def written(mesh: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The objects as the API server has them."""
    path = tmp_path_factory.mktemp("mesh") / "mesh.json"
    sidecars = [("networking.istio.io/v1", "Sidecar")]
    as_file(mesh.api, [*NAMESPACES, "default"], path, sidecars)
    items: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["items"]
    return items


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_a_client_has_the_listeners_and_clusters_of_istiod(
    mesh: ControlPlane, written: list[dict[str, Any]], namespace: str
) -> None:
    number = NAMESPACES.index(namespace)
    node = Node(f"client-{number}", namespace, f"10.20.201.{number + 1}")
    with AdsClient(mesh.istiod_ports.grpc) as ads:
        real = ads.config(node)
    proxy = Proxy(namespace, ip=node.ip, dns_capture=False)
    assert dict(differences(real, written, proxy)) == {}
