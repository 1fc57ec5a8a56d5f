"""Every client talks to its server directly: what fails here is no fault of a proxy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis as redis_py
from kazoo.exceptions import ConnectionLoss, NodeExistsError, RolledBackError
from kazoo.protocol.states import WatchedEvent
from redis.crc import key_slot
from thrift.Thrift import TApplicationException
from thrift.transport.TTransport import TTransportException

from tests.waiting import wait_until

from . import apache_dubbo, kafka, redis, zookeeper
from .apache_dubbo import DubboConsumer, DubboProvider, Service
from .dubbo import HELLO, OK, OTHER, DubboClient, DubboServer
from .hessian import Decoder, Long, Object, encode
from .needs import JAVA, REDIS, ZOOKEEPER, need
from .processes import PeerError, ServerProcess, free_address
from .sockets import ThreadedServer
from .thrift import FLAVOURS, Declared, Flavour, ThriftClient, ThriftServer

MEGABYTES_5 = 5_000_000


def test_a_server_that_does_not_start_shows_its_log() -> None:
    complain = [sys.executable, "-c", "raise SystemExit('no such luck')"]
    with pytest.raises(PeerError, match="ended with 1") as failure:
        ServerProcess("unlucky", complain, address=free_address()).start()
    assert "no such luck" in "".join(failure.value.__notes__)


def test_no_server_survives_a_killed_parent(tmp_path: Path) -> None:
    package = Path(__file__).parent
    parent = f"""
import sys, threading
sys.path.insert(0, {str(package.parent)!r})
from {package.name}.processes import ServerProcess
server = ServerProcess("cat", ["sh", "-c", "echo up; exec sleep 1000"], ready=lambda: server.log)
starter = threading.Thread(target=server.start)
starter.start()
starter.join()
print(server.process.pid, flush=True)
threading.Event().wait()
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # What a killed process leaves behind.
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        os.kill(child, 0)  # The end of the thread that started it was not its own.
        process.kill()

    def gone() -> bool:
        status = Path(f"/proc/{child}/stat")
        return not status.exists() or ") Z " in status.read_text()

    wait_until(gone, 10, "the child to end with its parent")


