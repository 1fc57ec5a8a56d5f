"""What every object has: a reference, an age, and names that Kubernetes accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from sys import intern
from typing import NamedTuple

__all__ = [
    "Age",
    "Label",
    "ObjectRef",
    "group_of_plugin",
    "is_dns_label",
    "is_dns_subdomain",
    "is_label",
]

Label = tuple[str, str]
"""A label's name and value."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class ObjectRef(NamedTuple):
    """Names one object. Prints as ``Kind namespace/name``."""

    kind: str
    namespace: str
    """Empty for cluster-scoped kinds."""
    name: str
    group: str = ""
    """The API group of a plugin's kind: two plugins may have kinds of one name. Empty for kinds of
    Kubernetes and Istio."""

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.namespace}/{self.name}"
            if self.namespace
            else f"{self.kind} {self.name}"
        )


_BUILT_IN = ("k8s.io", "istio.io")


def group_of_plugin(group: str) -> str:
    """Return the API group of a reference: empty for the groups of Kubernetes and Istio."""
    return "" if "." not in group or group.endswith(_BUILT_IN) else intern(group)


@dataclass(frozen=True, slots=True, order=True)
class Age:
    """Sorts oldest first.

    By creation time, then by name, as Istio does (objects without a time count as oldest).

    ``created`` is RFC 3339 in UTC as Kubernetes writes it, so that text order is time order; empty
    when it is not known.
    """

    created: str
    name: str
    namespace: str


def is_dns_label(name: str) -> bool:
    """Report whether Kubernetes accepts it as a namespace's name.

    An RFC 1123 label of at most 63 characters.
    """
    return len(name) <= 63 and _LABEL.fullmatch(name) is not None


def is_dns_subdomain(name: str) -> bool:
    """Report whether Kubernetes accepts it as an object's name.

    An RFC 1123 subdomain of at most 253 characters.
    """
    return len(name) <= 253 and _SUBDOMAIN.fullmatch(name) is not None


def is_label(key: str, value: str) -> bool:
    """Whether Kubernetes takes a label: its key, with or without a prefix, and its value."""
    prefix, slash, name = key.rpartition("/")
    return (
        (not slash or is_dns_subdomain(prefix))
        and _is_label_part(name)
        and (not value or _is_label_part(value))
    )


def _is_label_part(text: str) -> bool:
    return len(text) <= 63 and _LABEL_PART.fullmatch(text) is not None
