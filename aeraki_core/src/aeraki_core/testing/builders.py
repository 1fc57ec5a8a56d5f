"""Short builders of the objects that a plugin's tests need, as Kubernetes dictionaries.

    service("demo", {"tcp-echo": 7000}, selector={"app": "demo"})

The dictionaries are as ``kubectl get -o json`` gives them, without defaults. Any other field of an
object's spec is given by its own name: ``virtual_service("demo", ["demo"], http=[...])``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aeraki_core.errors import UnreadableError
from aeraki_core.manifests.read import decode, load_all, split
from aeraki_core.manifests.write import render_objects
from aeraki_core.model.resource import Kind

__all__ = [
    "destination_rule",
    "endpoint_slice",
    "objects_in",
    "resource",
    "secret",
    "service",
    "service_entry",
    "to_yaml",
    "virtual_service",
]

Ports = Mapping[str, int | tuple[int, int | str]]
_ISTIO = "networking.istio.io/v1"


def _object(
    api_version: str, kind: str, name: str, namespace: str, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    fields = {key: value for key, value in metadata.items() if value is not None}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **fields},
    }


def service(
    name: str,
    ports: Ports,
    *,
    namespace: str = "default",
    cluster_ip: str = "10.96.0.10",
    selector: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    created: str | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Build a Service.

    ``ports``: by name the number, or (number, targetPort).
    ``cluster_ip``: "None" makes it headless.
    """
    listed = []
    for port_name, number in ports.items():
        target = None
        if isinstance(number, tuple):
            number, target = number
        port: dict[str, Any] = {"name": port_name, "port": number}
        if target is not None:
            port["targetPort"] = target
        listed.append(port)
    metadata = {"annotations": annotations, "labels": labels, "creationTimestamp": created}
    content = _object("v1", "Service", name, namespace, metadata)
    content["spec"] = {"clusterIP": cluster_ip, "ports": listed, **spec}
    if selector:
        content["spec"]["selector"] = dict(selector)
    return content


def endpoint_slice(
    service_name: str,
    addresses: Iterable[str],
    ports: Mapping[str, int],
    *,
    namespace: str = "default",
) -> dict[str, Any]:
    """Build an EndpointSlice. ``ports``: the workload's port by the Service's port name."""
    labels = {"kubernetes.io/service-name": service_name}
    kind = "EndpointSlice"
    content = _object(
        "discovery.k8s.io/v1", kind, f"{service_name}-1", namespace, {"labels": labels}
    )
    content["addressType"] = "IPv4"
    content["endpoints"] = [{"addresses": [address]} for address in addresses]
    content["ports"] = [{"name": name, "port": number} for name, number in ports.items()]
    return content


def service_entry(
    name: str,
    hosts: Iterable[str],
    ports: Mapping[str, int],
    *,
    namespace: str = "default",
    resolution: str = "DNS",
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    created: str | None = None,
    auto_addresses: Iterable[str] = (),
    **spec: Any,
) -> dict[str, Any]:
    """Build a ServiceEntry.

    ``ports``: numbers by name, of protocol TCP.
    ``auto_addresses``: what istiod allocated, in its status.
    """
    metadata = {"annotations": annotations, "labels": labels, "creationTimestamp": created}
    content = _object(_ISTIO, "ServiceEntry", name, namespace, metadata)
    content["spec"] = {
        "hosts": list(hosts),
        "ports": [
            {"name": port, "number": number, "protocol": "TCP"} for port, number in ports.items()
        ],
        "resolution": resolution,
        **spec,
    }
    if allocated := [{"value": address} for address in auto_addresses]:
        content["status"] = {"addresses": allocated}
    return content


def virtual_service(
    name: str,
    hosts: Iterable[str],
    *,
    namespace: str = "default",
    created: str | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Build a VirtualService; its routes as ``http=[...]`` or ``tcp=[...]``."""
    content = _object(_ISTIO, "VirtualService", name, namespace, {"creationTimestamp": created})
    content["spec"] = {"hosts": list(hosts), **spec}
    return content


def destination_rule(
    name: str,
    host: str,
    subsets: Mapping[str, Mapping[str, str]] | None = None,
    *,
    namespace: str = "default",
    **spec: Any,
) -> dict[str, Any]:
    """Build a DestinationRule. ``subsets``: labels by subset name."""
    content = _object(_ISTIO, "DestinationRule", name, namespace, {})
    content["spec"] = {"host": host, **spec}
    if subsets:
        content["spec"]["subsets"] = [
            {"name": subset, "labels": dict(labels)} for subset, labels in subsets.items()
        ]
    return content


def secret(name: str, data: Mapping[str, str], *, namespace: str = "default") -> dict[str, Any]:
    """Build a Secret of plain texts."""
    content = _object("v1", "Secret", name, namespace, {})
    content["stringData"] = dict(data)
    return content


def resource(
    kind: Kind[Any], name: str, *, namespace: str = "default", **spec: Any
) -> dict[str, Any]:
    """Build an object of a plugin's kind."""
    content = _object(kind.api_version, kind.kind, name, namespace, {})
    content["spec"] = spec
    return content


def objects_in(text: str) -> list[dict[str, Any]]:
    """Return the objects in a YAML or JSON text: of several documents, and of Lists.

    Raises:
        ValueError: it is not YAML, or a document is no object.
    """
    objects: list[dict[str, Any]] = []
    for piece in split(decode(text.encode())):
        try:
            documents = [value for _, value in load_all(piece)]
        except UnreadableError as error:
            raise ValueError(f"not YAML: line {error.line}: {error}") from error
        for document in documents:
            if not isinstance(document, dict):
                raise ValueError(f"not a Kubernetes object: {document!r}")
            is_list = str(document.get("kind", "")).endswith("List") and "items" in document
            objects += document["items"] or () if is_list else (document,)
    return objects


def to_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return the objects as ``aeraki generate`` prints filters, in this order; empty for none."""
    return render_objects(objects)
