"""Writes Services, Pods and EndpointSlices by hand, as kubelets and controllers would.

istiod then sees workloads; a sidecar whose node has a Pod's address is that Pod's sidecar.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .api import Api, Object

_addresses = itertools.count(1)
_NOW = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Port:
    """A port of a Service.

    Attributes:
        name: a name such as ``tcp-redis``: protocol detection looks at it.
        port: the Service's port.
        target: the port that the pods listen on; the same by default.
    """

    name: str
    port: int
    target: int = 0
    app_protocol: str | None = None

    @property
    def target_port(self) -> int:
        """The pods' port."""
        return self.target or self.port


@dataclass(frozen=True)
class PodRecord:
    """A Pod that was written to the API server."""

    name: str
    namespace: str
    ip: str
    labels: Mapping[str, str] = field(default_factory=dict)
    service_account: str = "default"


def unused_address() -> str:
    """A pod address that no other caller got; nothing answers there."""
    number = next(_addresses)
    return f"10.20.{number // 250}.{number % 250 + 1}"


class Workloads:
    """Writes the workloads of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    def service(
        self,
        name: str,
        ports: Sequence[Port],
        *,
        selector: Mapping[str, str] | None = None,
        headless: bool = False,
        families: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Object:
        """Create or change a Service; its address is ``["spec"]["clusterIP"]`` of the answer.

        Args:
            selector: by default ``{"app": name}``.
            families: the IP families of its addresses in order, ``IPv4`` and ``IPv6``; by default
                IPv4 alone.
        """
        spec: Object = {
            "selector": dict(selector if selector is not None else {"app": name}),
            "ports": [_service_port(port) for port in ports],
        }
        if headless:
            spec["clusterIP"] = "None"
        if families:
            policy = "RequireDualStack" if len(families) > 1 else "SingleStack"
            spec |= {"ipFamilies": list(families), "ipFamilyPolicy": policy}
        metadata = self._metadata(name, labels, annotations)
        return self._api.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        )

    def pod(
        self,
        name: str,
        *,
        ip: str | None = None,
        labels: Mapping[str, str] | None = None,
        service_account: str = "default",
        annotations: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> PodRecord:
        """Creates a Pod that is running.

        Args:
            ip: its address; by default one where nothing answers.
            labels: by default ``{"app": name}``.
        """
        labels = dict(labels if labels is not None else {"app": name})
        ip = ip or unused_address()
        spec: Object = {
            "serviceAccountName": service_account,
            "containers": [{"name": "app", "image": "none"}],
        }
        metadata = self._metadata(name, labels, annotations)
        obj: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        self._api.create({**obj, "spec": spec})
        self._api.apply({**obj, "status": _pod_status(ip, ready)}, status=True)
        return PodRecord(name, self.namespace, ip, labels, service_account)

    def endpoints(
        self,
        service: str,
        ports: Sequence[Port],
        pods: Sequence[PodRecord],
        *,
        terminating: Sequence[PodRecord] = (),
    ) -> Object:
        """Replace a Service's EndpointSlice: these pods, all ready, with one address family.

        Args:
            terminating: pods that still serve, and get no more calls.
        """
        metadata = self._metadata(f"{service}-rig", {"kubernetes.io/service-name": service}, None)
        return self._api.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": metadata,
                "addressType": "IPv6" if any(":" in pod.ip for pod in pods) else "IPv4",
                "ports": [
                    {"name": port.name, "port": port.target_port, "protocol": "TCP"}
                    for port in ports
                ],
                "endpoints": [
                    *(_endpoint(pod) for pod in pods),
                    *(_endpoint(pod, terminating=True) for pod in terminating),
                ],
            }
        )

    def workload(
        self,
        name: str,
        ports: Sequence[Port],
        *,
        pods: Sequence[PodRecord] | None = None,
        headless: bool = False,
        annotations: Mapping[str, str] | None = None,
    ) -> Object:
        """A Service with endpoints, in one call; returns the Service.

        Args:
            pods: by default one new Pod, ``<name>-0``, with the label ``app: <name>``.
        """
        if pods is None:
            pods = [self.pod(f"{name}-0", labels={"app": name})]
        service = self.service(name, ports, headless=headless, annotations=annotations)
        self.endpoints(name, ports, pods)
        return service

    def service_account(self, name: str) -> Object:
        """Creates a ServiceAccount; ``default`` is there already."""
        obj: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {}}
        return self._api.apply({**obj, "metadata": self._metadata(name, None, None)})

    def delete_pod(self, name: str) -> None:
        """Deletes a Pod; the EndpointSlices that name it stay as they are."""
        self._api.delete("v1", "Pod", name, namespace=self.namespace)

    def _metadata(
        self,
        name: str,
        labels: Mapping[str, str] | None,
        annotations: Mapping[str, str] | None,
    ) -> Object:
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": dict(labels or {}),
            # A port of Redis gets a filter without further objects, too.
            "annotations": {"redis.aeraki.io/proxy": "always", **(annotations or {})},
        }


def _service_port(port: Port) -> Object:
    spec: Object = {"name": port.name, "port": port.port, "targetPort": port.target_port}
    if port.app_protocol is not None:
        spec["appProtocol"] = port.app_protocol
    return {**spec, "protocol": "TCP"}


def _pod_status(ip: str, ready: bool) -> Object:
    state = "True" if ready else "False"
    return {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "hostIP": "10.0.0.2",
        "startTime": _NOW,
        "conditions": [
            {"type": kind, "status": state, "lastTransitionTime": _NOW}
            for kind in ("Ready", "ContainersReady")
        ],
    }


def _endpoint(pod: PodRecord, *, terminating: bool = False) -> Object:
    return {
        "addresses": [pod.ip],
        "conditions": {"ready": not terminating, "serving": True, "terminating": terminating},
        "targetRef": {"kind": "Pod", "name": pod.name, "namespace": pod.namespace},
    }
