"""``aeraki generate``: the filters for the configuration in PATHs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aeraki_core.cli.command import PIPELINE, define, form_option, require_paths, use_cluster_option
from aeraki_core.console import output
from aeraki_core.findings.text import count
from aeraki_core.settings import SettingGroup, Settings
from aeraki_core.wiring.session import AddressMode, Session, address_mode, has_errors, open_session

if TYPE_CHECKING:
    from aeraki_core.filters.output import Output
    from aeraki_core.findings.finding import Finding

__all__ = ["command"]

STAND_IN_ANNOTATION = "aeraki.io/stand-in-address"


@define(
    "generate",
    *PIPELINE,
    SettingGroup.CLUSTER,
    epilog="Example: aeraki generate deploy/ > filters.yaml",
    traces=True,
)
@use_cluster_option
@form_option("yaml", "json", "name", text="The form on stdout.")
@click.option(
    "--to",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write one file for each filter there instead, "
    "and remove those of ours that nothing makes any more.",
)
def command(settings: Settings, *, form: str, directory: Path | None, use_cluster: bool) -> int:
    """Print the EnvoyFilters for the configuration in PATHs, always in the same order.

    Findings go to stderr. Exits with 1 if one is an error; what could be made is printed all the
    same. Passwords that come from Secrets are part of the filters that need them.

    A filter holds the cluster IP of its service. Where a manifest has none, --use-cluster takes it
    from the cluster. Without, a stand-in address is printed, the filter has an annotation that says
    so, and the exit code is 1; --to writes no such filter.
    """
    from aeraki_core.model.memory import collector_paused

    # Nearly all that is made stays to the end.
    with collector_paused():
        return _generate(settings, form, directory, use_cluster=use_cluster)


def _generate(settings: Settings, form: str, directory: Path | None, *, use_cluster: bool) -> int:
    paths = require_paths(settings, "aeraki generate deploy/")
    addresses = address_mode(use_cluster=use_cluster)
    if directory is not None:
        addresses = AddressMode.CLUSTER if use_cluster else AddressMode.AS_WRITTEN
    session = open_session(settings, paths, addresses=addresses)
    output.findings(session.findings)
    failed = has_errors(session.findings)
    if directory is not None:
        return max(_write(session, directory), int(failed))
    from aeraki_core.filters.output import in_order

    filters = in_order(session.pipeline.filters.values())
    if form == "name":
        output.lines(str(item.key) for item in filters)
    else:
        from aeraki_core.manifests.write import render_each, render_list

        unwritable: list[Finding] = []
        objects = _objects(filters, _stand_in_hosts(session), unwritable)
        # One object after the other: all of them at once take as much space as the mesh.
        output.parts([render_list(objects)] if form == "json" else render_each(objects))
        output.findings(unwritable)
        failed |= bool(unwritable)
    if session.stand_ins:
        output.error(
            f"{count(session.stand_ins, 'service')} without a cluster IP: filters with the "
            f"annotation {STAND_IN_ANNOTATION} have no effect in a cluster; give --use-cluster"
        )
    if not filters:
        output.note(_why_none(session))
    return int(failed or bool(session.stand_ins))


def _stand_in_hosts(session: Session) -> frozenset[str]:
    services = session.pipeline.store.services() if session.stand_ins else ()
    return frozenset(service.host for service in services if service.ref in session.stand_ins)


def _objects(
    outputs: Iterable[Output], stand_in_hosts: frozenset[str], unwritable: list[Finding]
) -> Iterator[dict[str, Any]]:
    """Yield the outputs as Kubernetes objects.

    One that has no such form is left out, and ``unwritable`` gets the finding.
    """
    from aeraki_core.filters.envoyfilter import EnvoyFilter
    from aeraki_core.sinks.writable import UnwritableError, object_of

    for each in outputs:
        try:
            content = object_of(each)
        except UnwritableError as error:
            unwritable.append(error.finding)
            continue
        # Only an outbound filter holds the address.
        is_outbound = isinstance(each, EnvoyFilter) and each.is_outbound
        if is_outbound and any(port.host in stand_in_hosts for port in each.service_ports):
            annotations = content["metadata"].setdefault("annotations", {})
            annotations[STAND_IN_ANNOTATION] = "true"
        yield content


def _write(session: Session, directory: Path) -> int:
    """One pass into the directory, by the same rules as the controller's."""
    from aeraki_core.sinks.carry_out import carry_out
    from aeraki_core.sinks.files import FilesSink
    from aeraki_core.wiring.plan import kept_lines, plan_for

    sink = FilesSink(directory, watch=False, instance=session.settings.instance)
    sink.start(lambda _: None)
    try:
        plan = plan_for(session, sink.live())
        failures = 0
        for written in carry_out(sink, plan.steps):
            failures += written.error is not None
            if written.error is None:
                output.note(f"{written.step.action}  {written.step.key}")
            else:
                output.error(f"{written.step.key}: {written.error}")
        for line in kept_lines(plan.kept):
            output.note(line)
        problems = sink.findings()
        output.findings(problems)
    finally:
        sink.stop()
    total = len(session.pipeline.filters)
    unchanged = total - sum(step.after is not None for step in plan.steps)
    output.note(f"{count(total, 'filter')} in {directory}, {unchanged} of them unchanged")
    return int(bool(failures) or has_errors(problems))


def _why_none(session: Session) -> str:
    """What to say when nothing came out."""
    reports = session.pipeline.reports()
    if not reports:
        return "No filter: the paths hold no Service or ServiceEntry with a port."
    if not session.registry.active:
        return "No filter: no plugin is active; see `aeraki plugins`."
    names = ", ".join(
        f"tcp-{token}" for protocol in session.registry.protocols for token in protocol.tokens
    )
    return (
        f"No filter: see the findings, or name a port for its protocol ({names}); "
        "`aeraki status` shows every port."
    )
