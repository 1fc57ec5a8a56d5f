"""What istiod sends to a sidecar proxy, asked without an Envoy.

An Envoy takes a second to start and a hundred megabytes. Where only the configuration matters, one
stream for each proxy is enough: the same node as its Envoy would send, clusters first, then
listeners, as istiod orders them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import grpc
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from .bootstrap import Node

__all__ = ["AdsClient", "ProxyConfig"]

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_TYPE = "type.googleapis.com/envoy.config"
_CLUSTER, _LISTENER = f"{_TYPE}.cluster.v3.Cluster", f"{_TYPE}.listener.v3.Listener"
_SECONDS = 30


@dataclass(frozen=True)
class ProxyConfig:
    """The listeners and clusters of one proxy by name."""

    listeners: Mapping[str, Listener]
    clusters: Mapping[str, Cluster]


class AdsClient:
    """Asks one istiod, over xDS without TLS. A context manager."""

    def __init__(self, port: int) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        self._stream = self._channel.stream_stream(
            _METHOD,
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )

    def __enter__(self) -> AdsClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def config(self, node: Node) -> ProxyConfig:
        """What istiod sends to that proxy.

        Raises:
            grpc.RpcError: istiod does not answer within 30 seconds.
        """
        requests: SimpleQueue[DiscoveryRequest | None] = SimpleQueue()
        call: Any = self._stream(iter(requests.get, None), timeout=_SECONDS)
        try:
            requests.put(_first(node))
            clusters = self._answer(call, _CLUSTER)
            requests.put(_acknowledged(clusters))
            requests.put(DiscoveryRequest(type_url=_LISTENER))
            listeners = self._answer(call, _LISTENER)
        finally:
            requests.put(None)
            call.cancel()
        return ProxyConfig(
            {item.name: item for item in map(_listener, listeners.resources)},
            {item.name: item for item in map(_cluster, clusters.resources)},
        )

    def pushes(self, node: Node) -> Iterator[Mapping[str, Listener]]:
        """Acknowledge all that istiod sends to that proxy, and yield each list of listeners.

        Ends when the client is closed.
        """
        requests: SimpleQueue[DiscoveryRequest | None] = SimpleQueue()
        call: Any = self._stream(iter(requests.get, None))
        requests.put(_first(node))
        requests.put(DiscoveryRequest(type_url=_LISTENER))
        try:
            for response in call:
                requests.put(_acknowledged(response))
                if response.type_url == _LISTENER:
                    yield {item.name: item for item in map(_listener, response.resources)}
        finally:
            requests.put(None)
            call.cancel()

    def _answer(self, call: Any, type_url: str) -> DiscoveryResponse:
        """The next response of that type; istiod may push another type in between."""
        while True:
            response: DiscoveryResponse = next(call)
            if response.type_url == type_url:
                return response


def _first(node: Node) -> DiscoveryRequest:
    who = node.bootstrap()
    first = DiscoveryRequest(type_url=_CLUSTER)
    first.node.id, first.node.cluster = who["id"], who["cluster"]
    first.node.metadata.update(who["metadata"])
    return first


def _acknowledged(response: DiscoveryResponse) -> DiscoveryRequest:
    return DiscoveryRequest(
        type_url=response.type_url,
        version_info=response.version_info,
        response_nonce=response.nonce,
    )


def _listener(resource: Any) -> Listener:
    return Listener.FromString(resource.value)


def _cluster(resource: Any) -> Cluster:
    return Cluster.FromString(resource.value)
