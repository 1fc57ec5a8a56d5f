"""``aeraki explain HOST[:PORT]``: why a service's ports are as they are, in PATHs or in a running controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from aeraki_core.cli.asking import controller_option, explanation_of
from aeraki_core.cli.command import PIPELINE, define, require_paths, use_cluster_option
from aeraki_core.console import output
from aeraki_core.console.describe import NotThereError, explanation
from aeraki_core.console.finding_forms import from_dict
from aeraki_core.findings.text import escape
from aeraki_core.settings import SettingGroup, Settings
from aeraki_core.wiring.session import address_mode, open_session

__all__ = ["command"]

_EXAMPLE = "aeraki explain orders:9090 deploy/"


@define(
    "explain",
    *PIPELINE,
    SettingGroup.CLUSTER,
    epilog="Example: aeraki explain orders.shop:9090 -f deploy/",
    traces=True,
)
@click.argument("target", metavar="HOST[:PORT]")
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
    settings: Settings, *, target: str, form: str, controller: str | None, use_cluster: bool
) -> int:
    """Say why: the port, what matched, the plugin, the objects read, the filters made, the findings.

    HOST is a host of the mesh, or as much of its beginning as is unique: `orders` for orders.shop.svc.cluster.local. Without
    PATHs it asks a running controller. Exits with 1 if there is no such service or port.
    """
    try:
        if settings.paths and not controller:
            paths = require_paths(settings, _EXAMPLE)
            addresses = address_mode(use_cluster=use_cluster)
            session = open_session(settings, paths, addresses=addresses)
            content = explanation(session.pipeline, target)
        elif settings.trace:
            raise click.UsageError(f"--trace follows hooks here: name files:\n\n  {_EXAMPLE}")
        else:
            content = explanation_of(
                settings, controller, target, f"aeraki explain {target} -f deploy/"
            )
    except NotThereError as error:
        output.error(str(error))
        return 1
    if form == "text":
        output.data("\n".join(_text(port) for port in content["ports"]))
    else:
        output.structured(content, form)
    return 0


_STATES = {
    "current": "current: the filters are those of the configuration",
    "partial": "partial: some filters are missing; the findings say which and why",
    "held": "held: no new filter could be made, so the last good one stays",
    "none": "no filter",
}


def _text(port: Mapping[str, Any]) -> str:
    name = output.style(escape(f"{port['host']}:{port['port']}"), bold=True)
    place = f", {port['place']}" if port["place"] else ""
    lines = [f"{name}  {escape(port['service'] + place)}"]

    def line(title: str, *texts: str) -> None:
        for index, text in enumerate(texts):
            lines.append(f"  {title if index == 0 else '':<10} {escape(text)}")

    if port["protocol"] is None:
        line("protocol", f"none: {port['why']}")
        tokens = ", ".join(port["tokens"])
        general = (
            "name the port tcp-<protocol>, or set its appProtocol; active protocols:"
            f" {tokens or 'none'}"
        )
        line("to do", port["remedy"] or general)
        return "\n".join(lines) + "\n"
    line("protocol", f"{port['protocol']}: {port['why']}")
    line("plugin", f"{port['plugin']} ({port['distribution']})")
    line("state", _STATES[port["state"]])
    width = max((len(item["object"]) for item in port["read"]), default=0)
    line(
        "read",
        *(f"{item['object']:<{width}}  {item['place'] or ''}".rstrip() for item in port["read"]),
    )
    line("filters", *(_filter_texts(port["filters"]) or ["none"]))
    line("nearly", *(_near_text(near) for near in port["near"]))
    line("findings", *([] if port["findings"] else ["none"]))
    text = "\n".join(lines) + "\n"
    for finding in port["findings"]:
        text += (
            "\n".join(f"  {part}" for part in output.finding_text(from_dict(finding)).splitlines())
            + "\n"
        )
    return text


def _filter_texts(filters: Iterable[Mapping[str, Any]]) -> list[str]:
    found: list[str] = []
    for item in filters:
        found.append(f"{item['filter']}  ({item['audience']})")
        found += [f"  {patch}" for patch in item["patches"]]
    return found


def _near_text(near: Mapping[str, Any]) -> str:
    """An object that was probably meant for the service."""
    place = f", {near['place']}" if near["place"] else ""
    return f"{near['object']}{place}: {near['reason']}"
