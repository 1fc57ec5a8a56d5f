"""``aeraki status``: services, protocols, filters and findings, of PATHs or of a running controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from aeraki_core.cli.asking import controller_option, status_of
from aeraki_core.cli.command import PIPELINE, define, require_paths, use_cluster_option
from aeraki_core.console import output
from aeraki_core.console.describe import overview
from aeraki_core.console.finding_forms import from_dict
from aeraki_core.findings.text import count
from aeraki_core.settings import OriginKind, SettingGroup, Settings
from aeraki_core.wiring.session import address_mode, has_errors, open_session

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding

__all__ = ["command"]

_EXAMPLE = "aeraki status deploy/"

HEADINGS = ("HOST", "PORT", "PROTOCOL", "STATE", "FILTERS", "FINDINGS")
COLORS = {"current": "green", "partial": "yellow", "held": "yellow", "none": "red"}


@define("status", *PIPELINE, SettingGroup.CLUSTER, epilog="Example: aeraki status -f deploy/")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, also with -n.")
@click.option("--all-ports", is_flag=True, help="Ports without a protocol, too.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    help="The form.",
)
@use_cluster_option
@controller_option
def command(
    settings: Settings,
    *,
    all_namespaces: bool,
    all_ports: bool,
    form: str,
    controller: str | None,
    use_cluster: bool,
) -> int:
    """Show the services of PATHs, or of a running controller: protocol, state, filters and findings of each port.

    With -n only that namespace's services. Exits with 1 if a finding is an error.
    """
    if settings.paths and not controller:
        paths = require_paths(settings, _EXAMPLE)
        session = open_session(settings, paths, addresses=address_mode(use_cluster=use_cluster))
        content = overview(session.pipeline.reports(), session.findings)
    else:
        content = status_of(settings, controller, "aeraki status -f deploy/")
    namespace = (
        None
        if all_namespaces or settings.origin("default_namespace").kind is OriginKind.DEFAULT
        else settings.default_namespace
    )
    every = [port for port in content["ports"] if namespace in (None, _namespace(port))]
    ports = [port for port in every if all_ports or port["protocol"]]
    findings = tuple(from_dict(item) for item in content["findings"])
    if form == "text":
        if ports:
            output.data(output.table(HEADINGS, [_row(port) for port in ports], colors=COLORS))
        output.findings(findings)
        output.note(_footer(ports, findings, len(every) - len(ports), content.get("controller")))
    else:
        content = {**content, "ports": ports}
        output.structured(content, form)
    return int(has_errors(findings))


def _namespace(port: Mapping[str, Any]) -> str:
    return str(port["service"]).partition(" ")[2].partition("/")[0]


def _row(port: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        port["host"],
        str(port["port"]),
        port["protocol"] or "-",
        port["state"] if port["protocol"] else "-",
        str(len(port["filters"])),
        ",".join(sorted(set(port["findings"]))) or "-",
    )


def _footer(
    ports: Sequence[Mapping[str, Any]],
    findings: tuple[Finding, ...],
    hidden: int,
    controller: Mapping[str, Any] | None,
) -> str:
    filters = {key for port in ports for key in port["filters"]}
    parts = [f"{count(len(ports), 'port')} with {count(len(filters), 'filter')}"]
    if hidden:
        parts.append(f"{count(hidden, 'port')} without a protocol (--all-ports)")
    parts.append(output.summary(findings) or "no findings")
    if controller is not None:
        parts.append(controller["role"])
        if controller["held"]:
            parts.append(f"deletions wait: {controller['held']}")
    return "; ".join(parts)
