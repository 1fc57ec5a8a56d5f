"""What this plugin declares: the protocol, its options, and the findings that it reports."""

from __future__ import annotations

from aeraki_core import Code, Extension, Option, OptionType, Protocol, Severity

__all__ = [
    "ARGUMENT",
    "DUBBO",
    "ENGINE_MISSING",
    "INTERFACE",
    "MAY_ABORT",
    "NEEDS_DUBBO_PROXY",
    "NO_WEIGHTS",
]

_GIB = 2**30

INTERFACE = Code(
    "DUB0101",
    Severity.WARNING,
    "not the name of a Dubbo interface",
    "Write the interface's full name, alone or with one * at its start or end; group and version are options.",
)
MAY_ABORT = Code(
    "DUB0102",
    Severity.WARNING,
    "dubbo_proxy can abort the sidecar",
    "Use proxies that have envoy.filters.network.generic_proxy and name it in --proxy-extensions; or accept it: "
    "the option engine, dubbo_proxy.",
)
ENGINE_MISSING = Code(
    "DUB0103",
    Severity.ERROR,
    "proxies are not known to have generic_proxy",
    "Name envoy.filters.network.generic_proxy in --proxy-extensions, or choose another engine; they get no filter until then.",
)
NEEDS_DUBBO_PROXY = Code(
    "DUB0104",
    Severity.INFO,
    "routes need dubbo_proxy",
    "Remove the weights or arguments from the routes, and generic_proxy is used.",
)
NO_WEIGHTS = Code(
    "DUB0105",
    Severity.ERROR,
    "generic_proxy knows no weights",
    "Give the route one destination, or let the option engine be auto or dubbo_proxy.",
)
ARGUMENT = Code(
    "DUB0106",
    Severity.WARNING,
    "argument cannot be matched so",
    "Name the argument by its index (the first is 0) and give an exact text that is not empty; the route is left out.",
)

DUBBO = Protocol(
    name="dubbo",
    tokens=("dubbo",),
    extension=Extension("envoy.filters.network.dubbo_proxy", stock=True),
    summary="Dubbo 2 with Hessian 2: routes by interface, method, attachments, arguments; subsets and weights",
    options=(
        Option(
            "interface",
            OptionType.LIST,
            "The interfaces that the service offers; * at the start or end of a name stands for the rest. Default: any.",
            default=(),
            aliases=("interface",),
        ),
        Option(
            "group",
            OptionType.TEXT,
            "Only calls of this group are taken. Default: any.",
            default="",
        ),
        Option(
            "version",
            OptionType.TEXT,
            "Only calls of this version are taken. Default: any.",
            default="",
        ),
        Option(
            "engine",
            OptionType.TEXT,
            "Envoy's filter for it; auto takes generic_proxy where the proxies have it and the routes allow it.",
            default="auto",
            choices=("auto", "dubbo_proxy", "generic_proxy"),
        ),
        Option(
            "inbound",
            OptionType.BOOL,
            "Whether the workloads' sidecars get a filter too.",
            default=True,
        ),
        Option(
            "buffer-limit-bytes",
            OptionType.INT,
            "What a connection may buffer, on both sides: messages of over 1 MiB need it. Default: Envoy's 1 MiB.",
            minimum=1024,
            maximum=_GIB,
        ),
    ),
    codes=(INTERFACE, MAY_ABORT, ENGINE_MISSING, NEEDS_DUBBO_PROXY, NO_WEIGHTS, ARGUMENT),
)
