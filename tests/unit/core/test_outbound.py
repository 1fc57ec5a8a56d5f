"""Which filters a service's clients get: listeners, namespaces, names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey
from aeraki_core.filters.output import from_dict, to_dict
from aeraki_core.model.mesh import Mesh, ProxyFamily, parse_proxy_rule
from aeraki_core.pipeline.arrange import Arrangement
from envoy.extensions.filters.network.direct_response.v3.config_pb2 import Config as DirectResponse
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo

from aeraki_core import Extension, GenerateContext, Patch, Protocol, hookimpl
from tests.unit.core.echo import ECHO, EchoPlugin, Mesher

ROOT = "istio-system"


def outbound(mesh: Mesher) -> dict[str, list[dict[str, Any]]]:
    """configPatches of every outbound filter, by namespace/name."""
    mesh.run()
    return {
        str(key): to_dict(item)["spec"]["configPatches"]
        for key, item in sorted(mesh.pipeline.filters.items())
        if "outbound" in key.name
    }


def listeners(mesh: Mesher) -> list[str]:
    """The listeners that are patched, without the patches that spare a passthrough chain."""
    return [
        patch["match"]["listener"]["name"]
        for patches in outbound(mesh).values()
        for patch in patches
        if patch["applyTo"] == "NETWORK_FILTER"
        and "name" not in patch["match"]["listener"]["filterChain"]
    ]


def test_a_service_gets_one_filter_for_each_port() -> None:
    mesh = Mesher()
    mesh.service(
        ports=[
            {"name": "tcp-a", "port": 1},
            {"name": "tcp-echo", "port": 2},
            {"name": "tcp-echo-b", "port": 3},
        ]
    )
    assert listeners(mesh) == ["10.0.0.1_2", "10.0.0.1_3"]
    assert set(outbound(mesh)) == {
        f"{ROOT}/aeraki-outbound-cart.shop.svc.cluster.local-2",
        f"{ROOT}/aeraki-outbound-cart.shop.svc.cluster.local-3",
    }


def test_a_patch_names_listener_filter_and_context() -> None:
    mesh = Mesher()
    mesh.service()
    ((patch,),) = outbound(mesh).values()
    assert patch["match"] == {
        "context": "SIDECAR_OUTBOUND",
        "listener": {
            "name": "10.0.0.1_7000",
            "filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}},
        },
    }
    assert patch["patch"]["operation"] == "REPLACE"
    assert patch["patch"]["value"]["name"] == ECHO


def test_dual_stack_has_a_listener_under_the_first_address_of_each_proxys_families() -> None:
    mesh = Mesher()
    mesh.service(ip="fd00::1", clusterIPs=["fd00::1", "10.0.0.1"])
    assert listeners(mesh) == ["fd00::1_7000", "10.0.0.1_7000"]


@pytest.mark.parametrize(
    ("families", "cluster_ips", "allocated", "wide"),
    [
        ((ProxyFamily.IPV4,), ["10.0.0.1"], ["240.240.0.7"], ["0.0.0.0"]),
        ((ProxyFamily.IPV6,), ["fd00::1"], ["2001:2::7"], ["::"]),
        ((ProxyFamily.DUAL,), ["fd00::1"], ["240.240.0.7"], ["0.0.0.0"]),
        (
            (ProxyFamily.IPV4, ProxyFamily.IPV6),
            ["fd00::1", "10.0.0.1"],
            ["240.240.0.7", "2001:2::7"],
            ["0.0.0.0", "::"],
        ),
    ],
)
def test_only_listeners_that_a_proxy_can_have_are_patched(
    families: tuple[ProxyFamily, ...], cluster_ips: list[str], allocated: list[str], wide: list[str]
) -> None:
    mesh = Mesher(mesh=Mesh(proxy_families=families))
    mesh.service(port=1, ip="fd00::1", clusterIPs=["fd00::1", "10.0.0.1"])
    assert listeners(mesh) == [f"{address}_1" for address in cluster_ips]
    mesh = Mesher(mesh=Mesh(proxy_families=families))
    status = {"addresses": [{"value": "240.240.0.7"}, {"value": "2001:2::7"}]}
    mesh.entry("e", ["a.example.com"], resolution="DNS", status=status)
    assert listeners(mesh) == [f"{address}_7000" for address in allocated + wide]


@pytest.mark.parametrize("as_endpoint", [False, True], ids=["Service", "EndpointSlice"])
def test_an_ipv6_address_in_the_namespace_tells_of_proxies_with_ipv6_alone(
    as_endpoint: bool,
) -> None:
    mesh = Mesher()
    mesh.service("other", ports=[{"name": "tcp", "port": 1}])
    mesh.entry(
        "e", ["a.example.com"], resolution="DNS", status={"addresses": [{"value": "2001:2::7"}]}
    )
    mesh.entry("far", ["far.example.com"], addresses=["2001:db8::1"], resolution="STATIC")
    before = ["2001:2::7_7000", "0.0.0.0_7000", "2001:db8::1_7000"]
    assert listeners(mesh) == before
    if as_endpoint:
        slices = {"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::5"]}]}
        added = mesh.put(
            "EndpointSlice", "other-x", slices, labels={"kubernetes.io/service-name": "other"}
        )
    else:
        added = mesh.service("six", "fd00::1", ports=[{"name": "tcp", "port": 1}])
    assert listeners(mesh) == ["2001:2::7_7000", "0.0.0.0_7000", "::_7000", "2001:db8::1_7000"]
    mesh.pipeline.remove(added)
    assert listeners(mesh) == before


@pytest.mark.parametrize(
    ("namespace", "name", "is_cluster_wide"),
    [("default", "kubernetes", True), ("istio-system", "istiod", True), ("evil", "six", False)],
)
def test_an_ipv6_address_elsewhere_counts_only_if_the_mesh_itself_has_it(
    namespace: str, name: str, is_cluster_wide: bool
) -> None:
    mesh = Mesher()
    mesh.entry("e", ["a.example.com"], resolution="DNS")
    mesh.service(name, "fd00::1", namespace=namespace, ports=[{"name": "tcp", "port": 1}])
    assert ("::_7000" in listeners(mesh)) is is_cluster_wide


def test_a_listener_is_named_by_an_address_as_it_is_written() -> None:
    mesh = Mesher()
    mesh.entry(
        "e",
        ["a.example.com"],
        addresses=["2001:DB8:0:0::7", "2001:DB8:0:0::8/128"],
        resolution="STATIC",
    )
    assert listeners(mesh) == ["2001:DB8:0:0::7_7000", "2001:db8::8_7000"]


def test_the_wildcard_of_ipv6_belongs_to_the_oldest_too() -> None:
    mesh = Mesher(mesh=Mesh(proxy_families=(ProxyFamily.IPV6,)))
    mesh.entry("old", ["b.example.com"], resolution="DNS", creationTimestamp="2026-01-01T00:00:00Z")
    mesh.entry(
        "young", ["a.example.com"], resolution="DNS", creationTimestamp="2026-02-01T00:00:00Z"
    )
    assert list(outbound(mesh)) == [f"{ROOT}/aeraki-outbound-b.example.com-7000"]
    assert mesh.codes() == ["AER0201"]


def test_headless_has_a_listener_for_each_endpoint() -> None:
    mesh = Mesher()
    mesh.service(ip="None")
    assert mesh.codes() == ["AER0232"]
    mesh.put(
        "EndpointSlice",
        "cart-x",
        {
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.0.2"]}, {"addresses": ["10.1.0.1"]}],
            "ports": [{"name": "tcp-echo", "port": 9000}],
        },
        labels={"kubernetes.io/service-name": "cart"},
    )
    assert listeners(mesh) == ["10.1.0.1_7000", "10.1.0.2_7000"]
    assert mesh.codes() == []


def test_without_a_cluster_ip_there_is_a_finding_and_no_outbound_filter() -> None:
    mesh = Mesher()
    mesh.service(ip=None)
    assert outbound(mesh) == {}
    assert mesh.codes() == ["AER0209"]


def test_service_entry_addresses() -> None:
    mesh = Mesher()
    mesh.entry("e", ["a.example.com"], addresses=["10.9.0.2", "10.9.0.1/32"], resolution="STATIC")
    assert listeners(mesh) == ["10.9.0.2_7000", "10.9.0.1_7000"]


def test_service_entry_without_address_uses_the_wildcard_listener() -> None:
    mesh = Mesher()
    mesh.entry("e", ["a.example.com"], resolution="DNS")
    assert listeners(mesh) == ["0.0.0.0_7000"]


def test_auto_allocated_addresses_get_both_listeners() -> None:
    mesh = Mesher()
    status = {
        "addresses": [
            {"value": "240.240.0.7", "host": "a.example.com"},
            {"value": "240.240.0.8", "host": "b"},
        ]
    }
    mesh.entry("e", ["a.example.com"], resolution="DNS", status=status)
    assert listeners(mesh) == ["240.240.0.7_7000", "0.0.0.0_7000"]


def test_a_wildcard_host_has_no_auto_allocated_address() -> None:
    mesh = Mesher()
    mesh.entry(
        "e", ["*.example.com"], resolution="DNS", status={"addresses": [{"value": "240.240.0.7"}]}
    )
    assert listeners(mesh) == ["0.0.0.0_7000"]
    (name,) = outbound(mesh)
    assert name.startswith(f"{ROOT}/aeraki-outbound-example.com-")


def test_a_range_leaves_the_passthrough_chain_as_it_was() -> None:
    mesh = Mesher()
    mesh.entry("e", ["a.example.com"], addresses=["10.8.0.0/16"])
    ((patch, spare),) = outbound(mesh).values()
    assert patch["match"]["listener"]["name"] == "0.0.0.0_7000"
    assert spare["match"]["listener"]["filterChain"] == {
        "name": "PassthroughFilterChain",
        "filter": {"name": ECHO},
    }
    assert spare["patch"]["value"]["typed_config"]["cluster"] == "PassthroughCluster"


def test_a_range_in_a_registry_only_mesh_falls_into_the_black_hole() -> None:
    mesh = Mesher(mesh=Mesh(registry_only=True))
    mesh.entry("e", ["a.example.com"], addresses=["10.8.0.0/16"])
    ((_, spare),) = outbound(mesh).values()
    assert spare["patch"]["value"]["typed_config"]["cluster"] == "BlackHoleCluster"


def test_an_inserted_filter_is_removed_from_the_passthrough_chain() -> None:
    mesh = Mesher(EchoPlugin(insert=True))
    mesh.entry("e", ["a.example.com"], addresses=["10.8.0.0/16"])
    ((patch, spare),) = outbound(mesh).values()
    assert patch["patch"]["operation"] == "INSERT_BEFORE"
    assert spare["patch"] == {"operation": "REMOVE"}


def test_ranges_that_share_a_port_are_not_patched() -> None:
    mesh = Mesher()
    mesh.entry("a", ["a.example.com"], addresses=["10.8.0.0/16"])
    mesh.entry("b", ["b.example.com"], addresses=["10.9.0.0/16"])
    assert outbound(mesh) == {}
    assert mesh.codes() == ["AER0207", "AER0207"]


def test_two_services_of_one_address_and_port_the_older_wins() -> None:
    mesh = Mesher()
    mesh.entry(
        "young", ["a.example.com"], addresses=["10.9.0.1"], creationTimestamp="2026-02-01T00:00:00Z"
    )
    mesh.entry(
        "old", ["b.example.com"], addresses=["10.9.0.1"], creationTimestamp="2026-01-01T00:00:00Z"
    )
    assert list(outbound(mesh)) == [f"{ROOT}/aeraki-outbound-b.example.com-7000"]
    (finding,) = mesh.pipeline.findings()
    assert finding.code.id == "AER0201"
    assert finding.ref is not None
    assert finding.ref.name == "young"


def test_an_older_plain_tcp_service_keeps_its_listener() -> None:
    mesh = Mesher()
    mesh.entry(
        "old",
        ["b.example.com"],
        [{"number": 7000, "name": "tcp", "protocol": "TCP"}],
        resolution="DNS",
    )
    mesh.entry(
        "young", ["a.example.com"], resolution="DNS", creationTimestamp="2026-02-01T00:00:00Z"
    )
    assert outbound(mesh) == {}
    mesh.pipeline.remove(mesh.entry("old", ["b.example.com"]))
    assert listeners(mesh) == ["0.0.0.0_7000"]


def test_export_to_names_the_namespaces() -> None:
    mesh = Mesher()
    mesh.service(annotations={"networking.istio.io/exportTo": ".,front"})
    assert {key.namespace for key in mesh.pipeline.filters} == set()
    assert {name.split("/")[0] for name in outbound(mesh)} == {"shop", "front"}


def test_the_namespaces_setting_takes_the_place_of_the_root_namespace() -> None:
    mesh = Mesher(mesh=Mesh(namespaces=("front", ".")))
    mesh.service()
    assert {name.split("/")[0] for name in outbound(mesh)} == {"shop", "front"}


def test_packed_by_namespace() -> None:
    mesh = Mesher(arrangement=Arrangement.NAMESPACE)
    mesh.service("a", "10.0.0.1")
    mesh.service("b", "10.0.0.2")
    ((name, patches),) = outbound(mesh).items()
    assert name == f"{ROOT}/aeraki-outbound-echo.shop-all"
    assert [patch["match"]["listener"]["name"] for patch in patches] == [
        "10.0.0.1_7000",
        "10.0.0.2_7000",
    ]
    mesh.pipeline.remove(mesh.service("a", "10.0.0.1"))
    assert listeners(mesh) == ["10.0.0.2_7000"]


def test_a_virtual_service_for_some_namespaces_overrides_there() -> None:
    mesh = Mesher()
    mesh.service()
    mesh.service("other", "10.0.0.2")
    mesh.routes(
        "r", ["cart"], [{"route": [{"destination": {"host": "other"}}]}], exportTo=["front"]
    )
    found = outbound(mesh)
    name = "aeraki-outbound-cart.shop.svc.cluster.local-7000"
    assert found[f"{ROOT}/{name}"][0]["match"]["listener"]["filterChain"]["filter"][
        "name"
    ].endswith("tcp_proxy")
    override = found[f"front/{name}"][0]
    assert override["match"]["listener"]["filterChain"]["filter"]["name"] == ECHO
    assert "outbound|7000||other" in mesh.said(namespace="front")
    assert "outbound|7000||other" not in mesh.said()
    priorities = {
        key.namespace: item.priority
        for key, item in mesh.pipeline.filters.items()
        if isinstance(item, EnvoyFilter)
        if "outbound" in key.name
    }
    assert priorities["front"] > priorities[ROOT]


def test_what_is_written_into_the_root_namespace_reaches_all_so_none_is_written_for_it_alone() -> (
    None
):
    mesh = Mesher()
    mesh.service()
    mesh.service("other", "10.0.0.2")
    mesh.routes("r", ["cart"], [{"route": [{"destination": {"host": "other"}}]}], exportTo=[ROOT])
    found = outbound(mesh)
    assert {name: len(patches) for name, patches in found.items()} == {
        f"{ROOT}/aeraki-outbound-{name}.shop.svc.cluster.local-7000": 1
        for name in ("cart", "other")
    }
    assert "outbound|7000||other" not in mesh.said()


def test_a_service_exported_to_the_root_namespace_has_no_filter_there() -> None:
    mesh = Mesher()
    mesh.service(annotations={"networking.istio.io/exportTo": f".,{ROOT}"})
    mesh.service("other", "10.0.0.2", annotations={"networking.istio.io/exportTo": ROOT})
    assert set(outbound(mesh)) == {"shop/aeraki-outbound-cart.shop.svc.cluster.local-7000"}
    assert mesh.codes() == ["AER0219", "AER0219"]


def test_a_private_service_of_the_root_namespace_has_its_filter_there() -> None:
    mesh = Mesher()
    mesh.service(namespace=ROOT, annotations={"networking.istio.io/exportTo": "."})
    assert set(outbound(mesh)) == {f"{ROOT}/aeraki-outbound-cart.{ROOT}.svc.cluster.local-7000"}
    assert mesh.codes() == []


class Choosy(EchoPlugin):
    """Uses another filter where the proxies have one more extension."""

    def __init__(self) -> None:
        super().__init__()
        other = Extension("envoy.filters.network.direct_response", stock=False)
        self.protocol = replace(self.protocol, more_extensions=(other,))

    @hookimpl
    def aeraki_generate(self, protocol: Protocol, context: GenerateContext) -> Iterator[Patch]:
        better = context.has_extension("envoy.filters.network.direct_response")
        name = "envoy.filters.network.direct_response" if better else ECHO
        yield context.outbound.replace_tcp_proxy(name, DirectResponse() if better else Echo())


@pytest.mark.parametrize(
    ("rules", "filters"),
    [
        ([], {ROOT: ("tcp_proxy", "echo")}),
        (["envoy.filters.network.direct_response"], {ROOT: ("tcp_proxy", "direct_response")}),
        (
            ["front:envoy.filters.network.direct_response"],
            {ROOT: ("tcp_proxy", "echo"), "front": ("echo", "direct_response")},
        ),
        # Of some workloads alone, and another extension.
        (["front/app=a:envoy.filters.network.direct_response"], {ROOT: ("tcp_proxy", "echo")}),
        (["front:envoy.filters.network.other"], {ROOT: ("tcp_proxy", "echo")}),
        # What is written into the root namespace reaches proxies that lack it.
        ([f"{ROOT}:envoy.filters.network.direct_response"], {ROOT: ("tcp_proxy", "echo")}),
    ],
)
def test_clients_of_a_namespace_with_one_more_extension(
    rules: list[str], filters: dict[str, tuple[str, str]]
) -> None:
    mesh = Mesher(Choosy(), mesh=Mesh(proxy_rules=tuple(parse_proxy_rule(rule) for rule in rules)))
    mesh.service()
    found = {}
    for name, (patch,) in outbound(mesh).items():
        replaced = patch["match"]["listener"]["filterChain"]["filter"]["name"]
        found[name.split("/")[0]] = tuple(
            item.removeprefix("envoy.filters.network.")
            for item in (replaced, patch["patch"]["value"]["name"])
        )
    assert found == filters


@pytest.mark.parametrize(
    ("exported", "chosen"), [(ROOT, "direct_response"), (f"{ROOT},shop", "echo")]
)
def test_one_more_extension_of_the_root_namespace_counts_where_no_others_are_reached(
    exported: str, chosen: str
) -> None:
    rule = parse_proxy_rule(f"{ROOT}:envoy.filters.network.direct_response")
    mesh = Mesher(Choosy(), mesh=Mesh(proxy_rules=(rule,)))
    mesh.service(namespace=ROOT, annotations={"networking.istio.io/exportTo": exported})
    patch = outbound(mesh)[f"{ROOT}/aeraki-outbound-cart.{ROOT}.svc.cluster.local-7000"][0]
    assert patch["patch"]["value"]["name"] == f"envoy.filters.network.{chosen}"


def test_an_extension_that_the_proxies_lack_is_not_written() -> None:
    mesh = Mesher(EchoPlugin(stock=False))
    mesh.service()
    assert mesh.names() == set()
    assert mesh.codes() == ["AER0205"]


@pytest.mark.parametrize("proxies", [ROOT, f"{ROOT}/app=web"])
def test_an_extension_of_the_root_namespace_alone_is_not_written_where_it_reaches_others(
    proxies: str,
) -> None:
    mesh = Mesher(
        EchoPlugin(stock=False), mesh=Mesh(proxy_rules=(parse_proxy_rule(f"{proxies}:{ECHO}"),))
    )
    mesh.service()
    assert mesh.names() == set()
    assert mesh.codes() == ["AER0205"]
    mesh.service(
        namespace=ROOT, annotations={"networking.istio.io/exportTo": ROOT}
    )  # only its proxies have the listener
    assert {name.split("/")[0] for name in outbound(mesh)} == {ROOT}


def test_an_extension_of_some_workloads_goes_to_them_only() -> None:
    rules = tuple(
        parse_proxy_rule(text)
        for text in (f"front/app=web:{ECHO}", f"back:{ECHO}", f"back/app=a:{ECHO}")
    )
    mesh = Mesher(EchoPlugin(stock=False), mesh=Mesh(proxy_rules=rules))
    mesh.service()
    mesh.run()
    found = {
        key.namespace: item.selector
        for key, item in mesh.pipeline.filters.items()
        if isinstance(item, EnvoyFilter)
    }
    assert found == {"front": (("app", "web"),), "back": ()}
    assert mesh.codes() == []


def test_an_extension_of_the_service_workloads_alone_is_inbound_only() -> None:
    rules = (parse_proxy_rule(f"shop/app=cart:{ECHO}"),)
    mesh = Mesher(EchoPlugin(stock=False), mesh=Mesh(proxy_rules=rules))
    mesh.service()
    mesh.run()
    kinds = sorted(key.name.split("-")[1] for key in mesh.pipeline.filters)
    assert kinds == ["inbound", "outbound"]  # the workload is a client of its own service too


def test_what_is_written_reads_back_the_same() -> None:
    mesh = Mesher()
    mesh.service(annotations={"echo.aeraki.io/cluster": "true"})
    mesh.entry("e", ["*.example.com"], addresses=["10.8.0.0/16"])
    mesh.run()
    assert mesh.pipeline.filters
    for item in mesh.pipeline.filters.values():
        assert from_dict(to_dict(item)) == item


def test_clusters_are_merged_by_host_and_port() -> None:
    mesh = Mesher()
    mesh.service(annotations={"echo.aeraki.io/cluster": "true"})
    ((_, merge),) = outbound(mesh).values()
    assert merge["match"]["cluster"] == {
        "service": "cart.shop.svc.cluster.local",
        "portNumber": 7000,
    }
    assert merge["patch"]["operation"] == "MERGE"


def test_names_stay_valid_for_any_host() -> None:
    mesh = Mesher()
    long = ".".join(["a" * 60] * 4) + ".com"
    mesh.entry("long", [long], addresses=["10.9.0.1"])
    mesh.entry("v6", ["v6.example.com"], addresses=["fd00::7"])
    mesh.run()
    for key in mesh.pipeline.filters:
        assert len(key.name) <= 253
        assert key.name == key.name.lower()
    assert FilterKey(ROOT, "aeraki-outbound-v6.example.com-7000") in mesh.pipeline.filters
    assert listeners(mesh)[-1] == "fd00::7_7000"
