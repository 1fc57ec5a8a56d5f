"""What a VirtualService can say to a port whose tcp_proxy stays: tcp routes work, http routes do not.

In: a :class:`GenerateContext`. Out: findings only.
"""

from __future__ import annotations

from aeraki_core import GenerateContext, Port
from aeraki_plugins_zookeeper.codes import HTTP_ROUTES

__all__ = ["check_routes"]

_HTTP = ("http", "grpc", "kubernetes.io/h2c", "kubernetes.io/ws")  # and https, http2, grpc-web, ...


def check_routes(context: GenerateContext) -> None:
    """Report http routes that can only be meant for this port, and routes of a headless service."""
    virtual_service = context.virtual_service
    if virtual_service is None:
        return
    if context.service.headless:
        context.routes()  # for its finding: no route has an effect on a headless service
        return
    others_speak_http = any(_speaks_http(port) for port in context.service.ports)
    for index, route in enumerate(virtual_service.http):
        ports = {match.port for match in route.match or ()} or {None}
        if context.port.number in ports or (None in ports and not others_speak_http):
            message = f"port {context.port.number} speaks ZooKeeper: Istio gives it tcp routes, never http routes"
            context.report(HTTP_ROUTES, message, virtual_service.ref, f"spec.http[{index}]")


def _speaks_http(port: Port) -> bool:
    """Whether Istio takes the port for HTTP, by appProtocol, name or protocol."""
    named = port.name.partition("-")[0] if port.protocol == "TCP" else port.protocol
    return (port.app_protocol or named).lower().startswith(_HTTP)
