"""``aeraki diff``: what would change, as a unified diff."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aeraki_core.cli.command import PIPELINE, define, form_option, require_paths
from aeraki_core.cli.completing import files
from aeraki_core.console import output
from aeraki_core.errors import SettingsError
from aeraki_core.settings import SettingGroup, Settings
from aeraki_core.wiring.session import AddressMode, Session, open_session

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import FilterKey
    from aeraki_core.filters.live import Live
    from aeraki_core.model.scope import Scope
    from aeraki_core.pipeline.reconcile import Plan, Step

__all__ = ["command"]

_EXAMPLE = "kubectl get envoyfilter -A -o yaml | aeraki diff -f deploy/ --live -"


@define("diff", *PIPELINE, SettingGroup.CLUSTER, error_exit=2, epilog=f"Example: {_EXAMPLE}")
@click.option(
    "--live",
    "where",
    required=True,
    metavar="DIR|-|cluster",
    shell_complete=files("cluster"),
    help="The filters as they are now.",
)
@form_option("diff", "name", text="The form.")
def command(settings: Settings, *, where: str, form: str) -> int:
    """Show what would change: from the live filters to those for the configuration in PATHs.

    What the controller would leave alone (filters of a plugin that is not active, or of a service
    that cannot be judged now) is no difference; stderr lists it. Values that came from a Secret,
    and fields that Envoy calls sensitive, are shown as ***.

    Exits with 0 without a difference, 1 with one, 2 if the comparison is incomplete.
    """
    paths = require_paths(settings, _EXAMPLE)
    if where == "-" and "-" in paths:
        raise click.UsageError(
            "standard input is read once: give `-` to -f or to --live, not to both"
        )
    from aeraki_core.wiring.plan import kept_lines, plan_for

    # The cluster knows the cluster IPs that the manifests in Git do not have.
    addresses = AddressMode.CLUSTER if where == "cluster" else AddressMode.AS_WRITTEN
    session = open_session(settings, paths, _scope(settings, where), addresses=addresses)
    plan = plan_for(session, _live(settings, where))
    output.findings(session.findings)
    if form == "name":
        output.lines(f"{step.action} {step.key}" for step in plan.steps)
    whole = form == "name" or _show(session, plan)
    for line in kept_lines(plan.kept):
        output.note(line)
    unsure = _unsure(session)
    if unsure:
        output.error(f"the difference is not complete: {unsure}")
        return 2
    return int(bool(plan.steps)) if whole else 2


def _live(settings: Settings, where: str) -> Mapping[FilterKey, Live]:
    from aeraki_core.wiring.live_filters import from_directory, from_text

    instance = settings.instance
    if where == "-":
        return from_text(sys.stdin.buffer.read(), "<stdin>", instance)
    if where == "cluster":
        from aeraki_core.wiring.cluster import live_in_cluster

        return live_in_cluster(settings)
    return from_directory(Path(where), instance)


def _scope(settings: Settings, where: str) -> Scope:
    from aeraki_core.wiring.cluster import scope_of

    if where != "cluster" and settings.watch_namespace_selector:
        raise SettingsError(
            "--watch-namespace-selector: only a cluster tells the labels of namespaces; "
            "use --live cluster"
        )
    return scope_of(settings)


def _unsure(session: Session) -> str | None:
    """Return why the filters are incomplete; None if they are complete."""
    if session.incomplete:
        return session.incomplete
    rejected = sorted(session.pipeline.store.rejected())
    if rejected:
        return f"{rejected[0]} cannot be used"
    held = [item for item in session.pipeline.reports() if item.run is not None and item.run.failed]
    return (
        f"no filter could be made for {held[0].service.host}:{held[0].port.number}"
        if held
        else None
    )


def _show(session: Session, plan: Plan) -> bool:
    """Print the difference of every filter; return False if one of them has no printable form."""
    from aeraki_core.cli.masking import secret_values
    from aeraki_core.errors import UnserialisableError

    secrets = secret_values(session.pipeline)
    whole = True
    for step in sorted(plan.steps, key=lambda step: step.key):
        if step.before is not None and step.before.filter is None:
            output.note(
                f"{step.key}: what is live is not as Aeraki writes it; "
                "it is shown as if it were not there"
            )
        try:
            output.diff(list(_lines(step, secrets)))
        except UnserialisableError as error:
            output.error(f"{step.key}: {error}")
            whole = False
    return whole


def _lines(step: Step, secrets: Collection[str]) -> Iterator[str]:
    from aeraki_core.cli.masking import masked_pair
    from aeraki_core.manifests.write import render_objects

    def text(content: dict[str, Any] | None) -> list[str]:
        return render_objects([content]).splitlines() if content else []

    before, after = masked_pair(step.before.filter if step.before else None, step.after, secrets)
    old, new = f"live/{step.key}", f"new/{step.key}"
    yield f"diff -u -N {old} {new}"
    yield from difflib.unified_diff(text(before), text(after), old, new, lineterm="")
