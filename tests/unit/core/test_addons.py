"""What an add-on does to ports of another plugin's protocol, and what it cannot do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from aeraki_core.console.describe import explanation
from aeraki_core.filters.envoyfilter import EnvoyFilter, to_dict
from aeraki_core.model.mesh import ProxyRule
from aeraki_core.plugins.discovery import Candidate
from aeraki_core.testing import service
from aeraki_core.testing.sidecar.patches import patched_sidecar
from aeraki_core.testing.sidecar.proxy import Proxy
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.network.connection_limit.v3.connection_limit_pb2 import (
    ConnectionLimit,
)
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo
from envoy.extensions.filters.network.ext_proc.v3.ext_proc_pb2 import NetworkExternalProcessor
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from aeraki_core import (
    AddOn,
    ExtendContext,
    Extension,
    Mesh,
    Option,
    OptionType,
    Patch,
    hookimpl,
)
from tests.unit.core.echo import ECHO, EchoPlugin, Mesher

LIMIT = "envoy.filters.network.connection_limit"
INSPECTOR = "envoy.filters.listener.http_inspector"
BROKEN = Option(name="broken", type=OptionType.BOOL, help="Raise", default=False)

Body = Callable[[ExtendContext], Iterable[Any]]


class Extender:
    """An add-on with that body."""

    def __init__(self, name: str, body: Body, extension: str = LIMIT) -> None:
        self.body = body
        self.addon = AddOn(
            name=name,
            summary="For tests",
            extensions=(Extension(extension, stock=extension in (LIMIT, INSPECTOR)),),
            options=(BROKEN,),
        )

    @hookimpl
    def aeraki_addons(self) -> Iterable[AddOn]:
        return [self.addon]

    @hookimpl
    def aeraki_extend(self, context: ExtendContext) -> Iterable[Any]:
        if context.option(BROKEN):
            raise RuntimeError("asked to")
        return self.body(context)


def limit(context: ExtendContext) -> Iterator[Patch]:
    config = ConnectionLimit(stat_prefix=context.outbound.stat_prefix)
    config.max_connections.value = 5
    yield context.outbound.insert_before_protocol(LIMIT, config)


def mesh_with(
    *extenders: Extender, insert: bool = False, rules: Iterable[ProxyRule] = ()
) -> Mesher:
    echo = Candidate("echo", "echo-dist", "1.0", module=EchoPlugin(insert=insert))
    others = [
        Candidate(each.addon.name, f"{each.addon.name}-dist", "1.0", module=each)
        for each in extenders
    ]
    return Mesher.of([echo, *others], Mesh(proxy_rules=tuple(rules)))


def names(mesh: Mesher) -> list[str]:
    """The network filters of the service's clients, in the order in which they are put there."""
    mesh.run()
    (found,) = (each for key, each in mesh.pipeline.filters.items() if "outbound" in key.name)
    assert isinstance(found, EnvoyFilter)
    values: list[Any] = [
        patch.value.message() for patch in found.patches if patch.value is not None
    ]
    return [str(value.name) for value in values if value.DESCRIPTOR.name == "Filter"]


@pytest.mark.parametrize("insert", [True, False])
def test_it_runs_before_the_protocols_filter(insert: bool) -> None:
    mesh = mesh_with(Extender("guard", limit), insert=insert)
    mesh.service()
    assert names(mesh) == [LIMIT, ECHO]
    assert mesh.codes() == []


def test_explain_says_whose_patch_it_is() -> None:
    mesh = mesh_with(Extender("guard", limit))
    mesh.service()
    mesh.run()
    (port,) = explanation(mesh.pipeline, "cart.shop.svc.cluster.local:7000")["ports"]
    patches = [patch for each in port["filters"] for patch in each["patches"]]
    assert [patch.endswith("by the add-on of guard") for patch in patches][:2] == [True, False]


def test_a_listener_filter_runs_after_those_of_istio() -> None:
    def inspect(context: ExtendContext) -> Iterator[Patch]:
        for side in (context.outbound, *context.inbound):
            yield side.insert_listener_filter(INSPECTOR, HttpInspector())

    mesh = mesh_with(Extender("peeker", inspect, INSPECTOR))
    mesh.service()
    mesh.run()
    cart = service("cart", {"tcp-echo": (7000, 9000)}, namespace="shop", cluster_ip="10.0.0.1")
    proxy = Proxy("shop", labels={"app": "cart"})
    filters = [
        to_dict(each) for each in mesh.pipeline.filters.values() if isinstance(each, EnvoyFilter)
    ]
    sidecar = patched_sidecar([cart], filters, proxy)
    for name in ("10.0.0.1_7000", "virtualInbound"):
        last = sidecar.config.listener(name).listener_filters[-1]
        assert last.name == INSPECTOR


def test_one_that_fails_keeps_its_patches_and_the_protocol_goes_on() -> None:
    mesh = mesh_with(Extender("guard", limit))
    mesh.service()
    assert names(mesh) == [LIMIT, ECHO]
    mesh.service(annotations={"guard.aeraki.io/broken": "true", "echo.aeraki.io/volume": "3"})
    assert names(mesh) == [LIMIT, ECHO]
    assert mesh.codes() == ["AER0404"]
    (finding,) = mesh.pipeline.findings()
    assert (finding.plugin, "add-on guard of guard-dist 1.0 raised" in finding.message) == (
        "guard",
        True,
    )
    key = next(key for key in mesh.pipeline.filters if "outbound" in key.name)
    assert "volume=3" in str(mesh.pipeline.filters[key].patches[1].value.message())  # type: ignore[union-attr]


