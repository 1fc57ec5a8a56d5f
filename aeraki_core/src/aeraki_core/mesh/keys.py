"""The questions that a reader asks of the mesh, as values.

:class:`~aeraki_core.mesh.reads.Reads` records each question of a generator or validator as a key,
and the store answers every change with the keys whose answer changed. Equal keys meet, so a change
finds those who must run again by look-up.

Keys are tuples because each generator asks about twenty questions, and tuples are hashed and
compared in C. Tuples compare by content alone, so every class has a field ``asks`` with a constant
of its own: a question about the VirtualServices of a host never equals one about its
DestinationRules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from aeraki_core.model.meta import ObjectRef

__all__ = [
    "AliasKey",
    "AnnotationKey",
    "AnnotationsKey",
    "AttachedRouteKey",
    "DestinationKey",
    "DestinationRulesKey",
    "DetectionKey",
    "EndpointsKey",
    "ForeignFiltersKey",
    "HostKey",
    "ImportersKey",
    "Key",
    "LabelsKey",
    "ListenerKey",
    "NamespaceKey",
    "OutboundPoliciesKey",
    "PodKey",
    "ProxyFamiliesKey",
    "ReadyEndpointsKey",
    "RejectedKey",
    "ResourceKey",
    "ResourcesKey",
    "SecretKey",
    "SelectingSidecarsKey",
    "ServiceKey",
    "ShortHostRulesKey",
    "SidecarListenersKey",
    "SidecarNamespacesKey",
    "SidecarsKey",
    "VirtualServiceKey",
    "VirtualServicesKey",
    "VirtualServicesUnderKey",
    "WeightHostKey",
    "WildcardsKey",
    "WorkloadEntriesKey",
]


class ServiceKey(NamedTuple):
    """The service of one object and host."""

    ref: ObjectRef
    host: str
    asks: str = "service"


class HostKey(NamedTuple):
    """The services of a host."""

    host: str
    asks: str = "services of the host"


class AliasKey(NamedTuple):
    """The Service of type ExternalName whose own host it is."""

    host: str
    asks: str = "other name of a host"


class DestinationKey(NamedTuple):
    """The services that a host is where a VirtualService names it as a destination."""

    host: str
    asks: str = "services of the destination"


class AnnotationKey(NamedTuple):
    """One annotation of a service's object."""

    ref: ObjectRef
    name: str
    asks: str = "annotation"


class AnnotationsKey(NamedTuple):
    """All annotations ``<prefix>/...`` of a service's object."""

    ref: ObjectRef
    prefix: str
    asks: str = "annotations"


class LabelsKey(NamedTuple):
    """The labels of a service's object."""

    ref: ObjectRef
    asks: str = "labels"


class DetectionKey(NamedTuple):
    """What the ports of one object's service speak."""

    ref: ObjectRef
    host: str
    asks: str = "detection"


class NamespaceKey(NamedTuple):
    """What a Namespace says to Aeraki by its annotations."""

    name: str
    asks: str = "namespace"


class EndpointsKey(NamedTuple):
    """The endpoints of a Kubernetes Service."""

    namespace: str
    name: str
    asks: str = "endpoints"


class ForeignFiltersKey(NamedTuple):
    """The EnvoyFilters of other people that can meet one of ours."""

    asks: str = "foreign filters"


class ReadyEndpointsKey(NamedTuple):
    """The endpoints of a Kubernetes Service that take calls."""

    namespace: str
    name: str
    asks: str = "ready endpoints"


class PodKey(NamedTuple):
    """One Pod."""

    ref: ObjectRef
    asks: str = "pod"


class WorkloadEntriesKey(NamedTuple):
    """The WorkloadEntries of a namespace with ports of their own."""

    namespace: str
    asks: str = "workload entries"


class WeightHostKey(NamedTuple):
    """Why clients cannot use a host of a weight set, whose object is in that namespace."""

    host: str
    namespace: str
    asks: str = "weight host"


