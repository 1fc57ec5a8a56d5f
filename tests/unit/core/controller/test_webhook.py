"""The webhook's server: TLS, its certificate, and clients that ask for too much."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from aeraki_core.controller.admission import ReviewError
from aeraki_core.controller.limited_server import Limits
from aeraki_core.controller.webhook import Certificate, WebhookServer

from tests.certificates import self_signed

Clock = list[float]


def answer(body: bytes) -> bytes:
    if body == b"bad":
        raise ReviewError("not an AdmissionReview")
    if body == b"worse":
        raise RuntimeError("a defect")
    return body[::-1]


@pytest.fixture
def clock() -> Clock:
    return [0.0]


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[WebhookServer]:
    limits = Limits(connections=4, of_client=4, patience=30)
    certificate = Certificate(tmp_path, clock=lambda: clock[0])
    started = WebhookServer("127.0.0.1", 0, answer, certificate, limits=limits)
    yield started
    started.stop()


def connection(server: WebhookServer, trusted: Path) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(trusted))
    return http.client.HTTPSConnection(*server.address, timeout=60, context=context)


def post(
    server: WebhookServer, trusted: Path, body: bytes, path: str = "/validate"
) -> tuple[int, bytes]:
    client = connection(server, trusted)
    try:
        client.request("POST", path, body)
        response = client.getresponse()
        return response.status, response.read()
    finally:
        client.close()


def test_reviews_are_answered(server: WebhookServer, tmp_path: Path) -> None:
    trusted = self_signed(tmp_path)
    assert post(server, trusted, b"abc") == (200, b"cba")
    assert post(server, trusted, b"bad") == (400, b"not an AdmissionReview\n")
    assert post(server, trusted, b"worse")[0] == 500
    assert post(server, trusted, b"abc", "/other")[0] == 404


def test_a_certificate_is_loaded_again(server: WebhookServer, tmp_path: Path, clock: Clock) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(OSError):  # it is not there yet
        post(server, self_signed(elsewhere), b"abc")
    first = self_signed(tmp_path).read_bytes()
    clock[0] += 10
    (tmp_path / "first.pem").write_bytes(first)
    assert post(server, tmp_path / "first.pem", b"abc")[0] == 200
    self_signed(tmp_path)
    clock[0] += 10
    assert post(server, tmp_path / "tls.crt", b"abc")[0] == 200
    with pytest.raises(ssl.SSLError):
        post(server, tmp_path / "first.pem", b"abc")


def test_a_broken_certificate_leaves_the_last_good_one(
    server: WebhookServer, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    trusted = tmp_path / "good.pem"
    trusted.write_bytes(self_signed(tmp_path).read_bytes())
    assert post(server, trusted, b"abc")[0] == 200
    (tmp_path / "tls.crt").write_text("half a certif")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            clock[0] += 10
            assert post(server, trusted, b"abc")[0] == 200
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage().partition(":")[0] for record in warnings] == [
        "the webhook answers with its last one"
    ]


def test_a_body_that_is_too_large(server: WebhookServer, tmp_path: Path) -> None:
    client = connection(server, self_signed(tmp_path))
    try:
        client.putrequest("POST", "/validate")
        client.putheader("Content-Length", str(1 << 30))
        client.endheaders()
        assert client.getresponse().status == 413
    finally:
        client.close()


def test_a_body_without_a_length(server: WebhookServer, tmp_path: Path) -> None:
    client = connection(server, self_signed(tmp_path))
    try:
        client.request("POST", "/validate", iter([b"abc"]), {"Transfer-Encoding": "chunked"})
        assert client.getresponse().status == 411
    finally:
        client.close()


def test_too_many_connections_are_closed_at_once(server: WebhookServer, tmp_path: Path) -> None:
    trusted = self_signed(tmp_path)
    silent = [socket.create_connection(server.address, timeout=60) for _ in range(4)]
    try:
        # Those who say nothing have all places, so the next is not heard.
        with pytest.raises(OSError):
            post(server, trusted, b"abc")
    finally:
        for each in silent:
            each.close()
