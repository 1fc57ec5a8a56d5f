"""A Pod: what an endpoint of a ServiceEntry must say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from pydantic import Field

from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.wire import Spec, check, text_map

__all__ = ["Pod", "parse_pod"]

NETWORK_LABEL = "topology.istio.io/network"
LOCALITY_LABEL = "istio-locality"
REGION_LABEL, ZONE_LABEL = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


class _PodSpec(Spec):
    service_account_name: str = ""


class _PodAddress(Spec):
    ip: str = ""


class _PodStatus(Spec):
    pod_ip: str = Field(default="", alias="podIP")
    pod_ips: tuple[_PodAddress, ...] | None = Field(default=(), alias="podIPs")


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod: its labels, sorted, the name of its ServiceAccount, and its addresses."""

    ref: ObjectRef
    labels: tuple[tuple[str, str], ...]
    service_account: str
    addresses: frozenset[str]

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether the pod has all these labels."""
        return labels.items() <= dict(self.labels).items()

    @property
    def network(self) -> str:
        """Istio's network; empty for the mesh's default."""
        return dict(self.labels).get(NETWORK_LABEL, "")

    @property
    def locality(self) -> str:
        """``region/zone/subzone`` as a ServiceEntry writes it; empty when the labels do not say."""
        labels = dict(self.labels)
        # A label's value holds no slash, so Istio lets a dot stand for it.
        if own := labels.get(LOCALITY_LABEL):
            return own.replace(".", "/")
        region, zone = labels.get(REGION_LABEL, ""), labels.get(ZONE_LABEL, "")
        return f"{region}/{zone}" if region and zone else region


def parse_pod(ref: ObjectRef, content: Mapping[str, Any]) -> Pod:
    """A Pod.

    Raises:
        RejectedError: a field does not fit.
    """
    spec = check(_PodSpec, content.get("spec"))
    status = check(_PodStatus, content.get("status"), "status")
    labels = text_map((content.get("metadata") or {}).get("labels"))
    addresses = {status.pod_ip, *(address.ip for address in status.pod_ips or ())}
    return Pod(
        ref=ref,
        labels=tuple(sorted((intern(key), intern(value)) for key, value in labels.items())),
        service_account=intern(spec.service_account_name or "default"),
        addresses=frozenset(addresses - {""}),
    )
