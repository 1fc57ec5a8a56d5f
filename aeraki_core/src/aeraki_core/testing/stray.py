"""What EnvoyFilters changed in a sidecar that they were not meant for.

In: what :func:`~aeraki_core.testing.generating.generate` made. Out: one line for each listener, chain or cluster that
differs although it belongs to no service port that a plugin took.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aeraki_core.model.listeners import outbound_listeners
from aeraki_core.testing.generating import Made
from aeraki_core.testing.sidecar.chains import PASSTHROUGH_CHAIN
from aeraki_core.testing.sidecar.model import SidecarConfig, model_sidecar
from aeraki_core.testing.sidecar.view import store_of

__all__ = ["stray_changes"]

_Place = tuple[str, str]


def stray_changes(made: Made) -> list[str]:
    """Sorted; empty when only the service ports of the plugins changed. A cluster that a filter adds is no stray."""
    listeners, ports, hosts = _meant(made)
    store = store_of(made.objects, made.mesh)
    found: set[str] = set()
    for patched in made.sidecars:
        before, after = model_sidecar(store, patched.config.proxy), patched.config
        who = str(after.proxy)
        for name, chain in _differences(_chains(before), _chains(after)):
            if name == "virtualInbound":
                stray = chain not in ports
            else:
                stray = name not in listeners or chain == PASSTHROUGH_CHAIN
            if stray:
                found.add(f"{who}: listener {name} chain {chain or '(without a name)'}")
        changed = _differences(_clusters(before), _clusters(after))
        known = {name for name, _ in _clusters(before)}
        for name, _ in changed:
            host = name.rpartition("|")[2]
            inbound = name.startswith("inbound|") and name.split("|")[1] in ports
            if name in known and host not in hosts and not inbound:
                found.add(f"{who}: cluster {name}")
    return sorted(found)


def _meant(made: Made) -> tuple[set[str], set[str], set[str]]:
    """Of the service ports that a plugin took: listeners, target ports, hosts; and the hosts whose clusters a patch names."""
    store = store_of(made.objects, made.mesh)
    listeners: set[str] = set()
    ports: set[str] = set()
    hosts: set[str] = set()
    for report in made.reports:
        if report.run is None:
            continue
        service, port = report.service, report.port
        endpoints = store.endpoints(service.namespace, service.ref.name)
        listeners |= {item.name for item in outbound_listeners(service, port.number, endpoints)}
        hosts.add(service.host)
        numbers: Iterable[int] = (
            (port.target,) if isinstance(port.target, int) else endpoints.target_ports(port.name)
        )
        ports |= {str(number) for number in numbers}
    for patch in made.patches("CLUSTER"):
        # A route can lead to another service, whose clusters may then need a change: by name, never by accident.
        match = patch["match"].get("cluster") or {}
        hosts |= {match.get("service") or match.get("name", "").rpartition("|")[2]}
    return listeners, ports, hosts


def _chains(config: SidecarConfig) -> dict[_Place, list[bytes]]:
    """What each chain of each listener holds; a chain of virtualInbound goes by its destination port."""
    found: dict[_Place, list[bytes]] = {}
    for listener in config.listeners:
        chains: list[Any] = list(listener.filter_chains)
        if listener.HasField("default_filter_chain"):
            chains.append(listener.default_filter_chain)
        for chain in chains:
            name = chain.name
            if listener.name == "virtualInbound":
                name = str(chain.filter_chain_match.destination_port.value)
            place = found.setdefault((listener.name, name), [])
            place.append(chain.SerializeToString(deterministic=True))
    return found


def _clusters(config: SidecarConfig) -> dict[_Place, list[bytes]]:
    return {
        (item.name, ""): [item.SerializeToString(deterministic=True)] for item in config.clusters
    }


def _differences(
    before: dict[_Place, list[bytes]], after: dict[_Place, list[bytes]]
) -> list[_Place]:
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
