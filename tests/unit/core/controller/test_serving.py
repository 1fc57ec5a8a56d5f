"""What a controller answers over HTTP, on whichever addresses the machine has."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aeraki_core.controller.limited_server import Limits
from aeraki_core.controller.serving import Answers, ProbeAnswer, Server
from aeraki_core.errors import AerakiError, SettingsError


class Told:
    """What the controller says; a test changes it."""

    healthy = ProbeAnswer(True, "ok")
    ready = ProbeAnswer(False, "waiting for source feed")
    status: Any = None

    def say_status(self) -> bytes:
        if isinstance(self.status, Exception):
            raise self.status
        return json.dumps(self.status or {"ports": []}).encode()

    def explain(self, target: str) -> bytes:
        if target != "cart:7000":
            raise AerakiError(f"no service {target!r}")
        return json.dumps({"ports": [target]}).encode()

    def answers(self) -> Answers:
        return Answers(
            healthy=lambda: self.healthy,
            ready=lambda: self.ready,
            metrics=lambda: b"up 1\n",
            status=self.say_status,
            explain=self.explain,
            page=lambda: b"<!doctype html>",
            page_headers={"Content-Security-Policy": "default-src 'none'"},
        )


def serve(told: Told, host: str = "", **settings: Any) -> Server:
    return Server(host, 0, told.answers(), **settings)


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
    assert get(server, "/ready") == (200, "ok, leads\n")  # as upstream's probe asks
    assert get(server, "/metrics") == (200, "up 1\n")
    assert get(server, "/") == (200, "<!doctype html>")
    code, text = get(server, "/other")
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
    with pytest.raises(SettingsError, match=rf"cannot listen on \*:{port}"):
        Server("", port, told.answers())


# -- clients that ask too much ---------------------------------------------------------------------


def test_probes_have_a_server_of_their_own(told: Told) -> None:
    server = serve(told, probes_only=True)
    try:
        assert get(server, "/healthz")[0] == 200
        assert get(server, "/ready")[0] == 503
        for path in ("/status", "/metrics", "/explain?target=cart:7000"):
            assert get(server, path) == (404, "there are /healthz and /readyz\n")
    finally:
        server.stop()


def test_a_port_that_a_setting_names_is_named_by_it(told: Told, server: Server) -> None:
    with pytest.raises(SettingsError, match=r"--probe-address: cannot listen on \*:"):
        Server("", server.address[1], told.answers(), setting="--probe-address")


def half_a_request(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.address[1]), 20)
    connection.sendall(b"GET /status")
    return connection


def is_refused(server: Server) -> bool:
    try:
        return get(server, "/healthz")[0] == 503
    except OSError:
        return True  # the connection was closed before the request was read


def test_more_connections_than_the_limit_are_refused_at_once(told: Told) -> None:
    server = serve(told, limits=Limits(connections=3, of_client=3))
    half = [half_a_request(server) for _ in range(3)]
    try:
        assert all(is_refused(server) for _ in range(100))
        half.pop().close()
        while is_refused(server):
            pass  # its thread notices that it was closed, and there is room
    finally:
        for connection in half:
            connection.close()
        server.stop()


def test_half_a_request_is_not_waited_for(told: Told) -> None:
    server = serve(told, limits=Limits(patience=0.1))
    try:
        with half_a_request(server) as connection:
            assert connection.recv(1) == b""
    finally:
        server.stop()


def test_who_asks_without_pause_is_slowed_down(told: Told) -> None:
    asked = 0

    def count() -> bytes:
        nonlocal asked
        asked += 1
        return b"{}"

    limits = Limits(burst=5, rate=0.001, total=1000)
    answers = replace(told.answers(), status=count)
    server = Server("127.0.0.1", 0, answers, limits=limits)
    try:
        connection = http.client.HTTPConnection(*server.address, timeout=20)
        told_again = []
        for _ in range(6):
            connection.request("GET", "/status")
            answer = connection.getresponse()
            answer.read()
            told_again.append((answer.status, answer.getheader("Retry-After")))
        assert told_again == [(200, None)] * 5 + [(503, "1")]
        assert asked == 5
        connection.close()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET http://[::bad/status HTTP/1.0", b"400"),
        (b"GET /../../etc/passwd HTTP/1.0", b"404"),
        (b"GET /explain?target=%00%0d%0aX-Inject:1%1b[2J HTTP/1.0", b"404"),
        (b"POST /status HTTP/1.0", b"501"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.0", b"414"),
    ],
)
def test_odd_requests_get_an_answer(server: Server, request_line: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.address[1]), 20) as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.split(b" ")[1] == status
    assert b"\r\nX-Inject" not in answer
