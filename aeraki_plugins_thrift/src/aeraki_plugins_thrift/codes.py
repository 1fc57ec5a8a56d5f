"""The findings that this plugin reports on its own, each with what to do about it."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = ["CODES", "METHOD", "MIRROR"]

METHOD = Code(
    "THR0101",
    Severity.WARNING,
    "method cannot be matched so",
    "Give method.exact (Service:method in a multiplexed service), "
    "or method.prefix Service: for a whole service; the route is left out.",
)
MIRROR = Code(
    "THR0102",
    Severity.WARNING,
    "mirroring could abort the sidecar",
    "Declare that the servers do not speak unframed Thrift: the option transport "
    "(or server-transport), framed or header. Until then the calls are not mirrored.",
)

CODES = (
    METHOD,
    MIRROR,
)
