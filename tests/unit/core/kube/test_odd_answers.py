"""Objects that cannot be read, and answers that are none: everybody else goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.kube.client import connect
from aeraki_core.kube.decode import MAX_DEPTH, decode_list, decode_watch_event
from aeraki_core.kube.errors import AnswerError
from aeraki_core.kube.informer import Tuning
from aeraki_core.kube.resources import ApiResource
from aeraki_core.sources.kubernetes.source import KubernetesSource

from tests.kubernetes.recorder import Recorder

from .fake_api import FakeApi

QUICK = Tuning(page=2, watch=20, idle=30, absent=0.1)
DEEP = '{"a":' * 20_000 + "1" + "}" * 20_000
HUGE = '{"hosts":["a.example.org"],"n":' + "9" * 5000 + "}"
Start = Callable[..., tuple[KubernetesSource, Recorder]]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api


@pytest.fixture
def start(api: FakeApi, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as started:

        def begin(**settings: Any) -> tuple[KubernetesSource, Recorder]:
            kubeconfig = api.kubeconfig(tmp_path)
            source = KubernetesSource(lambda: connect(kubeconfig), tuning=QUICK, **settings)
            recorder = Recorder()
            started.callback(source.stop)
            source.start(recorder)
            return source, recorder

        yield begin


@pytest.mark.parametrize("spec", [DEEP, HUGE], ids=["deep", "huge number"])
def test_an_object_that_cannot_be_read_hides_no_other(
    api: FakeApi, start: Start, spec: str
) -> None:
    for name in ("a", "z"):
        api.put("virtualservices", name)
    api.put("virtualservices", "odd", spec)
    _, seen = start()
    seen.wait_synced()
    assert seen.objects["VirtualService shop/a"].problem is None
    assert seen.objects["VirtualService shop/z"].problem is None
    assert seen.objects["VirtualService shop/odd"].problem is not None


def test_an_object_that_becomes_odd_and_whole_again_while_it_is_watched(
    api: FakeApi, start: Start
) -> None:
    api.put("virtualservices", "a", '{"hosts":["a"]}')
    _, seen = start()
    seen.wait_synced()
    mark = seen.mark()
    api.put("virtualservices", "a", DEEP)
    seen.wait_object("VirtualService shop/a", lambda item: item.problem is not None)
    api.put("virtualservices", "other", "{}")
    seen.wait_object("VirtualService shop/other")
    api.put("virtualservices", "a", '{"hosts":["b"]}')
    seen.wait_object(
        "VirtualService shop/a", lambda item: item.content["spec"].get("hosts") == ["b"]
    )
    api.delete("virtualservices", "other")
    seen.wait_no_object("VirtualService shop/other")
    assert seen.removed_since(mark) == ["VirtualService shop/other"]
    assert seen.synced


ODD_LISTS = {
    "Status": b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}',
    "no resourceVersion": b'{"kind":"ServiceList","apiVersion":"v1","metadata":{},"items":[]}',
    "no metadata": b'{"kind":"ServiceList","apiVersion":"v1","items":[]}',
    "items of another shape": (
        b'{"kind":"ServiceList","metadata":{"resourceVersion":"1"},"items":{}}'
    ),
    "an object": b'{"kind":"Service","metadata":{"resourceVersion":"1"}}',
    "a list": b"[]",
    "nothing": b"",
    "a nameless object": b'{"kind":"ServiceList","metadata":{"resourceVersion":"1"},"items":[{}]}',
    "HTML": b"<html><body>Welcome</body></html>",
    "not UTF-8": b"\xff\xfe",
    "half of it": b'{"kind":"ServiceList","metadata":{"resourceVersion":"1"},"items":[{"metadata":',
}


@pytest.mark.parametrize("answer", ODD_LISTS.values(), ids=ODD_LISTS.keys())
def test_an_answer_that_is_no_list_deletes_nothing(
    api: FakeApi, start: Start, answer: bytes
) -> None:
    api.put("services", "a")
    source, seen = start()
    seen.wait_synced()
    mark = seen.mark()
    api.mangle = lambda path, data: answer if path == "/api/v1/services" else data
    asked = len(api.requests)
    source.refresh()
    assert not seen.synced
    seen.wait(lambda: seen.problems.get("Service"), "a word about it")
    api.mangle = lambda path, data: data
    seen.wait_synced()
    assert seen.removed_since(mark) == []
    lists = [path for path in api.requests[asked:] if path.startswith("/api/v1/services?limit")]
    assert len(lists) < 6  # the time between two tries doubles


def test_a_server_that_says_it_serves_nothing_is_not_believed(api: FakeApi, start: Start) -> None:
    api.put("services", "a")
    api.mangle = lambda path, data: (
        b'{"kind":"Status","metadata":{}}' if path == "/apis/networking.istio.io" else data
    )
    _, seen = start()
    seen.wait(lambda: "APIGroup" in seen.reason, "a word about it")
    assert not seen.synced
    api.mangle = lambda path, data: data
    seen.wait_synced()


def test_a_line_of_a_watch_that_is_none_costs_no_object(api: FakeApi, start: Start) -> None:
    api.put("services", "a")
    _, seen = start()
    seen.wait_synced()
    mark = seen.mark()
    for line in ("not json", '{"type":"NONE","object":{}}', '{"type":"ADDED","object":[]}'):
        api.line("services", line)
    api.put("services", "b")
    seen.wait_object("Service shop/b")
    seen.wait_synced()
    assert seen.removed_since(mark) == []


def test_odd_labels_are_the_objects_own_problem() -> None:
    good = {"metadata": {"name": "a", "resourceVersion": "1", "labels": {"x": "y"}}}
    odd = {"metadata": {"name": "b", "resourceVersion": "1", "labels": {"x": 1}}}
    odder = {"metadata": {"name": "c", "resourceVersion": "1", "annotations": ["x"]}}
    body = {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": [good, odd, odder]}
    found = decode_list(json.dumps(body).encode()).objects
    assert [problem for _, problem in found] == [
        None,
        "metadata.labels does not map text to text",
        "metadata.annotations does not map text to text",
    ]
    assert "labels" not in found[1].content["metadata"]


def test_depth_is_counted_in_objects_and_arrays_alone() -> None:
    def problem(spec: str) -> str | None:
        line = '{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"1"},"spec":%s}}'
        return decode_watch_event((line % spec).encode()).object.problem

    assert problem("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)) is None
    assert problem("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    assert problem(json.dumps("[{" * 500)) is None
    assert problem(json.dumps([{"a": []}] * 500)) is None


def test_a_salvaged_object_keeps_what_can_be_read() -> None:
    text = '{"metadata":{"name":"a\\"}{","resourceVersion":"1"},"spec":{"x":[1,{"y":null}],"n":%s}}'
    body = '{"items":[%s],"metadata":{"resourceVersion":"1"},"kind":"List"}' % (text % ("9" * 5000))
    [found] = decode_list(body.encode()).objects
    assert found.content["metadata"]["name"] == 'a"}{'
    assert found.content["spec"] == {"x": [1, {"y": None}], "n": None}


def test_names_stay_where_they_are_in_a_path() -> None:
    filters = ApiResource("networking.istio.io", "v1", "EnvoyFilter", "envoyfilters")
    assert filters.path("../../x", "a/b?c#d").endswith(
        "/namespaces/..%2F..%2Fx/envoyfilters/a%2Fb%3Fc%23d"
    )
    assert filters.path("..", ".").endswith("/namespaces/%2E%2E/envoyfilters/%2E")


def test_a_name_of_dots_reaches_the_server_as_it_is(api: FakeApi, tmp_path: Path) -> None:
    client = connect(api.kubeconfig(tmp_path))
    filters = ApiResource("networking.istio.io", "v1", "EnvoyFilter", "envoyfilters")
    list(client.pages(filters.path("..")))
    assert api.requests[-1].startswith("/apis/networking.istio.io/v1/namespaces/%2E%2E/")


def test_one_warning_for_a_server_that_is_not_verified(
    api: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = api.kubeconfig(tmp_path)
    content = json.loads(path.read_text())
    content["clusters"][0]["cluster"] = {
        "server": "https://127.0.0.1:1",
        "insecure-skip-tls-verify": True,
    }
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        connect(path)
    warnings = [record for record in caplog.records if "not verified" in record.getMessage()]
    assert len(warnings) == 1


def test_a_refusal_that_is_no_json_says_what_it_was(api: FakeApi, tmp_path: Path) -> None:
    api.mangle = lambda path, data: b"<html>teapot</html>"
    with pytest.raises(AnswerError, match="GET /api/v1: the answer is not valid JSON"):
        connect(api.kubeconfig(tmp_path)).request("GET", "/api/v1")
