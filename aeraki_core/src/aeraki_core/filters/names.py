"""Names of EnvoyFilters and values of labels: valid for any host, stable, and telling what they are for.

In: hosts, selectors, ports. Out: RFC 1123 names of at most 253 characters, label values of at most
63. What had to be changed or cut gets a short hash, so that two never meet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

__all__ = ["INBOUND", "OUTBOUND", "inbound_name", "label_value", "outbound_name", "packed_name"]

_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_HASH = 8
INBOUND = "aeraki-inbound-"
"""How the name of every inbound filter begins."""
OUTBOUND = "aeraki-outbound-"
"""How the name of every outbound filter begins."""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH]


def _fit(text: str, limit: int) -> str:
    """``text`` as part of a name, of at most ``limit`` characters.

    With a hash when it is not the text itself.
    """
    clean = re.sub(r"[^a-z0-9.-]+", "-", text.lower())
    clean = re.sub(r"[-.]*\.[-.]*", ".", clean).strip("-.")
    if clean == text and len(clean) <= limit:
        return clean
    return f"{clean[: limit - _HASH - 1].strip('-.') or 'x'}-{_hash(text)}"


def outbound_name(host: str, port: int, *, scope: str = "") -> str:
    """The name of the outbound filter of a host's port.

    ``scope`` tells clients apart that have filters of their own.
    """
    tail = f"-{port}{f'-{_hash(scope)}' if scope else ''}"
    head = "aeraki-outbound-"
    return head + _fit(host, 253 - len(head) - len(tail)) + tail


def inbound_name(selector: Iterable[tuple[str, str]], port: int) -> str:
    """The name of the inbound filter of the workloads with these labels, for a target port."""
    text = "-".join(f"{key.rpartition('/')[2]}-{value}" for key, value in selector)
    whole = ",".join(f"{key}={value}" for key, value in selector)
    head, tail = INBOUND, f"-{_hash(whole)}-{port}"
    return head + _fit(text, 253 - len(head) - len(tail)) + tail


def packed_name(plugin: str, part: str) -> str:
    """The name of a filter that holds a plugin's patches of many services."""
    return f"aeraki-outbound-{_fit(plugin, 60)}-{_fit(part, 100)}"


def label_value(text: str) -> str:
    """A label's value that says the text."""
    if len(text) <= 63 and _LABEL.fullmatch(text):
        return text
    clean = re.sub(r"[^-A-Za-z0-9_.]+", "-", text).strip("-_.")
    return f"{clean[: 63 - _HASH - 1].strip('-_.') or 'x'}-{_hash(text)}"
