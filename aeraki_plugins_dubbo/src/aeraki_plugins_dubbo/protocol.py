"""What this plugin declares: the protocol and its options."""

from __future__ import annotations

from aeraki_core import Extension, Option, OptionType, Protocol
from aeraki_plugins_dubbo.codes import CODES

__all__ = ["BUFFER_LIMIT_BYTES", "DUBBO", "ENGINE", "GROUP", "INBOUND", "INTERFACE", "VERSION"]

_GIB = 2**30


INTERFACE = Option(
    name="interface",
    type=OptionType.LIST,
    help="The interfaces that the service offers; "
    "* at the start or end of a name stands for the rest. Default: any.",
    default=(),
    aliases=("interface",),
    limits_calls=True,
)
GROUP = Option(
    name="group",
    type=OptionType.TEXT,
    help="Only calls of this group are taken. Default: any.",
    default="",
    limits_calls=True,
)
VERSION = Option(
    name="version",
    type=OptionType.TEXT,
    help="Only calls of this version are taken. Default: any.",
    default="",
    limits_calls=True,
)
ENGINE = Option(
    name="engine",
    type=OptionType.TEXT,
    help="Envoy's filter for it; "
    "auto takes generic_proxy where the proxies have it and the routes allow it.",
    default="auto",
    choices=("auto", "dubbo_proxy", "generic_proxy"),
)
INBOUND = Option(
    name="inbound",
    type=OptionType.BOOL,
    help="Whether the workloads' sidecars get a filter too.",
    default=True,
)
BUFFER_LIMIT_BYTES = Option(
    name="buffer-limit-bytes",
    type=OptionType.INT,
    help="What a connection may buffer, on both sides: messages of over 1 MiB need it. "
    "Default: Envoy's 1 MiB.",
    minimum=1024,
    maximum=_GIB,
)

DUBBO = Protocol(
    name="dubbo",
    tokens=("dubbo",),
    extension=Extension("envoy.filters.network.dubbo_proxy", stock=True),
    more_extensions=(Extension("envoy.filters.network.generic_proxy", stock=False),),
    summary="Dubbo 2 with Hessian 2: routes by interface, "
    "method, attachments, arguments; subsets and weights",
    options=(
        INTERFACE,
        GROUP,
        VERSION,
        ENGINE,
        INBOUND,
        BUFFER_LIMIT_BYTES,
    ),
    codes=CODES,
    load_balancing_hash=False,
)
