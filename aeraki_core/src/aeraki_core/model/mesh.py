"""What is true of the whole mesh and not written in any of its objects.

Domain, root namespace, what the proxies can do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from aeraki_core.model.meta import is_dns_subdomain

__all__ = ["LiveWeights", "Mesh", "ProxyFamily", "ProxyRule", "parse_proxy_rule"]


class ProxyFamily(StrEnum):
    """The IP families of a proxy's own addresses: only IPv4, only IPv6, or both.

    Names of listeners depend on it.
    """

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    DUAL = "dual"


class LiveWeights(StrEnum):
    """Whose weights open connections obey at once.

    - OFF: nobody's
    - ANNOTATED: those of VirtualServices and Services with ``aeraki.io/live-weights: "true"``
    - ALL: those of all VirtualServices
    """

    OFF = "off"
    ANNOTATED = "annotated"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ProxyRule:
    """Proxies that have an Envoy extension.

    All of the mesh, of a namespace, or of the workloads there with these labels.
    """

    extension: str
    namespace: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    def covers(self, namespace: str | None, labels: Iterable[tuple[str, str]] = ()) -> bool:
        """Whether every proxy of that namespace (None.

        Of the mesh) with those labels has the extension.
        """
        if self.namespace is None:
            return True
        return self.namespace == namespace and set(self.labels) <= set(labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The mesh's own facts.

    ``namespaces``: where outbound filters go instead of the root namespace; ``.`` is the service's
    own. ``proxy_rules`` add to the stock extensions. ``registry_only``:
    meshConfig.outboundTrafficPolicy is REGISTRY_ONLY. ``proxy_families``: the proxies that exist;
    empty if not set, and then the addresses of the mesh decide (``Store.proxy_families``).
    ``opt_in``: protocols, by name, whose ports must be included by the annotation
    ``aeraki.io/include``. ``live_weights``: whose weights endpoints carry (mesh/weight_sets.py).
    ``headless_filter_chains``: istiod makes one listener for all pods of a headless Service's port.
    """

    root_namespace: str = "istio-system"
    domain: str = "cluster.local"
    namespaces: tuple[str, ...] = ()
    proxy_rules: tuple[ProxyRule, ...] = ()
    registry_only: bool = False
    proxy_families: tuple[ProxyFamily, ...] = ()
    opt_in: tuple[str, ...] = ()
    live_weights: LiveWeights = LiveWeights.OFF
    headless_filter_chains: bool = False

    def rules_for(self, extension: str) -> tuple[ProxyRule, ...]:
        """The rules that bring the extension."""
        return tuple(rule for rule in self.proxy_rules if rule.extension == extension)


def parse_proxy_rule(text: str) -> ProxyRule:
    """``[NAMESPACE[/KEY=VALUE[,KEY=VALUE...]]:]EXTENSION`` as ``--proxy-extensions`` takes it.

    Raises:
        ValueError: it is not of that form; the message says what is wrong.
    """
    # Names of extensions and labels hold dots and slashes, but no colon.
    scope, colon, extension = text.strip().rpartition(":")
    if not extension or any(char.isspace() for char in extension):
        raise ValueError(f"{text!r} names no Envoy extension, such as envoy.filters.network.NAME")
    if not colon:
        return ProxyRule(extension)
    namespace, slash, labels = scope.partition("/")
    if not is_dns_subdomain(namespace):
        raise ValueError(f"{text!r}: {namespace!r} is not a namespace")
    pairs = [tuple(part.strip().partition("=")[::2]) for part in labels.split(",")] if slash else []
    if any(not key or not value for key, value in pairs):
        raise ValueError(f"{text!r}: write labels as KEY=VALUE, separated by commas")
    return ProxyRule(extension, namespace, tuple(sorted((key, value) for key, value in pairs)))
