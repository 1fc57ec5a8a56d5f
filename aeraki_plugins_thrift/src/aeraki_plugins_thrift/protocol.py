"""What this plugin declares: the protocol, its options, and the findings that it reports."""

from __future__ import annotations

from aeraki_core import Code, Extension, Option, OptionType, Protocol, Severity

__all__ = ["METHOD", "MIRROR", "THRIFT"]

METHOD = Code(
    "THR0101",
    Severity.WARNING,
    "method cannot be matched so",
    "Give method.exact (Service:method in a multiplexed service), or method.prefix Service: for a whole service; "
    "the route is left out.",
)
MIRROR = Code(
    "THR0102",
    Severity.WARNING,
    "mirroring could abort the sidecar",
    "Declare that the servers do not speak unframed Thrift: the option transport (or server-transport), framed or header. "
    "Until then the calls are not mirrored.",
)

TRANSPORTS = ("auto", "framed", "unframed", "header")

THRIFT = Protocol(
    name="thrift",
    tokens=("thrift",),
    extension=Extension("envoy.filters.network.thrift_proxy", stock=True),
    summary="Thrift: routes by method, service and THeader headers; subsets, weights, mirrors",
    options=(
        Option(
            "transport",
            OptionType.TEXT,
            "The transport of clients and servers. auto: found out for each connection.",
            default="auto",
            choices=TRANSPORTS,
        ),
        Option(
            "server-transport",
            OptionType.TEXT,
            "The transport of the servers, where clients use several. auto: that of the option transport.",
            default="auto",
            choices=TRANSPORTS,
        ),
        Option(
            "protocol",
            OptionType.TEXT,
            "The protocol of clients and servers; never one that they do not speak. auto: found out for each connection.",
            default="auto",
            choices=("auto", "binary", "lax-binary", "compact"),
        ),
        Option(
            "payload-passthrough",
            OptionType.BOOL,
            "Whether arguments are passed on undecoded, where transport (framed, header) and protocol stay the same.",
            default=False,
        ),
        Option(
            "max-requests-per-connection",
            OptionType.INT,
            "After so many calls a client's connection is closed. Default: no limit.",
            minimum=1,
            maximum=2**32 - 1,
        ),
        Option(
            "strip-service-name",
            OptionType.BOOL,
            "Whether Service:method reaches the server as method: for a server that is not multiplexed.",
            default=False,
        ),
        Option(
            "preserve-header-case",
            OptionType.BOOL,
            "Whether THeader keys keep their case; otherwise they arrive in lower case.",
            default=False,
        ),
        Option(
            "inbound",
            OptionType.BOOL,
            "Whether the workloads' sidecars get a filter too.",
            default=True,
        ),
    ),
    codes=(METHOD, MIRROR),
)
