"""How to know that istiod has read everything that was written: marks, one of each kind.

istiod watches each kind by itself, in the order of writing. So once it shows the mark of a kind,
it has read every earlier object of that kind. A mark is an object that changes what one client
sees; all marks have a number, which grows.
"""

from __future__ import annotations

from itertools import count

from tests.rig.ads import AdsClient
from tests.rig.api import Api, Object
from tests.rig.bootstrap import Node
from tests.waiting import wait_until

__all__ = ["Marks"]

_NAMESPACE = "judge-marks"
_HOST = f"mark.{_NAMESPACE}.svc.cluster.local"
_PRIVATE = {"networking.istio.io/exportTo": "."}
_ADDRESS = "10.96.199.1"
_WORKLOADS = "workloads.example.org"
_LABELS = {"app": "mark"}


class Marks:
    """The marks in one API server. The namespace must be new."""

    def __init__(self, api: Api, ads: AdsClient) -> None:
        self._api, self._ads = api, ads
        self._numbers = count(1)
        self._node = Node("marks", _NAMESPACE, "10.251.255.1")

    namespace = _NAMESPACE

    def wait(self) -> None:
        """Wait until istiod shows everything that was written before."""
        number = next(self._numbers)
        for content in _marks(number):
            self._api.apply(content)
        wait_until(
            lambda: not self._missing(number),
            60,
            "istiod to read everything",
            seen=lambda: str(self._missing(number)),
        )

    def _missing(self, number: int) -> list[str]:
        """The kinds whose mark of that number istiod does not show."""
        config = self._ads.config(self._node)
        port = _port(number)
        own = config.listeners.get(f"{_ADDRESS}_{port}")
        workloads = config.clusters.get(f"outbound|80||{_WORKLOADS}")
        shown = {
            "Service": f"outbound|{port}||{_HOST}" in config.clusters,
            "EndpointSlice": f"{_endpoint(number)}_{port}" in config.listeners,
            "ServiceEntry": f"outbound|80||{_name(number)}" in config.clusters,
            "DestinationRule": f"outbound|{port}|s{number}|{_HOST}" in config.clusters,
            "VirtualService": own is not None and _name(number).encode() in own.SerializeToString(),
            "Sidecar": f"127.0.0.1_{port}" in config.listeners,
            "WorkloadEntry": workloads is not None
            and _workload(number).encode() in workloads.SerializeToString(),
            "EnvoyFilter": _name(number) in config.clusters,
        }
        return [kind for kind, there in shown.items() if not there]


def _port(number: int) -> int:
    return 20000 + number % 10000


def _name(number: int) -> str:
    return f"mark-{number}.example.org"


def _workload(number: int) -> str:
    return f"workload-{number}.example.org"


def _endpoint(number: int) -> str:
    return f"10.250.{number // 250 % 250}.{number % 250 + 1}"


def _marks(number: int) -> list[Object]:
    port = _port(number)
    ports = [{"name": "tcp-mark", "port": port}]
    return [
        _object("v1", "Service", "mark", {"clusterIP": _ADDRESS, "ports": ports}),
        _object("v1", "Service", "spread", {"clusterIP": "None", "ports": ports}),
        _endpoint_slice(number),
        _istio(
            "ServiceEntry",
            {
                "hosts": [_name(number)],
                "ports": [{"number": 80, "name": "tcp", "protocol": "TCP"}],
                "resolution": "DNS",
                "exportTo": ["."],
            },
        ),
        _istio(
            "ServiceEntry",
            {
                "hosts": [_WORKLOADS],
                "ports": [{"number": 80, "name": "tcp", "protocol": "TCP"}],
                "resolution": "DNS",
                "exportTo": ["."],
                "workloadSelector": {"labels": _LABELS},
            },
            name="workloads",
        ),
        _istio("WorkloadEntry", {"address": _workload(number), "labels": _LABELS}),
        _istio(
            "DestinationRule",
            {
                "host": _HOST,
                "exportTo": ["."],
                "subsets": [{"name": f"s{number}", "labels": {"a": "b"}}],
            },
        ),
        _istio(
            "VirtualService",
            {
                "hosts": [_HOST],
                "exportTo": ["."],
                "tcp": [{"route": [{"destination": {"host": _name(number)}}]}],
            },
        ),
        _istio(
            "Sidecar",
            {
                "egress": [
                    {
                        "port": {"number": port, "protocol": "TCP", "name": "own"},
                        "bind": "127.0.0.1",
                        "hosts": ["./*"],
                    },
                    {"hosts": ["./*"]},
                ]
            },
        ),
        {
            **_istio("EnvoyFilter", _added_cluster(number)),
            "apiVersion": "networking.istio.io/v1alpha3",
        },
    ]


def _endpoint_slice(number: int) -> Object:
    content = _object("discovery.k8s.io/v1", "EndpointSlice", "spread", {})
    del content["spec"]
    content["metadata"]["labels"] = {"kubernetes.io/service-name": "spread"}
    return {
        **content,
        "addressType": "IPv4",
        "endpoints": [{"addresses": [_endpoint(number)], "conditions": {"ready": True}}],
        "ports": [{"name": "tcp-mark", "port": _port(number), "protocol": "TCP"}],
    }


def _added_cluster(number: int) -> Object:
    cluster = {"name": _name(number), "type": "STATIC", "connect_timeout": "1s"}
    patch = {"operation": "ADD", "value": cluster}
    match = {"context": "SIDECAR_OUTBOUND"}
    return {"configPatches": [{"applyTo": "CLUSTER", "match": match, "patch": patch}]}


def _istio(kind: str, spec: Object, name: str = "mark") -> Object:
    return _object("networking.istio.io/v1", kind, name, spec)


def _object(api_version: str, kind: str, name: str, spec: Object) -> Object:
    metadata: Object = {"name": name, "namespace": _NAMESPACE}
    if kind == "Service":
        metadata["annotations"] = _PRIVATE
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
