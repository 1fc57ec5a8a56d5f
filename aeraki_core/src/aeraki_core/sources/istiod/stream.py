"""One ADS stream to istiod, state of the world: requests out, responses in.

istiod closes every stream after 30 minutes by default, so its end is nothing special. Nothing is
ever refused (NACK): what cannot be used is a finding.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aeraki_core.errors import AerakiError
from aeraki_core.sources.istiod.connection import Istiod

if TYPE_CHECKING:
    from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

__all__ = ["StreamError", "XdsStream"]

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


class StreamError(AerakiError):
    """The stream ended; the message says how."""


class XdsStream:
    """A stream that begins at once.

    ``namespace``: the one that we claim to be in; istiod demands the mesh's root namespace.

    Raises:
        AerakiError: certificate or token cannot be read.
    """

    def __init__(self, istiod: Istiod, namespace: str, name: str = "aeraki") -> None:
        from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

        self._istiod = istiod
        self._requests: queue.SimpleQueue[DiscoveryRequest | None] = queue.SimpleQueue()
        # type~ip~id~domain. A `waypoint` sees the whole mesh and every change. A `sidecar` sees
        # what Sidecar resources leave it, and a `router` misses some changes
        # (docs/internals/istio.md).
        self._node = f"waypoint~127.0.0.1~{name}.{namespace}~{namespace}.svc.cluster.local"
        self._namespace = namespace
        self._first = True
        self._lock = threading.Lock()
        headers = istiod.headers()
        self._channel = istiod.channel()
        call = self._channel.stream_stream(
            _METHOD,
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )
        self._call: Any = call(iter(self._requests.get, None), metadata=headers)

    def ask(self, type_url: str, *names: str) -> None:
        """Subscribe to a type; asked again it is answered in full."""
        self._send(type_url, names=names)

    def acknowledge(self, response: DiscoveryResponse, *names: str) -> None:
        """Acknowledge the response, so that the next may come."""
        self._send(response.type_url, response.version_info, response.nonce, names)

    def responses(self) -> Iterator[DiscoveryResponse]:
        """Each response.

        Raises:
            StreamError: the stream ended.
        """
        import grpc

        try:
            yield from self._call
        except grpc.RpcError as error:
            code, details = getattr(error, "code", None), getattr(error, "details", None)
            reason = (
                f"{code().name}: {details()}"
                if code is not None and details is not None
                else str(error)
            )
            raise StreamError(f"istiod at {self._istiod.address}: {reason}") from error
        raise StreamError(f"istiod at {self._istiod.address} closed the stream")

    def close(self) -> None:
        """End the stream, from any thread."""
        self._requests.put(None)
        self._call.cancel()
        self._channel.close()

    def _send(
        self, type_url: str, version: str = "", nonce: str = "", names: tuple[str, ...] = ()
    ) -> None:
        from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

        request = DiscoveryRequest(
            type_url=type_url,
            version_info=version,
            response_nonce=nonce,
            resource_names=list(names),
        )
        with self._lock:
            if self._first:
                self._first = False
                request.node.id = self._node
                request.node.metadata.update({"GENERATOR": "api", "NAMESPACE": self._namespace})
        self._requests.put(request)
