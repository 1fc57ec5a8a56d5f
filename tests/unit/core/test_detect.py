from __future__ import annotations

import pytest
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Service
from aeraki_core.pipeline.detect import Detection, Detector, ProblemKind
from aeraki_core.pipeline.port_choice import PortChoice
from aeraki_core.plugins.dispatch import HookDetection

from tests.unit.core.echo import EchoPlugin, Mesher

ECHO = EchoPlugin().protocol


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
        ("tcp-echo", {"appProtocol": "tcp"}, False),
        ("tcp-echo", {"protocol": "UDP"}, False),
        ("echo", {"appProtocol": "echo", "protocol": "UDP"}, False),
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
        "kind EchoPolicy.echo.example.com is claimed by echo-dist 1.0 and echo-loud-dist 1.0; "
        "finding ECH0101 is claimed by echo-dist 1.0 and echo-loud-dist 1.0"
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
        "port name 'b' names no protocol",
        "its protocol is UDP",
    ]


SERVICE = Service(
    ref=ObjectRef("Service", "shop", "cart"), host="cart.shop.svc.cluster.local", ports=()
)


def detect(
    port: Port, *, opt_in: tuple[str, ...] = (), choice: PortChoice | None = None
) -> Detection:
    inactive = {"loud": "is failed: no module named loud"}
    detector = Detector([ECHO], lambda *_: HookDetection(), inactive=inactive, opt_in=opt_in)
    return detector.detect(SERVICE, port, choice)


@pytest.mark.parametrize(
    ("port", "kind", "remedy"),
    [
        (
            Port(number=1, name="tcp-ecoh"),
            ProblemKind.MISSPELT,
            "port name 'tcp-ecoh': did you mean tcp-echo?",
        ),
        (
            Port(number=1, name="tcp-eho-2"),
            ProblemKind.MISSPELT,
            "port name 'tcp-eho-2': did you mean tcp-echo?",
        ),
        (
            Port(number=1, name="rpc", app_protocol="ehco"),
            ProblemKind.MISSPELT,
            "appProtocol 'ehco': did you mean echo?",
        ),
        (
            Port(number=1, name="echo-main"),
            ProblemKind.NO_PREFIX,
            "port name 'echo-main' lacks the prefix tcp-: "
            "name it tcp-echo-main, or set appProtocol echo.",
        ),
        (
            Port(number=1, name="tcp-loud"),
            ProblemKind.INACTIVE,
            "port name 'tcp-loud': plugin loud is failed: no module named loud.",
        ),
        (
            Port(number=1, name="tcp-metaprotocol-echo"),
            ProblemKind.MISSPELT,
            "port name 'tcp-metaprotocol-echo': MetaProtocol is not supported; "
            "write tcp-echo if a plugin speaks echo.",
        ),
        (
            Port(number=1, name="tcp-mongo"),
            ProblemKind.NOBODY,
            "Install the plugin that speaks mongo, if there is one.",
        ),
    ],
)
def test_what_was_probably_meant(port: Port, kind: ProblemKind, remedy: str) -> None:
    problem = detect(port).problem
    assert problem is not None
    assert (problem.kind, problem.remedy) == (kind, remedy)


@pytest.mark.parametrize(
    "port",
    [
        Port(number=1, name="http-echo"),
        Port(number=1, name="tcp"),
        Port(number=1, name="metrics"),
        Port(number=1, name=""),
    ],
)
def test_a_port_that_looks_like_none_of_ours_has_no_problem(port: Port) -> None:
    detection = detect(port)
    assert (detection.protocol, detection.problem) == (None, None)


def test_the_protocol_of_a_service_entry_counts() -> None:
    assert detect(Port(number=1, name="tcp", protocol="ECHO")) == Detection(ECHO, "protocol 'ECHO'")


@pytest.mark.parametrize("text", ["true", "main, 7000", "tcp-echo"])
def test_an_excluded_port_is_left_alone(text: str) -> None:
    port = Port(number=7000, name="tcp-echo")
    for choice in (
        PortChoice({PortChoice.EXCLUDE: text}),
        PortChoice({}, {PortChoice.EXCLUDE: text}),
    ):
        detection = detect(port, choice=choice)
        assert detection.protocol is None
        assert "excludes it (aeraki.io/exclude)" in detection.reason
    assert detect(port, choice=PortChoice({PortChoice.EXCLUDE: "other"})).protocol is ECHO


def test_a_service_comes_before_its_namespace() -> None:
    choice = PortChoice({PortChoice.INCLUDE: "tcp-echo"}, {PortChoice.EXCLUDE: "true"})
    assert detect(Port(number=1, name="tcp-echo"), choice=choice).protocol is ECHO
    assert detect(Port(number=1, name="tcp-echo-2"), choice=choice).protocol is None


def test_an_opt_in_protocol_takes_only_included_ports() -> None:
    port = Port(number=7000, name="tcp-echo")
    problem = detect(port, opt_in=("echo",)).problem
    assert problem is not None
    assert problem.remedy == 'Set the annotation aeraki.io/include: "tcp-echo".'
    for choice in (
        PortChoice({PortChoice.INCLUDE: "7000"}),
        PortChoice({}, {PortChoice.INCLUDE: "true"}),
    ):
        assert detect(port, opt_in=("echo",), choice=choice).protocol is ECHO
