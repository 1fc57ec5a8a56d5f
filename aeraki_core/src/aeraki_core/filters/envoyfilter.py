"""The EnvoyFilter as a frozen value, and its form as a Kubernetes object.

arrange.py assembles the patches; a sink writes the dictionaries, and reads live filters back.
Values stay messages until :func:`to_dict`; equality is that of their deterministic bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from google.protobuf import json_format
from google.protobuf.message import Message

from aeraki_core.errors import UnserialisableError
from aeraki_core.filters.names import label_value
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.filters.patch import ApplyTo, FrozenMessage

__all__ = [
    "INSTANCE_LABEL",
    "MANAGED_BY",
    "MANAGER",
    "NAMESPACES_ANNOTATION",
    "NAMESPACE_LABEL",
    "PLUGIN_LABEL",
    "SERVICES_ANNOTATION",
    "SERVICE_LABEL",
    "ConfigPatch",
    "EnvoyFilter",
    "FilterKey",
    "Match",
    "ServicePort",
    "from_dict",
    "is_ours",
    "metadata_of",
    "named_instance",
    "parse_namespaces",
    "to_dict",
]

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "aeraki"
PLUGIN_LABEL = "aeraki.io/plugin"
SERVICE_LABEL = "aeraki.io/service"
SERVICES_ANNOTATION = "aeraki.io/services"
NAMESPACE_LABEL = "aeraki.io/namespace"
NAMESPACES_ANNOTATION = "aeraki.io/namespaces"
INSTANCE_LABEL = "aeraki.io/instance"


class FilterKey(NamedTuple):
    """Names one object that Aeraki writes: an EnvoyFilter, or a companion of one."""

    namespace: str
    name: str
    kind: OutputKind = OutputKind.ENVOY_FILTER

    @property
    def place(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.place}" if self.kind.is_named else self.place


class ServicePort(NamedTuple):
    """A service port that a filter is for."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Match(NamedTuple):
    """What a patch applies to. Empty fields ask nothing.

    For listeners: ``listener`` its name, ``chain`` the filter chain's, ``destination_port`` the
    chain's (inbound),
    ``filter`` the network
    filter's. For clusters: ``cluster`` its whole name, or ``service``, ``port`` and ``subset``.
    """

    listener: str = ""
    chain: str = ""
    destination_port: int = 0
    filter: str = ""
    cluster: str = ""
    service: str = ""
    port: int = 0
    subset: str = ""


@dataclass(frozen=True, slots=True)
class ConfigPatch:
    """One entry of ``configPatches``. ``value`` None for REMOVE."""

    apply_to: ApplyTo
    context: str
    match: Match
    operation: str
    value: FrozenMessage | None
    plugin: str = field(default="", compare=False)
    """The plugin whose add-on made it; empty for the protocol's own, and for what was read back."""


@dataclass(frozen=True, slots=True)
class EnvoyFilter:
    """One EnvoyFilter of ours.

    ``selector`` empty: all workloads of its scope. ``service_ports``: the service ports that it is
    for.

    ``namespaces``: those of the services' objects; empty when an older version wrote it.
    ``instance``: the controller that it belongs to, where several share a cluster.
    """

    key: FilterKey
    plugin: str
    service_ports: tuple[ServicePort, ...]
    selector: tuple[tuple[str, str], ...]
    priority: int
    patches: tuple[ConfigPatch, ...]
    namespaces: tuple[str, ...] = ()
    instance: str = ""
    companions: tuple[FilterKey, ...] = field(default=(), compare=False)
    """What its patches name and must be there first; empty for what was read back."""

    @property
    def is_outbound(self) -> bool:
        """Whether it is for clients."""
        return any(patch.context == "SIDECAR_OUTBOUND" for patch in self.patches)


