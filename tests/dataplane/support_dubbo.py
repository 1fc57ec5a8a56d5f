"""The Dubbo service of the tests: `greeter`, with subsets v1, v2 and v3 before small servers.

Tests give the ``http`` section of its VirtualService and the plugin's options. They get the address
for clients, with a client's sidecar running.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aeraki_core.model.mesh import Mesh as Settings
from aeraki_core.model.mesh import parse_proxy_rule

from tests.dataplane.support import Mesh
from tests.dataplane.support_routes import Server, routed_service
from tests.peers.dubbo import DubboServer
from tests.peers.processes import Address

DUBBO_PROXY = "dubbo_proxy"
GENERIC_PROXY = "generic_proxy"

# The proxies of these tests have both filters; which one is used the option says.
PROXIES = Settings(proxy_rules=(parse_proxy_rule("envoy.filters.network.generic_proxy"),))

NO_ROUTE = {DUBBO_PROXY: 60, GENERIC_PROXY: 80}
NO_SERVER = 80

# What Envoy complains about although nothing is wrong.
KNOWN_WARNINGS = (
    "marked as work-in-progress",
    "dubbo: it's empty data",  # the end of a connection
    "headers not match",  # every call that a route's headers do not match
    "dubbo response status:",  # every answer that is an error
)

PORTS = {"tcp-dubbo": 20880}


def options(engine: str = DUBBO_PROXY, **given: str) -> dict[str, str]:
    """The annotations of those options; ``_`` stands for ``-``."""
    return {
        f"dubbo.aeraki.io/{name.replace('_', '-')}": value
        for name, value in {"engine": engine, **given}.items()
    }


def run_greeter(
    mesh: Mesh, servers: Sequence[Server], http: str = "", engine: str = DUBBO_PROXY, **given: str
) -> Address:
    """Add the service and run a client's sidecar."""
    at = routed_service(mesh, "greeter", PORTS, servers, http, annotations=options(engine, **given))
    mesh.client(mesh=PROXIES)
    return at


@contextmanager
def greeters() -> Iterator[tuple[DubboServer, DubboServer, DubboServer]]:
    """The servers v1, v2 and v3."""
    with DubboServer("v1") as one, DubboServer("v2") as two, DubboServer("v3") as three:
        yield one, two, three
