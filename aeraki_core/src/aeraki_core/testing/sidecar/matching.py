"""Whether istiod applies a patch of an EnvoyFilter to a proxy, listener, chain or cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aeraki_core.testing.sidecar.filters import FilterPatch
from aeraki_core.testing.sidecar.proxy import Proxy

__all__ = ["chain_matches", "cluster_matches", "listener_matches", "proxy_matches"]

_VIRTUAL = frozenset({"virtualInbound", "virtualOutbound"})


def proxy_matches(patch: FilterPatch, proxy: Proxy) -> str | None:
    """Return why ``match.proxy`` is not for the proxy; None if it is."""
    if patch.version:
        import re2

        if re2.search(patch.version, proxy.istio_version) is None:
            return f"its proxyVersion is not {proxy.istio_version}"
    for key, value in patch.metadata.items():
        if proxy.metadata.get(key) != value:
            return f"it asks for proxies with metadata {key}"
    return None


def listener_matches(listener: Any, patch: FilterPatch) -> bool:
    """By name and port; in the virtual listeners a port is that of a chain, and asked there."""
    match = patch.listener
    if match.name and match.name != listener.name:
        return False
    if patch.apply_to != "LISTENER" and listener.name in _VIRTUAL:
        return True
    return not match.port or listener.address.socket_address.port_value == match.port


def chain_matches(listener: Any, chain: Any, patch: FilterPatch) -> bool:
    """By the chain's name and what it matches on itself; the listener has been matched before."""
    match, own = patch.listener, chain.filter_chain_match
    port = own.destination_port.value
    if listener.name in _VIRTUAL and match.port and port != match.port:
        return False
    return (
        match.chain in ("", chain.name)
        and (not match.sni or match.sni in own.server_names)
        and match.transport in ("", own.transport_protocol)
        and all(item in own.application_protocols for item in match.protocols)
        and match.destination_port in (0, port)
    )


def cluster_matches(cluster: Any, patch: FilterPatch, hosts: Mapping[str, tuple[str, ...]]) -> bool:
    """Match by the whole name, or by its parts: ``<direction>|<port>|<subset>|<host>``.

    ``hosts``: an inbound cluster's services, since its name has none.
    """
    match = patch.cluster
    if match.name:
        return bool(match.name == cluster.name)
    parts = cluster.name.split("|")
    port, subset, host = (parts[1], parts[2], parts[3]) if len(parts) == 4 else ("", "", "")
    named = hosts.get(cluster.name, (host,)) if parts[0] == "inbound" else (host,)
    return (
        match.subset in ("", subset)
        and (not match.service or match.service in named)
        and (not match.port or port == str(match.port))
    )
