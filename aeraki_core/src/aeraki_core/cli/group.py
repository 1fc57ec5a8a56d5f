"""The commands by name, each imported when it is used."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["COMMANDS", "cli"]

COMMANDS: dict[str, str] = {
    "run": "The controller: watch, generate, write.",
    "generate": "Print the filters for a mesh's configuration.",
    "diff": "Show what would change, as kubectl diff does.",
    "apply": "Write the filters to the cluster, once.",
    "krm": "Add the filters to a ResourceList of kustomize or kpt.",
    "validate": "Say what is wrong with the configuration.",
    "explain": "Explain how a service port is handled, and why.",
    "route": "Show which route takes a call, and why.",
    "report": "Print a page about a mesh, for a browser.",
    "status": "Show services, protocols, filters and findings.",
    "plugins": "Show every plugin, and why it is not active.",
    "findings": "Say what a finding's code means and what to do.",
    "crds": "Print the CRDs of the active plugins.",
    "rbac": "Print the role that the controller needs.",
    "convert": "Print routes for upstream's MetaRouters.",
    "new-plugin": "Write a plugin to start from.",
    "config": "Show every setting and where it came from.",
    "version": "Print the version.",
    "completion": "Print a shell's completion script.",
}
"""Command and its line in the help; its module is the name with ``_`` for ``-``."""


class LazyGroup(click.Group):
    """Knows its commands by name; a module is imported when its command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of :data:`COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"aeraki_core.cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, and explain where a command's flag that comes before it goes."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = f"Flags of a command go after it: aeraki COMMAND {error.option_name}"
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, and an unknown name is answered with the nearest known one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(error.message + hint, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from aeraki_core.cli.commands.version import print_version

        print_version()
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `aeraki status -f DIR` over your Services, or `aeraki COMMAND --help`.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print it.",
)
def cli() -> None:
    """Lets Istio manage layer-7 protocols other than HTTP.

    Finds the ports of a mesh that speak a protocol it has a plugin for (tcp-PROTOCOL), and writes
    the EnvoyFilters that make the sidecars speak it.
    """
