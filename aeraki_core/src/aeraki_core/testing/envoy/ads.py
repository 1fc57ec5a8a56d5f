"""A management server for one Envoy: listeners and clusters over ADS, each push awaited.

State of the world over a unix socket; clusters come first, since listeners name them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aeraki_core.filters.patch import pack
from aeraki_core.testing.envoy.binary import EnvoyError
from aeraki_core.testing.envoy.local import EnvoyConfig
from aeraki_core.testing.envoy.log import reason_of

__all__ = ["AdsServer", "NackError"]

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_LISTENERS = "type.googleapis.com/envoy.config.listener.v3.Listener"


class NackError(EnvoyError):
    """Envoy refused a configuration; str() is its reason."""


class AdsServer:
    """Serves one Envoy at a socket. Threads: gRPC's own, one of them reads what Envoy answers."""

    def __init__(self, socket: Path) -> None:
        import grpc
        from envoy.service.discovery.v3 import discovery_pb2

        self._messages = discovery_pb2
        self._changed = threading.Condition()
        self._resources: dict[str, tuple[Any, ...]] = {}
        self._versions: dict[str, int] = {}
        self._answers: dict[tuple[str, int], str] = {}
        self._subscribed: set[str] = set()
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="aeraki-ads")
        self._server = grpc.server(self._pool)
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DiscoveryResponse.SerializeToString,
        )
        handlers = {"StreamAggregatedResources": handler}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, handlers),)
        )
        self._server.add_insecure_port(f"unix:{socket}")
        self._server.start()

    def push(self, config: EnvoyConfig, timeout: float) -> None:
        """Serve that configuration from now on, and wait until Envoy has it.

        Raises:
            NackError: Envoy rejected it.
            EnvoyError: no answer within ``timeout`` seconds.
        """
        self._push(_CLUSTERS, config.clusters, timeout)
        self._push(_LISTENERS, config.listeners, timeout)

    def _push(self, kind: str, messages: Sequence[Any], timeout: float) -> None:
        resources = tuple(pack(message) for message in messages)
        with self._changed:
            if self._resources.get(kind) == resources:
                return
            before = self._resources.get(kind)
            self._resources[kind] = resources
            version = self._versions[kind] = self._versions.get(kind, 0) + 1
            if kind in self._subscribed:
                self._outgoing.put(self._response(kind))
            key = (kind, version)
            if not self._changed.wait_for(lambda: key in self._answers, timeout):
                raise EnvoyError(
                    f"Envoy did not answer within {timeout:g} s to version {version} of {kind}"
                )
            refusal = self._answers.pop(key)
            if refusal:
                # The same again must be sent again, and refused again.
                self._resources[kind] = before or ()
                raise NackError(refusal)

    def _response(self, kind: str) -> Any:
        version = str(self._versions[kind])
        return self._messages.DiscoveryResponse(
            type_url=kind, version_info=version, nonce=version, resources=self._resources[kind]
        )

    def _stream(self, requests: Iterator[Any], _: Any) -> Iterator[Any]:
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()
        while (response := self._outgoing.get()) is not None:
            yield response

    def _read(self, requests: Iterator[Any]) -> None:
        import grpc

        try:
            for request in requests:
                self._handle(request)
        except grpc.RpcError:
            return  # Envoy went away, or the server stops
        finally:
            self._outgoing.put(None)

    def _handle(self, request: Any) -> None:
        kind = request.type_url
        with self._changed:
            if not request.response_nonce:
                self._subscribed.add(kind)
                if kind in self._versions:
                    self._outgoing.put(self._response(kind))
                return
            self._answers[(kind, int(request.response_nonce))] = reason_of(
                request.error_detail.message
            )
            self._changed.notify_all()

    def stop(self) -> None:
        """End the server."""
        self._outgoing.put(None)
        self._server.stop(grace=None).wait()
        self._pool.shutdown()
