"""``aeraki explain HOST[:PORT]``: why a service's ports are as they are."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from aeraki_core.cli import output
from aeraki_core.cli.command import PIPELINE, define, require_paths
from aeraki_core.cli.finding_forms import as_dict
from aeraki_core.cli.manifests import to_yaml
from aeraki_core.cli.session import Session, open_session
from aeraki_core.settings import Settings

if TYPE_CHECKING:
    from aeraki_core.envoyfilter import ConfigPatch, EnvoyFilter
    from aeraki_core.model.meta import ObjectRef
    from aeraki_core.pipeline import PortReport

__all__ = ["command", "hosts_meant"]


@define("explain", *PIPELINE, epilog="Example: aeraki explain orders.shop:9090 -f deploy/")
@click.argument("target", metavar="HOST[:PORT]")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json", "yaml"]), default="text", help="The form.")
def command(settings: Settings, *, target: str, form: str) -> int:
    """Say why: the port, what matched, the plugin, the objects read, the filters made, the findings.

    HOST is a host of the mesh, or as much of its beginning as is unique: `orders` for orders.shop.svc.cluster.local.
    Exits with 1 if there is no such service or port.
    """
    host, port = _split(target)
    session = open_session(settings, require_paths(settings, f"aeraki explain {target} -f deploy/"))
    reports = session.pipeline.reports()
    known = sorted({report.service.host for report in reports})
    meant = hosts_meant(host, known)
    if len(meant) != 1:
        output.error(_not_found(host, meant, known))
        return 1
    found = [report for report in reports if report.service.host == meant[0] and port in (None, report.port.number)]
    if not found:
        ports = ", ".join(str(item.port.number) for item in reports if item.service.host == meant[0])
        output.error(f"{meant[0]} has no port {port}; it has {ports}")
        return 1
    if form == "text":
        output.data("\n".join(_text(session, report) for report in found))
    else:
        content = {"ports": [_describe(session, report) for report in found]}
        output.data(to_yaml([content]) if form == "yaml" else json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return 0


def _split(target: str) -> tuple[str, int | None]:
    host, colon, port = target.rpartition(":")
    if not colon:
        return target.lower(), None
    if not port.isdecimal():
        raise click.UsageError(f"{port!r} is not a port number; write HOST or HOST:PORT")
    return host.lower(), int(port)


def hosts_meant(text: str, known: Iterable[str]) -> list[str]:
    """The hosts that the text can mean: the host itself, or all that begin with its labels."""
    known = list(known)
    return [text] if text in known else [host for host in known if host.startswith(f"{text}.")]


def _not_found(host: str, meant: list[str], known: list[str]) -> str:
    if meant:
        return f"{host!r} can mean {', '.join(meant)}; write more of it"
    short = {name.partition(".")[0]: name for name in known}
    near = difflib.get_close_matches(host, known, n=3, cutoff=0.5) or [
        short[name] for name in difflib.get_close_matches(host.partition(".")[0], short, n=3)
    ]
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"there are {len(known)}; `aeraki status --all-ports` lists them"
    )
    return f"no service {host!r}; {hint}" if known else f"no service {host!r}: the paths hold no service at all"


def _place(session: Session, ref: ObjectRef) -> str:
    origin = session.pipeline.store.origin(ref)
    if origin is None:
        return ""
    source, line = origin.locate(None)
    return f"{source}:{line}"


def _text(session: Session, report: PortReport) -> str:
    place = _place(session, report.service.ref)
    lines = [
        f"{output.style(f'{report.service.host}:{report.port.number}', bold=True)}  {report.service.ref}"
        f"{f', {place}' if place else ''}"
    ]

    def line(title: str, *texts: str) -> None:
        for index, text in enumerate(texts):
            lines.append(f"  {title if index == 0 else '':<10} {text}")

    protocol = report.detection.protocol
    if protocol is None:
        line("protocol", f"none: {report.detection.reason}")
        tokens = ", ".join(token for item in session.registry.protocols for token in item.tokens)
        line("to do", f"name the port tcp-<protocol>, or set its appProtocol; active protocols: {tokens or 'none'}")
        return "\n".join(lines) + "\n"
    line("protocol", f"{protocol.name}: {report.detection.reason}")
    plugin = session.registry.owner(protocol)
    line("plugin", f"{plugin.name} ({plugin.title})")
    line("state", _STATES[report.state])
    if report.output is not None:
        refs = [(str(ref), _place(session, ref)) for ref in report.output.objects]
        width = max((len(name) for name, _ in refs), default=0)
        line("read", *(f"{name:<{width}}  {where}".rstrip() for name, where in refs))
    filters = [session.pipeline.filters[key] for key in report.filters]
    line("filters", *(_filter_texts(filters) or ["none"]))
    line("findings", *([] if report.findings else ["none"]))
    text = "\n".join(lines) + "\n"
    for finding in report.findings:
        text += "\n".join(f"  {part}" for part in output.finding_text(finding).splitlines()) + "\n"
    return text


_STATES = {
    "current": "current: the filters are those of the configuration",
    "held": "held: no new filter could be made, so the last good one stays",
    "none": "no filter",
}


def _filter_texts(filters: Iterable[EnvoyFilter]) -> list[str]:
    found: list[str] = []
    for item in filters:
        selector = ", ".join(f"{key}={value}" for key, value in item.selector)
        scope = f"workloads {selector}" if selector else "all workloads"
        found.append(f"{item.key}  ({scope})")
        found += [f"  {_patch_text(patch)}" for patch in item.patches]
    return found


def _patch_text(patch: ConfigPatch) -> str:
    """What a patch does and where, without its value: that may hold a password."""
    match = patch.match
    where = [
        text
        for text in (
            f"listener {match.listener}" if match.listener else "",
            f"chain {match.chain}" if match.chain else "",
            f"port {match.destination_port}" if match.destination_port else "",
            f"filter {match.filter}" if match.filter else "",
            f"cluster {match.cluster}" if match.cluster else "",
            f"clusters of {match.service}:{match.port}" if match.service else "",
            f"subset {match.subset}" if match.subset else "",
        )
        if text
    ]
    side = "inbound" if patch.context == "SIDECAR_INBOUND" else "outbound"
    at = f" at {', '.join(where)}" if where else ""
    return f"{side} {patch.apply_to} {patch.operation}{at}"


def _describe(session: Session, report: PortReport) -> dict[str, Any]:
    protocol = report.detection.protocol
    objects = report.output.objects if report.output else ()
    return {
        "host": report.service.host,
        "port": report.port.number,
        "service": str(report.service.ref),
        "place": _place(session, report.service.ref) or None,
        "protocol": protocol.name if protocol else None,
        "why": report.detection.reason,
        "plugin": report.output.plugin if report.output else None,
        "state": report.state,
        "read": [{"object": str(ref), "place": _place(session, ref) or None} for ref in objects],
        "filters": [
            {"filter": str(key), "patches": [_patch_text(patch) for patch in session.pipeline.filters[key].patches]}
            for key in report.filters
        ],
        "findings": [as_dict(finding) for finding in report.findings],
    }