class _Labelled(Protocol):
    """What the labels and annotations of an output say."""

    @property
    def key(self) -> FilterKey: ...
    @property
    def plugin(self) -> str: ...
    @property
    def service_ports(self) -> tuple[ServicePort, ...]: ...
    @property
    def namespaces(self) -> tuple[str, ...]: ...
    @property
    def instance(self) -> str: ...


def metadata_of(item: _Labelled) -> dict[str, Any]:
    """The metadata of an output.

    One of several hosts has no :data:`SERVICE_LABEL`, one for services of several namespaces
    :data:`NAMESPACES_ANNOTATION` in place of :data:`NAMESPACE_LABEL`.
    """
    hosts = {service_port.host for service_port in item.service_ports}
    labels = {MANAGED_BY: MANAGER, PLUGIN_LABEL: item.plugin}
    annotations = {
        SERVICES_ANNOTATION: ",".join(str(service_port) for service_port in item.service_ports)
    }
    if len(hosts) == 1:
        labels[SERVICE_LABEL] = label_value(hosts.pop())
    if len(item.namespaces) == 1:
        labels[NAMESPACE_LABEL] = item.namespaces[0]
    elif item.namespaces:
        annotations[NAMESPACES_ANNOTATION] = ",".join(item.namespaces)
    if item.instance:
        labels[INSTANCE_LABEL] = item.instance
    return {
        "name": item.key.name,
        "namespace": item.key.namespace,
        "labels": labels,
        "annotations": annotations,
    }


def to_dict(item: EnvoyFilter) -> dict[str, Any]:
    """The filter as a Kubernetes object.

    Raises:
        UnserialisableError: a value has no JSON form.
    """
    spec: dict[str, Any] = {}
    if item.selector:
        spec["workloadSelector"] = {"labels": dict(item.selector)}
    spec["priority"] = item.priority
    spec["configPatches"] = [_patch_dict(patch) for patch in item.patches]
    return {
        "apiVersion": item.key.kind.api_version,
        "kind": str(item.key.kind),
        "metadata": metadata_of(item),
        "spec": spec,
    }


def _patch_dict(patch: ConfigPatch) -> dict[str, Any]:
    body: dict[str, Any] = {"operation": patch.operation}
    if patch.value is not None:
        try:
            value = json_format.MessageToDict(
                patch.value.message(), preserving_proto_field_name=True
            )
        except (json_format.Error, KeyError, TypeError, ValueError) as error:
            # Protobuf accepts values that have no JSON form, such as a duration of 20,000 years.
            name = patch.match.filter or patch.match.cluster or patch.match.service
            where = f"{patch.apply_to} {patch.operation} {name}".strip()
            raise UnserialisableError(f"the value of {where} has no JSON form: {error}") from error
        body["value"] = _plain(value)
    return {"applyTo": str(patch.apply_to), "match": _match_dict(patch), "patch": body}


def _plain(value: Any) -> Any:
    """Only dict and list: protobuf gives an OrderedDict for an Any, which YAML writers refuse."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _match_dict(patch: ConfigPatch) -> dict[str, Any]:
    match = patch.match
    content: dict[str, Any] = {"context": patch.context}
    if patch.apply_to is ApplyTo.CLUSTER:
        cluster = {
            "name": match.cluster,
            "service": match.service,
            "portNumber": match.port,
            "subset": match.subset,
        }
        if cluster_match := {key: value for key, value in cluster.items() if value}:
            content["cluster"] = cluster_match
        return content
    chain: dict[str, Any] = {"name": match.chain, "destinationPort": match.destination_port}
    if match.filter:
        chain["filter"] = {"name": match.filter}
    chain = {key: value for key, value in chain.items() if value}
    listener: dict[str, Any] = {"name": match.listener, "filterChain": chain}
    if listener := {key: value for key, value in listener.items() if value}:
        content["listener"] = listener
    return content


def is_ours(content: Mapping[str, Any], instance: str = "") -> bool:
    """Whether the object's labels say that we manage it, and not another ``instance``.

    One that names none is anybody's of ours.
    """
    labels = (content.get("metadata") or {}).get("labels") or {}
    return bool(labels.get(MANAGED_BY) == MANAGER) and (labels.get(INSTANCE_LABEL) or "") in (
        "",
        instance,
    )


def named_instance(content: Mapping[str, Any]) -> str | None:
    """The instance of Aeraki that the object's labels name; None when they name none, or not us."""
    labels = (content.get("metadata") or {}).get("labels") or {}
    return (
        str(labels.get(INSTANCE_LABEL) or "") or None if labels.get(MANAGED_BY) == MANAGER else None
    )


