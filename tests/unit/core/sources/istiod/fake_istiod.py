"""An istiod that sends what a test gives it over a real gRPC stream: all types in full."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from types import TracebackType
from typing import Any

import grpc
from aeraki_core.sources.istiod import config_pb2
from aeraki_core.sources.istiod.connection import Istiod
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
GROUP = "networking.istio.io/v1"


def resource(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> bytes:
    """One object as istiod sends it; ``name`` is ``namespace/name``."""
    body = json_format.ParseDict(spec, getattr(config_pb2, kind)())
    return envelope(name, body.SerializeToString(deterministic=True), **metadata)


def envelope(name: str, body: bytes, **metadata: Any) -> bytes:
    message = config_pb2.Resource()
    message.metadata.name = name
    json_format.ParseDict(metadata, message.metadata)
    message.body.value = body
    return message.SerializeToString(deterministic=True)


def service(name: str, *addresses: str, port: int = 9090, protocol: str = "TCP") -> bytes:
    """A Kubernetes Service of the namespace shop, as the ServiceEntry that stands for it."""
    return resource(
        "ServiceEntry",
        f"shop/synthetic-{name}",
        {
            "hosts": [f"{name}.shop.svc.cluster.local"],
            "addresses": list(addresses) or ["10.0.0.1"],
            "ports": [{"number": port, "name": "tcp-echo", "protocol": protocol}],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "workloadSelector": {"labels": {"app": name}},
        },
        createTime="2026-01-01T00:00:00Z",
    )


class FakeIstiod:
    """A context manager. `objects` by type, in the order in which they are sent."""

    def __init__(self) -> None:
        self.objects: dict[str, list[bytes]] = {}
        self.asked: list[str] = []
        self._lock = threading.Lock()
        self._streams: list[queue.SimpleQueue[Any]] = []
        self._server = grpc.server(
            futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)]
        )
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=_discovery().DiscoveryRequest.FromString,
            response_serializer=_discovery().DiscoveryResponse.SerializeToString,
        )
        service_name, method = _METHOD.strip("/").split("/")
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service_name, {method: handler}),)
        )
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> FakeIstiod:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_streams()
        self._server.stop(0).wait()

    @property
    def where(self) -> Istiod:
        return Istiod(f"127.0.0.1:{self._port}")

    def set(self, kind: str, *objects: bytes) -> None:
        """The objects of a kind from now on; sent at the next push."""
        self.objects[f"{GROUP}/{kind}"] = list(objects)

    def push(self, *kinds: str) -> None:
        """Send all types, or those of some kinds, in full to everybody."""
        for stream in self._open():
            stream.put([f"{GROUP}/{kind}" for kind in kinds])

    def end_streams(self) -> None:
        """Close every stream."""
        for stream in self._open():
            stream.put(None)

    def _open(self) -> list[queue.SimpleQueue[Any]]:
        with self._lock:
            return list(self._streams)

    def _stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            self._streams.append(todo)
        subscribed: list[str] = []

        def read() -> None:
            try:
                for request in requests:
                    if not request.response_nonce:
                        self.asked.append(request.type_url)
                        todo.put([request.type_url])
            except grpc.RpcError:
                pass
            todo.put(None)

        threading.Thread(target=read, daemon=True).start()
        while (urls := todo.get()) is not None:
            for url in urls or subscribed:
                if url not in subscribed:
                    subscribed.append(url)
                yield self.response(url)
        with self._lock:
            self._streams.remove(todo)

    def response(self, url: str) -> Any:
        """The answer for a type: everything."""
        resources = [
            AnyMessage(type_url="type.googleapis.com/istio.mcp.v1alpha1.Resource", value=value)
            for value in self.objects.get(url, ())
        ]
        return _discovery().DiscoveryResponse(
            type_url=url, version_info="1", nonce="n", resources=resources
        )


def _discovery() -> Any:
    from envoy.service.discovery.v3 import discovery_pb2

    return discovery_pb2