class ProxyFamiliesKey(NamedTuple):
    """The IP families of the mesh's proxies, as objects of a namespace tell."""

    namespace: str
    asks: str = "proxy families"


class ListenerKey(NamedTuple):
    """The service ports that claim an outbound listener."""

    name: str
    asks: str = "listener"


class VirtualServiceKey(NamedTuple):
    """One VirtualService."""

    ref: ObjectRef
    asks: str = "virtual service"


class AttachedRouteKey(NamedTuple):
    """One route of the Gateway API."""

    ref: ObjectRef
    asks: str = "attached route"


class VirtualServicesKey(NamedTuple):
    """The VirtualServices that name exactly this host, or exactly this wildcard."""

    host: str
    asks: str = "virtual services"


class VirtualServicesUnderKey(NamedTuple):
    """The VirtualServices that name a host under this wildcard."""

    wildcard: str
    asks: str = "virtual services under the wildcard"


class DestinationRulesKey(NamedTuple):
    """The DestinationRules for exactly this host, or exactly this wildcard."""

    host: str
    asks: str = "destination rules"


class ShortHostRulesKey(NamedTuple):
    """The DestinationRules whose host is a Service's without the mesh's domain."""

    name: str
    namespace: str
    asks: str = "destination rules of a short host"


class WildcardsKey(NamedTuple):
    """The objects of a kind for each wildcard over the hosts of a domain.

    One key for several questions (record.py), because all hosts of a namespace ask them.
    """

    about: Callable[[str], VirtualServicesKey | DestinationRulesKey]
    domain: str
    asks: str = "wildcards"


class SidecarListenersKey(NamedTuple):
    """The Sidecars with an egress listener of their own for a port; 0: for any port."""

    port: int
    asks: str = "sidecar listeners"


class SidecarNamespacesKey(NamedTuple):
    """The namespaces that have a Sidecar."""

    asks: str = "sidecar namespaces"


class OutboundPoliciesKey(NamedTuple):
    """The Sidecars that say where calls to no known service go."""

    asks: str = "outbound policies"


class SelectingSidecarsKey(NamedTuple):
    """The Sidecars that are for some workloads of their namespaces."""

    asks: str = "selecting sidecars"


class ImportersKey(NamedTuple):
    """The client namespaces that import the services of a namespace.

    ``*``: those that import the services of every namespace, and whether the rest does.
    """

    namespace: str
    asks: str = "importers"


class SidecarsKey(NamedTuple):
    """The Sidecars of a namespace."""

    namespace: str
    asks: str = "sidecars"


class ResourceKey(NamedTuple):
    """One object of a plugin's kind."""

    ref: ObjectRef
    asks: str = "resource"


class ResourcesKey(NamedTuple):
    """The objects of a plugin's kind for a host."""

    group: str
    kind: str
    host: str
    asks: str = "resources"


class SecretKey(NamedTuple):
    """One Secret."""

    ref: ObjectRef
    asks: str = "secret"


class RejectedKey(NamedTuple):
    """Whether the newest form of an object is rejected, and why."""

    ref: ObjectRef
    asks: str = "rejected"


Key = (
    ServiceKey
    | HostKey
    | AliasKey
    | DestinationKey
    | AnnotationKey
    | AnnotationsKey
    | LabelsKey
    | DetectionKey
    | NamespaceKey
    | EndpointsKey
    | ForeignFiltersKey
    | ReadyEndpointsKey
    | PodKey
    | WeightHostKey
    | WorkloadEntriesKey
    | WildcardsKey
    | ProxyFamiliesKey
    | ListenerKey
    | OutboundPoliciesKey
    | SelectingSidecarsKey
    | VirtualServiceKey
    | AttachedRouteKey
    | VirtualServicesKey
    | VirtualServicesUnderKey
    | DestinationRulesKey
    | ShortHostRulesKey
    | ResourceKey
    | ResourcesKey
    | SecretKey
    | SidecarListenersKey
    | SidecarNamespacesKey
    | SidecarsKey
    | ImportersKey
    | RejectedKey
)
