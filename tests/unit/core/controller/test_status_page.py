"""What a running controller answers: `/status`, and whether it is ready."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
from aeraki_core.controller.endpoints_age import EndpointsAge
from aeraki_core.controller.leader import Leader
from aeraki_core.controller.loop import Controller
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.settings import Settings
from aeraki_core.testing.memory_sink import MemorySink
from aeraki_core.wiring.http import http_services

from tests.unit.core.controller.running import Feed, Running, pipeline, service
from tests.unit.core.controller.test_standby import Replica


def elsewhere(source_object: SourceObject, namespace: str) -> SourceObject:
    metadata = {**source_object.content["metadata"], "namespace": namespace}
    ref = ObjectRef("Service", namespace, source_object.ref.name)
    content = {**source_object.content, "metadata": metadata}
    return replace(source_object, ref=ref, content=content)


def test_one_namespace_does_not_fill_the_answer() -> None:
    loud = [
        elsewhere(service(f"s{number:03}", number, volume="loud"), "evil") for number in range(250)
    ]
    feed = Feed(*loud, service("cart", 300, volume="loud"))
    with Running(feed) as running:
        running.next()
        settings = Settings(http_address="127.0.0.1:0")
        services, _ = http_services(
            settings, running.pipeline, running.controller, None, "one", None, tuple
        )
        [server] = services
        try:
            host, port = server.address
            with urllib.request.urlopen(f"http://{host}:{port}/status", timeout=60) as response:
                status = json.loads(response.read())
        finally:
            server.stop()
    namespaces = [finding["object"]["namespace"] for finding in status["findings"]]
    assert (namespaces.count("evil"), namespaces.count("shop")) == (200, 1)
    assert status["findingsLeftOut"] == {"evil": 50}
    assert len(status["ports"]) == 251


def answers(
    controller: Controller, endpoints: Callable[[], EndpointsAge], *paths: str
) -> list[tuple[int, str]]:
    """Status and text of each path."""
    settings = Settings(http_address="127.0.0.1:0")
    leader = None if controller.leading else cast(Leader, _Elsewhere())
    services, _ = http_services(
        settings, pipeline(), controller, leader, "one", None, tuple, endpoints
    )
    [server] = services
    found = []
    try:
        for path in paths:
            host, port = server.address
            try:
                with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=60) as response:
                    found.append((response.status, response.read().decode()))
            except urllib.error.HTTPError as error:
                found.append((error.code, error.read().decode()))
    finally:
        server.stop()
    return found


class _Elsewhere:
    """An election that somebody else won."""

    holder = "two"


OLD = "endpoints of live weights are old: why\n"


@pytest.mark.parametrize(
    ("age", "leader", "standby"),
    [
        (EndpointsAge(sets=1), 200, 200),
        (EndpointsAge(sets=1, unwritten=59.0, unread=59.0, reason="why"), 200, 200),
        (EndpointsAge(sets=1, unwritten=61.0, reason="why"), 503, 200),
        (EndpointsAge(sets=1, unread=61.0, reason="why"), 503, 503),
    ],
)
def test_old_endpoints_are_not_ready(age: EndpointsAge, leader: int, standby: int) -> None:
    """A standby that can take over is ready, or no rollout could replace its leader."""
    with Running(Feed(service("cart"))) as running:
        running.next()
        (ready, status) = answers(running.controller, lambda: age, "/readyz", "/status")
        assert ready == (leader, OLD if leader == 503 else "ok, no leader election\n")
        assert json.loads(status[1])["controller"]["weightSets"] == {
            "count": 1,
            "age": age.seconds,
            "reason": age.reason,
        }
    with Replica(Feed(service("cart")), MemorySink()) as replica:
        replica.next()
        (ready,) = answers(replica.controller, lambda: age, "/readyz")
        assert ready == (standby, OLD if standby == 503 else "ok, standby, two leads\n")
