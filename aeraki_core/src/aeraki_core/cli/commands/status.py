"""``aeraki status``: services, protocols, filters and findings.

They are those of PATHs or of a running controller.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from aeraki_core.cli.asking import Asked, controller_options, status_of
from aeraki_core.cli.command import PIPELINE, define, form_option, require_paths, use_cluster_option
from aeraki_core.console import output
from aeraki_core.console.describe import overview, weights_text
from aeraki_core.console.finding_forms import from_dict
from aeraki_core.findings.text import count
from aeraki_core.settings import OriginKind, SettingGroup, Settings
from aeraki_core.wiring.session import address_mode, has_errors, open_session

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding

__all__ = ["command"]

_EXAMPLE = "aeraki status deploy/"

_PERIOD = 2.0  # seconds between two looks
HEADINGS = ("HOST", "PORT", "PROTOCOL", "STATE", "FILTERS", "FINDINGS")
COLORS = {"current": "green", "partial": "yellow", "held": "yellow", "none": "red"}


@define("status", *PIPELINE, SettingGroup.CLUSTER, epilog="Example: aeraki status -f deploy/")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, also with -n.")
@click.option("--all-ports", is_flag=True, help="Ports without a protocol, too.")
@form_option("text", "json", "yaml", text="The form.")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@use_cluster_option
@controller_options
def command(
    settings: Settings,
    *,
    all_namespaces: bool,
    all_ports: bool,
    form: str,
    watch: bool,
    controller: str | None,
    controller_token: str | None,
    use_cluster: bool,
) -> int:
    """Show the services of PATHs, or of a running controller, with the state of each port.

    A port has a protocol, a state, filters and findings. With -n only that namespace: its services,
    its findings, and its exit code. Exits with 1 if a finding is an error.
    """
    is_everywhere = settings.origin("default_namespace").kind is OriginKind.DEFAULT
    namespace = None if all_namespaces or is_everywhere else settings.default_namespace

    def show() -> int:
        asked = Asked(controller, controller_token)
        content = _of_namespace(_content(settings, asked, use_cluster), namespace)
        return _show(content, form, namespace=namespace, all_ports=all_ports)

    if not watch:
        return show()
    while True:
        output.clear_screen()
        show()
        time.sleep(_PERIOD)


def _content(settings: Settings, asked: Asked, use_cluster: bool) -> dict[str, Any]:
    """What `/status` of a controller gives, or the same for PATHs."""
    if asked.url or not settings.paths:
        return status_of(settings, asked, _EXAMPLE)
    paths = require_paths(settings, _EXAMPLE)
    session = open_session(settings, paths, addresses=address_mode(use_cluster=use_cluster))
    return overview(session.pipeline, session.findings)


def _of_namespace(content: dict[str, Any], namespace: str | None) -> dict[str, Any]:
    """The part that is about one namespace; all of it for None."""
    if namespace is None:
        return content
    return {
        **content,
        "ports": [port for port in content["ports"] if _namespace(port) == namespace],
        "findings": [
            finding
            for finding in content["findings"]
            if (finding.get("object") or {}).get("namespace") == namespace
        ],
    }


def _show(content: dict[str, Any], form: str, *, namespace: str | None, all_ports: bool) -> int:
    every = content["ports"]
    ports = [port for port in every if all_ports or port["protocol"] or port.get("remedy")]
    findings = tuple(from_dict(finding) for finding in content["findings"])
    if form == "text":
        if content.get("controller"):
            output.note(_heading(content["controller"]))
        if ports:
            output.data(output.table(HEADINGS, [_row(port) for port in ports], colors=COLORS))
        output.findings(findings)
        for where, number in content.get("findingsLeftOut", {}).items():
            if namespace in (None, where):
                place = f"namespace {where}" if where else "no namespace"
                output.note(f"{count(number, 'more finding')} in {place}")
        if namespace is not None and not every:
            output.note(f"no service in namespace {namespace}")
        if namespace is None and "arrangement" in content:
            output.note(_arrangement(content["arrangement"], ports))
        output.note(_footer(ports, findings, len(every) - len(ports), content.get("controller")))
    else:
        output.structured({**content, "ports": ports}, form)
    return int(has_errors(findings))


def _heading(controller: Mapping[str, Any]) -> str:
    """Return which controller answered, so that its answer is not mistaken for another's."""
    parts = [f"aeraki {controller['version']}", controller["identity"], controller["role"]]
    if controller.get("cluster"):
        parts.append(f"cluster {controller['cluster']}")
    last = controller.get("lastPass")
    parts.append(f"last pass {time.time() - last:.0f} s ago" if last else "no pass yet")
    return ", ".join(parts)


def _namespace(port: Mapping[str, Any]) -> str:
    return str(port["service"]).partition(" ")[2].partition("/")[0]


def _row(port: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        port["host"],
        str(port["port"]),
        port["protocol"] or "-",
        port["state"] if port["protocol"] or port.get("remedy") else "-",
        str(len(port["filters"])),
        ",".join(sorted(set(port["findings"]))) or "-",
    )


def _arrangement(arranged: Mapping[str, Any], ports: Sequence[Mapping[str, Any]]) -> str:
    """How the filters are spread, and what istiod compares with the listeners of a sidecar."""
    by_import = sum(port["byImport"] for port in ports)
    more: Mapping[str, int] = arranged["morePatchesIn"]
    parts = [f"arrangement {arranged['choice']}"]
    if by_import:
        parts.append(f"{by_import} of {count(len(ports), 'port')} only for who imports them")
    parts.append(f"every sidecar gets {_patches(arranged['patchesOfEverySidecar'])}")
    if more:
        most = max(more, key=lambda name: more[name])
        parts.append(f"{_patches(more[most])} more in {most}, which has the most")
    return "; ".join(parts)


def _patches(number: int) -> str:
    return f"{number} patch{'' if number == 1 else 'es'}"


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
    if controller is not None and controller["held"]:
        parts.append(f"deletions wait: {controller['held']}")
    if controller is not None and (text := weights_text(controller.get("weightSets") or {})):
        parts.append(f"live weights: {text}")
    return "; ".join(parts)
