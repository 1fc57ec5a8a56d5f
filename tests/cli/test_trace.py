"""``--trace``: an author sees each call of the hooks, what they asked, and what they gave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import Run

PLUGIN = """\
from aeraki_core import Code, Extension, Kind, Option, OptionType, Protocol, Severity, hookimpl
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo
from pydantic import BaseModel

ECHO = "envoy.filters.network.echo"
LOUD = Option(name="loud", type=OptionType.BOOL, help="Say it loud", default=False)
NOTED = Code(id="ECO0101", severity=Severity.INFO, title="noted", action="Nothing to do.")


class Spec(BaseModel):
    host: str
    secret: str = ""


KIND = Kind(group="echo.example.com", version="v1", kind="EchoKey", plural="echokeys", spec=Spec,
            summary="A key", hosts=lambda spec: [spec.host], secrets=lambda spec: [spec.secret])


@hookimpl
def aeraki_protocols():
    yield Protocol(name="eco", tokens=("eco",), extension=Extension(ECHO, stock=True),
                   summary="Echoes", options=(LOUD,), codes=(NOTED,))


@hookimpl
def aeraki_resources():
    return [KIND]


@hookimpl
def aeraki_detect_protocol(port):
    return "eco" if port.number == 7 else None


@hookimpl
def aeraki_generate(context):
    context.option(LOUD)
    for key in context.resources(KIND):
        secret = context.secret(key.namespace, key.spec.secret)
        context.report(NOTED, "the key is " + secret.data["key"])
    if context.port.number == 8:
        raise RuntimeError("not eight")
    yield context.outbound.replace_tcp_proxy(ECHO, Echo())


@hookimpl
def aeraki_validate(resource, context):
    context.has_host(resource.spec.host)
"""
MESH = """\
apiVersion: v1
kind: Service
metadata: {name: demo, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: data, port: 7}, {name: tcp-eco-too, port: 8}]}
---
apiVersion: echo.example.com/v1
kind: EchoKey
metadata: {name: key, namespace: shop}
spec: {host: demo, secret: keys}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: shop}
stringData: {key: correct-horse}
"""


@pytest.fixture
def mesh(tmp_path: Path) -> tuple[object, ...]:
    plugin, mesh = tmp_path / "eco.py", tmp_path / "mesh.yaml"
    plugin.write_text(PLUGIN)
    mesh.write_text(MESH)
    return ("--plugin", plugin, "-f", mesh)


def test_each_call_is_printed(aeraki: Run, mesh: tuple[object, ...]) -> None:
    quiet = aeraki("generate", *mesh)
    traced = aeraki("generate", *mesh, "--trace", "eco")
    assert traced.out == quiet.out
    for line in (
        "trace eco: aeraki_protocols  ",
        "  gave eco",
        "trace eco: aeraki_detect_protocol demo.shop.svc.cluster.local:7  ",
        "    port = Port(number=7,",
        "trace eco: aeraki_generate demo.shop.svc.cluster.local:7  ",
        "    option(loud) -> False",
        "    resources(EchoKey) -> (Resource(",
        "    secret('shop', 'keys') -> Secret(",
        "  gave outbound NETWORK_FILTER REPLACE envoy.filters.network.echo"
        " (envoy.config.listener.v3.Filter)",
        "  reported ECO0101 the key is ***",
        "  raised RuntimeError: not eight",
        "trace eco: aeraki_validate EchoKey shop/key  ",
        "    has_host('demo') -> True",
    ):
        assert any(each.startswith(line) for each in traced.err.splitlines()), (line, traced.err)
    assert "correct-horse" not in traced.err


def test_a_line_of_json_for_each(aeraki: Run, mesh: tuple[object, ...]) -> None:
    traced = aeraki("generate", *mesh, "--trace", "eco", "-o", "json")
    calls = [json.loads(line) for line in traced.err.splitlines() if line.startswith("{")]
    (call,) = (each for each in calls if each["subject"].endswith(":7") and each["questions"])
    assert (call["plugin"], call["hook"], call["error"]) == ("eco", "aeraki_generate", "")
    assert {"asked": "option(loud)", "answer": "False"} in call["questions"]
    assert call["seconds"] > 0
    json.loads(traced.out)


@pytest.mark.parametrize(
    "command",
    [
        ("validate",),
        ("explain", "demo:7"),
        ("run", "--once", "--source", "files", "--sink", "files", "--to", "out"),
    ],
    ids=lambda command: str(command[0]),
)
def test_every_command_that_generates_has_it(
    aeraki: Run,
    mesh: tuple[object, ...],
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    traced = aeraki(*command, *mesh, "--trace", "eco")
    assert "    option(loud) -> False" in traced.err.splitlines(), traced.err


def test_a_plugin_that_is_not_there_is_an_error(aeraki: Run, mesh: tuple[object, ...]) -> None:
    traced = aeraki("generate", *mesh, "--trace", "ecco")
    assert traced.code == 2
    assert "--trace: no plugin 'ecco' is active; active: " in traced.err


def test_a_running_controller_cannot_be_traced(aeraki: Run) -> None:
    asked = aeraki("explain", "demo", "--trace", "eco")
    assert asked.code == 2
    assert "--trace follows hooks here: name files" in asked.err
