"""Calls of a real client, pymongo, through a real Envoy to a small server.

Neither PyPI nor Debian has a MongoDB server. The server here answers the commands that pymongo
sends, in the real wire format. Other behaviour of a real server is not covered.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
from aeraki_core.testing import Address, Sandbox, Sidecar, objects_in

SAMPLE = Path(__file__).parents[1].joinpath("sample.yaml").read_text(encoding="utf-8")
LISTENER = "127.65.0.1"
HOST = ("orders-db.shop.svc.cluster.local", 27017)
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
HELLO = {
    "ok": 1.0,
    "isWritablePrimary": True,
    "helloOk": True,
    "maxWireVersion": 21,
    "minWireVersion": 0,
    "maxBsonObjectSize": 16_777_216,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
}


class Server:
    """Keeps inserted documents in memory."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self._socket.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while len(header := stream.read(16)) == 16:
                length, request, _, code = struct.unpack("<iiii", header)
                body = stream.read(length - 16)
                if code == OP_QUERY:
                    answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(HELLO)
                    code = OP_REPLY
                else:
                    answer = b"\0\0\0\0\0" + bson.encode(self._answer(_command(body)))
                    code = OP_MSG
                connection.sendall(
                    struct.pack("<iiii", 16 + len(answer), 0, request, code) + answer
                )

    def _answer(self, command: dict[str, Any]) -> dict[str, Any]:
        match next(iter(command)):
            case "hello" | "ismaster":
                return HELLO
            case "insert":
                self.documents += command["documents"]
                return {"ok": 1.0, "n": len(command["documents"])}
            case "find":
                space = f"{command['$db']}.{command['find']}"
                return {"ok": 1.0, "cursor": {"id": 0, "ns": space, "firstBatch": self.documents}}
        return {"ok": 1.0}


def _command(body: bytes) -> dict[str, Any]:
    """The command of an OP_MSG: one document, and more of them in named sequences."""
    command: dict[str, Any] = {}
    at = 4
    while at < len(body):
        kind, size = body[at], struct.unpack_from("<i", body, at + 1)[0]
        part = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = {**bson.decode(part), **command}
        else:
            name, _, documents = part[4:].partition(b"\0")
            command[name.decode()] = bson.decode_all(documents)
        at += 1 + size
    first = next(name for name in ("insert", "find", *command) if name in command)
    return {first: command[first], **command}


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture
def sidecar(server: Server, envoy_sandbox: Sandbox) -> Sidecar:
    """A client's sidecar that holds every query back."""
    objects = objects_in(SAMPLE)
    objects[0]["spec"]["clusterIP"] = LISTENER
    objects[0]["metadata"]["annotations"]["mongo.aeraki.io/delay-percent"] = "100"
    return envoy_sandbox.serve(objects, plugins=["mongo"], endpoints={HOST: [server.address]})


def test_documents_come_back(server: Server, sidecar: Sidecar) -> None:
    with pymongo.MongoClient[dict[str, Any]](LISTENER, 27017, directConnection=True) as client:
        client.shop.orders.insert_one({"_id": 1, "item": "tea"})
        assert list(client.shop.orders.find()) == [{"_id": 1, "item": "tea"}]
    assert server.documents == [{"_id": 1, "item": "tea"}]
    assert sidecar.envoy.warnings == ()


def test_a_query_is_counted_and_held_back(sidecar: Sidecar) -> None:
    """Of the old wire protocol: the only one that Envoy decodes."""
    query = struct.pack("<i", 0) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1)
    query += bson.encode({"isMaster": 1})
    message = struct.pack("<iiii", 16 + len(query), 7, 0, OP_QUERY) + query
    with socket.create_connection((LISTENER, 27017), timeout=5) as connection:
        start = time.monotonic()
        connection.sendall(message)
        assert bson.decode(connection.recv(4096)[36:])["isWritablePrimary"]
        assert time.monotonic() - start >= 0.05
    prefix = f"mongo.outbound|27017||{HOST[0]}."
    sidecar.envoy.wait_for_stat(f"{prefix}op_query")
    sidecar.envoy.wait_for_stat(f"{prefix}delays_injected")
