"""``aeraki apply``: one pass to the cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from aeraki_core.cli.command import PIPELINE, define, require_paths
from aeraki_core.console import output
from aeraki_core.findings.text import and_more, count
from aeraki_core.settings import SettingGroup, Settings

if TYPE_CHECKING:
    from aeraki_core.pipeline.reconcile import Plan, Step
    from aeraki_core.sinks.base import Sink, Written

__all__ = ["command"]

_EXAMPLE = "aeraki apply -f deploy/ --dry-run server"
_TRIES = 5
_NAMED = 20  # so many filters are named where all would fill the screen
_DRY = {None: "", "client": " (dry run)", "server": " (server dry run)"}


@define("apply", *PIPELINE, SettingGroup.CLUSTER, epilog=f"Example: {_EXAMPLE}")
@click.option(
    "--dry-run",
    type=click.Choice(["client", "server"]),
    help="Do not write: only say it, or let the API server judge.",
)
@click.option(
    "--prune", is_flag=True, help="Delete filters that nothing in PATHs makes; asks before it does."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(settings: Settings, *, dry_run: str | None, prune: bool, yes: bool) -> int:
    """Write the filters for the configuration in PATHs to the cluster, once.

    Reports for each filter whether it was created, configured, pruned, or is unchanged. Only
    Aeraki's own filters are considered. Without --prune none is deleted. With --prune, PATHs must
    hold the whole mesh's configuration: every other filter is deleted, also those of plugins that
    are not active, but none of another --instance, nor of a namespace that the settings leave out.
    Objects of live weights stay where their filter changes in this run, for connections that drain:
    run --prune again two minutes later.

    Exits with 1 if a finding is an error or a filter could not be written.
    """
    paths = require_paths(settings, _EXAMPLE)
    asks = prune and not yes and dry_run is None
    if asks and not sys.stdin.isatty():
        raise click.UsageError(
            "--prune asks before it deletes, and there is no terminal to ask on: give --yes"
        )
    from aeraki_core.wiring.cluster import live_in_cluster, scope_of
    from aeraki_core.wiring.plan import kept_lines, plan_for
    from aeraki_core.wiring.session import AddressMode, has_errors, open_session

    session = open_session(settings, paths, scope_of(settings), addresses=AddressMode.CLUSTER)
    plan = plan_for(session, live_in_cluster(settings))
    output.findings(session.findings)
    work = _sorted_out(plan, prune=prune, complete=session.incomplete is None)
    for line in kept_lines(work.kept):
        output.note(line)
    if work.left:
        output.warning(
            "not deleted, though nothing in PATHs makes it (--prune does): "
            f"{and_more([step.key for step in work.left], _NAMED)}"
        )
    if work.draining:
        output.warning(
            "not deleted yet, because connections that drain need it (run --prune again in two"
            f" minutes): {and_more([step.key for step in work.draining], _NAMED)}"
        )
    if work.pruned and asks and not _agreed(work.pruned):
        output.note("nothing was written")
        return 1
    failed = _do(settings, work.steps, dry_run)
    touched = {step.key for step in (*work.steps, *work.kept)}
    unchanged = sorted(session.pipeline.filters.keys() - touched)
    output.lines(f"{key.kind.lower()} {key.place} unchanged" for key in unchanged)
    return int(failed or has_errors(session.findings))


@dataclass(frozen=True, slots=True)
class _Work:
    """The steps of one command.

    ``steps`` are carried out, deletions last, and ``pruned`` are these deletions. ``left``: filters
    that only --prune deletes. ``draining``: companions that connections may need, so
    that the next run deletes them. ``kept``: filters that stay.
    """

    steps: tuple[Step, ...]
    pruned: tuple[Step, ...]
    left: tuple[Step, ...]
    kept: tuple[Step, ...]
    draining: tuple[Step, ...] = ()


def _draining(unwanted: Iterable[Step], steps: Iterable[Step]) -> Iterator[Step]:
    """Companions whose filters change in this run: connections that drain still need them."""
    changed = {
        service_port
        for step in steps
        if step.before is not None and not step.key.kind.is_named
        for service_port in step.before.service_ports
    }
    for step in unwanted:
        service_ports = step.before.service_ports if step.before is not None else ()
        if step.key.kind.is_named and not changed.isdisjoint(service_ports):
            yield step


def _sorted_out(plan: Plan, *, prune: bool, complete: bool) -> _Work:
    """Sort the plan's steps by what happens to them.

    ``complete``: all of PATHs could be read; otherwise nothing is deleted.
    """
    from aeraki_core.pipeline.reconcile import Action

    writes = tuple(step for step in plan.steps if step.action is not Action.DELETE)
    unwanted = tuple(
        step
        for step in (*plan.steps, *plan.kept)
        if step.action is Action.DELETE or step.action is Action.ORPHAN
    )
    kept = tuple(step for step in plan.kept if step.action in (Action.KEEP, Action.OUTSIDE))
    if not complete:
        return _Work(writes, (), (), (*kept, *unwanted))
    if not prune:
        return _Work(writes, (), unwanted, kept)
    draining = tuple(_draining(unwanted, (*writes, *unwanted)))
    pruned = tuple(_deletion(step) for step in unwanted if step not in draining)
    return _Work((*writes, *pruned), pruned, (), kept, draining)


def _deletion(step: Step) -> Step:
    from dataclasses import replace

    from aeraki_core.pipeline.reconcile import Action

    return replace(step, action=Action.DELETE)


def _agreed(pruned: Sequence[Step]) -> bool:
    output.note(f"{count(pruned, 'filter')} to be deleted:")
    output.note(*(f"  {step.key}: {step.message}" for step in pruned[:_NAMED]))
    if len(pruned) > _NAMED:
        more = len(pruned) - _NAMED
        output.note(f"  and {more} more; `aeraki diff --live cluster -o name` names all")
    return click.confirm("Delete them, and write the rest?", err=True)


# -- doing -----------------------------------------------------------------------------------------


def _do(settings: Settings, steps: Sequence[Step], dry_run: str | None) -> bool:
    """Do the steps and say what became of each; whether one failed."""
    if dry_run == "client" or not steps:
        for step in steps:
            _print_step(step, dry_run)
        return False
    from aeraki_core.sinks.kubernetes.sink import KubernetesSink
    from aeraki_core.wiring.cluster import connector, filter_namespaces, output_kinds

    sink = KubernetesSink(
        connector(settings),
        namespaces=filter_namespaces(settings),
        dry_run=dry_run == "server",
        instance=settings.instance,
        kinds=output_kinds(settings),
    )
    sink.start(lambda key: None)
    try:
        failed = [item for item in _written(sink, steps, dry_run) if item.error is not None]
    finally:
        sink.stop()
    for item in failed:
        output.error(f"{item.step.key} could not be {_word(item.step)}: {item.error}")
    return bool(failed)


def _written(sink: Sink, steps: Sequence[Step], dry_run: str | None) -> list[Written]:
    """Return the results of the steps; those that a busy server rejects are retried a few times."""
    from aeraki_core.kube.backoff import Backoff
    from aeraki_core.sinks.carry_out import carry_out

    if sys.stderr.isatty():
        output.note(f"writing {count(steps, 'filter')}")
    wait = Backoff(first=1.0, limit=8.0)
    final: list[Written] = []
    left = list(steps)
    for attempt in range(1, _TRIES + 1):
        done = list(carry_out(sink, left))
        for item in done:
            if item.error is None:
                _print_step(item.step, dry_run)
                for text in item.warnings:
                    output.warning(f"{item.step.key}: {text}")
        again = [
            item for item in done if item.error is not None and item.passing and attempt < _TRIES
        ]
        final += [item for item in done if item not in again]
        if not again:
            break
        output.note(f"{count(again, 'filter')} to be tried again: {again[0].error}")
        time.sleep(wait.next())
        left = [item.step for item in again]
    return final


def _print_step(step: Step, dry_run: str | None) -> None:
    output.lines([f"{step.key.kind.lower()} {step.key.place} {_word(step)}{_DRY[dry_run]}"])


def _word(step: Step) -> str:
    """What kubectl calls it."""
    return {"create": "created", "update": "configured", "delete": "pruned"}[step.action]
