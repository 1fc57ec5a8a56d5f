"""``aeraki completion SHELL``: the script that teaches a shell to complete commands and flags."""

from __future__ import annotations

import click

from aeraki_core.cli.command import define
from aeraki_core.console import output
from aeraki_core.settings import Settings

__all__ = ["command"]

_EPILOG = (
    'bash: eval "$(aeraki completion bash)"; '
    "fish: aeraki completion fish > ~/.config/fish/completions/aeraki.fish"
)


@define("completion", epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(settings: Settings, *, shell: str) -> int:
    """Print the completion script of a shell; `eval` it, or put it where the shell looks."""
    from click.shell_completion import get_completion_class

    from aeraki_core.cli.group import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    output.data(kind(cli, {}, "aeraki", "_AERAKI_COMPLETE").source() + "\n")
    return 0
