"""What a client's sidecar does with a call: which filters it passes, which clusters it can reach.

The sidecar is the modelled one with the filters that all installed plugins make.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aeraki_core.pipeline.arrange import Arrangement
from aeraki_core.plugins.registry import Registry, build_registry
from aeraki_core.testing import (
    Made,
    Mesh,
    Proxy,
    SidecarConfig,
    apply_filters,
    generate,
    model_sidecar,
)
from aeraki_core.testing.sidecar.messages import to_dict

from tests.chains import called_chains
from tests.istio.judge.routes import routing_of

__all__ = ["Client", "client_of", "made_of", "tcp_filters"]

_CLUSTER = re.compile(r"outbound\|\d+\|[^|]*\|\S+")


@cache
def _registry() -> Registry:
    return build_registry()


def made_of(
    *objects: Any, mesh: Mesh | None = None, arrangement: Arrangement = Arrangement.SERVICE
) -> Made:
    """What all installed plugins make of objects or YAML texts."""
    return generate(*objects, plugins=_registry(), mesh=mesh, arrangement=arrangement)


@dataclass(frozen=True)
class Client:
    """The sidecar of a client. ``plain``: without our filters."""

    config: SidecarConfig
    plain: SidecarConfig

    def filters(self, listener: str, chain: str | None = None) -> list[str]:
        """Return the last filters' short names of a listener's TCP chains.

        With ``chain``, only of the chain of that name.
        """
        return [item.name.rpartition(".")[2] for item in tcp_filters(self.config, listener, chain)]

    def reaches(self, listener: str, chain: str | None = None) -> set[str]:
        """The clusters that calls to a listener's TCP chains can reach."""
        return {
            text
            for item in tcp_filters(self.config, listener, chain)
            for text in _routed(to_dict(item)["typed_config"])
        }

    def dials(self, address: str, port: int, *, plain: bool = False) -> set[str]:
        """The clusters that calls to an address can reach. ``plain``: without our filters."""
        listener = (self.plain if plain else self.config).listener(f"{address}_{port}")
        chains = called_chains(listener, address)
        routings = [routing_of(each) for chain in chains for each in chain.filters]
        return {cluster for routing in routings if routing for cluster in routing.clusters}

    def shares(self, listener: str) -> dict[str, int]:
        """The weights of the clusters behind a listener, where calls are split."""
        shares: dict[str, int] = {}
        for item in tcp_filters(self.config, listener):
            for part in _mappings(to_dict(item)):
                if "weight" in part and _CLUSTER.fullmatch(str(part.get("name"))):
                    weight = part["weight"]
                    shares[part["name"]] = (
                        weight["value"] if isinstance(weight, Mapping) else weight
                    )
        return shares

    def missing(self, listener: str) -> set[str]:
        """Clusters that calls are sent to although this client has none of that name."""
        return self.reaches(listener) - {item.name for item in self.config.clusters}


def client_of(
    made: Made, namespace: str, more: Iterable[Mapping[str, Any]] = (), **proxy: Any
) -> Client:
    """The client in a namespace; ``more``: EnvoyFilters of other people."""
    objects = (*made.objects, *made.companions)
    plain = model_sidecar(objects, Proxy(namespace, **proxy), mesh=made.mesh)
    return Client(apply_filters(plain, [*made.filters, *more]).config, plain)


def tcp_filters(config: SidecarConfig, listener: str, chain: str | None = None) -> list[Any]:
    """The last filter of each chain of a listener that is not HTTP's."""
    item = config.listener(listener)
    chains = [*item.filter_chains, item.default_filter_chain]
    return [
        each.filters[-1]
        for each in chains
        if each.filters
        and chain in (None, each.name)
        and not each.filters[-1].name.endswith("http_connection_manager")
    ]


def _routed(value: Any) -> Iterable[str]:
    """Names of clusters anywhere but in what is only a label."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in ("stat_prefix", "route_config_name"):
                yield from _routed(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _routed(inner)
    elif isinstance(value, str) and _CLUSTER.fullmatch(value):
        yield value


def _mappings(value: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _mappings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _mappings(inner)
