"""``aeraki apply``: one pass to the cluster."""

from __future__ import annotations

import click

from aeraki_core.cli.command import PIPELINE, define, require_paths
from aeraki_core.errors import SettingsError
from aeraki_core.settings import Scope, Settings

__all__ = ["command"]


@define("apply", *PIPELINE, Scope.CLUSTER, epilog="Example: aeraki apply -f deploy/ --dry-run server")
@click.option(
    "--dry-run", type=click.Choice(["client", "server"]), help="Do not write: only say it, or let the API server judge."
)
@click.option("--prune", is_flag=True, help="Remove filters that nothing makes any more; asks before it does.")
def command(settings: Settings, *, dry_run: str | None, prune: bool) -> int:
    """Write the filters for the configuration in PATHs to the cluster, once."""
    require_paths(settings, "aeraki apply -f deploy/")
    raise SettingsError("apply is not part of this version; use: aeraki generate -f PATH | kubectl apply -f -")
