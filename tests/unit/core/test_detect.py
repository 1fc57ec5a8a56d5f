from __future__ import annotations

import pytest

from tests.unit.core.echo import EchoPlugin, Mesher


@pytest.mark.parametrize(
    ("name", "extra", "found"),
    [
        ("tcp-echo", {}, True),
        ("TCP-Echo-7000", {}, True),
        ("tcp-echo-anything-at-all", {}, True),
        ("echo", {}, False),
        ("tcp", {}, False),
        ("tcp-", {}, False),
        ("tcp-echoes", {}, False),
        ("http-echo", {}, False),
        ("anything", {"appProtocol": "echo"}, True),
        ("anything", {"appProtocol": "aeraki.io/echo"}, True),
        ("tcp-echo", {"appProtocol": "http"}, False),
        ("tcp-echo", {"appProtocol": "grpc"}, False),
        ("tcp-echo", {"protocol": "UDP"}, False),
    ],
)
def test_which_ports_speak_the_protocol(name: str, extra: dict[str, str], found: bool) -> None:
    mesh = Mesher()
    mesh.service(ports=[{"name": name, "port": 7000, **extra}])
    assert bool(mesh.names()) is found


@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS", "GRPC", "TLS", "HTTP2", "http"])
def test_a_port_of_another_protocol_is_never_taken(protocol: str) -> None:
    mesh = Mesher()
    mesh.entry(
        "e", ["cart.example.com"], [{"number": 7000, "name": "tcp-echo", "protocol": protocol}]
    )
    assert mesh.names() == set()


def test_two_plugins_that_claim_one_kind_are_both_left_out() -> None:
    mesh = Mesher(EchoPlugin(), EchoPlugin(name="echo-loud"))
    assert [plugin.state for plugin in mesh.registry.plugins] == ["conflicting", "conflicting"]
    assert mesh.registry.plugins[0].reason == (
        "kind EchoPolicy is claimed by echo-dist 1.0 and echo-loud-dist 1.0"
    )
    mesh.service()
    assert mesh.names() == set()


def test_why_is_told() -> None:
    mesh = Mesher()
    mesh.service(
        ports=[
            {"name": "tcp-echo", "port": 1},
            {"name": "a", "port": 2, "appProtocol": "echo"},
            {"name": "b", "port": 3},
            {"name": "tcp-echo", "port": 4, "protocol": "UDP"},
        ]
    )
    mesh.run()
    assert [report.detection.reason for report in mesh.pipeline.reports()] == [
        "port name 'tcp-echo'",
        "appProtocol 'echo'",
        "no protocol is named tcp-b",
        "its protocol is UDP",
    ]
