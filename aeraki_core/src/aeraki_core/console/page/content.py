"""What the page shows, as a value: from files once, or from a running controller at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aeraki_core.console.describe import port_row

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding
    from aeraki_core.pipeline.pipeline import Pipeline, PortReport
    from aeraki_core.plugins.registry import PluginInfo

__all__ = ["MAX_PORTS", "PageContent", "WriteRecord", "page_row", "shown_first"]

MAX_PORTS = 2_000
"""Ports with a row of their own; a browser that opens more of them gets slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRecord:
    """One filter that a controller wrote, or tried to.

    - at: when, in seconds since 1970
    - action: such as ``updated``
    - filter: namespace and name
    - cause: why, in words; empty where there is nothing to say
    - error: why it failed; None when it did not
    """

    at: float
    action: str
    filter: str
    cause: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
    """Everything on the page.

    - title: what the page is about
    - facts: names and values at its head, such as the leader
    - ports: rows of :func:`page_row`, the ones to look at first in front
    - filters: how many filters there are
    - more_ports: ports with a protocol that have no row
    - silent_ports: ports without a protocol
    - findings: in order, of one namespace at most 200
    - writes: the latest, oldest first; None where nothing is written
    - plugins: all, also those that are not active
    - docs_url: where the documentation is; empty for no links
    - at: when it was made
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    ports: Sequence[Mapping[str, Any]]
    filters: int
    more_ports: int
    silent_ports: int
    findings: tuple[Finding, ...]
    writes: tuple[WriteRecord, ...] | None
    plugins: tuple[PluginInfo, ...]
    docs_url: str
    at: datetime


def page_row(pipeline: Pipeline, report: PortReport) -> dict[str, Any]:
    """A port in short, with its routes."""
    from aeraki_core.console.route_tables import route_tables

    return {**port_row(report), "routes": route_tables(pipeline, report)}


def shown_first(reports: Iterable[PortReport]) -> list[PortReport]:
    """The ports that the page shows: those with findings first, the others as they come.

    A port without a protocol is among them if it was probably meant to have one.
    """
    shown = [each for each in reports if each.detection.protocol or each.detection.problem]
    return sorted(shown, key=lambda each: not (each.findings or each.detection.problem))
