"""The endpoints of a Kubernetes Service, from its EndpointSlices.

Each dictionary becomes an :class:`EndpointSlice`; :class:`Endpoints` is the union of those of a
Service.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aeraki_core.errors import Problem, RejectedError
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.wire import Spec, check, text_map

__all__ = [
    "SERVICE_NAME_LABEL",
    "EndpointSlice",
    "Endpoints",
    "PortEndpoints",
    "ReadyEndpoint",
    "ReadySlice",
    "parse_endpoint_slice",
    "parse_ready_slice",
    "union",
]

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class _Endpoint(Spec):
    addresses: tuple[str, ...] = ()


class _EndpointPort(Spec):
    name: str | None = None
    port: int | None = None


class _Slice(Spec):
    address_type: str = "IPv4"
    endpoints: tuple[_Endpoint, ...] | None = ()
    ports: tuple[_EndpointPort, ...] | None = ()


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """One slice: its service, the workloads' addresses, and pairs of port name and number."""

    ref: ObjectRef
    service: str
    addresses: tuple[str, ...]
    ports: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """All endpoints of a service.

    Sorted addresses, and the workload's port numbers for each service port name.
    """

    addresses: tuple[str, ...] = ()
    ports: tuple[tuple[str, int], ...] = ()

    def target_ports(self, port_name: str) -> tuple[int, ...]:
        """The numbers that a named target port has; pods may differ."""
        return tuple(number for name, number in self.ports if name == port_name)

    def of_port(self, port_name: str) -> tuple[str, ...]:
        """The addresses, if the slices have that port."""
        return self.addresses if self.target_ports(port_name) else ()


class PortEndpoints(NamedTuple):
    """The endpoints of a port, which the services of one host and namespace share.

    ``pods``: the addresses behind a Kubernetes Service. ``of_entries``: ServiceEntries have some.
    """

    pods: tuple[str, ...] = ()
    of_entries: bool = False


def parse_endpoint_slice(ref: ObjectRef, content: Mapping[str, Any]) -> EndpointSlice:
    """An EndpointSlice.

    Readiness is left out: istiod makes listeners of a headless service for all but terminated pods.

    Raises:
        RejectedError: a field does not fit.
    """
    value = check(_Slice, content, "")
    labels = text_map((content.get("metadata") or {}).get("labels"))
    try:
        addresses = (
            ()
            if value.address_type == "FQDN"
            else tuple(
                _address(item) for point in value.endpoints or () for item in point.addresses
            )
        )
    except ValueError as error:
        raise RejectedError((Problem("endpoints", str(error)),)) from None
    ports = tuple((port.name or "", port.port) for port in value.ports or () if port.port)
    return EndpointSlice(ref, labels.get(SERVICE_NAME_LABEL, ""), addresses, ports)


def _address(item: str) -> str:
    """The address as it is written, as istiod names listeners by it."""
    try:
        socket.inet_pton(socket.AF_INET, item)  # a tenth of the cost
    except (OSError, ValueError):
        ipaddress.ip_address(item)
    return item


class _Conditions(Spec):
    ready: bool | None = None


class _Target(Spec):
    kind: str = ""
    name: str = ""


class _ReadyEndpoint(Spec):
    addresses: tuple[str, ...] = ()
    conditions: _Conditions | None = None
    target_ref: _Target | None = None


class _ReadySlice(Spec):
    address_type: str = "IPv4"
    endpoints: tuple[_ReadyEndpoint, ...] | None = ()
    ports: tuple[_EndpointPort, ...] | None = ()


@dataclass(frozen=True, slots=True, order=True)
class ReadyEndpoint:
    """One endpoint that takes calls.

    - address: its first address
    - pod: the name of its pod, in the service's namespace; empty when it is none
    - ports: pairs of port name and number
    """

    address: str
    pod: str
    ports: tuple[tuple[str, int], ...]

    def port(self, name: str) -> int | None:
        """The number of a service's port by its name, or None."""
        return dict(self.ports).get(name)


@dataclass(frozen=True, slots=True)
class ReadySlice:
    """The endpoints of one slice that take calls, as istiod reads them, and their service."""

    ref: ObjectRef
    service: str
    endpoints: tuple[ReadyEndpoint, ...]


def parse_ready_slice(ref: ObjectRef, content: Mapping[str, Any]) -> ReadySlice:
    """An EndpointSlice without endpoints that are not ready. Unknown counts as ready.

    Raises:
        RejectedError: a field does not fit.
    """
    value = check(_ReadySlice, content, "")
    labels = text_map((content.get("metadata") or {}).get("labels"))
    ports = tuple((port.name or "", port.port) for port in value.ports or () if port.port)
    endpoints = () if value.address_type == "FQDN" else value.endpoints or ()
    return ReadySlice(
        ref=ref,
        service=labels.get(SERVICE_NAME_LABEL, ""),
        endpoints=tuple(
            ReadyEndpoint(endpoint.addresses[0], _pod_of(endpoint.target_ref), ports)
            for endpoint in endpoints
            if endpoint.addresses and _is_ready(endpoint.conditions)
        ),
    )


def _is_ready(conditions: _Conditions | None) -> bool:
    return conditions is None or conditions.ready is not False


def _pod_of(target: _Target | None) -> str:
    return target.name if target is not None and target.kind == "Pod" else ""


def union(slices: Iterable[EndpointSlice]) -> Endpoints:
    """The endpoints of all slices of one service."""
    addresses: set[str] = set()
    ports: set[tuple[str, int]] = set()
    for item in slices:
        addresses.update(item.addresses)
        ports.update(item.ports)
    return Endpoints(tuple(sorted(addresses)), tuple(sorted(ports)))
