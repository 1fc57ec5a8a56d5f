"""Explanations of service ports, from PATHs or from a running controller, for several commands."""

from __future__ import annotations

from typing import Any

import click

from aeraki_core.cli.asking import Asked, explanation_of
from aeraki_core.cli.command import require_paths
from aeraki_core.settings import Settings

__all__ = ["explained"]


def explained(
    settings: Settings, asked: Asked, target: str, example: str, *, use_cluster: bool
) -> dict[str, Any]:
    """Return the JSON of console/describe.py for a target. ``example``: a command line with PATHs.

    Raises:
        NotThereError: there is no such service or port, or several.
        AerakiError: the controller cannot be asked.
        click.UsageError: there are neither PATHs nor a controller, or a controller should trace.
    """
    if asked.url or not settings.paths:
        if settings.trace:
            raise click.UsageError(f"--trace follows hooks here: name files:\n\n  {example}")
        return explanation_of(settings, asked, target, example)
    from aeraki_core.console.describe import explanation
    from aeraki_core.wiring.session import address_mode, open_session

    paths = require_paths(settings, example)
    session = open_session(settings, paths, addresses=address_mode(use_cluster=use_cluster))
    return explanation(session.pipeline, target)
