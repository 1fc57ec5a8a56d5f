"""Likely mistakes of users: ports with odd names, options and routes without effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aeraki_core.findings.codes import HEADLESS_ROUTES
from aeraki_core.model.mesh import Mesh

from tests.unit.core.echo import EchoPlugin, Mesher

HOST = "cart.shop.svc.cluster.local"
METHOD = [{"match": [{"method": {"exact": "a"}}], "route": [{"destination": {"host": "cart"}}]}]


def said(mesh: Mesher) -> list[tuple[str, str | None, str]]:
    mesh.run()
    return [
        (finding.code.id, finding.field, finding.message) for finding in mesh.pipeline.findings()
    ]


def codes(mesh: Mesher) -> list[str]:
    return [code for code, _, _ in said(mesh)]


def ports(*names: str, **extra: Any) -> list[dict[str, Any]]:
    return [{"name": name, "port": 7000 + index, **extra} for index, name in enumerate(names)]


@pytest.mark.parametrize(
    ("name", "extra", "code", "remedy"),
    [
        ("tcp-ecoh", {}, "AER0211", "port 7000: port name 'tcp-ecoh': did you mean tcp-echo?"),
        (
            "rpc",
            {"appProtocol": "ehco"},
            "AER0211",
            "port 7000: appProtocol 'ehco': did you mean echo?",
        ),
        (
            "echo",
            {},
            "AER0212",
            "port 7000: port name 'echo' lacks the prefix tcp-: "
            "name it tcp-echo, or set appProtocol echo.",
        ),
    ],
)
def test_a_port_that_was_meant_to_speak_the_protocol(
    name: str, extra: dict[str, str], code: str, remedy: str
) -> None:
    mesh = Mesher()
    mesh.service(ports=ports("http", name, **extra)[1:])
    (finding,) = said(mesh)
    assert finding == (code, "spec.ports[0].name", remedy.replace("7000", "7001"))
    mesh.service()
    assert said(mesh) == []


def test_words_that_nobody_speaks_are_counted_once_for_the_mesh() -> None:
    mesh = Mesher()
    mesh.service(ports=ports("tcp-mongo", "tcp-mongo-2"))
    other = mesh.service("other", "10.0.0.2", ports=ports("tcp-mongo"))
    ((code, field, message),) = said(mesh)
    assert (code, field) == ("AER0216", None)
    assert message.startswith("3 ports are named tcp-mongo, and no active plugin speaks mongo (")
    mesh.pipeline.remove(other)
    ((_, _, message),) = said(mesh)
    assert message.startswith("2 ports are named tcp-mongo")
    mesh.service(ports=ports("http"))
    assert said(mesh) == []


def test_an_option_of_a_service_without_a_port_of_the_protocol() -> None:
    mesh = Mesher()
    option = {"echo.aeraki.io/text": "hello"}
    mesh.service(annotations=option, ports=ports("tcp"))
    ((code, field, message),) = said(mesh)
    assert (code, field) == ("AER0214", "metadata.annotations.echo.aeraki.io/text")
    assert (
        message
        == "no port of the service speaks echo; name the port tcp-echo or set its appProtocol"
    )
    mesh.service(annotations={**option, "aeraki.io/exclude": "true"})
    assert said(mesh) == []
    mesh.service(annotations=option)
    assert "AER0214" not in codes(mesh)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("tcp",), ["AER0314"]), (("http",), []), (("tcp-echo",), []), (("tcp", "tcp-echo"), [])],
)
def test_routes_by_method_for_ports_that_nobody_speaks(
    names: tuple[str, ...], expected: list[str]
) -> None:
    mesh = Mesher()
    mesh.service(ports=ports(*names))
    mesh.routes("r", ["cart"], METHOD)
    assert codes(mesh) == expected


def test_the_report_follows_the_port() -> None:
    mesh = Mesher()
    mesh.routes("r", ["cart"], METHOD)
    mesh.service(ports=ports("tcp"))
    assert codes(mesh) == ["AER0314"]
    mesh.service(ports=ports("tcp-echo"))
    assert codes(mesh) == []
    mesh.service(ports=ports("tcp-echo"), annotations={"aeraki.io/exclude": "true"})
    assert codes(mesh) == ["AER0314"]


def test_a_route_of_a_gateway_for_a_protocol_of_ours() -> None:
    mesh = Mesher()
    mesh.service()
    mesh.routes("r", ["cart.example.com"], METHOD, gateways=["istio-system/ingress"])
    ((code, field, message),) = said(mesh)
    assert (code, field) == ("AER0315", "spec.http[0]")
    assert message.startswith(f"{HOST} speaks echo, and gateways get no filter for it")
    assert HEADLESS_ROUTES.id not in codes(mesh)


@pytest.mark.parametrize("where", ["service", "namespace"])
def test_an_excluded_port_loses_its_filter_and_has_it_again(where: str) -> None:
    mesh = Mesher()
    mesh.service()
    assert mesh.names()
    exclude = {"aeraki.io/exclude": "tcp-echo"}
    if where == "service":
        mesh.service(annotations=exclude)
    else:
        mesh.put("Namespace", "shop", {}, annotations=exclude, namespace="")
    mesh.run()
    assert mesh.names() == set()
    if where == "service":
        mesh.service()
    else:
        mesh.put("Namespace", "shop", {}, namespace="")
    mesh.run()
    assert mesh.names()


def test_a_protocol_that_is_opt_in_waits_for_an_annotation() -> None:
    mesh = Mesher(mesh=Mesh(opt_in=("echo",)))
    mesh.service()
    assert (said(mesh), mesh.names()) == ([], set())
    mesh.service(annotations={"aeraki.io/include": "7000"})
    assert mesh.names()


def hashing(**hash_policy: Any) -> dict[str, Any]:
    return {"loadBalancer": {"consistentHash": hash_policy or {"useSourceIp": True}}}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"trafficPolicy": hashing()}, ["spec.trafficPolicy.loadBalancer.consistentHash"]),
        ({"trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}, []),
        (
            {"subsets": [{"name": "v1"}, {"name": "v2", "trafficPolicy": hashing()}]},
            ["spec.subsets[1].trafficPolicy.loadBalancer.consistentHash"],
        ),
        # Settings of a port take the place of all others.
        (
            {
                "trafficPolicy": {
                    **hashing(),
                    "portLevelSettings": [
                        {"port": {"number": 7000}, "loadBalancer": {"simple": "RANDOM"}}
                    ],
                }
            },
            [],
        ),
        (
            {"trafficPolicy": {"portLevelSettings": [{"port": {"number": 7000}, **hashing()}]}},
            ["spec.trafficPolicy.portLevelSettings[0].loadBalancer.consistentHash"],
        ),
        (
            {"trafficPolicy": {"portLevelSettings": [{"port": {"number": 7001}, **hashing()}]}},
            [],
        ),
    ],
)
@pytest.mark.parametrize("host", [HOST, "*.shop.svc.cluster.local"])
def test_a_hash_that_the_protocol_does_not_compute(
    spec: dict[str, Any], fields: list[str], host: str
) -> None:
    plugin = EchoPlugin()
    plugin.protocol = replace(plugin.protocol, load_balancing_hash=False)
    mesh = Mesher(plugin)
    mesh.service()
    ref = mesh.put("DestinationRule", "cart", {"host": host, **spec})
    assert [(code, field) for code, field, _ in said(mesh)] == [
        ("AER0224", each) for each in fields
    ]
    mesh.pipeline.remove(ref)
    assert said(mesh) == []
    able = Mesher()
    able.service()
    able.put("DestinationRule", "cart", {"host": host, **spec})
    assert said(able) == []


def test_a_name_of_another_host_has_no_port_of_its_own() -> None:
    mesh = Mesher()
    mesh.service(ip=None, type="ExternalName", externalName="cart.example.com")
    (finding,) = said(mesh)
    assert finding[:2] == ("AER0226", "spec.ports[0].name")
    assert "cart.example.com" in finding[2]
    assert not mesh.names()
    ref = mesh.service(ip=None, type="ExternalName", externalName="a.com", ports=ports("tcp"))
    assert said(mesh) == []
    mesh.service(ip=None, type="ExternalName", externalName="a.com")
    assert [code for code, _, _ in said(mesh)] == ["AER0226"]
    mesh.service()
    assert said(mesh) == []
    mesh.service(ip=None, type="ExternalName", externalName="a.com")
    mesh.pipeline.remove(ref)
    assert said(mesh) == []


@pytest.mark.parametrize(
    ("extra", "spoken"),
    [({}, False), ({"appProtocol": "echo"}, True)],
)
def test_a_port_whose_name_says_tls_is_left_alone(extra: dict[str, str], spoken: bool) -> None:
    mesh = Mesher()
    mesh.service(ports=[{"name": "tcp-echo-ssl", "port": 7000, **extra}])
    assert bool(mesh.names()) is spoken


def test_annotations_of_aeraki_that_mean_nothing() -> None:
    mesh = Mesher()
    mesh.service(annotations={"aeraki.io/exlude": "7000", "aeraki.io/include": "tcp-echo, 7001"})
    where = "metadata.annotations.aeraki.io"
    meant = "nothing reads aeraki.io/exlude; did you mean aeraki.io/exclude?"
    assert set(said(mesh)) == {
        ("AER0111", f"{where}/include", "'7001' names no port of the service"),
        ("AER0112", f"{where}/exlude", meant),
    }
    mesh.service(annotations={"aeraki.io/exclude": "false"})
    assert said(mesh) == []
    mesh.put("Namespace", "shop", {}, namespace="", annotations={"aeraki.io/opt-out": "true"})
    ((code, _, message),) = said(mesh)
    assert code == "AER0112"
    assert "aeraki.io/exclude and aeraki.io/include" in message
    mesh.put("Namespace", "shop", {}, namespace="", annotations={"aeraki.io/exclude": "7001"})
    assert said(mesh) == []


@pytest.mark.parametrize("word", ["tcp-echo", "kubernetes.io/echo", "aeraki.io/tcp-echo"])
def test_an_app_protocol_with_more_than_the_word(word: str) -> None:
    mesh = Mesher()
    mesh.service(ports=[{"name": "rpc", "port": 7000, "appProtocol": word}])
    ((code, _, message),) = said(mesh)
    assert code == "AER0211"
    assert message == f"port 7000: appProtocol {word!r}: did you mean echo?"


def test_the_port_of_an_entry_has_no_app_protocol() -> None:
    mesh = Mesher()
    mesh.entry("cart", ["cart.example.com"], [{"number": 7000, "name": "echo", "protocol": "TCP"}])
    ((code, _, message),) = said(mesh)
    assert code == "AER0212"
    assert message.endswith("name it tcp-echo.")


@pytest.mark.parametrize(
    ("protocol", "refused"), [("ECHO", True), ("tcp", False), ("Mongo", False)]
)
def test_a_protocol_that_istiod_refuses(protocol: str, refused: bool) -> None:
    mesh = Mesher()
    port = {"number": 7000, "name": "rpc", "protocol": protocol}
    mesh.entry("cart", ["cart.example.com"], [port])
    found = [(code, field) for code, field, _ in said(mesh)]
    assert found == ([("AER0228", "spec.ports[0].protocol")] if refused else [])


def test_what_is_wrong_for_all_but_some_clients_names_those() -> None:
    mesh = Mesher()
    mesh.service()
    subsets = [{"name": "v1"}]
    mesh.put("DestinationRule", "cart", {"host": HOST, "subsets": subsets, "exportTo": ["web"]})
    route = {
        "match": METHOD[0]["match"],
        "route": [{"destination": {"host": HOST, "subset": "v1"}}],
    }
    mesh.routes("cart", [HOST], [route])
    (message,) = [message for code, _, message in said(mesh) if code == "AER0302"]
    assert message.startswith("clients outside web: no DestinationRule gives")


@pytest.mark.parametrize("host", ["cart.shop", "cart.shop.svc"])
def test_a_host_without_its_end_is_no_host(host: str) -> None:
    mesh = Mesher()
    mesh.service()
    ref = mesh.put("DestinationRule", "cart", {"host": host, "subsets": [{"name": "v1"}]})
    mesh.routes("cart", [host], [{"route": [{"destination": {"host": HOST}}]}])
    assert {(code, field) for code, field, _ in said(mesh)} == {
        ("AER0301", "spec.host"),
        ("AER0301", "spec.hosts"),
    }
    assert all(f"did you mean {HOST}?" in message for _, _, message in said(mesh))
    mesh.pipeline.remove(ref)
    mesh.routes("cart", [HOST], [{"route": [{"destination": {"host": HOST}}]}])
    assert said(mesh) == []


def test_options_of_nobody() -> None:
    mesh = Mesher()
    mesh.service(annotations={"ecoh.aeraki.io/volume": "3", "other.aeraki.io/volume": "3"})
    assert said(mesh) == [
        (
            "AER0112",
            "metadata.annotations.ecoh.aeraki.io/volume",
            "nothing reads ecoh.aeraki.io/volume; did you mean echo.aeraki.io/volume?",
        )
    ]
    mesh.service(annotations={})
    assert said(mesh) == []
    mesh.service(annotations={"ehco.aeraki.io/volume": "3"})
    assert [code for code, _, _ in said(mesh)] == ["AER0112"]
    mesh.service(annotations={})
    mesh.put("Namespace", "shop", {}, namespace="", annotations={"echo.aeraki.io/volume": "3"})
    ((code, _, message),) = said(mesh)
    assert code == "AER0112"
    assert "each Service" in message