def test_one_that_never_succeeded_holds_the_port() -> None:
    """What is live may hold its patches, and nothing may be lost."""
    mesh = mesh_with(Extender("guard", limit))
    mesh.service(annotations={"guard.aeraki.io/broken": "true"})
    assert mesh.names() == set()
    assert mesh.codes() == ["AER0404"]


def test_a_service_that_is_gone_leaves_nothing_for_one_of_its_name() -> None:
    mesh = mesh_with(Extender("guard", limit))
    ref = mesh.service()
    assert names(mesh) == [LIMIT, ECHO]
    mesh.pipeline.remove(ref)
    mesh.run()
    mesh.service(annotations={"guard.aeraki.io/broken": "true"})
    assert mesh.names() == set()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            lambda context: [context.outbound.side.replace_tcp_proxy(LIMIT, ConnectionLimit())],
            "gave a patch that does REPLACE: an add-on inserts and merges",
        ),
        (
            lambda context: [context.outbound.insert_before_protocol(ECHO, Echo())],
            f"uses {ECHO}, which it does not declare: list it in extensions",
        ),
        (lambda context: ["a patch"], "gave a str where a Patch belongs"),
        (lambda context: 7, "gave no Patch values"),
    ],
)
def test_what_an_addon_cannot_do_is_refused(body: Body, problem: str) -> None:
    mesh = mesh_with(Extender("guard", body))
    mesh.service()
    mesh.run()
    (finding,) = mesh.pipeline.findings()
    assert finding.code.id == "AER0404"
    assert problem in finding.message


def test_two_that_want_the_same_filter_conflict() -> None:
    mesh = mesh_with(Extender("guard", limit), Extender("watch", limit))
    mesh.service()
    assert names(mesh) == [LIMIT, ECHO]
    (finding,) = mesh.pipeline.findings()
    assert (finding.code.id, finding.plugin) == ("AER0410", "watch")
    assert f"guard puts {LIMIT} there already" in finding.message


def test_a_merge_into_a_tcp_proxy_that_is_replaced_is_a_finding() -> None:
    idle = lambda context: [context.outbound.merge_tcp_proxy(TcpProxy(stat_prefix="idle"))]  # noqa: E731
    mesh = mesh_with(Extender("guard", idle))
    mesh.service()
    assert names(mesh) == [ECHO]
    assert mesh.codes() == ["AER0410"]
    beside = mesh_with(Extender("guard", idle), insert=True)
    beside.service()
    assert names(beside) == ["envoy.filters.network.tcp_proxy", ECHO]
    assert beside.codes() == []


CONTRIB = "envoy.filters.network.ext_proc"


def contrib(context: ExtendContext) -> Iterator[Patch]:
    for side in (context.outbound, *context.inbound):
        yield side.insert_before_protocol(CONTRIB, NetworkExternalProcessor(stat_prefix="x"))


def filters(mesh: Mesher) -> dict[str, list[str]]:
    """The network filters of each EnvoyFilter, by its namespace and side."""
    mesh.run()
    found: dict[str, list[str]] = {}
    for key, each in mesh.pipeline.filters.items():
        assert isinstance(each, EnvoyFilter)
        side = "in" if "inbound" in key.name else "out"
        values: list[Any] = [patch.value.message() for patch in each.patches if patch.value]
        found[f"{key.namespace} {side}"] = [value.name for value in values]
    return found


def test_one_whose_extension_nobody_has_is_left_out_with_one_finding() -> None:
    mesh = mesh_with(Extender("guard", contrib, CONTRIB))
    mesh.service()
    mesh.service("other", "10.0.0.2")
    assert filters(mesh)["istio-system out"] == [ECHO]
    (finding,) = mesh.pipeline.findings()
    assert (finding.code.id, finding.plugin, finding.ref) == ("AER0411", "guard", None)
    assert f"needs {CONTRIB}, which no proxy is known to have" in finding.message
    assert {report.state for report in mesh.pipeline.reports()} == {"current"}


def test_all_proxies_have_it() -> None:
    mesh = mesh_with(Extender("guard", contrib, CONTRIB), rules=[ProxyRule(CONTRIB)])
    mesh.service()
    assert filters(mesh) == {
        "istio-system out": [CONTRIB, ECHO],
        "shop in": [CONTRIB, ECHO],
    }
    assert mesh.codes() == []


def test_only_the_clients_that_have_it_get_it() -> None:
    mesh = mesh_with(Extender("guard", contrib, CONTRIB), rules=[ProxyRule(CONTRIB, "crm")])
    mesh.service()
    assert filters(mesh) == {
        "istio-system out": [ECHO],
        "crm out": [CONTRIB],
        "shop in": [ECHO],
    }
    assert mesh.codes() == []


def test_only_the_workloads_that_have_it_get_it() -> None:
    rule = ProxyRule(CONTRIB, "shop", (("app", "cart"),))
    mesh = mesh_with(Extender("guard", contrib, CONTRIB), rules=[rule])
    mesh.service()
    assert filters(mesh) == {"istio-system out": [ECHO], "shop in": [CONTRIB, ECHO]}
    assert mesh.codes() == []
