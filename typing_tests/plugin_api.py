"""The public API, pinned as a type checker sees it in a plugin.

mypy checks it in `make lint`; it never runs. If a line here has to change, plugin authors have to
change theirs. That belongs in CHANGELOG.md, with the deprecation that RELEASE.md promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, assert_type

from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo
from google.protobuf.any_pb2 import Any as AnyMessage
from pydantic import BaseModel

from aeraki_core import (
    Code,
    DestinationRule,
    Extension,
    GenerateContext,
    Inbound,
    KeepLastGood,
    Kind,
    Mirror,
    ObjectRef,
    Option,
    OptionType,
    Outbound,
    Patch,
    Port,
    Protocol,
    Resource,
    Route,
    RouteMatch,
    Secret,
    Service,
    Severity,
    Side,
    StringMatch,
    ValidateContext,
    VirtualService,
    WeightedCluster,
    cluster_name,
    hookimpl,
    matches_any,
    pack,
    parse_duration,
)


class EchoSpec(BaseModel):
    """The spec of a resource that a plugin brings."""

    host: str
    secret: str = ""


def hosts_of(spec: EchoSpec) -> list[str]:
    return [spec.host]


UNKNOWN_HOST = Code(
    id="ECHO0001",
    severity=Severity.WARNING,
    title="unknown host",
    action="Write a host that the mesh has.",
)
SIZE = Option(name="size", type=OptionType.INT, help="Bytes.", default=1024)
LIMIT = Option(name="limit", type=OptionType.INT, help="At most.")
NAMES = Option(name="names", type=OptionType.LIST, help="Names.", default=())
PAIRS = Option(name="pairs", type=OptionType.MAP, help="Pairs.", default=())
WAIT = Option(name="wait", type=OptionType.DURATION, help="How long.")
assert_type(SIZE, Option[int])
assert_type(LIMIT, Option[int | None])
assert_type(pack(Echo()), AnyMessage)
ECHO = Protocol(
    name="echo",
    tokens=("echo",),
    extension=Extension(name="envoy.filters.network.echo", stock=True),
    summary="Sends back",
    options=(SIZE,),
    codes=(UNKNOWN_HOST,),
)
ECHO_POLICY = Kind(
    group="echo.example.com",
    version="v1",
    kind="EchoPolicy",
    plural="echopolicies",
    spec=EchoSpec,
    summary="How to echo",
    hosts=hosts_of,
)
assert_type(ECHO_POLICY, Kind[EchoSpec])


# -- hooks: hookimpl keeps the types of what it decorates ------------------------------------------


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    return [ECHO]


@hookimpl
def aeraki_resources() -> Iterable[Kind[Any]]:
    return [ECHO_POLICY]


@hookimpl
def aeraki_detect_protocol(
    port: Port, service: Service, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> str | None:
    assert_type(port.number, int)
    assert_type(port.name, str)
    assert_type(service.host, str)
    assert_type(service.namespace, str)
    assert_type(service.ports, tuple[Port, ...])
    assert_type(service.ref, ObjectRef)
    return "echo" if port.number == 7 else None


@hookimpl
def aeraki_generate(protocol: Protocol, context: GenerateContext) -> Iterator[Patch]:
    assert_type(protocol.name, str)
    assert_type(context.protocol, Protocol)
    assert_type(context.service, Service)
    assert_type(context.port, Port)
    assert_type(context.outbound, Outbound)
    assert_type(context.inbound, tuple[Inbound, ...])
    assert_type(context.virtual_service, VirtualService | None)
    assert_type(context.destination_rules(), tuple[DestinationRule, ...])
    assert_type(context.routes(match=("method",), action=("mirror",)), tuple[Route, ...])
    assert_type(context.routes(adapt=lambda route: route if route.ref else None), tuple[Route, ...])
    assert_type(context.services_of_host("a.shop.svc.cluster.local"), tuple[Service, ...])
    assert_type(context.full_host("a"), str)
    assert_type(context.has_extension("envoy.filters.network.echo"), bool)
    for resource in context.resources(ECHO_POLICY):
        assert_type(resource, Resource[EchoSpec])
        assert_type(resource.spec, EchoSpec)
        assert_type(resource.namespace, str)
        secret = context.secret(resource.namespace, resource.spec.secret)
        assert_type(secret, Secret | None)
        if secret is None:
            missing = context.missing_secret("no such Secret", resource.ref, "spec.secret")
            assert_type(missing, KeepLastGood)
            raise missing
    assert_type(context.option(SIZE), int)
    assert_type(context.option(LIMIT), int | None)
    assert_type(context.option(NAMES), tuple[str, ...])
    assert_type(context.option(PAIRS), tuple[tuple[str, str], ...])
    assert_type(context.option(WAIT), float | None)
    assert_type(context.option_field(SIZE), str)
    assert_type(context.speaks(ECHO, context.service, context.port), bool)
    context.report(UNKNOWN_HOST, "no such host", ref=context.service.ref, field="spec.host")
    context.report_mesh(UNKNOWN_HOST, "no such host")
    for side in (context.outbound, *context.inbound):
        yield patches(side)


def patches(side: Side) -> Patch:
    assert_type(side.cluster, str)
    assert_type(side.stat_prefix, str)
    assert_type(side.insert_before_tcp_proxy("envoy.filters.network.echo", Echo()), Patch)
    return side.replace_tcp_proxy("envoy.filters.network.echo", Echo())


@hookimpl
def aeraki_validate(resource: Resource[Any], context: ValidateContext) -> None:
    assert_type(context.has_host("a"), bool)
    assert_type(context.secret("shop", "a"), Secret | None)
    context.report(UNKNOWN_HOST, "no such host", field="spec.host")


# What pluggy calls is still the function that the author wrote.
assert_type(aeraki_protocols(), Iterable[Protocol])


# -- routes ----------------------------------------------------------------------------------------


def of_a_route(route: Route) -> None:
    assert_type(route.match, RouteMatch)
    assert_type(route.match.method, StringMatch | None)
    assert_type(route.match.headers, tuple[tuple[str, StringMatch], ...])
    assert_type(route.clusters, tuple[WeightedCluster, ...])
    assert_type(route.clusters[0].weight, int)
    assert_type(route.mirrors, tuple[Mirror, ...])
    assert_type(route.timeout, float | None)
    assert_type(route.retries, int | None)
    if route.match.method is not None:
        assert_type(matches_any(route.match.method), bool)


assert_type(cluster_name(80, "a.shop.svc.cluster.local"), str)
assert_type(parse_duration("1.5s"), float)
