"""Connections through a real Envoy: those beyond the limit are closed, the others are served."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aeraki_core.testing import Proxy, Sandbox, Sidecar, objects_in

SAMPLE = Path(__file__).parents[1].joinpath("sample.yaml").read_text(encoding="utf-8")
LISTENER = ("127.65.0.7", 17000)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def sidecar(server: socket.socket, envoy_sandbox: Sandbox) -> Sidecar:
    """The workload's sidecar; its application is the server."""
    objects = objects_in(SAMPLE)
    return envoy_sandbox.serve(
        objects,
        plugins=["limits"],
        proxy=Proxy(namespace="shop", labels={"app": "greeter"}),
        endpoints={"inbound|17000||": [server.getsockname()]},
        inbound={17000: LISTENER},
    )


def test_the_third_connection_of_two_is_closed(server: socket.socket, sidecar: Sidecar) -> None:
    with (
        socket.create_connection(LISTENER, timeout=5) as first,
        socket.create_connection(LISTENER, timeout=5) as second,
    ):
        for client in (first, second):
            served, _ = server.accept()
            client.sendall(b"hello")
            assert served.recv(5) == b"hello"
        with socket.create_connection(LISTENER, timeout=5) as third:
            assert third.recv(1) == b""
    assert sidecar.envoy.warnings == ()
