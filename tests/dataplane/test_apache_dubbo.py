"""Apache Dubbo itself, 2.7 and 3.3, through the sidecars of consumer and provider.

Each test runs with both of Envoy's filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.dataplane.support import Mesh
from tests.dataplane.support_dubbo import (
    DUBBO_PROXY,
    GENERIC_PROXY,
    KNOWN_WARNINGS,
    PORTS,
    PROXIES,
    options,
)
from tests.dataplane.support_routes import assert_share, routed_service
from tests.peers.apache_dubbo import VERSIONS, DubboConsumer, DubboProvider, Service
from tests.peers.dubbo import HELLO, OTHER
from tests.peers.needs import JAVA, need
from tests.peers.processes import Address

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy, pytest.mark.slow]

GREETER = Service(HELLO, "blue", "1.0")
MEGABYTES_5 = 5_000_000
OPTIONS = {"interface": HELLO, "group": "blue", "version": "1.0", "buffer_limit_bytes": "33554432"}


@pytest.fixture(scope="module")
def providers() -> Iterator[list[DubboProvider]]:
    """One of each version, named after it."""
    need(*JAVA)
    services = [GREETER, Service(OTHER)]
    with ExitStack() as stack:
        yield [
            stack.enter_context(DubboProvider(version, f"v{version[0]}", services=services))
            for version in VERSIONS
        ]


def run(mesh: Mesh, providers: list[DubboProvider], http: str, engine: str) -> Address:
    """The workload's sidecar of the first provider, and that of the consumers."""
    mesh.tolerate = KNOWN_WARNINGS
    address = routed_service(
        mesh, "greeter", PORTS, providers, http, annotations=options(engine, **OPTIONS)
    )
    first = providers[0]
    mesh.lead(
        "greeter",
        20880,
        mesh.workload("greeter", 20880, first.address, mesh=PROXIES),
        subset=first.name,
    )
    mesh.client(mesh=PROXIES)
    return address


@pytest.mark.parametrize("engine", [DUBBO_PROXY, GENERIC_PROXY])
@pytest.mark.parametrize("version", VERSIONS)
def test_routes(mesh: Mesh, providers: list[DubboProvider], version: str, engine: str) -> None:
    http = """
    - match:
        - method: {exact: sayHello}
          headers: {tag: {exact: gray}}
        - method: {prefix: pay}
      route: [{destination: {host: greeter, subset: v2}}]
    - match: [{method: {exact: echo}, withoutHeaders: {tag: {}}}]
      route: [{destination: {host: greeter, subset: v2}}]
    - match: [{method: {regex: "say(Hello|Bye)|echo|fail|pause"}}]
      route: [{destination: {host: greeter, subset: v3}}]
    """
    address = run(mesh, providers, http, engine)
    with DubboConsumer(version, address, GREETER, connections=16, heartbeat_ms=500) as consumer:
        outcome = consumer.call("sayHello", "x")
        assert outcome.server == "v3"
        assert [outcome.value[name] for name in ("interface", "group", "version")] == [
            HELLO,
            "blue",
            "1.0",
        ]
        assert consumer.call("sayHello", "x", attachments={"tag": "gray"}).server == "v2"
        assert consumer.call("sayBye", "x", attachments={"tag": "gray"}).server == "v3"
        echo = consumer.call("echo", "ü😀", 7)
        assert (echo.server, echo.value["args"]) == ("v2", ["ü😀", 7])
        assert (
            consumer.call("echo", "x", 7, attachments={"tag": "any"}).value["attachments"]["tag"]
            == "any"
        )
        thrown = consumer.call("fail", "oh")
        assert (thrown.error, thrown.message) == ("IllegalStateException", "v3: oh")
        large = consumer.call("payload", MEGABYTES_5)
        assert (large.server, len(large.value["payload"])) == ("v2", MEGABYTES_5)
        counts = consumer.load("sayHello", "x", calls=1000)
        assert (counts.servers, counts.errors) == ({"v3": 1000}, {})
        # Meanwhile 15 connections are idle for longer than Dubbo waits for the answers to
        # heartbeats: three times 500 ms. Without answers it would replace all of them. On a busy
        # machine some answers are late.
        assert consumer.call("pause", 2200).server == "v3"
        connections = f"listener.{address[0]}_{address[1]}.downstream_cx_total"
        assert 16 <= mesh.sidecars[-1].envoy.stats()[connections] < 16 + 15


@pytest.mark.parametrize("version", VERSIONS)
def test_arguments_and_weights(mesh: Mesh, providers: list[DubboProvider], version: str) -> None:
    http = """
    - match: [{queryParams: {"0": {exact: Anna}}}]
      route: [{destination: {host: greeter, subset: v3}}]
    - route:
        - destination: {host: greeter, subset: v2}
          weight: 80
        - destination: {host: greeter, subset: v3}
          weight: 20
    """
    address = run(mesh, providers, http, DUBBO_PROXY)
    with DubboConsumer(version, address, GREETER) as consumer:
        assert {consumer.call("sayHello", "Anna").server for _ in range(20)} == {"v3"}
        counts = consumer.load("sayHello", "x", calls=1000)
        assert (counts.answered, counts.failed) == (1000, 0)
        assert_share(counts.servers["v2"], 1000, 0.8)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_server_is_an_exception_and_no_more(
    mesh: Mesh, providers: list[DubboProvider], version: str
) -> None:
    http = """
    - match: [{method: {exact: sayHello}}]
      route: [{destination: {host: greeter, subset: v3}}]
    - match: [{method: {exact: sayBye}}]
      route: [{destination: {host: greeter, subset: v9}}]
    """
    address = run(mesh, providers, http, DUBBO_PROXY)
    with DubboConsumer(version, address, GREETER) as consumer:
        for _ in range(2):
            assert consumer.call("sayBye", "x").error == "RpcException"
            assert consumer.call("sayHello", "x").server == "v3"
        connections = f"listener.{address[0]}_{address[1]}.downstream_cx_total"
        assert mesh.sidecars[-1].envoy.stats()[connections] == 1
