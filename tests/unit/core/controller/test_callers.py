"""Who may ask for more than probes, by what an API server says of tokens, or does not say."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.controller.callers import Admission, Callers
from aeraki_core.controller.serving import Answers, ProbeAnswer, Server
from aeraki_core.kube.client import Client, connect

SILENCE = 0.5  # seconds that a review may take here

Object = dict[str, Any]


class Reviews:
    """An API server that knows tokens of the form ``NAME`` and lets ``reader`` get every path."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 201
        self.audiences: list[str] = []
        self.answering = threading.Event()
        self.answering.set()
        reviews = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                spec = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]
                reviews.asked.append(self.path.rpartition("/")[2])
                reviews.answering.wait(60)
                answer = reviews.answer(self.path, spec) if reviews.status == 201 else {}
                body = json.dumps(answer).encode()
                self.send_response(reviews.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path: str, spec: Object) -> Object:
        if path.endswith("tokenreviews"):
            if spec["token"] not in ("reader", "stranger"):
                return {"status": {"authenticated": False}}
            user = {"username": spec["token"], "groups": ["everybody"], "uid": "1"}
            found = [each for each in spec.get("audiences", []) if each in self.audiences]
            return {"status": {"authenticated": True, "user": user, "audiences": found}}
        assert spec["groups"] == ["everybody"]
        assert spec["nonResourceAttributes"]["verb"] == "get"
        return {"status": {"allowed": spec["user"] == "reader"}}

    def client(self, folder: Path) -> Client:
        server = f"http://127.0.0.1:{self.server.server_address[1]}"
        path = folder / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": {"server": server}}],
            "users": [{"name": "a", "user": {}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
        path.write_text(json.dumps(content))
        return connect(path)


@pytest.fixture
def reviews() -> Iterator[Reviews]:
    started = Reviews()
    yield started
    started.answering.set()
    started.server.shutdown()
    started.server.server_close()


Judging = Callable[..., Callers]


@pytest.fixture
def judging(reviews: Reviews, tmp_path: Path) -> Judging:
    return lambda audience="", **settings: Callers(reviews.client(tmp_path), audience, **settings)


@pytest.mark.parametrize(
    ("header", "admission"),
    [
        ("Bearer reader", Admission.ADMITTED),
        ("bearer  reader ", Admission.ADMITTED),
        ("Bearer stranger", Admission.FORBIDDEN),
        ("Bearer nobody", Admission.UNKNOWN),
        (None, Admission.UNKNOWN),
        ("", Admission.UNKNOWN),
        ("Bearer", Admission.UNKNOWN),
        ("Basic cmVhZGVyOg==", Admission.UNKNOWN),
        ("Bearer rèader", Admission.UNKNOWN),
        ("Bearer " + "x" * 100_000, Admission.UNKNOWN),
    ],
)
def test_a_caller(judging: Judging, header: str | None, admission: Admission) -> None:
    assert judging().judge(header, "/status") is admission


def test_what_is_no_token_is_not_asked_about(reviews: Reviews, judging: Judging) -> None:
    callers = judging()
    for header in (None, "Basic cmVhZGVyOg==", "Bearer"):
        callers.judge(header, "/status")
    assert reviews.asked == []


def test_an_answer_counts_for_its_path_and_for_a_short_time(
    reviews: Reviews, judging: Judging
) -> None:
    now = [0.0]
    callers = judging(clock=lambda: now[0], admitted_for=30.0, refused_for=10.0)
    for _ in range(3):
        assert callers.judge("Bearer reader", "/status") is Admission.ADMITTED
    assert reviews.asked == ["tokenreviews", "subjectaccessreviews"]
    callers.judge("Bearer reader", "/metrics")
    assert len(reviews.asked) == 4
    now[0] = 31.0
    callers.judge("Bearer reader", "/status")
    assert len(reviews.asked) == 6
    for _ in range(3):
        assert callers.judge("Bearer nobody", "/status") is Admission.UNKNOWN
    assert len(reviews.asked) == 7
    now[0] = 42.0
    callers.judge("Bearer nobody", "/status")
    assert len(reviews.asked) == 8


def test_a_token_for_another_audience_is_unknown(reviews: Reviews, judging: Judging) -> None:
    reviews.audiences = ["somebody-else"]
    assert judging("aeraki").judge("Bearer reader", "/status") is Admission.UNKNOWN
    reviews.audiences = ["aeraki"]
    assert judging("aeraki").judge("Bearer reader", "/status") is Admission.ADMITTED


def test_an_account_that_may_not_review_admits_nobody(
    reviews: Reviews, judging: Judging, caplog: pytest.LogCaptureFixture
) -> None:
    reviews.status = 403
    callers = judging()
    assert callers.judge("Bearer reader", "/status") is Admission.UNREVIEWED
    assert callers.judge("Bearer other", "/status") is Admission.UNREVIEWED
    (line,) = [each for each in caplog.messages if "tokenreviews" in each]
    assert "aeraki rbac --http-authentication" in line
    assert "reader" not in caplog.text  # a token is never in the log


def test_silence_of_the_api_server_keeps_nobody_waiting(reviews: Reviews, judging: Judging) -> None:
    """Each of many callers gets its refusal, and probes are as quick as ever."""
    reviews.answering.clear()
    callers = judging(patience=SILENCE)
    answers = Answers(
        healthy=lambda: ProbeAnswer(True, "ok"),
        ready=lambda: ProbeAnswer(True, "ok"),
        metrics=lambda: b"up 1\n",
        status=lambda: b"{}",
        explain=lambda target: b"{}",
        page=lambda: b"<html>",
        page_headers={},
    )
    server = Server("127.0.0.1", 0, answers, callers=callers)
    codes: list[int] = []

    def ask(number: int) -> None:
        codes.append(get(server, "/status", f"Bearer t{number}"))

    try:
        asking = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
        for thread in asking:
            thread.start()
        assert get(server, "/healthz") == 200
        for thread in asking:
            thread.join(60)
        assert codes == [503] * 10
        reviews.answering.set()
        assert get(server, "/status", "Bearer reader") == 200
        assert get(server, "/metrics", "Bearer stranger") == 403
        assert get(server, "/explain?target=x") == 401
        assert get(server, "/metrics") == get(server, "/") == get(server, "/nothing") == 401
        assert get(server, "/readyz") == 200
    finally:
        server.stop()


def get(server: Server, path: str, authorization: str = "") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.address[1], timeout=60)
    headers = {"Authorization": authorization} if authorization else {}
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()
