"""A mesh of any size, as the objects that a source delivers.

It has n services over the five protocols, and a VirtualService for a third of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.mesh import Mesh, parse_proxy_rule
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.arrange import Arrangement
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import build_registry

PROTOCOLS = ("dubbo", "thrift", "kafka", "zookeeper", "redis")
PER_NAMESPACE = 50
KAFKA = "envoy.filters.network.kafka_broker"


def objects(count: int) -> Iterator[SourceObject]:
    """All objects of a mesh of ``count`` services."""
    for number in range(count):
        yield service(number)
        if number % 3 == 0:
            yield virtual_service(number, "v1")
            yield destination_rule(number)


def namespace(number: int) -> str:
    return f"team-{number // PER_NAMESPACE}"


def _object(
    kind: str, api_version: str, number: int, spec: dict[str, Any], **metadata: Any
) -> SourceObject:
    ref = ObjectRef(kind, namespace(number), f"app-{number}")
    head = {
        "name": ref.name,
        "namespace": ref.namespace,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **metadata,
    }
    content = {"apiVersion": api_version, "kind": kind, "metadata": head, "spec": spec}
    return SourceObject(ref, api_version, content)


def as_source(content: dict[str, Any]) -> SourceObject:
    """An object as a server gave it."""
    head = content["metadata"]
    return SourceObject(
        ObjectRef(content["kind"], head["namespace"], head["name"]), content["apiVersion"], content
    )


def service(number: int) -> SourceObject:
    """Service ``number``; its protocol follows from the number."""
    protocol = PROTOCOLS[number % len(PROTOCOLS)]
    spec = {
        "clusterIP": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "selector": {"app": f"app-{number}"},
        "ports": [
            {"name": f"tcp-{protocol}", "port": 20880, "targetPort": 30880, "protocol": "TCP"}
        ],
    }
    return _object(
        "Service", "v1", number, spec, annotations={"interface": f"org.example.Service{number}"}
    )


def virtual_service(number: int, method: str) -> SourceObject:
    """Routes of a service: one method to a subset, the rest split over two."""
    host = f"app-{number}"
    http = [
        {
            "match": [{"method": {"exact": method}}],
            "route": [{"destination": {"host": host, "subset": "v1"}}],
        },
        {
            "route": [
                {"destination": {"host": host, "subset": "v1"}, "weight": 80},
                {"destination": {"host": host, "subset": "v2"}, "weight": 20},
            ]
        },
    ]
    return _object(
        "VirtualService", "networking.istio.io/v1", number, {"hosts": [host], "http": http}
    )


def destination_rule(number: int) -> SourceObject:
    """The subsets that the routes name."""
    subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    return _object(
        "DestinationRule",
        "networking.istio.io/v1",
        number,
        {"host": f"app-{number}", "subsets": subsets},
    )


def sidecar(namespace: str, *hosts: str) -> SourceObject:
    """The default Sidecar of a namespace, or of the mesh, that imports these hosts."""
    ref = ObjectRef("Sidecar", namespace, "default")
    api_version = "networking.istio.io/v1"
    content = {
        "apiVersion": api_version,
        "kind": ref.kind,
        "metadata": {"name": ref.name, "namespace": namespace},
        "spec": {"egress": [{"hosts": list(hosts)}]},
    }
    return SourceObject(ref, api_version, content)


def pipeline(arrangement: Arrangement = Arrangement.SERVICE) -> Pipeline:
    """A pipeline with every installed plugin, for proxies that have all extensions."""
    mesh = Mesh(proxy_rules=(parse_proxy_rule(KAFKA),))
    return Pipeline(mesh, Dispatcher(build_registry()), arrangement)
