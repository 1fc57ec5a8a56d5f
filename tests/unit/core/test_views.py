"""Each client namespace has filters that fit istiod's view for it, untouched by other tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aeraki_core.filters.output import to_dict
from aeraki_core.model.mesh import Mesh

from tests.unit.core.echo import ECHO, EchoPlugin, Mesher

ROOT = "istio-system"
CART = "aeraki-outbound-cart.shop.svc.cluster.local-7000"
HOST = "cart.shop.svc.cluster.local"


def by_method(method: str, **destination: Any) -> list[Any]:
    to = {"destination": {"host": HOST, **destination}}
    return [{"match": [{"method": {"exact": method}}], "route": [to]}]


def spec(mesh: Mesher, namespace: str, name: str = CART) -> dict[str, Any]:
    mesh.run()
    found = [item for key, item in mesh.pipeline.filters.items() if key[:2] == (namespace, name)]
    return to_dict(found[0])["spec"] if found else {}


def replaced(mesh: Mesher, namespace: str, name: str = CART) -> list[tuple[str, str, str]]:
    """Listener, the filter that is replaced, and the one that takes its place."""
    return [
        (
            patch["match"]["listener"]["name"],
            patch["match"]["listener"]["filterChain"]["filter"]["name"],
            patch["patch"].get("value", {}).get("name", patch["patch"]["operation"]),
        )
        for patch in spec(mesh, namespace, name).get("configPatches", [])
        if patch["applyTo"] == "NETWORK_FILTER"
        and "name" not in patch["match"]["listener"]["filterChain"]
    ]


def calls(mesh: Mesher) -> int:
    return int(mesh.run().calls)


@pytest.fixture
def mesh() -> Mesher:
    found = Mesher()
    found.service(creationTimestamp="2024-01-01T00:00:00Z")
    found.run()
    return found


class TestRoutesAndRules:
    def test_a_private_virtual_service_is_for_its_own_clients(self, mesh: Mesher) -> None:
        before = spec(mesh, ROOT)
        mesh.routes("own", [HOST], by_method("own"), namespace="web", exportTo=["."])
        assert spec(mesh, ROOT) == before
        assert "own>" in mesh.said(CART, "web")

    def test_a_client_whose_rule_lacks_the_subset_does_without_its_route(
        self, mesh: Mesher
    ) -> None:
        mesh.put("DestinationRule", "d", {"host": HOST, "subsets": [{"name": "v2"}]})
        mesh.routes("r", [HOST], by_method("a", subset="v2"))
        assert mesh.codes() == []
        mesh.put("DestinationRule", "own", {"host": HOST, "trafficPolicy": {}}, namespace="crm")
        assert "a>outbound|7000|v2|" in mesh.said(CART, ROOT)
        assert "v2" not in mesh.said(CART, "crm")
        findings = [*mesh.pipeline.findings()]
        assert sorted(finding.code.id for finding in findings) == ["AER0302", "AER0312"]
        assert all(finding.message.startswith("clients in crm: ") for finding in findings)

    def test_namespaces_that_get_the_same_answers_share_a_run(self, mesh: Mesher) -> None:
        mesh.routes("r", [HOST], by_method("a"), exportTo=["a", "b", "c", "d"])
        assert calls(mesh) == 2  # for everybody else, and once for the four
        assert {key.namespace for key in mesh.pipeline.filters if key.name == CART} == {
            ROOT,
            *"abcd",
        }

    def test_a_namespace_whose_answers_do_not_differ_costs_no_run(self, mesh: Mesher) -> None:
        mesh.put("DestinationRule", "d", {"host": "elsewhere.example.com"}, namespace="crm")
        assert calls(mesh) == 0

    def test_a_change_of_one_view_runs_one_service(self, mesh: Mesher) -> None:
        for number in range(10):
            mesh.service(f"s{number}", f"10.0.1.{number}")
        mesh.run()
        mesh.routes("own", [HOST], by_method("own"), namespace="web", exportTo=["."])
        generated = mesh.run().generated
        assert [port.service.host for port in generated] == [HOST]

    def test_an_object_for_many_namespaces_has_a_limit(self, mesh: Mesher) -> None:
        names = [f"n{number}" for number in range(300)]
        mesh.routes("r", [HOST], by_method("a"), exportTo=names)
        assert mesh.codes() == ["AER0220"]
        assert len([key for key in mesh.pipeline.filters if key.name == CART]) <= 201

    def test_strangers_who_name_namespaces_take_turns(self, mesh: Mesher) -> None:
        names = [f"n{number}" for number in range(300)]
        mesh.routes("r", [HOST], by_method("a"), namespace="evil", exportTo=names)
        mesh.routes("r", [HOST], by_method("pays"), namespace="pay", exportTo=["web"])
        mesh.run()
        assert "pays>" in mesh.said(CART, "web")

    @pytest.mark.parametrize("kind", ["VirtualService", "DestinationRule", "ServiceEntry"])
    def test_a_stranger_who_names_many_namespaces_takes_no_view_from_others(
        self, mesh: Mesher, kind: str
    ) -> None:
        mesh.routes("own", [HOST], by_method("own"), namespace="web", exportTo=["."])
        names = [f"n{number}" for number in range(300)]
        match kind:
            case "VirtualService":
                mesh.routes("r", [HOST], by_method("a"), namespace="evil", exportTo=names)
            case "DestinationRule":
                mesh.put(kind, "r", {"host": HOST, "exportTo": names}, namespace="evil")
            case _:
                mesh.entry("e", [HOST], namespace="evil", resolution="STATIC", exportTo=names)
        mesh.run()
        assert "own>" in mesh.said(CART, "web")


class TestHosts:
    def test_an_entry_for_the_host_of_a_service_is_for_its_own_clients(self, mesh: Mesher) -> None:
        before = spec(mesh, ROOT)
        mesh.entry(
            "e",
            [HOST],
            addresses=["240.0.0.66"],
            namespace="evil",
            creationTimestamp="2000-01-01T00:00:00Z",
        )
        assert spec(mesh, ROOT) == before
        (name,) = (
            key.name
            for key in mesh.pipeline.filters
            if key.namespace == "evil" and "outbound" in key.name
        )
        assert name != CART  # the owner of the host may have a filter there, too
        assert replaced(mesh, "evil", name) == [
            ("240.0.0.66_7000", "envoy.filters.network.tcp_proxy", ECHO)
        ]
        assert mesh.codes() == ["AER0218"]

    def test_a_tcp_route_follows_the_host_that_a_name_stands_for(self, mesh: Mesher) -> None:
        mesh.entry("a", ["a.example.com"], resolution="STATIC", addresses=["240.0.0.8"])
        target = [{"destination": {"host": "store.shop.svc.cluster.local"}}]
        mesh.routes("r", [HOST], [], tcp=[{"route": target}])
        assert "store.shop" in mesh.said(CART)
        name: dict[str, Any] = {"name": "store", "ip": None, "ports": [], "type": "ExternalName"}
        mesh.service(**name, externalName="a.example.com")
        assert "a.example.com" in mesh.said(CART)
        ref = mesh.service(**name, externalName="b.example.com")
        assert "b.example.com" in mesh.said(CART)
        mesh.pipeline.remove(ref)
        assert "store.shop" in mesh.said(CART)

    def test_a_private_entry_without_addresses_frees_its_own_listener(self) -> None:
        mesh = Mesher()
        mesh.entry("pay", ["pay.example.com"], namespace="pay", resolution="DNS")
        name = "aeraki-outbound-pay.example.com-7000"
        before = spec(mesh, ROOT, name)
        plain = [{"number": 7000, "name": "tcp", "protocol": "TCP"}]
        mesh.entry(
            "raw", ["db.example.com"], plain, namespace="crm", resolution="DNS", exportTo=["."]
        )
        assert spec(mesh, ROOT, name) == before
        assert replaced(mesh, "crm", name) == [
            ("0.0.0.0_7000", ECHO, "envoy.filters.network.tcp_proxy")
        ]
        (patch,) = spec(mesh, "crm", name)["configPatches"]
        assert patch["patch"]["value"]["typed_config"]["cluster"] == "outbound|7000||db.example.com"
        assert spec(mesh, "crm", name)["priority"] > before["priority"]

    def test_the_filter_of_such_an_entry_comes_after_the_one_that_frees_its_listener(self) -> None:
        mesh = Mesher()
        mesh.entry("pay", ["pay.example.com"], namespace="pay", resolution="DNS")
        mesh.entry("own", ["own.example.com"], namespace="crm", resolution="DNS", exportTo=["."])
        own, freed = (f"aeraki-outbound-{name}.example.com-7000" for name in ("own", "pay"))
        assert spec(mesh, "crm", own)["priority"] > spec(mesh, "crm", freed)["priority"]
        assert replaced(mesh, "crm", own) == [
            ("0.0.0.0_7000", "envoy.filters.network.tcp_proxy", ECHO)
        ]


class TestAuthority:
    def test_a_service_exported_to_the_root_namespace_only_is_no_business_of_others(
        self, mesh: Mesher
    ) -> None:
        mesh.entry("e", ["x.example.com"], namespace="evil", exportTo=[ROOT])
        assert not any("x.example.com" in key.name for key in mesh.pipeline.filters)
        assert mesh.codes() == ["AER0219"]

    def test_resources_of_others_do_not_speak_for_the_host(self, mesh: Mesher) -> None:
        before = mesh.said(CART)
        mesh.put("EchoPolicy", "p", {"host": HOST, "volume": 7}, namespace="evil")
        assert mesh.said(CART) == before
        assert "policy=7" in mesh.said(CART, "evil")
        mesh.put("EchoPolicy", "p", {"host": HOST, "volume": 5})
        assert "policy=5" in mesh.said(CART)

    def test_a_rejected_object_of_others_holds_nothing(self, mesh: Mesher) -> None:
        key = next(key for key in mesh.pipeline.filters if key.name == CART)
        (port,) = mesh.pipeline.filters[key].service_ports
        for host in ("*", HOST):
            mesh.put("EchoPolicy", "p", {"host": host, "volume": "loud"}, namespace="evil")
            assert "AER0106" in mesh.codes()
            assert mesh.pipeline.why_held(port, ["shop"]) is None
        mesh.put("EchoPolicy", "p", {"host": HOST, "volume": "loud"})
        mesh.run()
        assert "EchoPolicy shop/p" in str(mesh.pipeline.why_held(port, ["shop"]))

    def test_a_view_that_fails_leaves_the_others_alone(self, mesh: Mesher) -> None:
        mesh.put("EchoPolicy", "p", {"host": HOST, "volume": 7, "secret": "no"}, namespace="evil")
        assert mesh.codes() == ["AER0405"]
        mesh.put("EchoPolicy", "p", {"host": HOST, "volume": 5})
        assert "policy=5" in mesh.said(CART)

    def test_two_hosts_never_share_a_filter(self) -> None:
        mesh = Mesher()
        mesh.entry("wild", ["*.wild.example.com"], addresses=["10.97.0.1"])
        (wild,) = mesh.names()
        host = wild.removeprefix(f"{ROOT}/aeraki-outbound-").removesuffix("-7000")
        mesh.entry("e", [host], namespace="evil", addresses=["10.97.0.2"])
        assert len(mesh.names()) == 2


def test_the_mesh_is_the_same_in_any_order() -> None:
    def build(order: list[int]) -> dict[Any, Any]:
        mesh = Mesher(EchoPlugin(), mesh=Mesh())
        steps: list[Callable[[], object]] = [
            mesh.service,
            lambda: mesh.entry("e", [HOST], addresses=["240.0.0.66"], namespace="evil"),
            lambda: mesh.routes("r", [HOST], by_method("a"), namespace="web", exportTo=["."]),
            lambda: mesh.put("DestinationRule", "d", {"host": HOST}, namespace="crm"),
        ]
        for index in order:
            steps[index]()
            mesh.run()
        return dict(mesh.pipeline.filters)

    assert build([0, 1, 2, 3]) == build([3, 2, 1, 0]) == build([1, 3, 0, 2])


class TestSidecars:
    def test_a_listener_is_that_of_the_service_that_is_imported(self) -> None:
        mesh = Mesher()
        mesh.entry("pay", ["pay.example.com"], namespace="pay", resolution="DNS")
        name = "aeraki-outbound-pay.example.com-7000"
        before = spec(mesh, ROOT, name)
        plain = [{"number": 7000, "name": "tcp", "protocol": "TCP"}]
        young = "2026-02-01T00:00:00Z"
        mesh.entry("raw", ["db.example.com"], plain, resolution="DNS", creationTimestamp=young)
        mesh.put("Sidecar", "default", {"egress": [{"hosts": ["shop/*"]}]}, namespace="front")
        assert spec(mesh, ROOT, name) == before
        assert replaced(mesh, "front", name) == [
            ("0.0.0.0_7000", ECHO, "envoy.filters.network.tcp_proxy")
        ]
        mesh.put("Sidecar", "default", {"egress": [{"hosts": ["*/*"]}]}, namespace="front")
        assert replaced(mesh, "front", name) == []

    def test_clients_with_an_egress_listener_of_their_own_are_named(self, mesh: Mesher) -> None:
        egress = {"port": {"number": 7000, "protocol": "TCP"}, "bind": "127.0.0.1"}
        content = {"egress": [{**egress, "hosts": [f"shop/{HOST}"]}]}
        ref = mesh.put("Sidecar", "default", content, namespace="front")
        assert mesh.codes() == ["AER0222"]
        (finding,) = mesh.pipeline.findings()
        assert "front" in finding.message
        mesh.pipeline.remove(ref)
        assert mesh.codes() == []


def test_an_object_with_too_many_ports_is_rejected(mesh: Mesher) -> None:
    ports = [
        {"number": 1000 + number, "name": f"tcp-echo-{number}", "protocol": "TCP"}
        for number in range(256)
    ]
    hosts = [f"h{number}.example.com" for number in range(64)]
    mesh.entry("e", hosts, ports, addresses=["240.0.0.66"], namespace="evil")
    assert mesh.codes() == ["AER0106"]
    assert {key.name.split("-")[1] for key in mesh.pipeline.filters} == {"outbound", "inbound"}


def test_many_services_of_one_address_ask_once_each_who_has_it() -> None:
    mesh = Mesher()
    hosts = [f"h{number}.example.com" for number in range(200)]
    mesh.entry("e", hosts, addresses=["240.0.0.66"])
    assert calls(mesh) == 200
    assert [key.name for key in mesh.pipeline.filters] == ["aeraki-outbound-h0.example.com-7000"]
    mesh.entry("f", ["other.example.com"], addresses=["240.0.0.67"])
    assert calls(mesh) == 1


def test_who_loses_a_host_keeps_nothing_of_it_by_failing() -> None:
    mesh = Mesher()
    mesh.entry(
        "e",
        [HOST],
        addresses=["10.0.0.1"],
        namespace="evil",
        creationTimestamp="2026-06-01T00:00:00Z",
    )
    assert spec(mesh, ROOT)  # nobody else has the host yet
    mesh.put("EchoPolicy", "p", {"host": HOST, "secret": "missing"}, namespace="evil")
    mesh.run()
    mesh.service(creationTimestamp="2024-01-01T00:00:00Z")
    mesh.run()
    (ours,) = [item for key, item in mesh.pipeline.filters.items() if key[:2] == (ROOT, CART)]
    assert ours.namespaces == ("shop",)


def test_who_loses_a_listener_keeps_nothing_of_it_by_failing() -> None:
    mesh = Mesher()
    young = "2026-06-01T00:00:00Z"
    mesh.entry("e", ["e.example.com"], resolution="DNS", namespace="evil", creationTimestamp=young)
    assert spec(mesh, ROOT, "aeraki-outbound-e.example.com-7000")
    policy = {"host": "e.example.com", "secret": "missing"}
    mesh.put("EchoPolicy", "p", policy, namespace="evil")
    mesh.run()
    mesh.entry(
        "pay",
        ["pay.example.com"],
        resolution="DNS",
        namespace="pay",
        creationTimestamp="2024-01-01T00:00:00Z",
    )
    assert spec(mesh, ROOT, "aeraki-outbound-pay.example.com-7000")
    assert not spec(mesh, ROOT, "aeraki-outbound-e.example.com-7000")
