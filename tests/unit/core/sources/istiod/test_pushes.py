"""What the istiod source makes of pushes, over a real stream from an istiod with any content."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from aeraki_core.sources.events import Incomplete, Synced, Unsynced, Upserted
from aeraki_core.sources.istiod import config_pb2
from aeraki_core.sources.istiod.decode import TYPES
from aeraki_core.sources.istiod.source import IstiodSource

from tests.kubernetes.recorder import Recorder

from .fake_istiod import FakeIstiod, envelope, resource, service

Start = Callable[..., tuple[IstiodSource, Recorder]]


@pytest.fixture
def istiod() -> Iterator[FakeIstiod]:
    with FakeIstiod() as istiod:
        yield istiod


@pytest.fixture
def start(istiod: FakeIstiod) -> Iterator[Start]:
    with ExitStack() as started:

        def begin(**settings: Any) -> tuple[IstiodSource, Recorder]:
            source = IstiodSource(istiod.where, **{"believe_empty": 0.2, **settings})
            seen = Recorder()
            started.callback(source.stop)
            source.start(seen)
            return source, seen

        yield begin


def routes(name: str, method: str = "hello", **section: Any) -> bytes:
    http = {"match": [{"method": {"exact": method}}], "route": [{"destination": {"host": name}}]}
    return resource("VirtualService", f"shop/{name}", {"hosts": [name], "http": [http | section]})


def test_only_what_differs_is_handed_on(istiod: FakeIstiod, start: Start) -> None:
    istiod.set("ServiceEntry", *(service(f"s{number}") for number in range(1200)))
    istiod.set("VirtualService", routes("s1"), routes("s2"))
    _, seen = start()
    seen.wait_synced()
    assert len(seen.objects) == 1202
    mark = seen.mark()
    istiod.set("VirtualService", routes("s2", "bye"), routes("s1"))
    istiod.push()
    ref = "VirtualService shop/s2"
    seen.wait_object(ref, lambda item: "bye" in str(item.content))
    assert seen.upserted_since(mark) == [ref]
    istiod.set("VirtualService", routes("s2", "bye"))
    istiod.push()
    seen.wait_no_object("VirtualService shop/s1")
    assert seen.removed_since(mark) == ["VirtualService shop/s1"]


def test_another_order_of_addresses_is_no_change(istiod: FakeIstiod, start: Start) -> None:
    istiod.set("ServiceEntry", service("a", "10.0.0.1", "fd00::1"))
    _, seen = start()
    seen.wait_synced()
    assert seen.objects["Service shop/a"].content["spec"]["clusterIPs"] == ["10.0.0.1", "fd00::1"]
    mark = seen.mark()
    istiod.set("ServiceEntry", service("a", "fd00::1", "10.0.0.1"))
    istiod.set("VirtualService", routes("a"))
    istiod.push("ServiceEntry", "VirtualService")
    seen.wait_object("VirtualService shop/a")
    assert seen.upserted_since(mark) == ["VirtualService shop/a"]


def test_nothing_is_handed_on_in_pieces_once_all_was_known(
    istiod: FakeIstiod, start: Start
) -> None:
    istiod.set("ServiceEntry", *(service(f"s{number}") for number in range(1200)))
    _, seen = start()
    seen.wait_synced()
    istiod.set("ServiceEntry", *(service(f"s{number}", port=7) for number in range(1200)))
    mark = len(seen.calls)
    istiod.push("ServiceEntry")
    seen.wait(lambda: len(seen.calls) > mark, "the change")
    assert sum(isinstance(event, Upserted) for event in seen.calls[mark]) == 1200


def endless(name: str) -> bytes:
    """Routes with a timeout of more years than a Duration may have."""
    body = config_pb2.VirtualService(hosts=[name])
    body.http.add().timeout.seconds = 10**15
    return envelope(f"shop/{name}", body.SerializeToString())


def broken_off(name: str) -> bytes:
    """Routes that end within a field."""
    return envelope(f"shop/{name}", b"\x0a\x20a")


@pytest.mark.parametrize("odd", [endless, broken_off])
def test_an_object_whose_form_cannot_be_read_is_its_own_problem(
    istiod: FakeIstiod, start: Start, odd: Callable[[str], bytes]
) -> None:
    istiod.set("VirtualService", routes("a"), routes("b"))
    _, seen = start()
    seen.wait_synced()
    mark = seen.mark()
    istiod.set("VirtualService", odd("a"), routes("b", "bye"))
    istiod.push("VirtualService")
    seen.wait_object("VirtualService shop/a", lambda item: item.problem is not None)
    assert "bye" in str(seen.objects["VirtualService shop/b"].content)
    assert seen.removed_since(mark) == []
    assert seen.synced
    istiod.set("VirtualService", routes("a"), routes("b", "bye"))
    istiod.push("VirtualService")
    seen.wait_object("VirtualService shop/a", lambda item: item.problem is None)


def test_a_resource_without_a_name_may_be_any_that_is_missing(
    istiod: FakeIstiod, start: Start
) -> None:
    istiod.set("VirtualService", routes("a"), routes("b"))
    _, seen = start()
    seen.wait_synced()
    mark = seen.mark()
    istiod.set("VirtualService", b"\xff\xff", routes("b", "bye"))
    istiod.push("VirtualService")
    seen.wait_object("VirtualService shop/b", lambda item: "bye" in str(item.content))
    seen.wait(lambda: isinstance(seen.state, Synced) and seen.state.incomplete, "a word about it")
    assert isinstance(seen.state, Synced)
    assert isinstance(seen.state.incomplete, Incomplete)
    assert seen.state.incomplete.words is None
    assert seen.removed_since(mark) == []
    istiod.set("VirtualService", routes("b", "bye"))
    istiod.push("VirtualService")
    seen.wait_no_object("VirtualService shop/a")
    assert seen.synced


def test_a_type_that_is_suddenly_empty_is_asked_again(istiod: FakeIstiod, start: Start) -> None:
    istiod.set("VirtualService", routes("a"))
    _, seen = start()
    seen.wait_synced()
    mark, asked = seen.mark(), len(istiod.asked)
    istiod.set("VirtualService")
    istiod.push("VirtualService")
    seen.wait_no_object("VirtualService shop/a")
    assert istiod.asked[asked:] == ["networking.istio.io/v1/VirtualService"]
    assert seen.removed_since(mark) == ["VirtualService shop/a"]


def test_a_new_stream_hands_on_only_what_differs(istiod: FakeIstiod, start: Start) -> None:
    istiod.set("ServiceEntry", service("a"), service("b"))
    _, seen = start()
    seen.wait_synced()
    mark = seen.mark()
    istiod.end_streams()
    seen.wait(lambda: isinstance(seen.state, Unsynced), "the source to notice")
    istiod.set("ServiceEntry", service("a"), service("c"))
    seen.wait_synced()
    assert seen.removed_since(mark) == ["Service shop/b"]
    assert seen.upserted_since(mark) == ["Service shop/c"]


def test_a_refresh_is_no_outage(
    istiod: FakeIstiod, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    istiod.set("ServiceEntry", service("a"))
    source, seen = start()
    seen.wait_synced()
    mark = seen.mark()
    with caplog.at_level(logging.INFO):
        source.refresh()
        assert isinstance(seen.state, Unsynced)
        seen.wait_synced()
    assert len(istiod.asked) == 2 * len(TYPES)
    reasons = [event.reason for event in seen.events[mark:] if isinstance(event, Unsynced)]
    assert reasons == ["everything is asked for again"]
    assert not seen.problems["stream"]
    assert "CANCELLED" not in caplog.text


def test_what_is_known_is_not_parsed_again(istiod: FakeIstiod, start: Start) -> None:
    istiod.set("VirtualService", *(routes(f"s{number}") for number in range(2000)))
    calls = itertools.count()
    # Threads that start now count what they call: those of the source.
    threading.setprofile(lambda *_: next(calls))
    try:
        _, seen = start()
    finally:
        threading.setprofile(None)
    seen.wait_synced()
    first = next(calls)
    for number in range(5):
        istiod.set("ServiceEntry", service("a", port=number + 1))
        istiod.push()
        seen.wait_object(
            "Service shop/a",
            lambda item, number=number: item.content["spec"]["ports"][0]["port"] == number + 1,  # type: ignore[misc]
        )
    assert (next(calls) - first) / 5 < first / 2


def test_sidecars_are_read(istiod: FakeIstiod, start: Start) -> None:
    spec = {"egress": [{"hosts": ["./*"], "captureMode": "NONE", "port": {"number": 7}}]}
    istiod.set("Sidecar", resource("Sidecar", "shop/default", spec))
    _, seen = start()
    seen.wait_synced()
    sidecar = seen.objects["Sidecar shop/default"]
    assert sidecar.content["spec"] == spec


def test_what_istiod_makes_of_a_tcp_route_is_read_and_of_an_http_route_is_empty(
    istiod: FakeIstiod, start: Start
) -> None:
    tcp = [{"route": [{"destination": {"host": "a.shop.svc.cluster.local"}}]}]
    specs: dict[str, dict[str, Any]] = {"r~tcp~0": {"tcp": tcp}, "h~0": {"http": [{"name": "x"}]}}
    istiod.set(
        "VirtualService",
        *(
            resource(
                "VirtualService",
                f"shop/{name}~istio-autogenerated-k8s-gateway",
                {"hosts": ["a.b"], **spec},
            )
            for name, spec in specs.items()
        ),
    )
    _, seen = start()
    seen.wait_synced()
    made = {
        item.ref.name.removesuffix(".istio-autogenerated-k8s-gateway"): item.content["spec"]
        for item in seen.objects.values()
    }
    assert made == {"r.tcp.0": {"hosts": ["a.b"], "tcp": tcp}, "h.0": {"hosts": ["a.b"]}}
