"""``aeraki explain TARGET``: how service ports are handled and why, in PATHs or a controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from aeraki_core.cli.asking import Asked, controller_options
from aeraki_core.cli.command import PIPELINE, define, form_option, use_cluster_option
from aeraki_core.cli.explaining import explained
from aeraki_core.console import output
from aeraki_core.console.finding_forms import from_dict
from aeraki_core.console.targets import NotThereError
from aeraki_core.findings.text import count, escape
from aeraki_core.settings import SettingGroup, Settings

__all__ = ["command"]


@define(
    "explain",
    *PIPELINE,
    SettingGroup.CLUSTER,
    epilog="Example: aeraki explain orders.shop:9090 -f deploy/",
    traces=True,
)
@click.argument("target", metavar="TARGET")
@form_option("text", "json", "yaml")
@use_cluster_option
@controller_options
def command(
    settings: Settings,
    *,
    target: str,
    form: str,
    controller: str | None,
    controller_token: str | None,
    use_cluster: bool,
) -> int:
    """Explain how a service port is handled, and why: protocol, plugin, routes, filters, findings.

    TARGET is HOST or HOST:PORT, where the first labels of a host do if they are unique: `orders`
    for orders.shop.svc.cluster.local. It may also be what Envoy shows: an address, a listener
    (10.1.2.3_20880), a cluster (outbound|20880|v1|HOST), or the name of an EnvoyFilter.

    Without PATHs it asks a running controller. Exits with 1 if there is no such service or port.
    """
    example = f"aeraki explain {target} -f deploy/"
    try:
        asked = Asked(controller, controller_token)
        content = explained(settings, asked, target, example, use_cluster=use_cluster)
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
    line("routes", *_table_texts(port["routes"]))
    line("filters", *(_filter_texts(port["filters"]) or ["none"]))
    line("weights", *_weight_texts(port.get("weights", ())))
    line("nearly", *(_near_text(near) for near in port["near"]))
    line("findings", *([] if port["findings"] else ["none"]))
    text = "\n".join(lines) + "\n"
    for finding in port["findings"]:
        text += (
            "\n".join(f"  {part}" for part in output.finding_text(from_dict(finding)).splitlines())
            + "\n"
        )
    return text


def _table_texts(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """The routes for each group of clients: what a call must be like, and where it goes."""
    from aeraki_core.console.route_tables import (
        clients_text,
        destinations_text,
        limit_texts,
        match_text,
        source_text,
    )

    texts: list[str] = []
    if all(table["routes"] is None for table in tables):
        return texts  # the protocol does not route single calls
    for table in tables:
        texts.append(clients_text(table, tables))
        texts += [f"  {text}" for text in limit_texts(table)]
        if not table["isTheirs"]:
            texts.append("  the host is another service for them")
        elif table["routes"] is None:
            texts.append("  calls are not routed one by one")
        rows = table["routes"] or ()
        width = max((len(match_text(route)) for route in rows), default=0)
        for number, route in enumerate(rows, start=1):
            where = destinations_text(route) if route["isUsed"] else "left out, see the findings"
            text = f"  {number}  {match_text(route):<{width}} -> {where}"
            texts.append(f"{text}  ({source_text(route)})")
    return texts


def _weight_texts(weights: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each route with live weights, and what its destinations get."""
    texts: list[str] = []
    for item in weights:
        texts.append(f"live: {item['object']} {item['field']}, by endpoints of {item['cluster']}")
        texts += [
            f"  {each['weight']:>3}  {each['cluster']} ({count(each['endpoints'], 'endpoint')})"
            for each in item["destinations"]
        ]
    return texts


def _filter_texts(filters: Iterable[Mapping[str, Any]]) -> list[str]:
    texts: list[str] = []
    for item in filters:
        texts.append(f"{item['filter']}  ({item['audience']})")
        texts += [f"  {patch}" for patch in item["patches"]]
    return texts


def _near_text(near: Mapping[str, Any]) -> str:
    """An object that was probably meant for the service."""
    place = f", {near['place']}" if near["place"] else ""
    return f"{near['object']}{place}: {near['reason']}"
