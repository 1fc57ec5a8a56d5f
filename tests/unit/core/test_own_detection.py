"""A plugin's own detection: what it may look at, when it is asked again, and what its errors do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from aeraki_core.filters.envoyfilter import ServicePort
from aeraki_core.plugins.discovery import Candidate
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo

from aeraki_core import Extension, GenerateContext, Patch, Port, Protocol, Service, hookimpl
from tests.unit.core.echo import ECHO, EchoPlugin, Mesher

DATA = [{"name": "data", "port": 7000, "targetPort": 9000}]
CART = ServicePort("cart.shop.svc.cluster.local", 7000)


class Labelled(EchoPlugin):
    """Takes the ports of services with a label, and fails where the label says so."""

    @hookimpl
    def aeraki_detect_protocol(self, port: Port, labels: Mapping[str, str]) -> Any:
        match labels.get("speaks"):
            case "error":
                raise RuntimeError("asked to")
            case "foreign":
                return "mongo"
            case "number":
                return 7
            case word:
                return word


class Annotated(EchoPlugin):
    @hookimpl
    def aeraki_detect_protocol(self, annotations: Mapping[str, str]) -> str | None:
        return annotations.get("example.com/speaks")


class ByNumber:
    """As plugins were written before labels and annotations reached detection."""

    protocol = Protocol(
        name="zzz", tokens=("zzz",), extension=Extension(ECHO, stock=True), summary="Takes a number"
    )

    @hookimpl
    def aeraki_protocols(self) -> Iterable[Protocol]:
        return [self.protocol]

    @hookimpl
    def aeraki_generate(self, context: GenerateContext) -> Iterable[Patch]:
        yield context.outbound.replace_tcp_proxy(ECHO, Echo())

    @hookimpl
    def aeraki_detect_protocol(self, port: Port, service: Service) -> str | None:
        return "zzz" if port.number == 7000 else None


class Asking(Labelled):
    """Its filter says whether a port of another service speaks the protocol."""

    @hookimpl
    def aeraki_generate(self, protocol: Any, context: Any) -> Iterator[Patch]:
        for other in context.services_of_host("other"):
            spoken = context.speaks(protocol, other, other.ports[0])
            context.report(protocol.codes[0], f"other speaks: {spoken}")
        yield from super().aeraki_generate(protocol, context)


def mesh_of(*plugins: EchoPlugin | ByNumber) -> Mesher:
    return Mesher.of(
        Candidate(plugin.protocol.name, f"{plugin.protocol.name}-dist", "1.0", module=plugin)
        for plugin in plugins
    )


def labelled(mesh: Mesher, word: str | None, name: str = "cart", **more: Any) -> list[str]:
    """A Service with that label; the services whose generator runs for it."""
    labels = {} if word is None else {"speaks": word}
    mesh.service(name, ports=DATA, labels=labels, **more)
    return [port.service.ref.name for port in mesh.run().generated]


def messages(mesh: Mesher) -> list[str]:
    return [finding.message for finding in mesh.pipeline.findings()]


def test_labels_decide() -> None:
    mesh = mesh_of(Labelled())
    assert labelled(mesh, "echo") == ["cart"]
    assert mesh.names()
    assert labelled(mesh, None) == []
    assert not mesh.names()
    assert mesh.codes() == ["AER0215"]
    assert labelled(mesh, "echo") == ["cart"]


def test_a_label_that_changes_nothing_generates_nothing() -> None:
    mesh = mesh_of(Labelled())
    labelled(mesh, "echo")
    mesh.service(ports=DATA, labels={"speaks": "echo", "tier": "front"})
    assert mesh.run().generated == ()


def test_annotations_decide() -> None:
    mesh = mesh_of(Annotated())
    mesh.service(ports=DATA)
    assert not mesh.names()
    mesh.service(ports=DATA, annotations={"example.com/speaks": "echo"})
    assert mesh.names()
    mesh.service(ports=DATA, annotations={"example.com/speaks": "echo", "owner": "me"})
    assert mesh.run().generated == ()


def test_a_plugin_without_the_parameters_is_asked_as_before() -> None:
    mesh = mesh_of(ByNumber())
    mesh.service(ports=DATA)
    assert mesh.names()


def test_who_asked_what_a_port_speaks_runs_again_with_the_answer() -> None:
    mesh = mesh_of(Asking())
    mesh.service()
    assert sorted(labelled(mesh, "echo", name="other", ip="10.0.0.2")) == ["cart", "other"]
    assert "other speaks: True" in messages(mesh)
    assert labelled(mesh, None, name="other", ip="10.0.0.2") == ["cart"]
    assert "other speaks: False" in messages(mesh)


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("error", "raised RuntimeError: asked to (core/test_own_detection.py:"),
        ("foreign", "named 'mongo', which the plugin does not bring"),
        ("number", "gave a int where a protocol's name or None belongs"),
    ],
)
def test_a_failure_is_a_finding_and_the_port_keeps_its_filters(word: str, problem: str) -> None:
    mesh = mesh_of(Labelled())
    labelled(mesh, "echo")
    before = mesh.said()
    labelled(mesh, word)
    assert mesh.said() == before
    (finding,) = mesh.pipeline.findings()
    assert (finding.code.id, finding.plugin) == ("AER0404", "echo")
    assert str(finding.ref) == "Service shop/cart"
    assert f"port 7000: echo-dist 1.0: aeraki_detect_protocol {problem}" in finding.message
    # The protocol stays, so the filters go on following everything else.
    mesh.service(ports=DATA, labels={"speaks": word}, annotations={"echo.aeraki.io/volume": "4"})
    assert mesh.said().startswith("volume=4")
    labelled(mesh, None)
    assert mesh.codes() == ["AER0215"]


def test_a_failure_at_the_start_holds_the_live_filter() -> None:
    mesh = mesh_of(Labelled())
    labelled(mesh, "error")
    assert mesh.codes() == ["AER0404"]
    why = mesh.pipeline.why_held(CART)
    assert why is not None
    assert "the detection of plugin echo fails" in why
    labelled(mesh, None)
    assert mesh.pipeline.why_held(CART) is None


def test_everybody_else_goes_on() -> None:
    mesh = mesh_of(Labelled(name="aaa"), ByNumber())
    labelled(mesh, "error")
    assert mesh.codes() == ["AER0404"]
    (report,) = mesh.pipeline.reports()
    assert report.run is not None
    assert report.run.plugin == "zzz"
