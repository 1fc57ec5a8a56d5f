"""ZooKeeper: sessions, watches and transactions through the filter, and its statistics.

The server is real.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from aeraki_core.testing import Sidecar
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError, RolledBackError
from kazoo.protocol.states import WatchedEvent
from kazoo.security import OPEN_ACL_UNSAFE

from tests.dataplane.support import Mesh, cluster
from tests.peers.needs import ZOOKEEPER, need
from tests.peers.processes import Address
from tests.peers.zookeeper import ZooKeeperServer, client
from tests.waiting import wait_until

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

PORTS = {"tcp-zookeeper": 2181}


@pytest.fixture(scope="module")
def running() -> Iterator[ZooKeeperServer]:
    need(*ZOOKEEPER)
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def server(running: ZooKeeperServer) -> ZooKeeperServer:
    """Without a node of another test."""
    with client(running.address) as direct:
        for name in direct.get_children("/"):
            if name != "zookeeper":
                direct.delete(f"/{name}", recursive=True)
    return running


def clients_of(mesh: Mesh, server: ZooKeeperServer, **options: str) -> tuple[Address, Sidecar]:
    """Where clients connect, and their sidecar. ``options`` are the service's, with _ for -."""
    annotations = {
        f"zookeeper.aeraki.io/{name.replace('_', '-')}": value for name, value in options.items()
    }
    at = mesh.service("coordinator", PORTS, server.address, annotations=annotations)
    sidecar = mesh.client()
    assert sidecar.made.codes == ()
    return at, sidecar


def counted(sidecar: Sidecar, prefix: str = "") -> dict[str, int]:
    """The filter's counters that are not zero."""
    prefix = f"{prefix or cluster('coordinator', 2181)}.zookeeper."
    found = sidecar.envoy.stats(prefix)
    return {name.removeprefix(prefix): value for name, value in found.items() if value}


def operations(counters: dict[str, int]) -> dict[str, int]:
    """Return the counters of requests, answers and events.

    Bytes are left out, and pings, whose time is the client's own.
    """
    return {
        name: value
        for name, value in counters.items()
        if name.endswith(("_rq", "_resp", "_event")) and not name.startswith("ping_")
    }


# -- what passes -----------------------------------------------------------------------------------


def check_sessions(at: Address) -> None:
    """Watches, ephemeral nodes and transactions, between two sessions at that address."""
    events: list[WatchedEvent] = []
    arrived = threading.Event()

    def watch(event: WatchedEvent) -> None:
        events.append(event)
        arrived.set()

    with client(at) as first:
        assert first.exists("/here", watch=watch) is None
        with client(at) as second:
            second.create("/here", b"x", ephemeral=True)
            assert arrived.wait(10)
            assert [(event.type, event.path) for event in events] == [("CREATED", "/here")]
            assert first.get("/here")[0] == b"x"
        wait_until(
            lambda: first.exists("/here") is None, 10, "the ephemeral node to go with its session"
        )

        good = first.transaction()
        good.create("/a", b"1")
        good.set_data("/a", b"2")
        assert good.commit()[0] == "/a"
        bad = first.transaction()
        bad.create("/b")
        bad.delete("/absent")
        assert [type(item) for item in bad.commit()] == [RolledBackError, NoNodeError]
        assert first.get_children("/") == ["a", "zookeeper"]


def test_sessions_through_a_clients_sidecar(mesh: Mesh, server: ZooKeeperServer) -> None:
    at, sidecar = clients_of(mesh, server)
    check_sessions(at)
    found = counted(sidecar)
    assert found["watch_event"] == 1
    assert found["multi_rq"] == found["multi_resp"] == 2
    assert found["connect_rq"] == found["close_rq"] == 2
    assert "decoder_error" not in found


def test_sessions_through_both_sidecars(mesh: Mesh, server: ZooKeeperServer) -> None:
    """Both count the same, each under its own prefix."""
    at = mesh.service("coordinator", PORTS)
    mesh.lead("coordinator", 2181, mesh.workload("coordinator", 2181, server.address))
    sidecar = mesh.client()
    check_sessions(at)
    workload = mesh.sidecars[0]
    outbound, inbound = (
        operations(counted(sidecar)),
        operations(counted(workload, "inbound|2181||")),
    )
    assert outbound == inbound
    assert outbound["multi_resp"] == 2


def test_tcp_routes_choose_for_each_connection(mesh: Mesh, server: ZooKeeperServer) -> None:
    """Istio's own, for tcp_proxy stays where it is."""
    at = mesh.service("coordinator", PORTS)
    mesh.service("real", PORTS, server.address)
    mesh.add(
        """
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: coordinator, namespace: default}
        spec:
          hosts: [coordinator]
          tcp: [{route: [{destination: {host: real}}]}]
        """
    )
    sidecar = mesh.client()
    assert sidecar.made.codes == ()
    check_sessions(at)
    assert counted(sidecar)["watch_event"] == 1


# -- what is counted -------------------------------------------------------------------------------


