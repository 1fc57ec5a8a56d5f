"""The ServiceEntry and the DestinationRule of a weight set.

The ServiceEntry gives the route's cluster its endpoints, with what Istio needs for mTLS and
telemetry: the pods' labels, network, locality and ServiceAccount. The DestinationRule makes Envoy
obey their weights: round robin, and nothing by locality. It also ejects pods that take no
connections, unless the service has an outlier detection of its own. Both live in the namespace of
the service, for clients expect the certificates of the ServiceEntry's own namespace.

In: weight sets and the filter's identity. Out: :class:`Companion` values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aeraki_core.filters.companion import Companion, freeze_spec
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.names import COMPANION
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.mesh.weight_sets import PORT, WeightedEndpoint, WeightSet
from aeraki_core.pipeline.placement import Placement

__all__ = ["ADDRESS", "companions_of"]

ADDRESS = "240.241.0.1"
"""The address of all weight sets: one listener in a sidecar serves for all of them.

Without an address istiod would make a listener for every address of the port. Nobody dials this
one: it is of the reserved range, and not of the part that istiod allocates from (240.240.0.0/16).
"""

_PORT_NAME = "tcp"
_BALANCER = {"simple": "ROUND_ROBIN", "localityLbSetting": {"enabled": False}}
_OUTLIER_DETECTION = {
    # An answer with an exception comes from a pod that works: only failed connections count.
    "consecutive5xxErrors": 0,
    "splitExternalLocalOriginErrors": True,
    "consecutiveLocalOriginFailures": 3,
    "interval": "1s",
    # Short, because an ejected pod changes the shares of the others.
    "baseEjectionTime": "5s",
    # Any number of pods may be gone. When none is left, the fault is more likely at the client, and
    # Envoy then uses all of them by their weights.
    "maxEjectionPercent": 100,
    "minHealthPercent": 1,
}
"""For the time in which no controller follows the pods: those that are gone get no more calls."""


def companions_of(placements: Iterable[Placement], instance: str) -> Iterator[Companion]:
    """What the filter of these placements names, each once."""
    seen: set[FilterKey] = set()
    for placement in placements:
        for weight_set in placement.weight_sets:
            for kind, spec in (
                (OutputKind.SERVICE_ENTRY, _service_entry(weight_set)),
                (OutputKind.DESTINATION_RULE, _destination_rule(weight_set)),
            ):
                name = f"{COMPANION}{weight_set.name}"
                key = FilterKey(placement.ref.namespace, name, kind)
                if key in seen:
                    continue
                seen.add(key)
                yield Companion(
                    key=key,
                    plugin=placement.plugin,
                    service_ports=(placement.service_port,),
                    spec=freeze_spec({**spec, "exportTo": [*weight_set.export_to]}),
                    namespaces=(placement.ref.namespace,),
                    instance=instance,
                )


def _service_entry(weight_set: WeightSet) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "hosts": [weight_set.host],
        "addresses": [ADDRESS],
        "ports": [{"number": PORT, "name": _PORT_NAME, "protocol": "TCP"}],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
    }
    if weight_set.endpoints:
        spec["endpoints"] = [_endpoint(endpoint) for endpoint in weight_set.endpoints]
    return spec


def _endpoint(endpoint: WeightedEndpoint) -> dict[str, Any]:
    pod = endpoint.pod
    content: dict[str, Any] = {
        "address": endpoint.address,
        "ports": {_PORT_NAME: endpoint.port},
        "weight": endpoint.weight,
        "serviceAccount": pod.service_account,
    }
    if pod.labels:
        content["labels"] = dict(pod.labels)
    if pod.network:
        content["network"] = pod.network
    if pod.locality:
        content["locality"] = pod.locality
    return content


def _destination_rule(weight_set: WeightSet) -> dict[str, Any]:
    policy = {
        "outlierDetection": _OUTLIER_DETECTION,
        **weight_set.traffic_policy,
        "loadBalancer": _BALANCER,
    }
    return {"host": weight_set.host, "trafficPolicy": policy}
