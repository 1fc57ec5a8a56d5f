"""Istio's WorkloadEntry: a workload that is no Pod, and where it listens.

A service selects it by its labels, like a Pod. Its ``ports`` map a service port's name to another
number than the service's target port, so that its inbound chain and cluster have that number.
Source: istio/istio, pilot/pkg/serviceregistry/serviceentry/conversion.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import PortNumber
from aeraki_core.model.wire import Spec, check, text_map

__all__ = ["WorkloadEntry", "mapped_ports", "parse_workload_entry"]


class _WorkloadEntrySpec(Spec):
    address: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    ports: dict[str, PortNumber] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkloadEntry:
    """One workload: its address, its labels, and pairs of port name and number, sorted."""

    ref: ObjectRef
    address: str
    labels: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, int], ...]


def parse_workload_entry(ref: ObjectRef, content: Mapping[str, Any]) -> WorkloadEntry:
    """Parse a WorkloadEntry. Labels of its metadata come before those of its ``spec``.

    Raises:
        RejectedError: a field does not fit.
    """
    spec = check(_WorkloadEntrySpec, content.get("spec"))
    labels = {**spec.labels, **text_map((content.get("metadata") or {}).get("labels"))}
    return WorkloadEntry(
        ref=ref,
        address=spec.address,
        labels=tuple(sorted(labels.items())),
        ports=tuple(sorted(spec.ports.items())),
    )


def mapped_ports(
    entries: Iterable[WorkloadEntry], selector: Iterable[tuple[str, str]], port_name: str
) -> tuple[int, ...]:
    """Return the numbers that the selected workloads give a service port, sorted."""
    wanted = {*selector}
    return tuple(
        sorted(
            {
                number
                for entry in entries
                if wanted <= {*entry.labels}
                for name, number in entry.ports
                if name == port_name
            }
        )
    )