# What a client does, and the name that its counters begin with.
OPERATIONS: list[tuple[str, Callable[[KazooClient], object]]] = [
    ("create", lambda kazoo: kazoo.create("/a", b"x")),
    ("create2", lambda kazoo: kazoo.create("/b", b"x", include_data=True)),
    ("exists", lambda kazoo: kazoo.exists("/a")),
    ("getdata", lambda kazoo: kazoo.get("/a")),
    ("setdata", lambda kazoo: kazoo.set("/a", b"y")),
    ("getacl", lambda kazoo: kazoo.get_acls("/a")),
    ("setacl", lambda kazoo: kazoo.set_acls("/a", OPEN_ACL_UNSAFE)),
    ("getchildren", lambda kazoo: kazoo.get_children("/a")),
    ("getchildren2", lambda kazoo: kazoo.get_children("/a", include_data=True)),
    ("sync", lambda kazoo: kazoo.sync("/a")),
    ("multi", lambda kazoo: kazoo.transaction().commit()),
    ("delete", lambda kazoo: kazoo.delete("/b")),
]


def test_each_operation_is_counted_on_its_own(mesh: Mesh, server: ZooKeeperServer) -> None:
    at, sidecar = clients_of(mesh, server)
    with client(at) as kazoo:
        for name, operation in OPERATIONS:
            before = operations(counted(sidecar))
            operation(kazoo)
            after = operations(counted(sidecar))
            moved = {
                key: after[key] - before.get(key, 0)
                for key in after
                if after[key] != before.get(key, 0)
            }
            assert moved == {f"{name}_rq": 1, f"{name}_resp": 1}
    with client(at, timeout=1):
        sidecar.envoy.wait_for_stat(f"{cluster('coordinator', 2181)}.zookeeper.ping_resp")
    found = counted(sidecar)
    assert found["connect_rq"] == found["close_rq"] == 2
    assert not any(
        name.endswith(("_fast", "_slow", "_rq_bytes", "_resp_bytes", "decoder_error"))
        for name in found
    )


def test_bytes_of_each_operation(mesh: Mesh, server: ZooKeeperServer) -> None:
    at, sidecar = clients_of(
        mesh,
        server,
        per_opcode_request_bytes_metrics="true",
        per_opcode_response_bytes_metrics="true",
    )
    with client(at) as kazoo:
        kazoo.create("/a", b"x" * 1000)
        kazoo.get("/a")
    found = counted(sidecar)
    assert found["create_rq_bytes"] > 1000 > found["create_resp_bytes"]
    assert found["getdata_rq_bytes"] < 1000 < found["getdata_resp_bytes"]


def test_latency_thresholds(mesh: Mesh, server: ZooKeeperServer) -> None:
    """An answer is fast or slow by the threshold of its operation, else by the default."""
    at, sidecar = clients_of(
        mesh,
        server,
        latency_threshold_metrics="true",
        default_latency_threshold="1ms",
        latency_thresholds="Exists: 24h",
    )
    with client(at) as kazoo:
        with server.frozen():
            answers = [kazoo.get_children_async("/"), kazoo.exists_async("/a")]
            sidecar.envoy.wait_for_stat(f"{cluster('coordinator', 2181)}.zookeeper.exists_rq")
            # Two questions to Envoy take longer than a millisecond.
            sidecar.envoy.stats()
        for item in answers:
            item.get(timeout=10)
    found = {name for name in counted(sidecar) if name.endswith(("_fast", "_slow"))}
    assert found >= {"getchildren_resp_slow", "exists_resp_fast"}
    assert not found & {"getchildren_resp_fast", "exists_resp_slow"}


def test_a_packet_over_the_limit(mesh: Mesh, server: ZooKeeperServer) -> None:
    """It passes all the same; it is not decoded, and what comes after it is."""
    at, sidecar = clients_of(mesh, server, max_packet_bytes="500")
    with client(at) as kazoo:
        kazoo.create("/a", b"x")
        kazoo.set("/a", b"x" * 1000)
        assert kazoo.get("/a")[0] == b"x" * 1000
        kazoo.set("/a", b"y")
        assert kazoo.exists("/a").version == 2
    found = counted(sidecar)
    assert found["decoder_error"] > 0
    assert found["setdata_rq"] == found["exists_resp"] == 1


def test_a_packet_of_a_large_limit(mesh: Mesh, server: ZooKeeperServer) -> None:
    """By default 1 MiB is decoded, which is also the servers' own limit."""
    at, sidecar = clients_of(mesh, server, max_packet_bytes="5000000")
    with client(at) as kazoo:
        kazoo.create("/a", b"x" * 1_000_000)
        assert len(kazoo.get("/a")[0]) == 1_000_000
    found = counted(sidecar)
    assert "decoder_error" not in found
    assert found["getdata_resp"] == 1


def test_malformed_packets_of_an_operation(mesh: Mesh, server: ZooKeeperServer) -> None:
    at, sidecar = clients_of(mesh, server, per_opcode_decoder_error_metrics="true")
    connect = struct.pack(">iqiqi16s?", 0, 0, 10_000, 0, 16, bytes(16), False)
    getdata = (
        struct.pack(">iii", 1, 4, 1_000) + b"/a"
    )  # xid, opcode, a path of a thousand bytes: two come
    with socket.create_connection(at, timeout=10) as connection:
        for packet in (connect, getdata):
            connection.sendall(struct.pack(">i", len(packet)) + packet)
        sidecar.envoy.wait_for_stat(
            f"{cluster('coordinator', 2181)}.zookeeper.getdata_decoder_error"
        )
