"""istiod's configuration for sidecars, requested as a sidecar requests it.

istiod sees the end of a test a moment later: a sidecar that starts earlier would get services and
filters of that test.
"""

from __future__ import annotations

import re
from typing import Any

import grpc
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from tests.waiting import wait_until

from .control_plane import ROOT_NAMESPACE, ControlPlane

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_NAMESPACE = re.compile(r"\btest-\d+-\d+\b")


def clusters(plane: ControlPlane) -> list[str]:
    """The names of the clusters that a sidecar in the root namespace has.

    Raises:
        grpc.RpcError: istiod does not answer.
    """
    request = DiscoveryRequest(type_url=_CLUSTER)
    request.node.id = f"sidecar~127.0.0.1~shown.{ROOT_NAMESPACE}~{ROOT_NAMESPACE}.svc.cluster.local"
    request.node.metadata.update({"NAMESPACE": ROOT_NAMESPACE, "CLUSTER_ID": "Kubernetes"})
    with grpc.insecure_channel(f"127.0.0.1:{plane.istiod_ports.grpc}") as channel:
        ask = channel.stream_stream(
            _METHOD,
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )
        call: Any = ask(iter([request]), timeout=10)
        answer: DiscoveryResponse = next(call)
        call.cancel()
    return [Cluster.FromString(each.value).name for each in answer.resources]


def wait_forgotten(plane: ControlPlane) -> None:
    """Wait until istiod shows nothing of a test's namespace that is gone."""

    def left() -> list[str]:
        there = {each["metadata"]["name"] for each in plane.api.objects("v1", "Namespace")}
        return [
            name
            for name in clusters(plane)
            if (found := _NAMESPACE.search(name)) and found[0] not in there
        ]

    wait_until(
        lambda: not left(), 20, "istiod to forget the tests before", swallow=(grpc.RpcError,)
    )