@pytest.mark.parametrize(
    "value",
    [
        *[None, True, False, 0, -16, 47, 48, 2047, 5000, -300_000, 2**31 - 1, 2**40, -(2**40)],
        *[Long(5), Long(-9), 0.0, 2.5, "", "hä", "x" * 31, "x" * 32, "x" * 1024, "y" * 70_000],
        *["😀" * 40_000, b"", b"a" * 70_000, [1, ["a"]], {"a": [1, {"b": 2}]}],
        Object("a.B", {"x": 1, "y": "z"}),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_hessian_round_trip(value: object) -> None:
    decoder = Decoder(encode(value))
    assert decoder.decode() == value
    assert decoder.done


def test_dubbo() -> None:
    with (
        DubboServer("v1") as server,
        DubboClient(server.address, group="g", version="1.0") as client,
    ):
        answer = client.call("sayHello", "ü", 3, attachments={"k": "v"})
        assert answer.server == "v1"
        assert answer.value["method"] == "sayHello"
        assert answer.value["args"] == ["ü", 3]
        assert answer.value["attachments"]["k"] == "v"
        reached = [answer.value[key] for key in ("interface", "group", "version")]
        assert reached == [HELLO, "g", "1.0"]
        assert client.call("x", interface=OTHER, group="").value["interface"] == OTHER
        assert client.call("x", attachments={"peer-status": "60"}).status == 60
        assert client.call("x", attachments={"peer-throw": "oh"}).exception == "oh"
        client.heartbeat()
        assert server.heartbeats == 1
        large = client.call("x", "y" * MEGABYTES_5, attachments={"peer-payload": str(MEGABYTES_5)})
        assert len(large.value["args"][0]) == len(large.value["payload"]) == MEGABYTES_5


def test_dubbo_calls_in_flight() -> None:
    with DubboServer("v1") as server, DubboClient(server.address) as client:
        with server.holding():
            first = client.send("first")
            second = client.send("second")
            server.wait_for_calls(2)
        assert client.receive(second).value["method"] == "second"
        assert client.receive(first).value["method"] == "first"
        client.one_way("unanswered")
        server.wait_for_calls(3)
        with pytest.raises((ConnectionError, EOFError)):
            client.call("x", attachments={"peer-close": "now"})
        with server.holding(), DubboClient(server.address) as other:
            waiting = other.send("x")
            server.wait_for_calls(5)
            server.stop()
            with pytest.raises((ConnectionError, EOFError)):
                other.receive(waiting)
        with pytest.raises(ConnectionError):
            DubboClient(server.address)
        server.start()
        with DubboClient(server.address) as other:
            assert other.call("x").server == "v1"


def test_dubbo_1000_calls_on_16_connections() -> None:
    def calls(number: int) -> int:
        with DubboClient(server.address) as client:
            return sum(client.call("x", number).value["args"] == [number] for _ in range(63))

    with DubboServer("v1") as server, ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(calls, range(16))) == 16 * 63


@pytest.mark.parametrize("version", apache_dubbo.VERSIONS)
def test_apache_dubbo(version: str) -> None:
    need(*JAVA)
    service = Service(HELLO, "g", "1.0")
    with (
        DubboProvider(version, "p1", services=[service, Service(OTHER)]) as provider,
        DubboConsumer(version, provider.address, service, connections=16, timeout=3) as consumer,
    ):
        outcome = consumer.call("echo", "ü😀", 7, attachments={"k": "v"})
        assert outcome.server == "p1"
        assert outcome.value["args"] == ["ü😀", 7]
        assert outcome.value["attachments"]["k"] == "v"
        assert [outcome.value[key] for key in ("group", "version")] == ["g", "1.0"]
        failed = consumer.call("fail", "oh")
        assert (failed.error, failed.message) == ("IllegalStateException", "p1: oh")
        assert "k" not in consumer.call("sayHello", "x").value["attachments"]
        assert len(consumer.call("payload", MEGABYTES_5).value["payload"]) == MEGABYTES_5
        counts = consumer.load("sayHello", "x", calls=1000)
        assert (counts.servers, counts.errors) == ({"p1": 1000}, {})
        consumer.start_load("sayHello", "x")
        wait_until(lambda: consumer.load_counts().answered > 10, 10, "some answers")
        provider.kill()
        wait_until(lambda: consumer.load_counts().failed > 10, 30, "some failures")
        counts = consumer.stop_load()
        assert counts.answered > 10
        assert counts.failed > 10


@pytest.mark.parametrize("version", apache_dubbo.VERSIONS)
def test_apache_dubbo_with_the_small_peers(version: str) -> None:
    need(*JAVA)
    service = Service(HELLO, "g", "1.0")
    with (
        DubboProvider(version, "p1", services=[service, Service(OTHER)]) as provider,
        DubboClient(provider.address, group="g", version="1.0") as client,
    ):
        answer = client.call("echo", "ü😀", 7, attachments={"k": "v"})
        assert answer.server == "p1"
        assert answer.value["args"] == ["ü😀", 7]
        assert answer.value["attachments"]["k"] == "v"
        assert client.call("pause", Long(1)).server == "p1"
        assert client.call("fail", "oh").exception == "p1: oh"
        assert client.call("sayHello", "x", group="else").status != OK
        assert client.call("sayHello", "x", interface=OTHER, group="", version="").server == "p1"
        client.heartbeat()
    with (
        DubboServer("small") as server,
        DubboConsumer(version, server.address, service, heartbeat_ms=200) as consumer,
    ):
        outcome = consumer.call("echo", "ü😀", 7, attachments={"k": "v"})
        assert outcome.server == "small"
        assert outcome.value["args"] == ["ü😀", 7]
        assert outcome.value["attachments"]["k"] == "v"
        assert [outcome.value[key] for key in ("group", "version")] == ["g", "1.0"]
        failed = consumer.call("sayHello", "x", attachments={"peer-throw": "oh"})
        assert (failed.error, failed.message) == ("IllegalStateException", "oh")
        failed = consumer.call("sayHello", "x", attachments={"peer-status": "60"})
        assert failed.error == "RpcException"
        large = consumer.call("sayHello", "x", attachments={"peer-payload": str(MEGABYTES_5)})
        assert len(large.value["payload"]) == MEGABYTES_5
        wait_until(lambda: server.heartbeats, 10, "a heartbeat")


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_thrift(flavour: Flavour) -> None:
    headers = {"k": "v"} if flavour.transport == "header" else {}
    with (
        ThriftServer("s1", flavour, services=["A", "B"]) as server,
        ThriftClient(server.address, flavour) as client,
        ThriftClient(server.address, flavour, service="B") as multiplexed,
    ):
        args = ["ü", 3, 2**40, 2.5, True]
        reply = client.call("sayHello", *args, headers=headers)
        assert reply == {
            "server": "s1",
            "service": "",
            "method": "sayHello",
            "args": args,
            "headers": headers,
        }
        assert client.headers == ({"server": "s1"} if headers else {})
        assert multiplexed.call("sayHello")["service"] == "B"
        assert multiplexed.call("echo", 2.5) == 2.5
        with pytest.raises(Declared, match="oh"):
            client.call("fail", "oh")
        with pytest.raises(TApplicationException) as thrown:
            client.call("crash", "oh")
        assert thrown.value.type == TApplicationException.INTERNAL_ERROR
        client.one_way("later")
        assert client.call("sayHello")["server"] == "s1"
        assert [call.method for call in server.calls if call.one_way] == ["later"]
        assert len(client.call("echo", "y" * MEGABYTES_5)) == MEGABYTES_5
        with pytest.raises(TTransportException):
            client.call("close")


class Recorder(ThreadedServer[bytes]):
    """Answers whatever comes with PONG."""

    def serve(self, connection: socket.socket) -> None:
        while data := connection.recv(65536):
            self.arrived(data)
            connection.sendall(b"+PONG\r\n")


def test_the_redis_client_sends_only_what_it_is_told() -> None:
    with Recorder("recorder") as server, redis.client(server.address) as client:
        assert client.ping()
        assert server.calls == [b"*1\r\n$4\r\nPING\r\n"]


def test_redis_replica_and_users() -> None:
    need(*REDIS)
    with (
        redis.RedisServer("primary", user="app", password="secret") as primary,
        redis.RedisServer("replica", replica_of=primary) as replica,
        primary.client() as client,
    ):
        client.set("k", "v")
        assert client.execute_command("WAIT", 1, 5000) == 1
        assert replica.keys() == {"k"}
        assert primary.commands()["set"] == 1
        with pytest.raises(redis_py.AuthenticationError):
            primary.client(user=None, password="secret").get("k")


def test_redis_cluster_with_a_slot_on_its_way() -> None:
    need(*REDIS)
    with redis.RedisCluster() as cluster:
        source = cluster.owner("k")
        target = next(server for server in cluster.servers if server is not source)
        slot = key_slot(b"k")
        with source.client() as old, target.client() as new:
            old.set("k", "v")
            with cluster.moving_slot(slot, target):
                assert old.get("k") == "v"
                with pytest.raises(redis_py.exceptions.AskError):
                    old.get("{k}elsewhere")
            with pytest.raises(redis_py.exceptions.MovedError):
                old.get("k")
            assert new.get("k") == "v"
        assert {cluster.owner_of_slot(slot, each) for each in cluster.servers} == {target}
        host, port = source.address
        with redis_py.RedisCluster(host, port, decode_responses=True) as client:
            for number in range(200):
                client.set(f"key{number}", number)
        assert all(len(server.keys()) > 30 for server in cluster.servers)
        assert sum(len(server.keys()) for server in cluster.servers) == 201


def test_zookeeper() -> None:
    need(*ZOOKEEPER)
    with (
        zookeeper.ZooKeeperServer() as server,
        zookeeper.client(server.address) as client,
    ):
        seen: list[WatchedEvent] = []
        arrived = threading.Event()

        def watch(event: WatchedEvent) -> None:
            seen.append(event)
            arrived.set()

        assert client.exists("/gone", watch=watch) is None
        with zookeeper.client(server.address) as other:
            other.create("/gone", b"x", ephemeral=True)
            assert arrived.wait(5)
            assert (seen[0].type, seen[0].path) == ("CREATED", "/gone")
        wait_until(lambda: client.exists("/gone") is None, 10, "the ephemeral node to go")

        multi = client.transaction()
        multi.create("/a", b"1")
        multi.set_data("/a", b"2")
        assert multi.commit()[0] == "/a"
        multi = client.transaction()
        multi.create("/b")
        multi.create("/a")
        assert list(map(type, multi.commit())) == [RolledBackError, NodeExistsError]
        assert client.exists("/b") is None

        with pytest.raises(ConnectionLoss):
            client.set("/a", b"x" * 2_000_000)
        assert client.retry(client.get, "/a")[0] == b"2"


def test_kafka() -> None:
    need(*JAVA)
    values = [b"%d" % number for number in range(100)]
    with kafka.KafkaBroker() as broker:
        kafka.create_topic(broker.address, "t")
        kafka.produce(broker.address, "t", values)
        assert kafka.consume(broker.address, "t", 60) == values[:60]
        assert kafka.consume(broker.address, "t", 100, group="other") == values
        with pytest.raises(PeerError):
            kafka.produce(broker.address, "absent", [b"x"], timeout=1)


def test_a_frozen_server_answers_later() -> None:
    need(*REDIS)
    with redis.RedisServer("slow") as server, server.client(socket_timeout=0.2) as client:
        client.ping()
        with server.frozen(), pytest.raises(redis_py.TimeoutError):
            client.ping()
        assert client.ping()
        server.kill()
        assert server.process.returncode == -signal.SIGKILL
        with pytest.raises(redis_py.ConnectionError):
            client.ping()
        server.start()
        assert client.ping()
