"""The endpoints of a Kubernetes Service, from its EndpointSlices.

Each dictionary becomes an :class:`EndpointSlice`; :class:`Endpoints` is the union of those of a
Service.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aeraki_core.errors import Problem, RejectedError
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.wire import Spec, check, text_map

__all__ = ["SERVICE_NAME_LABEL", "EndpointSlice", "Endpoints", "parse_endpoint_slice", "union"]

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
    ipaddress.ip_address(item)
    return item


def union(slices: Iterable[EndpointSlice]) -> Endpoints:
    """The endpoints of all slices of one service."""
    addresses: set[str] = set()
    ports: set[tuple[str, int]] = set()
    for item in slices:
        addresses.update(item.addresses)
        ports.update(item.ports)
    return Endpoints(tuple(sorted(addresses)), tuple(sorted(ports)))
