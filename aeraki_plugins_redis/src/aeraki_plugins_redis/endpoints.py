"""Discovery endpoints as users write them: ``host``, ``host:port``, ``[IPv6]:port``.

Parsing returns a :class:`HostPort` or raises ValueError with the reason.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

__all__ = ["HostPort", "parse_endpoint"]

_FORM = re.compile(r"(\[[^]]+\]|[^][\s:/]+)(?::(\d{1,5}))?")


class HostPort(NamedTuple):
    """A host, by name or address, and a port."""

    host: str
    port: int


def parse_endpoint(text: str, default_port: int) -> HostPort:
    """Parse the host and port of an endpoint; without a port, ``default_port``.

    Raises:
        ValueError: it is not of one of those forms.
    """
    text = text.strip()
    if _is_ipv6(text):
        return HostPort(text, default_port)
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is neither host nor host:port")
    host, port = match[1], int(match[2]) if match[2] else default_port
    if host.startswith("["):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise ValueError(f"{text!r}: {host!r} is not an IPv6 address")
    if not 1 <= port <= 65535:
        raise ValueError(f"{text!r}: {port} is not a port")
    return HostPort(host, port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
