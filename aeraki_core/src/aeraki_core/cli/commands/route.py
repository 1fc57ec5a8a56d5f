"""``aeraki route HOST[:PORT]``: where one call goes, in PATHs or in a running controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from aeraki_core.cli.asking import Asked, controller_options
from aeraki_core.cli.command import PIPELINE, define, form_option, use_cluster_option
from aeraki_core.cli.explaining import explained
from aeraki_core.console import output
from aeraki_core.console.finding_forms import from_dict
from aeraki_core.console.targets import NotThereError
from aeraki_core.settings import OriginKind, SettingGroup, Settings

__all__ = ["command"]


@define(
    "route",
    *PIPELINE,
    SettingGroup.CLUSTER,
    epilog="Example: aeraki route orders.shop --method create --header user=alice -n web deploy/",
)
@click.argument("target", metavar="HOST[:PORT]")
@click.option("--method", metavar="NAME", help="The call's method.")
@click.option(
    "--header",
    "headers",
    metavar="NAME=VALUE",
    multiple=True,
    help="A header or attachment of the call; may be given several times.",
)
@click.option(
    "--param",
    "params",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter of the call, as queryParams name it; may be given several times.",
)
@click.option(
    "--field",
    "fields",
    metavar="NAME=VALUE",
    multiple=True,
    help="Another part of the call that the service may limit by an option, such as an interface.",
)
@click.option(
    "--label",
    "labels",
    metavar="NAME=VALUE",
    multiple=True,
    help="A label of the client's workload, where a workloadSelector of its namespace counts.",
)
@form_option("text", "json", "yaml")
@use_cluster_option
@controller_options
def command(
    settings: Settings,
    *,
    target: str,
    method: str | None,
    headers: tuple[str, ...],
    params: tuple[str, ...],
    fields: tuple[str, ...],
    labels: tuple[str, ...],
    form: str,
    controller: str | None,
    controller_token: str | None,
    use_cluster: bool,
) -> int:
    """Show which route takes a call, why the routes before it do not, and where the call goes.

    -n is the client's namespace; without it, the answer is for clients about whose namespace no
    object says anything. Without PATHs it asks a running controller.

    Exits with 1 if there is no such service or port, or if no route takes the call.
    """
    from aeraki_core.console.route_answers import answer_text, route_answer
    from aeraki_core.mesh.calls import Call

    call = Call(
        method=method,
        headers=_pairs("--header", headers),
        query_params=_pairs("--param", params),
        fields=_pairs("--field", fields),
    )
    is_anybody = settings.origin("default_namespace").kind is OriginKind.DEFAULT
    client = None if is_anybody else settings.default_namespace
    example = f"aeraki route {target} --method NAME deploy/"
    try:
        asked = Asked(controller, controller_token)
        content = explained(settings, asked, target, example, use_cluster=use_cluster)
    except NotThereError as error:
        output.error(str(error))
        return 1
    ports = [port for port in content["ports"] if port["protocol"]]
    if not ports:
        for port in content["ports"]:
            output.error(f"{port['host']}:{port['port']} speaks no protocol: {port['why']}")
        return 1
    _require_known(call.fields, ports)
    _pairs("--label", labels)
    answers = [route_answer(port, client, call, labels=labels) for port in ports]
    if form == "text":
        output.data("\n".join(answer_text(answer, call) for answer in answers))
        for port in ports:
            _note_unused(port)
    else:
        output.structured({"ports": answers}, form)
    return int(any(answer["problem"] for answer in answers))


def _pairs(flag: str, texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Parse the names and values of a flag.

    Raises:
        click.UsageError: a text has no ``=``.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (name, sign, _) in zip(texts, pairs, strict=True):
        if not sign or not name:
            raise click.UsageError(f"{flag}: {text!r} is not NAME=VALUE")
    return tuple((name, value) for name, _, value in pairs)


def _require_known(fields: Sequence[tuple[str, str]], ports: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a field that no option limits.

    Raises:
        click.UsageError: it names those that are.
    """
    known = sorted({name for port in ports for table in port["routes"] for name in table["limits"]})
    for name, _ in fields:
        if name not in known:
            names = ", ".join(known) or "none"
            raise click.UsageError(f"--field: the service cannot limit {name!r}; it can: {names}")


def _note_unused(port: Mapping[str, Any]) -> None:
    """Report what was written for the service and is not among its routes."""
    for near in port["near"]:
        place = f", {near['place']}" if near["place"] else ""
        output.note(f"not used: {near['object']}{place}: {near['reason']}")
    findings = map(from_dict, port["findings"])
    output.findings(
        each for each in findings if each.ref and each.ref.kind in ("VirtualService", "TCPRoute")
    )
