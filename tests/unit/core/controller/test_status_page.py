"""What `/status` of a controller lists when one namespace has very many findings."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace

from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.settings import Settings
from aeraki_core.wiring.http import http_services

from tests.unit.core.controller.running import Feed, Running, service


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
