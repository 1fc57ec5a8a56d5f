"""``aeraki status``: services, protocols, filters and findings, as a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from aeraki_core.cli import output
from aeraki_core.cli.command import PIPELINE, define, require_paths
from aeraki_core.cli.manifests import to_yaml
from aeraki_core.cli.session import Session, has_errors, open_session
from aeraki_core.settings import Settings

if TYPE_CHECKING:
    from aeraki_core.diagnostics import Finding
    from aeraki_core.pipeline import PortReport

__all__ = ["command", "rows"]

HEADINGS = ("HOST", "PORT", "PROTOCOL", "STATE", "FILTERS", "FINDINGS")
COLORS = {"current": "green", "held": "yellow", "none": "red"}


@define("status", *PIPELINE, epilog="Example: aeraki status -f deploy/")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, also with -n.")
@click.option("--all-ports", is_flag=True, help="Ports without a protocol, too.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json", "yaml"]), default="text", help="The form.")
def command(settings: Settings, *, all_namespaces: bool, all_ports: bool, form: str) -> int:
    """Show the services of PATHs: protocol, state, filters and findings of each port.

    With -n only that namespace's services. Exits with 1 if a finding is an error.
    """
    session = open_session(settings, require_paths(settings, "aeraki status -f deploy/"))
    namespace = None if all_namespaces or settings.is_default("defaultNamespace") else settings["defaultNamespace"]
    every = [item for item in session.pipeline.reports() if namespace in (None, item.service.namespace)]
    reports = [item for item in every if all_ports or item.detection.protocol]
    if form == "text":
        if reports:
            output.data(output.table(HEADINGS, rows(reports), colors=COLORS))
        hidden = len(every) - len(reports)
        output.findings(session.findings)
        output.note(_footer(session, reports, hidden))
    else:
        content = {"ports": [describe(item) for item in reports], "findings": [_finding(f) for f in session.findings]}
        output.data(to_yaml([content]) if form == "yaml" else json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return int(has_errors(session.findings))


def rows(reports: list[PortReport]) -> list[tuple[str, ...]]:
    """A row for each port."""
    return [
        (
            report.service.host,
            str(report.port.number),
            report.detection.protocol.name if report.detection.protocol else "-",
            report.state if report.detection.protocol else "-",
            str(len(report.filters)),
            ",".join(sorted({finding.code.id for finding in report.findings})) or "-",
        )
        for report in reports
    ]


def _footer(session: Session, reports: list[PortReport], hidden: int) -> str:
    filters = {key for report in reports for key in report.filters}
    parts = [f"{len(reports)} ports with {len(filters)} filters"]
    if hidden:
        parts.append(f"{hidden} ports without a protocol (--all-ports)")
    parts.append(output.summary(session.findings) or "no findings")
    return "; ".join(parts)


def describe(report: PortReport) -> dict[str, Any]:
    """A port as JSON has it."""
    protocol = report.detection.protocol
    return {
        "host": report.service.host,
        "port": report.port.number,
        "service": str(report.service.ref),
        "protocol": protocol.name if protocol else None,
        "why": report.detection.reason,
        "state": report.state,
        "plugin": report.output.plugin if report.output else None,
        "filters": [str(key) for key in report.filters],
        "findings": [finding.code.id for finding in report.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    from aeraki_core.cli.finding_forms import as_dict

    return as_dict(finding)