def from_dict(content: Mapping[str, Any]) -> EnvoyFilter:
    """One of our filters, read back from a sink.

    Raises:
        ValueError: it is not of the form that :func:`to_dict` writes, or holds a type whose plugin
        is not installed.
    """
    try:
        metadata, spec = content["metadata"], content["spec"]
        service_ports = metadata.get("annotations", {}).get(SERVICES_ANNOTATION, "")
        return EnvoyFilter(
            key=FilterKey(metadata["namespace"], metadata["name"]),
            plugin=metadata["labels"][PLUGIN_LABEL],
            service_ports=parse_service_ports(service_ports),
            selector=tuple(
                sorted(((spec.get("workloadSelector") or {}).get("labels") or {}).items())
            ),
            priority=int(spec.get("priority") or 0),
            patches=tuple(_parse_patch(patch) for patch in spec["configPatches"]),
            namespaces=parse_namespaces(metadata),
            instance=metadata["labels"].get(INSTANCE_LABEL) or "",
        )
    except (KeyError, TypeError, AttributeError, json_format.ParseError) as error:
        raise ValueError(f"not an EnvoyFilter as Aeraki writes them: {error}") from error


def parse_service_ports(text: str) -> tuple[ServicePort, ...]:
    """The service ports that :data:`SERVICES_ANNOTATION` names."""
    pairs = (part.rpartition(":") for part in text.split(",") if part)
    return tuple(ServicePort(host, int(port)) for host, _, port in pairs)


def parse_namespaces(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The namespaces that a filter's label or annotation names; empty when neither does."""
    listed = str((metadata.get("annotations") or {}).get(NAMESPACES_ANNOTATION) or "")
    alone = str((metadata.get("labels") or {}).get(NAMESPACE_LABEL) or "")
    return tuple(name for name in (listed.split(",") if listed else (alone,)) if name)


def _parse_patch(content: Mapping[str, Any]) -> ConfigPatch:
    apply_to = ApplyTo(content["applyTo"])
    match = content.get("match") or {}
    listener = match.get("listener") or {}
    chain = listener.get("filterChain") or {}
    cluster = match.get("cluster") or {}
    body = content["patch"]
    value = body.get("value")
    return ConfigPatch(
        apply_to=apply_to,
        context=match["context"],
        match=Match(
            listener=listener.get("name", ""),
            chain=chain.get("name", ""),
            destination_port=int(chain.get("destinationPort") or 0),
            filter=(chain.get("filter") or {}).get("name", ""),
            cluster=cluster.get("name", ""),
            service=cluster.get("service", ""),
            port=int(cluster.get("portNumber") or 0),
            subset=cluster.get("subset", ""),
        ),
        operation=body["operation"],
        value=None
        if value is None
        else FrozenMessage.of(json_format.ParseDict(value, _empty(apply_to))),
    )


def _empty(apply_to: ApplyTo) -> Message:
    from envoy.config.cluster.v3.cluster_pb2 import Cluster
    from envoy.config.listener.v3.listener_components_pb2 import Filter
    from envoy.config.listener.v3.listener_pb2 import Listener

    types: dict[ApplyTo, type[Message]] = {
        ApplyTo.NETWORK_FILTER: Filter,
        ApplyTo.CLUSTER: Cluster,
        ApplyTo.LISTENER: Listener,
    }
    return types[apply_to]()
