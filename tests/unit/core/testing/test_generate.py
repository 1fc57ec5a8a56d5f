"""From objects to filters with a plugin of the test's own, and the kit's findings in a bad one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.errors import SettingsError
from aeraki_core.model.mesh import Mesh, ProxyFamily
from aeraki_core.testing import (
    Envoy,
    Golden,
    Proxy,
    Sandbox,
    endpoint_slice,
    generate,
    objects_in,
    proxies_for,
    resource,
    secret,
    service,
    service_entry,
    stray_changes,
    to_yaml,
    unmatched,
    virtual_service,
)
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo

from aeraki_core import Extension, GenerateContext, Patch, Protocol, hookimpl
from tests.unit.core.echo import POLICY, EchoPlugin
from tests.unit.core.testing.objects import ECHO

CART = service(
    "cart",
    {"tcp-echo": (7000, 9000)},
    namespace="shop",
    selector={"app": "cart"},
    annotations={"volume": "3"},
)


class Plain:
    """Puts Envoy's echo filter in the place of tcp_proxy on both sides; subclasses do it badly."""

    @hookimpl
    def aeraki_protocols(self) -> Iterable[Protocol]:
        return [
            Protocol(
                name="echo", tokens=("echo",), extension=Extension(ECHO, stock=True), summary="Echo"
            )
        ]

    @hookimpl
    def aeraki_generate(self, context: GenerateContext) -> Iterator[Patch]:
        for side in (context.outbound, *context.inbound):
            yield side.replace_tcp_proxy(ECHO, Echo())


def test_a_service_gives_filters_and_the_reason_for_each_port() -> None:
    made = generate(CART, plugins=[Plain()])
    assert made.codes == ()
    assert made.filter("outbound-cart")["metadata"]["namespace"] == "istio-system"
    assert [patch["patch"]["operation"] for patch in made.patches("NETWORK_FILTER")] == [
        "REPLACE"
    ] * 2
    (report,) = made.reports
    assert report.detection.reason == "port name 'tcp-echo'"


def test_objects_can_be_yaml_dictionaries_and_lists_of_them() -> None:
    text = to_yaml([CART])
    as_list = to_yaml([{"apiVersion": "v1", "kind": "List", "items": [CART]}])
    expected = generate(CART, plugins=[Plain()]).yaml
    assert expected
    forms: list[Any] = [text, [text], as_list, [[CART]], f"---\n---\n{text}"]
    for given in forms:
        assert generate(given, plugins=[Plain()]).yaml == expected


def test_text_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="not YAML"):
        objects_in("a: [")
    with pytest.raises(ValueError, match="not a Kubernetes object: 'word'"):
        objects_in("word")


def test_a_plugin_that_is_not_active_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match="object is failed: it implements no hook"):
        generate(CART, plugins=[object()])
    with pytest.raises(ValueError, match="no plugin is installed as nobody-made-this"):
        generate(CART, plugins=["nobody-made-this"])


