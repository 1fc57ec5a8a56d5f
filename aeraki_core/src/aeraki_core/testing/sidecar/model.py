"""A sidecar's configuration as istiod makes it from the mesh's objects.

:func:`model_sidecar` gives the listeners and clusters of one proxy, for EnvoyFilters to be applied
to (patches.py) and a real Envoy to load (envoy/local.py). Not modelled: HTTP routes, gateways,
waypoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener

from aeraki_core.model.mesh import Mesh
from aeraki_core.testing.sidecar.clusters import common_clusters, outbound_clusters
from aeraki_core.testing.sidecar.inbound import inbound_clusters, target_ports, virtual_inbound
from aeraki_core.testing.sidecar.objects import MeshObjects, read_objects
from aeraki_core.testing.sidecar.outbound import outbound_listeners, virtual_outbound
from aeraki_core.testing.sidecar.proxy import Proxy
from aeraki_core.testing.sidecar.view import View

__all__ = ["SidecarConfig", "model_sidecar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarConfig:
    """One proxy's listeners and clusters; leave its messages as they are.

    ``outbound``, ``inbound``: the listeners of each side.
    ``outbound_clusters``, ``inbound_clusters``: the clusters of each side.
    ``hosts``: by inbound cluster the hosts of the services behind it.
    ``istio_clusters``: names of the clusters that istiod makes; others come from an EnvoyFilter.
    """

    proxy: Proxy
    root_namespace: str
    outbound: tuple[Listener, ...]
    inbound: tuple[Listener, ...]
    outbound_clusters: tuple[Cluster, ...]
    inbound_clusters: tuple[Cluster, ...]
    hosts: Mapping[str, tuple[str, ...]]
    istio_clusters: frozenset[str]

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Both sides."""
        return self.outbound + self.inbound

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """Both sides."""
        return self.outbound_clusters + self.inbound_clusters

    def listener(self, name: str) -> Listener:
        """Return the listener of that name.

        Raises:
            KeyError: there is none; the message names those that are.
        """
        return _named("listener", self.listeners, name)

    def cluster(self, name: str) -> Cluster:
        """Return the cluster of that name.

        Raises:
            KeyError: there is none; the message names those that are.
        """
        return _named("cluster", self.clusters, name)


def _named(what: str, items: Iterable[Any], name: str) -> Any:
    known = {item.name: item for item in items}
    if name not in known:
        raise KeyError(f"no {what} {name!r}; there are {', '.join(sorted(known))}")
    return known[name]


def model_sidecar(
    mesh_objects: MeshObjects | Iterable[Mapping[str, Any]],
    proxy: Proxy | None = None,
    *,
    mesh: Mesh | None = None,
) -> SidecarConfig:
    """Return the configuration of one proxy, without any EnvoyFilter.

    ``mesh_objects``: Services, EndpointSlices, ServiceEntries, VirtualServices, DestinationRules,
    Sidecars and PeerAuthentications as Kubernetes dictionaries; other kinds are ignored.
    ``mesh``: domain and root namespace, when they are not the defaults.
    """
    objects = read_objects(mesh_objects, mesh)
    proxy = proxy or Proxy()
    view = View(objects, proxy)
    outward = outbound_clusters(view) + common_clusters()
    inward = inbound_clusters(view)
    return SidecarConfig(
        proxy=proxy,
        root_namespace=objects.mesh.root_namespace,
        outbound=(*outbound_listeners(view), virtual_outbound(view)),
        inbound=(virtual_inbound(view),),
        outbound_clusters=outward,
        inbound_clusters=inward,
        hosts={port.cluster: port.hosts for port in target_ports(view)},
        istio_clusters=frozenset(item.name for item in outward + inward),
    )
