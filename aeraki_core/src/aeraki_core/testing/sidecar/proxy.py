"""A sidecar proxy as istiod sees it: where it runs and for which workload.

``Proxy()`` is a client in namespace ``default`` whose pod no Service selects. Labels make it a
workload: the ports of the Services and ServiceEntries of its namespace that select those labels get
inbound chains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aeraki_core.model.mesh import ProxyFamily

__all__ = ["MutualTls", "Proxy"]


class MutualTls(StrEnum):
    """The PeerAuthentication mode of a workload: it decides how many inbound chains a port has."""

    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"
    DISABLE = "DISABLE"


@dataclass(frozen=True, slots=True)
class Proxy:
    """One sidecar.

    ``ip``: its pod's first address; an IPv6 address alone makes an IPv6 proxy. A headless Service's
    listener for it is left out.
    ``dual_stack``: it has an address of the other family too, and istiod runs with
    ISTIO_DUAL_STACK: a listener has both addresses of a service, under the same name.
    ``dns_capture``: the proxy answers DNS, so a ServiceEntry without addresses has a listener at
    its auto-allocated one.
    ``mutual_tls``: decides how many inbound chains a port has.
    ``istio_version``, ``metadata``: what ``match.proxy`` asks for.
    """

    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    ip: str = "10.244.255.1"
    dual_stack: bool = False
    dns_capture: bool = True
    mutual_tls: MutualTls = MutualTls.PERMISSIVE
    istio_version: str = "1.30.0"
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def wildcard(self) -> str:
        """The address that stands for all: of listeners without an address of their own."""
        return "::" if self.family is ProxyFamily.IPV6 else "0.0.0.0"

    @property
    def other_wildcards(self) -> tuple[str, ...]:
        """What such a listener stands for besides: its additionalAddresses."""
        return ("::",) if self.dual_stack else ()

    @property
    def family(self) -> ProxyFamily:
        """The IP families of its addresses."""
        if self.dual_stack:
            return ProxyFamily.DUAL
        return ProxyFamily.IPV6 if ":" in self.ip else ProxyFamily.IPV4

    def has_labels(self, wanted: Mapping[str, str]) -> bool:
        """Report whether a selector with these labels selects it; an empty one selects all."""
        return all(self.labels.get(key) == value for key, value in wanted.items())

    def __str__(self) -> str:
        labels = ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))
        what = f"workload {labels}" if labels else "client"
        dns = "" if self.dns_capture else " without DNS capture"
        family = {
            ProxyFamily.IPV6: " with IPv6 alone",
            ProxyFamily.DUAL: " with IPv4 and IPv6",
        }.get(self.family, "")
        return f"{what} in {self.namespace}{dns}{family}"
