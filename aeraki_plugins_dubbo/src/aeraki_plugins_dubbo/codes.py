"""The findings that this plugin reports on its own, each with what to do about it."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = [
    "ARGUMENT",
    "BAD_INTERFACE",
    "CODES",
    "ENGINE_MISSING",
    "MAY_ABORT",
    "NEEDS_DUBBO_PROXY",
    "NO_WEIGHTS",
]

BAD_INTERFACE = Code(
    id="DUB0101",
    severity=Severity.WARNING,
    title="invalid Dubbo interface name",
    action="Write the interface's full name, alone or with one * at its start or end; "
    "group and version are options.",
)
MAY_ABORT = Code(
    id="DUB0102",
    severity=Severity.WARNING,
    title="dubbo_proxy can abort the sidecar",
    action="Use proxies that have envoy.filters.network.generic_proxy and name it "
    "in --proxy-extensions; or accept it: the option engine, dubbo_proxy.",
)
ENGINE_MISSING = Code(
    id="DUB0103",
    severity=Severity.ERROR,
    title="proxies are not known to have generic_proxy",
    action="Name envoy.filters.network.generic_proxy in --proxy-extensions, "
    "or choose another engine; they get no filter until then.",
)
NEEDS_DUBBO_PROXY = Code(
    id="DUB0104",
    severity=Severity.INFO,
    title="routes need dubbo_proxy",
    action="Remove the weights or arguments from the routes, and generic_proxy is used.",
)
NO_WEIGHTS = Code(
    id="DUB0105",
    severity=Severity.ERROR,
    title="generic_proxy has no weights",
    action="Give the route one destination, or let the option engine be auto or dubbo_proxy.",
)
ARGUMENT = Code(
    id="DUB0106",
    severity=Severity.WARNING,
    title="unsupported argument match",
    action="Name the argument by its index (the first is 0) and give "
    "an exact text that is not empty; the route is left out.",
)

CODES = (
    BAD_INTERFACE,
    MAY_ABORT,
    ENGINE_MISSING,
    NEEDS_DUBBO_PROXY,
    NO_WEIGHTS,
    ARGUMENT,
)
