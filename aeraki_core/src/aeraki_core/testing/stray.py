"""What EnvoyFilters changed in a sidecar that they were not intended for.

A listener, chain or cluster may differ only where it belongs to a port that a plugin claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from aeraki_core.model.endpoints import PortEndpoints
from aeraki_core.model.listeners import outbound_listeners
from aeraki_core.testing.generating import Made
from aeraki_core.testing.sidecar.chains import PASSTHROUGH_CHAIN
from aeraki_core.testing.sidecar.model import SidecarConfig, model_sidecar
from aeraki_core.testing.sidecar.objects import MeshObjects, read_objects

__all__ = ["stray_changes"]

K = TypeVar("K")


class _PatchedPlace(NamedTuple):
    """A chain of a listener; chains of virtualInbound go by their destination port."""

    listener: str
    chain: str


@dataclass(frozen=True, slots=True)
class _Intended:
    """What belongs to the claimed service ports: listeners, target ports, and hosts of clusters."""

    listeners: frozenset[str]
    target_ports: frozenset[str]
    hosts: frozenset[str]


def stray_changes(made: Made) -> list[str]:
    """Return one line for each stray change, sorted. A cluster that a filter adds is not stray."""
    objects = read_objects(made.objects, made.mesh)
    intended = _intended(made, objects)
    lines: set[str] = set()
    for patched in made.sidecars:
        before, after = model_sidecar(objects, patched.config.proxy), patched.config
        proxy = str(after.proxy)
        for place in _differences(_chains(before), _chains(after)):
            if place.listener == "virtualInbound":
                stray = place.chain not in intended.target_ports
            else:
                stray = place.listener not in intended.listeners or place.chain == PASSTHROUGH_CHAIN
            if stray:
                chain = place.chain or "(without a name)"
                lines.add(f"{proxy}: listener {place.listener} chain {chain}")
        known = _clusters(before)
        for name in _differences(known, _clusters(after)):
            host = name.rpartition("|")[2]
            inbound = name.startswith("inbound|") and name.split("|")[1] in intended.target_ports
            if name in known and host not in intended.hosts and not inbound:
                lines.add(f"{proxy}: cluster {name}")
    return sorted(lines)


def _intended(made: Made, objects: MeshObjects) -> _Intended:
    listeners: set[str] = set()
    target_ports: set[str] = set()
    hosts: set[str] = set()
    for report in made.reports:
        if report.run is None:
            continue
        service, port = report.service, report.port
        endpoints = objects.endpoints(service)
        chains = made.mesh.headless_filter_chains
        names = outbound_listeners(
            service,
            port,
            PortEndpoints(endpoints.of_port(port.name)),
            headless_filter_chains=chains,
        )
        listeners |= {listener.name for listener in names}
        hosts.add(service.host)
        numbers: Iterable[int] = (
            (port.target,) if isinstance(port.target, int) else endpoints.target_ports(port.name)
        )
        target_ports |= {str(number) for number in numbers}
    for patch in made.patches("CLUSTER"):
        # A route can lead to another service, whose clusters may then need a change, by name.
        match = patch["match"].get("cluster") or {}
        hosts.add(match.get("service") or match.get("name", "").rpartition("|")[2])
    return _Intended(frozenset(listeners), frozenset(target_ports), frozenset(hosts))


def _chains(config: SidecarConfig) -> dict[_PatchedPlace, list[bytes]]:
    contents: dict[_PatchedPlace, list[bytes]] = {}
    for listener in config.listeners:
        chains: list[Any] = list(listener.filter_chains)
        if listener.HasField("default_filter_chain"):
            chains.append(listener.default_filter_chain)
        for chain in chains:
            name = chain.name
            if listener.name == "virtualInbound":
                name = str(chain.filter_chain_match.destination_port.value)
            place = contents.setdefault(_PatchedPlace(listener.name, name), [])
            place.append(chain.SerializeToString(deterministic=True))
    return contents


def _clusters(config: SidecarConfig) -> dict[str, bytes]:
    return {
        cluster.name: cluster.SerializeToString(deterministic=True) for cluster in config.clusters
    }


def _differences(before: Mapping[K, Any], after: Mapping[K, Any]) -> list[K]:
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]
