"""A service with subsets, each before a server of its own, and a VirtualService with routes.

    at = routed_service(mesh, "greeter", {"tcp-dubbo": 20880}, servers, http='''...''')

A server's name is its subset; the subset NOBODY has none. ``http`` is that section of a
VirtualService as YAML. The result is the address for clients, once a sidecar runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from textwrap import dedent, indent
from typing import Any, Protocol

from aeraki_core.testing import destination_rule, objects_in

from tests.dataplane.support import Mesh, Ports
from tests.peers.processes import Address

NOBODY = "v9"


class Server(Protocol):
    """What every server of tests/peers is."""

    name: str

    @property
    def address(self) -> Address: ...


def routed_service(
    mesh: Mesh, name: str, ports: Ports, servers: Sequence[Server], http: str = "", **fields: Any
) -> Address:
    """Add the service, its DestinationRule and, with ``http``, its VirtualService.

    ``fields`` are those of the Service.
    """
    at = mesh.service(name, ports, *(server.address for server in servers), **fields)
    subsets = {subset: {"version": subset} for subset in (*(each.name for each in servers), NOBODY)}
    mesh.add(destination_rule(name, name, subsets))
    for number in ports.values():
        port = number if isinstance(number, int) else number[0]
        for server in servers:
            mesh.lead(name, port, server.address, subset=server.name)
    if http:
        mesh.add(virtual_service(name, http))
    return at


def virtual_service(name: str, http: str, section: str = "http") -> str:
    """A VirtualService of the service of that name, as YAML."""
    head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
    meta = f"metadata: {{name: {name}, namespace: default}}\n"
    return (
        f"{head}{meta}spec:\n"
        f"  hosts: [{name}]\n"
        f"  {section}:\n"
        f"{indent(dedent(http).strip(), '  ')}\n"
    )


def with_routes(
    objects: Iterable[Mapping[str, Any]], name: str, http: str
) -> list[Mapping[str, Any]]:
    """The objects with other routes in the VirtualService of that name."""
    kept = [
        item
        for item in objects
        if (item["kind"], item["metadata"]["name"]) != ("VirtualService", name)
    ]
    return [*kept, *objects_in(virtual_service(name, http))]


def assert_share(count: int, calls: int, share: float) -> None:
    """Check that ``count`` of the calls is that share, within five standard deviations.

    This is wrong once in a million.
    """
    deviation = math.sqrt(calls * share * (1 - share))
    assert abs(count - calls * share) <= 5 * deviation, (
        f"{count} of {calls} calls, {share:.0%} were expected"
    )
