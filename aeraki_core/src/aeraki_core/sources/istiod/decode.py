"""What istiod sends, as the Kubernetes objects that the store reads.

A Kubernetes Service comes as a ServiceEntry named ``synthetic-<service>`` and becomes a Service
again, so that it has the name under which everybody knows it. What istiod does not send (labels,
annotations, ``targetPort``) is missing then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.istio import is_made_of_route
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import EXPORT_TO_ANNOTATION, service_host

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from aeraki_core.sources.istiod import config_pb2

__all__ = ["KINDS", "TYPES", "decode"]

_GROUP = "networking.istio.io"
KINDS = ("ServiceEntry", "VirtualService", "DestinationRule", "Sidecar")
TYPES: tuple[str, ...] = tuple(
    f"{_GROUP}/{version}/{kind}" for kind in KINDS for version in ("v1", "v1alpha3")
)
"""Both versions: istiods serve v1 since 1.24 and v1alpha3 before, and answer with an empty list to
the other."""

_SYNTHETIC = "synthetic-"
_UNSPECIFIED = ("0.0.0.0", "::")


def decode(kind: str, data: bytes, domain: str) -> SourceObject:
    """Decode a resource as an object; with a problem if only its name can be read.

    Raises:
        ValueError: not even the name can be read.
    """
    from aeraki_core.sources.istiod import config_pb2

    try:
        envelope = config_pb2.Resource.FromString(data)
    except DecodeError as error:
        raise ValueError(f"not a {kind}: {error}") from error
    namespace, slash, name = envelope.metadata.name.partition("/")
    if not slash or not name:
        raise ValueError(f"a {kind} without a name: {envelope.metadata.name!r}")
    # No name in Kubernetes has a tilde, as those have that istiod makes up.
    metadata: dict[str, Any] = {"name": name.replace("~", "."), "namespace": namespace}
    problem = None
    spec: dict[str, Any] = {}
    try:
        metadata |= _metadata(envelope.metadata)
        body: Message = getattr(config_pb2, kind).FromString(envelope.body.value)
        if isinstance(body, config_pb2.ServiceEntry):
            service = _service(metadata, body, domain)
            if service is not None:
                return service
        spec = json_format.MessageToDict(body)
    except (DecodeError, ValueError, json_format.Error) as error:
        problem = f"istiod's form of it cannot be read: {error}"
    if kind == "VirtualService":
        _restore_weights(spec)
    made = _object(f"{_GROUP}/v1", kind, metadata, spec, problem)
    if is_made_of_route(made.ref):
        spec.pop("http", None)  # of an HTTPRoute or GRPCRoute, which is for HTTP ports
    return made


def _metadata(sent: config_pb2.Metadata) -> dict[str, Any]:
    """Return everything but the name."""
    metadata: dict[str, Any] = {}
    if sent.HasField("create_time"):
        metadata["creationTimestamp"] = sent.create_time.ToJsonString()
    if sent.labels:
        metadata["labels"] = dict(sent.labels)
    if sent.annotations:
        metadata["annotations"] = dict(sent.annotations)
    return metadata


def _object(
    api_version: str,
    kind: str,
    metadata: dict[str, Any],
    spec: dict[str, Any],
    problem: str | None = None,
) -> SourceObject:
    content = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
    ref = ObjectRef(kind, metadata["namespace"], metadata["name"])
    return SourceObject(ref, api_version, content, problem=problem)


def _service(
    metadata: Mapping[str, Any], entry: config_pb2.ServiceEntry, domain: str
) -> SourceObject | None:
    """Return the Kubernetes Service behind a synthetic ServiceEntry; None for a real one.

    Most objects are these, so they are not converted through a dictionary of all fields.
    """
    name, namespace = metadata["name"].removeprefix(_SYNTHETIC), metadata["namespace"]
    if name == metadata["name"] or list(entry.hosts) != [service_host(name, namespace, domain)]:
        return None
    # Sorted, for istiod sends them in another order each time.
    addresses = sorted(address for address in entry.addresses if address not in _UNSPECIFIED)
    spec: dict[str, Any] = {
        "clusterIP": addresses[0] if addresses else "None",
        "clusterIPs": addresses or ["None"],
        "ports": [_port(port) for port in entry.ports],
        "selector": dict(entry.workload_selector.labels),
    }
    kept = {key: value for key, value in metadata.items() if key != "annotations"} | {"name": name}
    if entry.export_to:
        kept["annotations"] = {EXPORT_TO_ANNOTATION: ",".join(entry.export_to)}
    return _object("v1", "Service", kept, spec)


def _port(port: config_pb2.ServicePort) -> dict[str, Any]:
    # istiod sends the protocol that it detected (HTTP, TCP, ...); a Service's port has only the
    # transport.
    protocol = "UDP" if port.protocol == "UDP" else "TCP"
    return {"name": port.name, "port": port.number, "protocol": protocol}


def _restore_weights(spec: Mapping[str, Any]) -> None:
    """Add the weights of 0, which are not sent, where another destination has one."""
    for section in ("http", "tcp"):
        for entry in spec.get(section) or ():
            destinations = entry.get("route") or ()
            if any("weight" in destination for destination in destinations):
                for destination in destinations:
                    destination.setdefault("weight", 0)
