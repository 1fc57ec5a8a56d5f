"""What a controller answers over HTTP, on whichever addresses the machine has."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aeraki_core.controller.serving import Answers, ProbeAnswer, Server
from aeraki_core.errors import AerakiError, SettingsError


class Told:
    """What the controller says; a test changes it."""

    healthy = ProbeAnswer(True, "ok")
    ready = ProbeAnswer(False, "waiting for source feed")
    status: Any = None

    def say_status(self) -> Any:
        if isinstance(self.status, Exception):
            raise self.status
        return self.status or {"ports": []}

    def explain(self, target: str) -> Any:
        if target != "cart:7000":
            raise AerakiError(f"no service {target!r}")
        return {"ports": [target]}


def serve(told: Told, host: str = "") -> Server:
    answers = Answers(
        lambda: told.healthy, lambda: told.ready, lambda: b"up 1\n", told.say_status, told.explain
    )
    return Server(host, 0, answers)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def server(told: Told) -> Iterator[Server]:
    started = serve(told)
    yield started
    started.stop()


def get(server: Server, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, server.address[1], timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_probes_and_metrics(server: Server, told: Told) -> None:
    assert get(server, "/healthz") == (200, "ok\n")
    assert get(server, "/healthz?verbose") == (200, "ok\n")
    assert get(server, "/readyz") == (503, "waiting for source feed\n")
    told.ready = ProbeAnswer(True, "ok, leads")
    assert get(server, "/readyz") == (200, "ok, leads\n")
    assert get(server, "/metrics") == (200, "up 1\n")
    code, text = get(server, "/")
    assert code == 404
    assert "/status" in text


def test_status_and_explain(server: Server, told: Told) -> None:
    code, text = get(server, "/status")
    assert (code, json.loads(text)) == (200, {"ports": []})
    told.status = TimeoutError()
    assert get(server, "/status")[0] == 503
    assert json.loads(get(server, "/explain?target=cart%3A7000")[1]) == {"ports": ["cart:7000"]}
    assert get(server, "/explain?target=cat") == (404, "no service 'cat'\n")


@pytest.mark.parametrize("host", ["", "::", "0.0.0.0", "127.0.0.1", "localhost"])
def test_any_host(told: Told, host: str) -> None:
    server = serve(told, host)
    try:
        assert get(server, "/healthz")[0] == 200
    finally:
        server.stop()


def test_all_addresses_are_of_both_families(server: Server) -> None:
    if not socket.has_dualstack_ipv6():
        assert get(server, "/healthz")[0] == 200
        return
    assert get(server, "/healthz", "::1")[0] == 200


def test_an_address_that_is_taken(told: Told, server: Server) -> None:
    port = server.address[1]
    answers = Answers(
        lambda: told.healthy, lambda: told.ready, bytes, told.say_status, told.explain
    )
    with pytest.raises(SettingsError, match=rf"cannot listen on \*:{port}"):
        Server("", port, answers)
