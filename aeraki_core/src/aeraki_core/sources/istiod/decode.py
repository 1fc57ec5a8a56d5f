"""What istiod sends, as the Kubernetes objects that the store reads.

In: a resource of a response. Out: a :class:`~aeraki_core.mesh.store.SourceObject`. A Kubernetes Service comes as a ServiceEntry named
``synthetic-<service>`` and becomes a Service again, so that it has the name under which everybody knows it; what istiod does
not send (labels, annotations, ``targetPort``) is missing then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import EXPORT_TO_ANNOTATION, service_host

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.message import Message

__all__ = ["KINDS", "TYPES", "decode"]

_GROUP = "networking.istio.io"
KINDS = ("ServiceEntry", "VirtualService", "DestinationRule")
TYPES: tuple[str, ...] = tuple(
    f"{_GROUP}/{version}/{kind}" for kind in KINDS for version in ("v1", "v1alpha3")
)
"""Both versions: istiods serve v1 since 1.24 and v1alpha3 before, and answer with an empty list to the other."""

_SYNTHETIC = "synthetic-"
_UNSPECIFIED = ("0.0.0.0", "::")


def decode(kind: str, resource: AnyMessage, domain: str) -> SourceObject:
    """One resource as an object.

    Raises:
        ValueError: it is not what istiod sends of that kind.
    """
    from google.protobuf.message import DecodeError

    from aeraki_core.sources.istiod import config_pb2

    bodies: dict[str, type[Message]] = {
        "ServiceEntry": config_pb2.ServiceEntry,
        "VirtualService": config_pb2.VirtualService,
        "DestinationRule": config_pb2.DestinationRule,
    }
    try:
        envelope = config_pb2.Resource.FromString(resource.value)
        body = bodies[kind].FromString(envelope.body.value)
    except DecodeError as error:
        raise ValueError(f"not a {kind}: {error}") from error
    namespace, slash, name = envelope.metadata.name.partition("/")
    if not slash or not name:
        raise ValueError(f"a {kind} without a name: {envelope.metadata.name!r}")
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if envelope.metadata.HasField("create_time"):
        metadata["creationTimestamp"] = envelope.metadata.create_time.ToJsonString()
    for field in ("labels", "annotations"):
        if given := dict(getattr(envelope.metadata, field)):
            metadata[field] = given
    spec = json_format.MessageToDict(body)
    if kind == "ServiceEntry":
        found = _service(metadata, spec, domain)
        if found is not None:
            return found
    if kind == "VirtualService":
        _restore_weights(spec)
    return _object(f"{_GROUP}/v1", kind, metadata, spec)


def _object(
    api_version: str, kind: str, metadata: dict[str, Any], spec: dict[str, Any]
) -> SourceObject:
    content = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
    return SourceObject(
        ObjectRef(kind, metadata["namespace"], metadata["name"]), api_version, content
    )


def _service(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], domain: str
) -> SourceObject | None:
    """The Kubernetes Service that a synthetic ServiceEntry stands for; None for a real one."""
    name, namespace = metadata["name"].removeprefix(_SYNTHETIC), metadata["namespace"]
    if name == metadata["name"] or spec.get("hosts") != [service_host(name, namespace, domain)]:
        return None
    # In an order of its own each time.
    addresses = sorted(
        address for address in spec.get("addresses") or () if address not in _UNSPECIFIED
    )
    body: dict[str, Any] = {
        "clusterIP": addresses[0] if addresses else "None",
        "clusterIPs": addresses or ["None"],
        "ports": [_port(port) for port in spec.get("ports") or ()],
        "selector": (spec.get("workloadSelector") or {}).get("labels") or {},
    }
    kept = {key: value for key, value in metadata.items() if key != "annotations"} | {"name": name}
    if spec.get("exportTo"):
        kept["annotations"] = {EXPORT_TO_ANNOTATION: ",".join(spec["exportTo"])}
    return _object("v1", "Service", kept, body)


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    # istiod says here what it takes the port for (HTTP, TCP, ...); a Service's port only knows the transport.
    protocol = "UDP" if port.get("protocol") == "UDP" else "TCP"
    return {"name": port.get("name", ""), "port": port.get("number", 0), "protocol": protocol}


def _restore_weights(spec: Mapping[str, Any]) -> None:
    """A weight of 0 is not sent; where one of several destinations has none, it is 0."""
    for section in ("http", "tcp"):
        for entry in spec.get(section) or ():
            destinations = entry.get("route") or ()
            if any("weight" in item for item in destinations):
                for item in destinations:
                    item.setdefault("weight", 0)
