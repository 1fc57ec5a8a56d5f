"""What a plain sidecar is started with: who it is, and where istiod is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .build import ISTIO_PROXY_VERSION
from .workloads import PodRecord


@dataclass(frozen=True)
class Node:
    """Who a proxy says that it is. istiod chooses what to send by it.

    Attributes:
        ip: the pod's address; the inbound listeners are those of the Pod with this address.
        labels: the pod's labels, which workloadSelectors look at.
        metadata: what else the node's metadata shall hold.
    """

    name: str
    namespace: str
    ip: str
    labels: Mapping[str, str] = field(default_factory=dict)
    service_account: str = "default"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, pod: PodRecord, metadata: Mapping[str, Any] | None = None) -> Node:
        """The node of a Pod's sidecar."""
        return cls(
            pod.name,
            pod.namespace,
            pod.ip,
            pod.labels,
            service_account=pod.service_account,
            metadata=dict(metadata or {}),
        )

    @property
    def id(self) -> str:
        """The node id in Istio's form."""
        space = self.namespace
        return f"sidecar~{self.ip}~{self.name}.{space}~{space}.svc.cluster.local"

    def bootstrap(self) -> dict[str, Any]:
        """The node as Envoy's bootstrap has it."""
        metadata = {
            "NAME": self.name,
            "NAMESPACE": self.namespace,
            "CLUSTER_ID": "Kubernetes",
            "INTERCEPTION_MODE": "REDIRECT",
            "ISTIO_VERSION": ISTIO_PROXY_VERSION,
            "INSTANCE_IPS": self.ip,
            "SERVICE_ACCOUNT": self.service_account,
            "LABELS": dict(self.labels),
            **self.metadata,
        }
        return {"id": self.id, "cluster": f"{self.name}.{self.namespace}", "metadata": metadata}


def bootstrap(
    node: Node, xds: tuple[str, int], *, admin: tuple[str, int], delta: bool = True
) -> dict[str, Any]:
    """Envoy's bootstrap for a sidecar over xDS without TLS.

    Args:
        xds: istiod's address and port.
        admin: the address and port of the admin interface; port 0 is any.
        delta: incremental xDS, as Istio's agents ask for, or state of the world.
    """
    return {
        "node": node.bootstrap(),
        "admin": {"address": _address(*admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC" if delta else "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
            "lds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
        },
        "static_resources": {"clusters": [_xds_cluster(*xds)]},
        # Without a limit every start warns, and tests could not demand a log without warnings.
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
                        "downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 100000,
                    },
                }
            ]
        },
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _xds_cluster(host: str, port: int) -> dict[str, Any]:
    return {
        "name": "xds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/"
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "xds-grpc",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(host, port)}}]}],
        },
    }
