"""Which protocol istiod takes a port for.

It decides what listener a port gets, so it decides what an EnvoyFilter finds there. The names are
istiod's own (Istio source: pkg/config/protocol/instance.go, pkg/config/kube/conversion.go), also
those of protocols that a plugin brings: istiod knows them whether or not a plugin is installed.
"""

from __future__ import annotations

from enum import StrEnum

from aeraki_core.model.service import Port, Resolution, Service

__all__ = ["ListenerProtocol", "is_http2", "protocol_named", "protocol_of"]


class ListenerProtocol(StrEnum):
    """What istiod does with a port; ``SNIFFED``: HTTP or TCP, decided for each connection."""

    TCP = "TCP"
    TLS = "TLS"
    MONGO = "Mongo"
    MYSQL = "MySQL"
    HTTP = "HTTP"
    UDP = "UDP"
    SNIFFED = "UnsupportedProtocol"

    @property
    def is_tcp(self) -> bool:
        """Whether the port gets TCP chains and no HTTP chain."""
        return self not in (self.HTTP, self.UDP, self.SNIFFED)

    @property
    def shares_ports(self) -> bool:
        """Whether other protocols may share its listener; server-first databases share none."""
        return self not in (self.MONGO, self.MYSQL)


_NAMED = {
    "tcp": ListenerProtocol.TCP,
    "redis": ListenerProtocol.TCP,
    "mongo": ListenerProtocol.MONGO,
    "mysql": ListenerProtocol.MYSQL,
    "https": ListenerProtocol.TLS,
    "tls": ListenerProtocol.TLS,
    "udp": ListenerProtocol.UDP,
    **dict.fromkeys(("http", "http2", "http_proxy", "grpc", "grpc-web"), ListenerProtocol.HTTP),
}
_APP_PROTOCOLS = {
    "kubernetes.io/h2c": ListenerProtocol.HTTP,
    "kubernetes.io/ws": ListenerProtocol.HTTP,
    "kubernetes.io/wss": ListenerProtocol.TLS,
}
_HTTP2 = frozenset({"http2", "grpc", "grpc-web", "kubernetes.io/h2c"})
# SMTP, DNS, MySQL and MongoDB are TCP without a name: their servers may speak first.
_WELL_KNOWN = frozenset({25, 53, 3306, 27017})


def protocol_named(name: str) -> ListenerProtocol:
    """Return the protocol of a name as ServiceEntries and Sidecars write it."""
    return _NAMED.get(name.lower(), ListenerProtocol.SNIFFED)


def is_http2(service: Service, port: Port) -> bool:
    """Report whether Istio speaks HTTP/2 to a service port."""
    if service.resolution is not Resolution.CLUSTER_IP:
        return port.protocol.lower() in _HTTP2
    name = (port.app_protocol or port.name).lower()
    return name.startswith("grpc-web") or name.partition("-")[0] in _HTTP2


def protocol_of(service: Service, port: Port) -> ListenerProtocol:
    """Return the protocol of a service port: by its name or appProtocol in a Service."""
    if port.protocol == "UDP":
        return ListenerProtocol.UDP
    if service.resolution is not Resolution.CLUSTER_IP:
        return protocol_named(port.protocol)
    if port.app_protocol in _APP_PROTOCOLS:
        return _APP_PROTOCOLS[port.app_protocol]
    name = (port.app_protocol or port.name).lower()
    if name.startswith("grpc-web"):
        return ListenerProtocol.HTTP
    protocol = protocol_named(name.partition("-")[0])
    if protocol is ListenerProtocol.SNIFFED and port.number in _WELL_KNOWN:
        return ListenerProtocol.TCP
    return protocol
