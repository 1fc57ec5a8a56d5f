"""What this plugin declares: the protocol and its options."""

from __future__ import annotations

from aeraki_core import Extension, Option, OptionType, Protocol
from aeraki_plugins_thrift.codes import CODES

__all__ = [
    "FILTER",
    "INBOUND",
    "MAX_REQUESTS_PER_CONNECTION",
    "PAYLOAD_PASSTHROUGH",
    "PRESERVE_HEADER_CASE",
    "PROTOCOL",
    "SERVER_TRANSPORT",
    "STRIP_SERVICE_NAME",
    "THRIFT",
    "TRANSPORT",
]


FILTER = "envoy.filters.network.thrift_proxy"

TRANSPORTS = ("auto", "framed", "unframed", "header")

TRANSPORT = Option(
    name="transport",
    type=OptionType.TEXT,
    help="The transport of clients and servers. auto: found out for each connection.",
    default="auto",
    choices=TRANSPORTS,
)
SERVER_TRANSPORT = Option(
    name="server-transport",
    type=OptionType.TEXT,
    help="The transport of the servers, where clients use several. "
    "auto: that of the option transport.",
    default="auto",
    choices=TRANSPORTS,
)
PROTOCOL = Option(
    name="protocol",
    type=OptionType.TEXT,
    help="The protocol of clients and servers; "
    "never one that they do not speak. auto: found out for each connection.",
    default="auto",
    choices=("auto", "binary", "lax-binary", "compact"),
)
PAYLOAD_PASSTHROUGH = Option(
    name="payload-passthrough",
    type=OptionType.BOOL,
    help="Whether arguments are passed on undecoded, "
    "where transport (framed, header) and protocol stay the same.",
    default=False,
)
MAX_REQUESTS_PER_CONNECTION = Option(
    name="max-requests-per-connection",
    type=OptionType.INT,
    help="After so many calls a client's connection is closed. Default: no limit.",
    minimum=1,
    maximum=2**32 - 1,
)
STRIP_SERVICE_NAME = Option(
    name="strip-service-name",
    type=OptionType.BOOL,
    help="Whether Service:method reaches the server as method: "
    "for a server that is not multiplexed.",
    default=False,
)
PRESERVE_HEADER_CASE = Option(
    name="preserve-header-case",
    type=OptionType.BOOL,
    help="Whether THeader keys keep their case; otherwise they arrive in lower case.",
    default=False,
)
INBOUND = Option(
    name="inbound",
    type=OptionType.BOOL,
    help="Whether the workloads' sidecars get a filter too.",
    default=True,
)

THRIFT = Protocol(
    name="thrift",
    tokens=("thrift",),
    extension=Extension(FILTER, stock=True),
    summary="Thrift: routes by method, service and THeader headers; subsets, weights, mirrors",
    options=(
        TRANSPORT,
        SERVER_TRANSPORT,
        PROTOCOL,
        PAYLOAD_PASSTHROUGH,
        MAX_REQUESTS_PER_CONNECTION,
        STRIP_SERVICE_NAME,
        PRESERVE_HEADER_CASE,
        INBOUND,
    ),
    codes=CODES,
    load_balancing_hash=False,
)
