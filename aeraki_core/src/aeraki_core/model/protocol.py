"""The protocol that Istio itself assumes for a port, by its declaration.

Istio reads the ``appProtocol`` first, then the prefix of the port's name, for a ServiceEntry its
``protocol``; a port without a declaration is sniffed. Source: istio/istio,
pkg/config/kube/conversion.go and pkg/config/protocol/instance.go.
"""

from __future__ import annotations

from enum import StrEnum

from aeraki_core.model.service import Port

__all__ = ["PortProtocol", "port_protocol"]


class PortProtocol(StrEnum):
    """How Istio handles a port.

    - HTTP: plain HTTP of any version; ``http`` routes of a VirtualService apply
    - TLS: TLS that the proxy passes on; ``tls`` routes apply
    - TCP: declared TCP; ``tcp`` routes apply
    - UDP: not handled
    - SNIFFED: not declared; each connection is HTTP or TCP, as its first bytes say
    """

    HTTP = "http"
    TLS = "tls"
    TCP = "tcp"
    UDP = "udp"
    SNIFFED = "sniffed"


_WORDS = {
    "http": PortProtocol.HTTP,
    "http2": PortProtocol.HTTP,
    "http_proxy": PortProtocol.HTTP,
    "grpc": PortProtocol.HTTP,
    "grpc-web": PortProtocol.HTTP,
    "https": PortProtocol.TLS,
    "tls": PortProtocol.TLS,
    "tcp": PortProtocol.TCP,
    "mongo": PortProtocol.TCP,
    "mysql": PortProtocol.TCP,
    "udp": PortProtocol.UDP,
}
_APP_PROTOCOLS = {
    "kubernetes.io/h2c": PortProtocol.HTTP,
    "kubernetes.io/ws": PortProtocol.HTTP,
    "kubernetes.io/wss": PortProtocol.TLS,
}


def port_protocol(port: Port) -> PortProtocol:
    """Return the protocol that Istio assumes for the port."""
    transport = port.protocol.lower()
    if (
        transport != "tcp"
    ):  # a Kubernetes port says TCP or UDP here, a ServiceEntry's port its protocol
        return _WORDS.get(transport, PortProtocol.SNIFFED)
    declared = (port.app_protocol or port.name).lower()
    if declared in _APP_PROTOCOLS:
        return _APP_PROTOCOLS[declared]
    word = "grpc-web" if declared.startswith("grpc-web") else declared.partition("-")[0]
    return _WORDS.get(word, PortProtocol.SNIFFED)
