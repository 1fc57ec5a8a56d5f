"""A service of the mesh: the common part of Kubernetes Services and Istio ServiceEntries.

Dictionaries of both kinds become one :class:`Service` for each host. Facts: Istio's ServiceEntry
reference, docs/internals/istio.md.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from sys import intern
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from aeraki_core.errors import Problem, RejectedError
from aeraki_core.model.meta import Age, Label, ObjectRef, is_dns_label
from aeraki_core.model.wire import Spec, check, text_map

__all__ = [
    "ExternalName",
    "Port",
    "Resolution",
    "Service",
    "ServiceId",
    "is_wildcard",
    "parse_external_name",
    "parse_service",
    "parse_service_entry",
    "service_host",
]

EXPORT_TO_ANNOTATION = "networking.istio.io/exportTo"
NO_AUTO_ALLOCATE_LABEL = "networking.istio.io/enable-autoallocate-ip"
MAX_PORTS = 4096
"""Of service ports, for each namespace that sees them, of one ServiceEntry.

Each may need a filter.
"""
# One for all: most services are exported everywhere.
_EVERYWHERE = frozenset({"*"})


class Resolution(StrEnum):
    """How Istio finds a service's endpoints."""

    CLUSTER_IP = "ClusterIP"
    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of a service. ``target_port`` is the workload's port, by number or by name."""

    number: int
    name: str
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str = 0

    @property
    def target(self) -> int | str:
        """The workload's port: ``target_port``, or the port's own number without one."""
        return self.target_port or self.number


class ServiceId(NamedTuple):
    """Identifies a service.

    A ServiceEntry can hold several hosts, and two objects can claim one host.
    """

    ref: ObjectRef
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One host of the mesh and its ports.

    ``addresses`` are virtual IPs and CIDRs as given (never ``None`` or 0.0.0.0), ``auto_addresses``
    those that istiod allocated. ``headless``: no virtual IP, one listener for each endpoint.
    ``selector`` is that of its workloads; empty without one. ``export_to`` holds namespaces, ``*``
    for all; ``.`` is resolved. Plugins ask for its annotations by name
    (``GenerateContext.option``), so that a change of an unused one has no effect.
    """

    ref: ObjectRef
    host: str
    ports: tuple[Port, ...]
    addresses: tuple[str, ...] = ()
    auto_addresses: tuple[str, ...] = ()
    remote_addresses: tuple[str, ...] = ()
    """Virtual IPs that the service has in other clusters of the mesh."""
    headless: bool = False
    dns_labels: tuple[frozenset[Label], ...] | None = None
    """The labels of each endpoint that is looked up by DNS: only their subsets have clusters.

    None: endpoints come and go, and clusters do not depend on them.
    """
    has_endpoints: bool = False
    """Whether it is a ServiceEntry with endpoints, whatever workloads it selects."""
    resolution: Resolution = Resolution.CLUSTER_IP
    selector: tuple[tuple[str, str], ...] = ()
    export_to: frozenset[str] = frozenset({"*"})
    age: Age = field(default_factory=lambda: Age("", "", ""))
    id: ServiceId = field(init=False, repr=False, compare=False)
    """Names it among all services."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", ServiceId(self.ref, self.host))

    @property
    def original_dst(self) -> bool:
        """Whether its clusters send each call to the address that the client dialled.

        No route can choose another one.
        """
        return self.headless or self.resolution is Resolution.NONE

    @property
    def namespace(self) -> str:
        """The namespace of its object."""
        return self.ref.namespace

    def port(self, number: int) -> Port | None:
        """The port of that number, or None; of one for TCP and one for UDP, that for TCP."""
        ports = [port for port in self.ports if port.number == number]
        return next((port for port in ports if port.protocol == "TCP"), ports[0] if ports else None)


def is_wildcard(host: str) -> bool:
    """Whether the host stands for many (``*.example.com``)."""
    return host.startswith("*")


def service_host(name: str, namespace: str, domain: str) -> str:
    """A Kubernetes Service's host in the mesh."""
    return f"{name}.{namespace}.svc.{domain}"


def _ip(value: str) -> str:
    """The address as it is written.

    Istiod names listeners by that text, whichever of an IPv6 address' forms it is.
    """
    try:
        socket.inet_pton(socket.AF_INET, value)  # most are; a tenth of the time
    except OSError:
        ipaddress.ip_address(value)
    return value


PortNumber = Annotated[int, Field(ge=1, le=65535, strict=True)]
"""A port as the API server takes it: a number, never text."""
_Text = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)
]


