"""The findings that this plugin reports on its own, each with what to do about it."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = ["CODES", "METHOD", "MIRROR"]

METHOD = Code(
    id="THR0101",
    severity=Severity.WARNING,
    title="unsupported method match",
    action="Give method.exact (Service:method in a multiplexed service), "
    "or method.prefix Service: for a whole service; the route is left out.",
)
MIRROR = Code(
    id="THR0102",
    severity=Severity.WARNING,
    title="mirroring could abort the sidecar",
    action="Declare that the servers do not speak unframed Thrift: the option transport "
    "(or server-transport), framed or header. Until then the calls are not mirrored.",
)

CODES = (
    METHOD,
    MIRROR,
)
