"""Asks istiod for what it gives one proxy: listeners and clusters, without an Envoy."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import grpc
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.json_format import ParseDict

from tests.rig.bootstrap import Node

__all__ = ["clusters_of", "listeners_of"]

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_TIMEOUT = 60


def listeners_of(address: str, node: Node) -> dict[str, Listener]:
    """The listeners of a proxy, by name."""
    return {item.name: item for item in _ask(address, node, Listener)}


def clusters_of(address: str, node: Node) -> dict[str, Cluster]:
    """The clusters of a proxy, by name."""
    return {item.name: item for item in _ask(address, node, Cluster)}


def _ask(address: str, node: Node, kind: Any) -> list[Any]:
    request = discovery_pb2.DiscoveryRequest(
        type_url=f"type.googleapis.com/{kind.DESCRIPTOR.full_name}"
    )
    ParseDict(node.bootstrap(), request.node, ignore_unknown_fields=True)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    requests.put(request)

    def stream() -> Iterator[Any]:
        while (item := requests.get()) is not None:
            yield item

    with grpc.insecure_channel(
        address, options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        call = channel.stream_stream(
            _METHOD,
            request_serializer=discovery_pb2.DiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DiscoveryResponse.FromString,
        )(stream(), timeout=_TIMEOUT)
        response = next(call)
        requests.put(None)
        call.cancel()
    resources = []
    for item in response.resources:
        message = kind()
        item.Unpack(message)
        resources.append(message)
    return resources