def _target_port(value: Any) -> Any:
    """A target port as the API server takes it: a number, or a name, which has a letter."""
    if isinstance(value, str) and value.isdigit():
        raise PydanticCustomError("int_parsing", "a number in quotes")
    return value


class _ServicePort(Spec):
    port: PortNumber
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: Annotated[PortNumber | str | None, BeforeValidator(_target_port)] = None


class _ServiceSpec(Spec):
    type: str = "ClusterIP"
    cluster_ip: str | None = Field(default=None, alias="clusterIP")
    cluster_ips: tuple[str, ...] | None = Field(default=None, alias="clusterIPs")
    ports: tuple[_ServicePort, ...] | None = ()
    selector: dict[str, _Text] | None = None

    @field_validator("cluster_ip")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return value if value in (None, "", "None") else _ip(value)

    @field_validator("cluster_ips")
    @classmethod
    def _addresses(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return value and tuple(item if item == "None" else _ip(item) for item in value)


class _EntryPort(Spec):
    number: PortNumber
    name: str = ""
    protocol: str = "TCP"
    target_port: PortNumber | None = None


class _EntrySelector(Spec):
    labels: dict[str, _Text] = Field(default_factory=dict)


class _EntrySpec(Spec):
    hosts: tuple[str, ...] = Field(min_length=1)
    addresses: tuple[str, ...] = ()
    ports: tuple[_EntryPort, ...] = ()
    resolution: Resolution = Resolution.NONE
    workload_selector: _EntrySelector | None = None
    export_to: tuple[str, ...] | None = None

    @field_validator("addresses")
    @classmethod
    def _cidrs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_address_or_range(item) for item in value)


def _address_or_range(item: str) -> str:
    """An address as it is written, a range in its one way of writing.

    A range of a single address is that address.
    """
    network = ipaddress.ip_network(item, strict=False)
    if "/" not in item:
        return item
    return str(network.network_address) if network.num_addresses == 1 else str(network)


class _EntryAddress(Spec):
    value: str = ""
    host: str | None = None


class _EntryStatus(Spec):
    addresses: tuple[_EntryAddress, ...] | None = ()


def resolve_export_to(
    values: tuple[str, ...] | None, namespace: str, field: str = "spec.exportTo"
) -> frozenset[str]:
    """Return ``exportTo`` with ``.`` resolved; absent or empty means everywhere, ``~`` nowhere.

    Raises:
        RejectedError: a value is not a namespace. It would become part of a path, of a request or a
        file.
    """
    names = {namespace if value == "." else value for value in values or ("*",)}
    wrong = sorted(name for name in names - {"*", "~"} if not is_dns_label(name))
    if wrong:
        message = f"{wrong[0]!r} is neither a namespace nor one of *, . and ~"
        raise RejectedError((Problem(field, message),))
    return _EVERYWHERE if "*" in names else frozenset(names - {"~"})


def _age(ref: ObjectRef, metadata: Mapping[str, Any], name: str) -> Age:
    return Age(intern(str(metadata.get("creationTimestamp") or "")), name, ref.namespace)


class ExternalName(NamedTuple):
    """A Service that is another name of a host: for DNS alone, so it has no listener.

    ``service``: its ports, as for any Service.
    """

    service: Service
    target: str


def parse_external_name(
    ref: ObjectRef, content: Mapping[str, Any], domain: str
) -> ExternalName | None:
    """A Kubernetes Service of type ExternalName; None for other types.

    Raises:
        RejectedError: a field does not fit.
    """
    spec = _mapping(content.get("spec"))
    if spec.get("type") != "ExternalName":
        return None
    plain = {**content, "spec": {**spec, "type": "ClusterIP"}}
    service = parse_service(ref, plain, domain)
    target = str(spec.get("externalName") or "").lower().removesuffix(".")
    return ExternalName(service, target) if service is not None else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _labels_of_endpoints(endpoints: Any) -> Iterator[frozenset[Label]]:
    """Yield the labels of each endpoint of a ServiceEntry, as far as they have Istio's form."""
    for endpoint in endpoints if isinstance(endpoints, list) else ():
        yield frozenset(text_map(_mapping(_mapping(endpoint).get("labels"))).items())


