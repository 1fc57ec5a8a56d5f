"""What the admission webhook says about an object, and that it says nothing where it must not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aeraki_core.controller.admission import Reviewer, ReviewError
from aeraki_core.mesh.store import SourceObject

from .running import Feed, Running, routes, service

GROUPS = {"Service": "", "EchoPolicy": "echo.example.com"}


@pytest.fixture
def running() -> Iterator[Running]:
    with Running(Feed(service("cart"))) as started:
        started.next()
        yield started


def manifest(kind: str, name: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": spec,
    }


def policy(**spec: Any) -> dict[str, Any]:
    return manifest("EchoPolicy", "loud", {"host": "cart", **spec})


def of(source_object: SourceObject) -> dict[str, Any]:
    return {"kind": source_object.ref.kind, **source_object.content}


def review(
    running: Running,
    content: Any,
    *,
    before: Any = None,
    operation: str = "",
    reviewer: Reviewer | None = None,
) -> dict[str, Any]:
    """The response to an AdmissionReview of the object."""
    kind = content["kind"]
    group = GROUPS.get(kind, "networking.istio.io")
    request = {
        "uid": "a-uid",
        "kind": {"group": group, "version": "v1", "kind": kind},
        "namespace": content["metadata"]["namespace"],
        "operation": operation or ("UPDATE" if before else "CREATE"),
        "object": content,
        "oldObject": before,
    }
    body = json.dumps({"kind": "AdmissionReview", "request": request}).encode()
    # A generous patience: the tests are about answers, and the machine may be busy.
    reviewer = reviewer or Reviewer(running.pipeline, running.controller, patience=60)
    answer = json.loads(reviewer.review(body))
    assert answer["response"].pop("uid") == "a-uid"
    return dict(answer["response"])


def test_an_object_without_fault_gets_no_warning(running: Running) -> None:
    assert review(running, of(routes("cart", "get"))) == {"allowed": True}


def test_findings_are_warnings(running: Running) -> None:
    subset = {"destination": {"host": "cart", "subset": "v9"}}
    spec = {"hosts": ["cart"], "http": [{"route": [subset]}]}
    answer = review(running, manifest("VirtualService", "cart", spec))
    assert answer["allowed"]
    assert {text[:7] for text in answer["warnings"]} == {"AER0302", "AER0312"}
    assert any("spec.http[0]" in text for text in answer["warnings"])
    spec["hosts"] = ["crat"]
    assert (
        "no service crat"
        in review(running, manifest("VirtualService", "cart", spec))["warnings"][0]
    )


def test_a_port_that_would_lose_its_protocol(running: Running) -> None:
    before = of(service("cart"))
    after = json.loads(json.dumps(before))
    after["spec"]["ports"][0]["name"] = "tcp-ehco"
    warnings = review(running, after, before=before)["warnings"]
    assert {text[:7] for text in warnings} == {"AER0211", "AER0215"}


def test_nothing_that_is_tried_comes_into_the_mesh(running: Running) -> None:
    review(running, of(service("order", 2)))
    review(running, of(routes("cart", "get")))
    hosts = running.controller.call(
        lambda: [each.host for each in running.pipeline.store.services()], 20
    )
    assert hosts == ["cart.shop.svc.cluster.local"]
    assert not running.controller.findings


def test_what_somebody_ignores_is_not_said(running: Running) -> None:
    spec = {"hosts": ["crat"], "http": [{"route": [{"destination": {"host": "cart"}}]}]}
    annotated = manifest(
        "VirtualService", "cart", spec, annotations={"aeraki.io/ignore": "AER0301"}
    )
    assert review(running, annotated) == {"allowed": True}
    reviewer = Reviewer(running.pipeline, running.controller, ignore=["AER0301"], patience=60)
    content = manifest("VirtualService", "cart", spec)
    assert review(running, content, reviewer=reviewer) == {"allowed": True}


class TestOfOurKinds:
    def test_an_error_refuses(self, running: Running) -> None:
        answer = review(running, policy(volume="loud"))
        assert not answer["allowed"]
        assert answer["status"]["code"] == 422
        assert "AER0106" in answer["status"]["message"]
        assert "spec.volume" in answer["status"]["message"]

    def test_a_warning_does_not(self, running: Running) -> None:
        answer = review(running, policy(volume=12))
        assert answer["allowed"]
        assert [text[:7] for text in answer["warnings"]] == ["ECH0101"]

    def test_what_another_object_may_cure_does_not(self, running: Running) -> None:
        answer = review(running, policy(secret="comes-later"))
        assert answer["allowed"]
        assert [text[:7] for text in answer["warnings"]] == ["AER0405"]

    def test_one_whose_spec_stays_is_admitted(self, running: Running) -> None:
        bad = policy(volume="loud")
        after = {**bad, "metadata": {**bad["metadata"], "finalizers": []}}
        answer = review(running, after, before=bad)
        assert answer["allowed"]
        assert answer["warnings"]

    def test_one_that_is_being_deleted_is_not_judged(self, running: Running) -> None:
        bad = policy(volume="loud")
        bad["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        assert review(running, bad, before=policy()) == {"allowed": True}

    def test_a_name_that_is_to_be_generated(self, running: Running) -> None:
        content = policy()
        content["metadata"] = {"generateName": "loud-", "namespace": "shop"}
        assert review(running, content) == {"allowed": True}


def test_hostile_text_is_escaped_and_cut(running: Running) -> None:
    spec = {"hosts": ["\x1b[2J\u202e" + "x" * 5_000], "http": []}
    texts = review(running, manifest("VirtualService", "cart", spec))["warnings"]
    assert texts
    assert all(text.isprintable() and len(text) <= 1_000 for text in texts)


def test_many_findings_are_counted(running: Running) -> None:
    spec = {"hosts": [f"no-{number}" for number in range(30)], "http": []}
    texts = review(running, manifest("VirtualService", "cart", spec))["warnings"]
    assert len(texts) == 11
    assert texts[-1] == "20 findings more: see `aeraki validate`"


def test_other_requests_are_admitted(running: Running) -> None:
    bad = policy(volume="loud")
    assert review(running, bad, operation="DELETE") == {"allowed": True}
    assert review(running, manifest("Gateway", "any", {})) == {"allowed": True}


def test_before_the_mesh_is_known_everything_is_admitted() -> None:
    with Running(Feed(sync=False)) as waiting:
        assert review(waiting, policy(volume="loud")) == {"allowed": True}


def test_a_busy_loop_admits_with_a_word(running: Running) -> None:
    leave = threading.Event()
    blocker = threading.Thread(target=lambda: running.controller.call(leave.wait, 60))
    blocker.start()
    try:
        reviewer = Reviewer(running.pipeline, running.controller, patience=0.3)
        answer = review(running, policy(volume="loud"), reviewer=reviewer)
        assert answer["allowed"]
        assert "the controller is busy" in answer["warnings"][0]
    finally:
        leave.set()
        blocker.join()


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"no json", b'{"kind": "AdmissionReview"}'])
def test_what_is_no_review(running: Running, body: bytes) -> None:
    with pytest.raises(ReviewError):
        Reviewer(running.pipeline, running.controller).review(body)
