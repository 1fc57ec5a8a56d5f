"""Good and bad frames of each protocol, and servers that tolerate anything, for test_hostile.py.

The good frames of a :class:`Speech` are those of this repository's own clients.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.dataplane.support_redis import answer
from tests.peers.dubbo import EVENT, HESSIAN2, OK, DubboClient, Frame
from tests.peers.hessian import encode
from tests.peers.processes import Address
from tests.peers.sockets import ThreadedServer
from tests.peers.thrift import FLAVOURS, Flavour, ThriftClient, ThriftServer
from tests.peers.zookeeper import client as zookeeper_client

Call = Callable[[Address], object]

SIZES = (2**31 - 1, 2**31, 2**32 - 1, 2**24)  # as signed numbers two of them are negative


# -- servers that bear whatever passes -------------------------------------------------------------


class AnyDubbo(ThreadedServer[Frame]):
    """Answer every request with null and decode none.

    Closing a connection would trigger the defect that another test covers.
    """

    def serve(self, connection: socket.socket) -> None:
        while True:
            frame = Frame.read(connection)
            connection.sendall(Frame(HESSIAN2, OK, frame.id, encode(2)).encode())


class AnyThrift(ThriftServer):
    """Hangs up where it cannot read on."""

    def serve(self, connection: socket.socket) -> None:
        with suppress(Exception):
            super().serve(connection)


class AnyBytes(ThreadedServer[bytes]):
    """Sends back what comes."""

    def serve(self, connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(data)


class Listener(ThreadedServer[bytes]):
    """Keeps what a client sends first, and hangs up."""

    def serve(self, connection: socket.socket) -> None:
        self.arrived(connection.recv(65536))


def recorded(call: Call) -> bytes:
    """What a client sends first for that call."""
    with Listener("listener") as server:
        with suppress(Exception):
            call(server.address)
        return server.calls[0]


# -- the protocols ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speech:
    """A protocol's frames: a good call, good frames, and frames that announce too much."""

    call: Call
    frames: tuple[bytes, ...]
    oversized: tuple[bytes, ...]


def redis_call(at: Address) -> None:
    assert answer(at, "SET", "a", "good") == "OK"
    assert answer(at, "GET", "a") == "good"


def redis_speech() -> Speech:
    return Speech(
        redis_call,
        (
            b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n",
            b"*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n$4\r\nPING\r\n",
            b"*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\na\r\n$1\r\nb\r\n",
        ),
        (
            *(f"*{size}\r\n$3\r\nGET\r\n".encode() for size in (*SIZES, 2**63, 2**64, 10**30, -2)),
            *(
                f"*2\r\n$3\r\nGET\r\n${size}\r\nab".encode()
                for size in (*SIZES, 2**63, 2**64, 10**30, -2)
            ),
            b"*1\r\n" * 10_000,
            b"*2\r\n$3\r\nGET\r\n:" + b"9" * 10_000,
            b"+" + b"x" * 100_000,
            b"*3\r\n$3\r\nSET\r\n$-1\r\n*0\r\n",
            b"*0\r\n" * 1_000,
            b"*100000\r\n" + b"$1\r\na\r\n" * 100_000,
        ),
    )


def dubbo_call(at: Address) -> None:
    with DubboClient(at) as client:
        assert client.call("sayHello", "x").status == OK


def dubbo_heartbeat(at: Address) -> None:
    with DubboClient(at) as client:
        client.heartbeat()


def dubbo_arguments(at: Address) -> None:
    with DubboClient(at) as client:
        client.call("x", [1, {"a": 2.5}], None, True, b"x", attachments={"k": "v"})


def dubbo_speech() -> Speech:
    good = recorded(dubbo_call)
    return Speech(
        dubbo_call,
        (
            good,
            recorded(dubbo_heartbeat),
            recorded(dubbo_arguments),
            Frame(EVENT | HESSIAN2, OK, 1, b"N").encode(),  # a heartbeat's answer
        ),
        (
            *(good[:12] + struct.pack(">I", size) + good[16:] for size in SIZES),
            *(
                good[:12] + struct.pack(">I", len(body)) + body
                for body in (b"", b"V" * 10_000, b"S\xff\xff" * 1_000)
            ),
            good * 1_000,
        ),
    )


def thrift_call(at: Address) -> None:
    with ThriftClient(at) as client:
        assert client.call("sayHello", "x")["args"] == ["x"]


def thrift_speech() -> Speech:
    def frame(flavour: Flavour) -> bytes:
        headers = {"k": "v"} if flavour.transport == "header" else {}

        def call(at: Address) -> None:
            with ThriftClient(at, flavour) as client:
                client.call("sayHello", "x", 3, 2.5, True, headers=headers)

        return recorded(call)

    good = recorded(thrift_call)
    strict = b"\x80\x01\x00\x01"  # a binary message's beginning: version and type, name, number
    begun = strict + struct.pack(">i", 1) + b"m" + struct.pack(">i", 7)
    lengths = [struct.pack(">I", size) for size in SIZES]
    return Speech(
        thrift_call,
        tuple(map(frame, FLAVOURS)),
        (
            *(size + good[4:] for size in lengths),
            *(strict + size + b"m" for size in lengths),
            *(begun + b"\x0b\x00\x01" + size + b"x" * 1_000 for size in lengths),  # a string
            *(begun + b"\x0f\x00\x01\x0c" + size for size in lengths),  # a list of structs
            *(begun + b"\x0d\x00\x01\x0b\x0c" + size for size in lengths),  # a map
            begun + b"\x0c\x00\x01" * 50_000,  # a struct in a struct in a struct
            good * 1_000,
        ),
    )


def zookeeper_call(at: Address) -> None:
    with zookeeper_client(at) as client:
        assert client.get_children("/") == ["zookeeper"]


def zookeeper_speech() -> Speech:
    def stream(*packets: bytes) -> bytes:
        return b"".join(struct.pack(">i", len(packet)) + packet for packet in packets)

    connect = struct.pack(">iqiqi16s?", 0, 0, 10_000, 0, 16, bytes(16), False)
    getdata, ping = struct.pack(">iii", 1, 4, 10) + b"/zookeeper\x00", struct.pack(">ii", -2, 11)
    transactions = struct.pack(">ii", 1, 14) + struct.pack(">i?i", 14, False, -1) * 10_000
    lengths = [struct.pack(">I", size) for size in SIZES]
    return Speech(
        zookeeper_call,
        (stream(connect), stream(connect, getdata, ping)),
        (
            *(size + connect for size in lengths),
            *(
                stream(connect, struct.pack(">ii", 1, 4) + size + b"/zookeeper\x00")
                for size in lengths
            ),
            stream(connect, *[b""] * 1_000),
            stream(connect, transactions),
        ),
    )


def kafka_call(at: Address) -> None:
    """Its filter is in no Envoy of these tests: the listener is plain TCP."""
    with socket.create_connection(at, timeout=10) as connection:
        connection.sendall(b"good")
        assert connection.recv(100) == b"good"


def kafka_speech() -> Speech:
    request = struct.pack(">hhih", 18, 3, 1, 4) + b"test\x00\x05test\x021\x00"  # ApiVersions
    good = struct.pack(">i", len(request)) + request
    return Speech(kafka_call, (good,), tuple(struct.pack(">I", size) + request for size in SIZES))
