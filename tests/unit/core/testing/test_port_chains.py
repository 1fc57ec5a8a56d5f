"""The chains of a modelled service port: ``tcp`` and ``tls`` routes, other names of a host."""

from __future__ import annotations

from typing import Any

from aeraki_core.testing import model_sidecar, service, service_entry, virtual_service

from tests.unit.core.testing.test_sidecar import PORTS, SHOP, cart, names, upstreams


def route_to(host: str, **match: Any) -> dict[str, Any]:
    route: dict[str, Any] = {"route": [{"destination": {"host": host}}]}
    return {"match": [match], **route} if match else route


def test_a_tls_route_takes_its_server_names() -> None:
    entry = service_entry("e", ["e.example.com"], {"tls": 7000})
    entry["spec"]["ports"][0]["protocol"] = "TLS"
    section = [route_to("cart.shop.svc.cluster.local", sniHosts=["a.example.com"])]
    routes = virtual_service("r", ["e.example.com"], tls=section)
    listener = model_sidecar([entry, routes, cart()]).listener("0.0.0.0_7000")
    assert [list(chain.filter_chain_match.server_names) for chain in listener.filter_chains] == [
        ["a.example.com"]
    ]
    assert upstreams(listener) == [
        "outbound|7000||cart.shop.svc.cluster.local",
        "PassthroughCluster",
    ]


def test_a_tcp_route_for_ranges_stands_beside_the_services_own_chain() -> None:
    section = [route_to("other.example.com", destinationSubnets=["10.9.0.0/16"])]
    routes = virtual_service("r", ["cart"], namespace="shop", tcp=section)
    listener = model_sidecar([cart(), routes], SHOP).listener("10.96.0.1_7000")
    assert upstreams(listener) == [
        "outbound|7000||other.example.com",
        "outbound|7000||cart.shop.svc.cluster.local",
    ]


def test_another_name_of_a_host_has_no_listener_and_leads_there() -> None:
    alias = service("alias", PORTS, namespace="shop", type="ExternalName", externalName="x.example")
    del alias["spec"]["clusterIP"]
    routes = virtual_service("r", ["cart"], namespace="shop", tcp=[route_to("alias")])
    config = model_sidecar([cart(), alias, routes], SHOP)
    assert names(config) == ["10.96.0.1_7000"]
    assert upstreams(config.listener("10.96.0.1_7000")) == ["outbound|7000||x.example"]
    assert not [item for item in config.clusters if "alias" in item.name]
