"""Which filters of upstream Aeraki are superseded by ours. Pure.

Upstream names its filters ``aeraki-outbound-<host>-<vip>-<port>`` and
``aeraki-inbound-<host>-<port>``, in older releases without the port. Both replace tcp_proxy, and
upstream's do it first, because its priority is 0: while both are live, ours match nothing. So ours
are written before upstream's are deleted, and no connection sees a listener without either.

A filter that enforces an authorization policy of upstream's is never superseded: ours lets calls
pass that it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aeraki_core.filters.envoyfilter import FilterKey, ServicePort

__all__ = ["UPSTREAM_LABEL", "UPSTREAM_MANAGER", "enforces_policy", "superseded"]

UPSTREAM_LABEL = "manager"
UPSTREAM_MANAGER = "Aeraki"
_PREFIXES = ("aeraki-outbound-", "aeraki-inbound-")


def enforces_policy(content: Mapping[str, Any]) -> bool:
    """Report whether a filter of upstream's refuses calls by rules.

    Upstream puts an RBAC filter into its proxy filter for that. Whatever names one counts: to leave
    a filter is safe, to take one away may not be.
    """
    try:
        return "rbac" in json.dumps(content.get("spec")).lower()
    except (RecursionError, ValueError):
        return True  # nested too deep to be looked at


def superseded(upstream: Iterable[FilterKey], live: Iterable[ServicePort]) -> list[FilterKey]:
    """Return upstream's filters whose service port has one of ours, sorted."""
    service_ports = set(live)
    hosts = {service_port.host for service_port in service_ports}
    return sorted(
        key
        for key in upstream
        if any(_is_ours(host, port, service_ports, hosts) for host, port in _readings(key.name))
    )


def _is_ours(host: str, port: int | None, service_ports: set[ServicePort], hosts: set[str]) -> bool:
    return host in hosts if port is None else ServicePort(host, port) in service_ports


def _readings(name: str) -> Iterator[tuple[str, int | None]]:
    """Hosts and ports that the name may stand for: a host can have dashes, so there are several."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            yield rest, None
            head, _, port = rest.rpartition("-")
            if port.isdecimal():
                yield head, int(port)
                yield head.rpartition("-")[0], int(port)