def parse_service(ref: ObjectRef, content: Mapping[str, Any], domain: str) -> Service | None:
    """A Kubernetes Service. None for an ExternalName, which has no listener of its own.

    Raises:
        RejectedError: a field does not fit.
    """
    spec = check(_ServiceSpec, content.get("spec"))
    metadata = content.get("metadata") or {}
    if spec.type == "ExternalName":
        return None
    cluster_ips = spec.cluster_ips or (spec.cluster_ip,)
    own, remote = _own_addresses(
        address for address in cluster_ips if address and address != "None"
    )
    annotations = text_map(metadata.get("annotations"))
    # A Kubernetes Service has no exportTo field; istiod reads this annotation.
    exported = annotations.get(EXPORT_TO_ANNOTATION)
    return Service(
        ref=ref,
        host=service_host(ref.name, ref.namespace, domain),
        ports=tuple(
            Port(
                number=port.port,
                name=intern(port.name),
                protocol=intern(port.protocol.upper()),
                app_protocol=port.app_protocol,
                target_port=port.target_port or port.port,
            )
            for port in spec.ports or ()
        ),
        addresses=own,
        remote_addresses=remote,
        headless="None" in cluster_ips,
        selector=tuple(sorted((spec.selector or {}).items())),
        export_to=resolve_export_to(
            tuple(part.strip() for part in exported.split(",") if part.strip())
            if exported
            else None,
            ref.namespace,
            f"metadata.annotations.{EXPORT_TO_ANNOTATION}",
        ),
        age=_age(ref, metadata, ref.name),
    )


def _own_addresses(addresses: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first address of each family, and the others.

    Kubernetes gives a Service one of each. Where there are more, istiod joined several clusters.
    """
    own: list[str] = []
    remote: list[str] = []
    for address in addresses:
        taken = any((":" in address) == (":" in other) for other in own)
        (remote if taken else own).append(address)
    return tuple(own), tuple(remote)


def parse_service_entry(ref: ObjectRef, content: Mapping[str, Any]) -> tuple[Service, ...]:
    """A ServiceEntry: one service for each of its hosts.

    Raises:
        RejectedError: a field does not fit.
    """
    spec = check(_EntrySpec, content.get("spec"))
    status = check(_EntryStatus, content.get("status"), "status")
    numbers = [port.number for port in spec.ports]
    if len(set(numbers)) != len(numbers):
        raise RejectedError((Problem("spec.ports", "a port number is given twice"),))
    export_to = resolve_export_to(spec.export_to, ref.namespace)
    # One object must not cost the controller more than a namespace full of Services would.
    size = len(spec.hosts) * len(numbers) * max(1, len(export_to))
    if size > MAX_PORTS:
        message = (
            f"hosts x ports x namespaces of exportTo are {size}, "
            f"more than {MAX_PORTS}; split the object"
        )
        raise RejectedError((Problem("spec", message),))
    metadata = content.get("metadata") or {}
    labels = text_map(metadata.get("labels"))
    # istiod gives an address only to an entry without its own, with endpoints that it knows.
    allocates = (
        not spec.addresses
        and spec.resolution is not Resolution.NONE
        and labels.get(NO_AUTO_ALLOCATE_LABEL) != "false"
    )
    allocated = (status.addresses or ()) if allocates else ()
    dns_labels: tuple[frozenset[Label], ...] | None = None
    endpoints = _mapping(content.get("spec")).get("endpoints")
    by_dns = spec.resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
    is_looked_up = by_dns and spec.workload_selector is None
    if is_looked_up:
        # Without endpoints the host is the only one.
        dns_labels = tuple(_labels_of_endpoints(endpoints))
    ports = tuple(
        Port(
            number=port.number,
            name=port.name,
            protocol=port.protocol.upper(),
            app_protocol=None,
            target_port=port.target_port or port.number,
        )
        for port in spec.ports
    )
    return tuple(
        Service(
            ref=ref,
            host=host,
            ports=ports,
            addresses=tuple(
                address for address in spec.addresses if not address.startswith("0.0.0.0")
            ),
            auto_addresses=()
            if is_wildcard(host)
            else tuple(
                item.value for item in allocated if item.value and item.host in (None, host)
            ),
            dns_labels=dns_labels,
            has_endpoints=is_looked_up or bool(endpoints),
            resolution=spec.resolution,
            selector=tuple(sorted(spec.workload_selector.labels.items()))
            if spec.workload_selector
            else (),
            export_to=export_to,
            # Created in one second, istiod sorts services by name, and an entry's is its host.
            age=_age(ref, metadata, host),
        )
        for host in dict.fromkeys(spec.hosts)
    )