def test_settings_are_those_of_a_settings_file(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("rootNamespace: root\n")
    assert (
        generate(CART, plugins=[Plain()], settings=settings).filter("outbound")["metadata"][
            "namespace"
        ]
        == "root"
    )
    settings.write_text("rotNamespace: root\n")
    with pytest.raises(SettingsError, match="rootNamespace"):
        generate(CART, plugins=[Plain()], settings=settings)


def test_findings_are_one_line_each() -> None:
    made = generate(
        service("cart", {"tcp-echo": 7000}, annotations={"volume": "99"}), plugins=[EchoPlugin()]
    )
    assert made.codes == ("AER0111",)
    assert made.findings_text == (
        "warning AER0111 Service default/cart metadata.annotations.volume: "
        "volume: 99 is above the greatest value 11\n"
    )


def test_every_builder_makes_what_the_core_reads() -> None:
    made = generate(
        CART,
        virtual_service(
            "v", ["cart"], namespace="shop", http=[{"route": [{"destination": {"host": "cart"}}]}]
        ),
        service_entry("e", ["e.example.com"], {"tcp-echo": 7001}, auto_addresses=["240.240.0.1"]),
        service("h", {"tcp-echo": (7002, "named")}, cluster_ip="None", selector={"app": "h"}),
        endpoint_slice("h", ["10.244.0.1"], {"tcp-echo": 9002}),
        resource(POLICY, "p", namespace="shop", host="cart", volume=7, secret="s"),
        secret("s", {"token": "x"}, namespace="shop"),
        plugins=[EchoPlugin()],
    )
    assert made.codes == ()
    said = str(made.filter("outbound-cart")["spec"])
    assert "policy=7 secret=1" in said
    assert {patch["match"].get("listener", {}).get("name") for patch in made.patches()} >= {
        "10.96.0.10_7000",
        "240.240.0.1_7001",
        "0.0.0.0_7001",
        "10.244.0.1_7002",
    }
    assert unmatched(made.sidecars) == {}
    assert stray_changes(made) == []


def test_one_filter_is_asked_for_by_a_part_of_its_name() -> None:
    made = generate(CART, plugins=[Plain()])
    with pytest.raises(
        LookupError, match=r"2 filters contain 'aeraki'; there are istio-system/.*, shop/"
    ):
        made.filter("aeraki")


def test_the_proxies_that_see_every_filter() -> None:
    entry = service_entry(
        "e", ["e.example.com"], {"tcp-echo": 7001}, auto_addresses=["240.240.0.1", "2001:2::1"]
    )
    made = generate(CART, entry, plugins=[Plain()])
    found = [str(proxy) for proxy in proxies_for(made.objects, made.filters)]
    assert found == [
        "client in default",
        "client in default without DNS capture",
        "client in shop",
        "client in shop without DNS capture",
        "workload app=cart in shop",
    ]


@pytest.mark.parametrize(
    ("families", "kinds"),
    [
        ((), ["", " with IPv6 alone"]),  # as the Service's address tells
        ((ProxyFamily.IPV4,), [""]),
        ((ProxyFamily.IPV4, ProxyFamily.DUAL), ["", " with IPv4 and IPv6"]),
        ((ProxyFamily.DUAL,), [" with IPv4 and IPv6"]),
    ],
)
def test_the_proxies_of_each_family_that_there_is(
    families: tuple[ProxyFamily, ...], kinds: list[str]
) -> None:
    mesh = Mesh(proxy_families=families)
    dual = service("cart", {"tcp-echo": 7000}, clusterIPs=["fd00::1", "10.96.0.10"])
    wide = service_entry("w", ["w.example.com"], {"tcp-echo": 7001}, addresses=["10.8.0.0/16"])
    made = generate(dual, wide, plugins=[Plain()], mesh=mesh)
    assert [str(proxy) for proxy in proxies_for(made.objects, [], mesh)] == [
        f"client in default{kind}" for kind in kinds
    ]
    assert unmatched(made.sidecars) == {}


def test_a_change_of_another_services_cluster_is_stray() -> None:
    """Made by hand: no plugin can ask the core for such a patch."""
    other = service("other", {"tcp-x": 7000}, cluster_ip="10.96.0.11")
    made = generate(CART, other, plugins=[Plain()])
    wide = {
        "applyTo": "CLUSTER",
        "match": {"context": "SIDECAR_OUTBOUND", "cluster": {"portNumber": 7000}},
        "patch": {"operation": "MERGE", "value": {"alt_stat_name": "x"}},
    }
    made.filters[0]["spec"]["configPatches"].append(wide)
    assert (
        "client in shop: cluster outbound|7000||other.default.svc.cluster.local"
        in stray_changes(made)
    )


def test_a_change_of_another_services_listener_is_stray() -> None:
    other = service("other", {"tcp-x": 7000}, cluster_ip="10.96.0.11")
    made = generate(CART, other, plugins=[Plain()])
    del made.filter("outbound-cart")["spec"]["configPatches"][0]["match"]["listener"]["name"]
    strays = stray_changes(made)
    assert "client in shop: listener 10.96.0.11_7000 chain (without a name)" in strays
    assert "client in shop: listener virtualOutbound chain virtualOutbound-catchall-tcp" in strays


@pytest.mark.envoy
def test_plugins_filters_are_made_anew_when_objects_change(envoy: Envoy) -> None:
    address = f"127.62.{os.getpid() % 250}.1"
    near = service("near", {"tcp-x": 7000}, cluster_ip=address)
    speaking = service("near", {"tcp-echo": 7000}, cluster_ip=address)
    with Sandbox(envoy) as sandbox, socket.create_server(("127.0.0.1", 0)) as server:
        endpoints: Any = {("near.default.svc.cluster.local", 7000): [server.getsockname()]}
        sidecar = sandbox.serve(near, plugins=[Plain()], endpoints=endpoints)
        with socket.create_connection((address, 7000), timeout=5):
            server.accept()[0].close()
        sidecar.update(objects=[speaking])
        with socket.create_connection((address, 7000), timeout=5) as client:
            client.sendall(b"hello")
            assert client.recv(10) == b"hello"
        assert sidecar.made.filters
        with pytest.raises(TypeError, match="made by plugins"):
            sidecar.update(filters=[])


def test_golden_files(tmp_path: Path) -> None:
    path = tmp_path / "a.out.yaml"
    Golden().check(path, "")
    with pytest.raises(AssertionError, match=r"(?s)--regenerate writes it.*\+new"):
        Golden().check(path, "new\n")
    Golden(regenerate=True).check(path, "new\n")
    Golden().check(path, "new\n")
    with pytest.raises(AssertionError, match=r"(?s)-new\n\+newer"):
        Golden().check(path, "newer\n")
    Golden(regenerate=True).check(path, "")
    assert not path.exists()


def test_a_mesh_without_a_root_namespace_of_the_usual_name() -> None:
    made = generate(CART, plugins=[Plain()], mesh=Mesh(root_namespace="root"))
    assert made.sidecar(Proxy("shop")).hits
    assert unmatched(made.sidecars) == {}
