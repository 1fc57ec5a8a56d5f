"""Names of EnvoyFilters and values of labels: valid for any host, stable and readable.

Names are RFC 1123 names of at most 253 characters, label values have at most 63. A text that was
changed or cut gets a hash, so that two services never share a name: a filter under another's name
would replace it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

__all__ = [
    "COMPANION",
    "INBOUND",
    "OUTBOUND",
    "inbound_name",
    "label_value",
    "outbound_name",
    "packed_name",
]

_FITS = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*(\.[a-z0-9]+(-+[a-z0-9]+)*)*")
_LOOKS_HASHED = re.compile(r".*-[0-9a-f]{16}")
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_HASH = 8
_LONG_HASH = 16
INBOUND = "aeraki-inbound-"
"""How the name of every inbound filter begins."""
OUTBOUND = "aeraki-outbound-"
"""How the name of every outbound filter begins."""
COMPANION = "aeraki-weights-"
"""How the name of every object begins that a filter names."""


def _hash(text: str, length: int = _HASH) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _fit(text: str, limit: int) -> str:
    """``text`` as part of a name, of at most ``limit`` characters, and never that of another text.

    A text that is not itself a valid part gets a hash; so does one that ends like a hash.
    """
    if len(text) <= limit and _FITS.fullmatch(text) and not _LOOKS_HASHED.fullmatch(text):
        return text
    clean = re.sub(r"[^a-z0-9.-]+", "-", text.lower())
    clean = re.sub(r"[-.]*\.[-.]*", ".", clean).strip("-.")
    head = clean[: limit - _LONG_HASH - 1].strip("-.") or "x"
    return f"{head}-{_hash(text, _LONG_HASH)}"


def outbound_name(host: str, port: int, *, scope: str = "") -> str:
    """Return the name of the outbound filter of a host's port.

    ``scope`` distinguishes clients that have filters of their own.
    """
    tail = f"-{port}{f'-{_hash(scope)}' if scope else ''}"
    return OUTBOUND + _fit(host, 253 - len(OUTBOUND) - len(tail)) + tail


def inbound_name(selector: Iterable[tuple[str, str]], port: int) -> str:
    """The name of the inbound filter of the workloads with these labels, for a target port."""
    text = "-".join(f"{key.rpartition('/')[2]}-{value}" for key, value in selector)
    whole = ",".join(f"{key}={value}" for key, value in selector)
    head, tail = INBOUND, f"-{_hash(whole)}-{port}"
    return head + _fit(text, 253 - len(head) - len(tail)) + tail


def packed_name(plugin: str, part: str) -> str:
    """The name of a filter that holds a plugin's patches of many services."""
    # A namespace has no dot, so the plugin's name ends at the last one. No name of a port's filter
    # ends like this.
    return f"{OUTBOUND}{_fit(plugin, 60)}.{_fit(part, 100)}-all"


def label_value(text: str) -> str:
    """A label's value that says the text."""
    if len(text) <= 63 and _LABEL.fullmatch(text):
        return text
    clean = re.sub(r"[^-A-Za-z0-9_.]+", "-", text).strip("-_.")
    return f"{clean[: 63 - _HASH - 1].strip('-_.') or 'x'}-{_hash(text)}"
