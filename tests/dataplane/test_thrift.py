"""Thrift: calls through the sidecars in every flavour, and which server they reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from thrift.Thrift import TApplicationException
from thrift.transport.TTransport import TTransportException

from tests.dataplane.support import Mesh
from tests.dataplane.support_routes import assert_share, routed_service, virtual_service
from tests.dataplane.support_thrift import PORTS, ledgers, options, run_ledger
from tests.peers.processes import Address, free_address
from tests.peers.thrift import (
    FLAVOURS,
    FRAMED_BINARY,
    Declared,
    Flavour,
    ThriftClient,
    ThriftServer,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

Three = tuple[ThriftServer, ThriftServer, ThriftServer]

NO_SERVER = TApplicationException.INTERNAL_ERROR
HEADER_BINARY = Flavour("header", "binary")
MEGABYTES_5 = 5_000_000


@pytest.fixture
def servers() -> Iterator[Three]:
    with ledgers(services=["Books", "Audit"]) as found:
        yield found


def to(subset: str) -> str:
    return f"route: [{{destination: {{host: ledger, subset: {subset}}}}}]"


NOBODY = to("v9")
"""A last route to a subset without a server: calls that no other route matches fail."""


def failure(client: ThriftClient, method: str, **headers: str) -> int:
    """The type of the TApplicationException that a call ends with."""
    with pytest.raises(TApplicationException) as thrown:
        client.call(method, "x", headers=headers)
    return int(thrown.value.type)


def run_both_sides(mesh: Mesh, server: ThriftServer, **given: str) -> Address:
    """The sidecar of a workload before the server, and that of clients before it."""
    at = mesh.service("ledger", PORTS, annotations=options(**given))
    mesh.lead("ledger", 9090, mesh.workload("ledger", 9090, server.address))
    mesh.client()
    return at


# -- flavours --------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [False, True], ids=["auto", "declared"])
@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_everything_of_a_call_passes_both_sides(
    mesh: Mesh, flavour: Flavour, declared: bool
) -> None:
    given = flavour._asdict() if declared else {}
    headers = {"k": "v"} if flavour.transport == "header" else {}
    with ThriftServer("v1", flavour, services=["Books"]) as server:
        address = run_both_sides(mesh, server, **given)
        with (
            ThriftClient(address, flavour) as client,
            ThriftClient(address, flavour, service="Books") as multiplexed,
        ):
            args = ["ü😀", 3, 2**40, 2.5, True]
            reply = client.call("sayHello", *args, headers=headers)
            assert reply == {
                "server": "v1",
                "service": "",
                "method": "sayHello",
                "args": args,
                "headers": headers,
            }
            assert client.headers == ({"server": "v1"} if headers else {})
            assert client.call("echo", 2.5) == 2.5
            assert multiplexed.call("sayHello", "x")["service"] == "Books"
            with pytest.raises(Declared, match="oh"):
                client.call("fail", "oh")
            with pytest.raises(TApplicationException, match="oh") as thrown:
                client.call("crash", "oh")
            assert thrown.value.type == TApplicationException.INTERNAL_ERROR
            client.one_way("later", "x")
            wait_until(lambda: any(call.one_way for call in server.calls), 10, "the one-way call")
            assert len(client.call("echo", "y" * MEGABYTES_5)) == MEGABYTES_5


def test_passthrough_of_payloads(mesh: Mesh) -> None:
    with ThriftServer("v1") as server:
        address = run_both_sides(mesh, server, payload_passthrough="true")
        with ThriftClient(address) as client:
            assert client.call("echo", 2.5) == 2.5
            assert client.call("sayHello", "x", 3)["args"] == ["x", 3]
            assert len(client.call("echo", "y" * MEGABYTES_5)) == MEGABYTES_5


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_clients_of_other_transports_than_the_servers(mesh: Mesh, flavour: Flavour) -> None:
    """With `server-transport` the sidecar translates the transport, never the protocol."""
    with ThriftServer("v1", Flavour("framed", flavour.protocol)) as server:
        address = run_ledger(mesh, [server], server_transport="framed")
        with ThriftClient(address, flavour) as client:
            assert client.call("echo", 2.5) == 2.5
            assert client.call("sayHello", "x")["server"] == "v1"


@pytest.mark.parametrize("flavour", [each for each in FLAVOURS if each != FRAMED_BINARY], ids=str)
def test_a_client_of_another_flavour_than_the_declared_one_is_cut_off(
    mesh: Mesh, flavour: Flavour
) -> None:
    with ThriftServer("v1", flavour) as server:
        address = run_ledger(mesh, [server], transport="framed", protocol="binary")
        cut = pytest.raises((TTransportException, TApplicationException, EOFError))
        with ThriftClient(address, flavour, timeout=2) as client, cut:
            client.call("sayHello", "x")
        assert server.calls == []


@pytest.mark.parametrize("length", [2, 3])
def test_a_message_shorter_than_8_bytes_needs_a_declared_flavour(mesh: Mesh, length: int) -> None:
    """Envoy needs 8 bytes to detect a flavour.

    A short name without arguments has fewer.
    """
    flavour = Flavour("unframed", "compact")
    method = "m" * length
    with ThriftServer("v1", flavour) as server:
        found = mesh.service("found", PORTS, server.address)
        declared = run_ledger(mesh, [server], **flavour._asdict())
        with ThriftClient(declared, flavour) as client:
            assert client.call(method)["server"] == "v1"
        with ThriftClient(found, flavour, timeout=0.5) as client:
            if 5 + length < 8:
                with pytest.raises(TTransportException, match="timeout"):
                    client.call(method)
            else:
                assert client.call(method)["server"] == "v1"


def test_a_route_to_a_service_of_another_protocol_corrupts_doubles(mesh: Mesh) -> None:
    with ThriftServer("v1") as server, ThriftServer("other", Flavour("framed", "compact")) as other:
        mesh.service("other", PORTS, other.address, annotations=options(protocol="compact"))
        http = "- route: [{destination: {host: other}}]"
        with ThriftClient(run_ledger(mesh, [server], http)) as client:
            reply = client.call("sayHello", "x", 7, 2.5)
    assert (reply["server"], reply["args"][:2]) == ("other", ["x", 7])
    assert reply["args"][2] != 2.5, (
        "this Envoy translates doubles well: correct docs/protocols/thrift.md"
    )


def test_1000_calls_on_16_connections(mesh: Mesh) -> None:
    def calls(number: int) -> int:
        with ThriftClient(address, timeout=60) as client:
            return sum(client.call("sayHello", number)["args"] == [number] for _ in range(63))

    with ThriftServer("v1") as server, ThreadPoolExecutor(16) as threads:
        address = run_both_sides(mesh, server)
        assert sum(threads.map(calls, range(16))) == 16 * 63


def test_max_requests_per_connection(mesh: Mesh) -> None:
    with ThriftServer("v1") as server:
        address = run_ledger(mesh, [server], max_requests_per_connection="3")
        with ThriftClient(address) as client:
            for _ in range(3):
                assert client.call("sayHello", "x")["server"] == "v1"
            with pytest.raises((TTransportException, BrokenPipeError, ConnectionError)):
                client.call("sayHello", "x")


# -- routes ----------------------------------------------------------------------------------------


def test_by_method(mesh: Mesh, servers: Three) -> None:
    http = f"""
    - match: [{{method: {{exact: transfer}}}}, {{method: {{exact: refund}}}}]
      {to("v1")}
    - match: [{{method: {{exact: balance}}}}]
      {to("v2")}
    - {NOBODY}
    """
    with ThriftClient(run_ledger(mesh, servers, http)) as client:
        reached = [
            client.call(method, "x")["server"] for method in ("transfer", "refund", "balance")
        ]
        assert reached == ["v1", "v1", "v2"]
        for method in ("transfers", "Transfer", "transfe"):
            assert failure(client, method) == NO_SERVER, method
        # The connection stays.
        assert client.call("balance", "x")["server"] == "v2"


def test_by_service(mesh: Mesh, servers: Three) -> None:
    http = f"""
    - match: [{{method: {{exact: "Books:audit"}}}}]
      {to("v1")}
    - match: [{{method: {{prefix: "Books:"}}}}]
      {to("v2")}
    - {to("v3")}
    """
    address = run_ledger(mesh, servers, http)
    with (
        ThriftClient(address, service="Books") as books,
        ThriftClient(address, service="Audit") as audit,
    ):
        assert books.call("sayHello", "x") | {"args": []} == {
            "server": "v2",
            "service": "Books",
            "method": "sayHello",
            "args": [],
            "headers": {},
        }
        assert audit.call("sayHello", "x")["server"] == "v3"
        with ThriftClient(address) as plain:
            assert plain.call("sayHello", "x")["server"] == "v3"
        assert books.call("audit", "x")["server"] == "v1"


def test_strip_service_name(mesh: Mesh, servers: Three) -> None:
    http = f"""
    - match: [{{method: {{prefix: "Books:"}}}}]
      {to("v2")}
    """
    address = run_ledger(mesh, servers, http, strip_service_name="true")
    with ThriftClient(address, service="Books") as books:
        reply = books.call("sayHello", "x")
        assert (reply["server"], reply["service"], reply["method"]) == ("v2", "", "sayHello")


def test_by_header(mesh: Mesh) -> None:
    http = f"""
    - match: [{{headers: {{tag: {{exact: gray}}}}}}]
      {to("v1")}
    - match: [{{headers: {{Tag: {{prefix: blue-}}}}}}]
      {to("v2")}
    - match: [{{headers: {{tag: {{regex: "[0-9]+"}}}}}}]
      {to("v3")}
    - match:
      - method: {{exact: transfer}}
        headers: {{user: {{}}}}
        withoutHeaders: {{tag: {{exact: never}}}}
      {to("v1")}
    - match: [{{method: {{exact: balance}}, withoutHeaders: {{tag: {{}}}}}}]
      {to("v2")}
    - {NOBODY}
    """
    with (
        ledgers(HEADER_BINARY) as servers,
        ThriftClient(run_ledger(mesh, servers, http), HEADER_BINARY) as client,
    ):

        def reached(method: str = "sayHello", **headers: str) -> str:
            return str(client.call(method, "x", headers=headers)["server"])

        assert reached(tag="gray") == "v1"
        assert reached(TAG="gray") == "v1"
        assert reached(tag="blue-1") == "v2"
        assert reached(tag="42") == "v3"
        assert reached("transfer", user="a") == "v1"
        assert reached("transfer", user="a", tag="yes") == "v1"
        assert reached("balance") == "v2"
        assert failure(client, "sayHello") == NO_SERVER
        assert failure(client, "sayHello", tag="grayer") == NO_SERVER
        assert failure(client, "transfer") == NO_SERVER
        assert failure(client, "transfer", user="a", tag="never") == NO_SERVER
        assert failure(client, "balance", tag="x") == NO_SERVER
        assert reached(tag="gray") == "v1"


@pytest.mark.parametrize(("preserve", "arrives"), [("false", "request-id"), ("true", "Request-Id")])
def test_the_case_of_headers(mesh: Mesh, preserve: str, arrives: str) -> None:
    with ThriftServer("v1", HEADER_BINARY) as server:
        address = run_ledger(mesh, [server], preserve_header_case=preserve)
        with ThriftClient(address, HEADER_BINARY) as client:
            assert client.call("sayHello", headers={"Request-Id": "A"})["headers"] == {arrives: "A"}


def test_by_port(mesh: Mesh, servers: Three) -> None:
    http = f"""
    - match: [{{port: 9091}}]
      {to("v2")}
    - {to("v1")}
    """
    ip, _ = routed_service(
        mesh, "ledger", {"tcp-thrift": 9090, "tcp-thrift-admin": 9091}, servers, http
    )
    mesh.client()
    with ThriftClient((ip, 9090)) as first, ThriftClient((ip, 9091)) as second:
        assert [each.call("sayHello", "x")["server"] for each in (first, second)] == ["v1", "v2"]


def test_weights(mesh: Mesh, servers: Three) -> None:
    http = """
    - route:
        - destination: {host: ledger, subset: v1}
          weight: 30
        - destination: {host: ledger, subset: v2}
          weight: 10
        - destination: {host: ledger, subset: v3}
          weight: 0
    """
    with ThriftClient(run_ledger(mesh, servers, http)) as client:
        counts = Counter(client.call("sayHello", "x")["server"] for _ in range(1000))
    assert_share(counts["v1"], 1000, 0.75)
    assert counts["v1"] + counts["v2"] == 1000


def test_another_service_and_tcp_routes(mesh: Mesh, servers: Three) -> None:
    with ThriftServer("away") as away:
        mesh.service("other", {"tcp-thrift": 9999}, away.address)
        at = routed_service(mesh, "ledger", PORTS, servers)
        mesh.add(virtual_service("ledger", "- route: [{destination: {host: other}}]", "tcp"))
        mesh.client()
        with ThriftClient(at) as client:
            assert client.call("sayHello", "x")["server"] == "away"


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_no_server_leaves_the_connection_usable(mesh: Mesh, flavour: Flavour) -> None:
    http = f"""
    - match: [{{method: {{exact: transfer}}}}]
      {to("v1")}
    - match: [{{method: {{exact: refund}}}}]
      {to("v2")}
    - match: [{{method: {{exact: balance}}}}]
      {to("v9")}
    """
    nobody = ThriftServer("v2", flavour, free_address())
    with (
        ThriftServer("v1", flavour) as server,
        ThriftClient(run_ledger(mesh, [server, nobody], http), flavour) as client,
    ):
        for _ in range(2):
            assert failure(client, "balance") == NO_SERVER
            assert failure(client, "refund") == NO_SERVER
            assert client.call("transfer", "x")["server"] == "v1"
        with nobody:
            assert client.call("refund", "x")["server"] == "v2"


def test_the_workloads_sidecar_answers_for_a_dead_application(mesh: Mesh) -> None:
    nobody = ThriftServer("v1", address=free_address())
    with ThriftClient(run_both_sides(mesh, nobody)) as client:
        for _ in range(2):
            assert failure(client, "transfer") == NO_SERVER
        with nobody:
            assert client.call("transfer", "x")["server"] == "v1"


def test_a_server_that_ends_its_connection_during_a_call(mesh: Mesh) -> None:
    with ThriftServer("v1") as server, ThriftClient(run_both_sides(mesh, server)) as client:
        for _ in range(5):
            assert failure(client, "close") == NO_SERVER
            assert client.call("sayHello", "x")["server"] == "v1"
