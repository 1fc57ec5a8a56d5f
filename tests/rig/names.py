"""The names that istiod gives to listeners and clusters."""

from __future__ import annotations

from .api import Object
from .workloads import Port


def listener_of(service: Object, port: Port) -> str:
    """The listener of a Service with a ClusterIP, in its clients' sidecars."""
    return f"{service['spec']['clusterIP']}_{port.port}"


def outbound(service: str, namespace: str, port: Port, subset: str = "") -> str:
    """The cluster of a Service, in its clients' sidecars."""
    return f"outbound|{port.port}|{subset}|{service}.{namespace}.svc.cluster.local"
