"""The Thrift service of the tests: `ledger`, with subsets v1, v2 and v3 before small servers.

Tests give the ``http`` section of its VirtualService and the plugin's options. They get the address
for clients, with a client's sidecar running.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.dataplane.support import Mesh
from tests.dataplane.support_routes import Server, routed_service
from tests.peers.processes import Address
from tests.peers.thrift import FRAMED_BINARY, Flavour, ThriftServer

PORTS = {"tcp-thrift": 9090}


def options(**given: str) -> dict[str, str]:
    """The annotations of those options; ``_`` stands for ``-``."""
    return {f"thrift.aeraki.io/{name.replace('_', '-')}": value for name, value in given.items()}


def run_ledger(mesh: Mesh, servers: Sequence[Server], http: str = "", **given: str) -> Address:
    """Add the service and run a client's sidecar."""
    at = routed_service(mesh, "ledger", PORTS, servers, http, annotations=options(**given))
    mesh.client()
    return at


@contextmanager
def ledgers(
    flavour: Flavour = FRAMED_BINARY, services: Sequence[str] = ()
) -> Iterator[tuple[ThriftServer, ThriftServer, ThriftServer]]:
    """The servers v1, v2 and v3."""
    with (
        ThriftServer("v1", flavour, services=services) as one,
        ThriftServer("v2", flavour, services=services) as two,
        ThriftServer("v3", flavour, services=services) as three,
    ):
        yield one, two, three
