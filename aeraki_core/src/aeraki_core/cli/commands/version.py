"""``aeraki version``: what runs here."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from aeraki_core.cli.command import define, form_option
from aeraki_core.console import output
from aeraki_core.settings import Settings

__all__ = ["command", "print_version"]


def print_version() -> None:
    """The version on one line."""
    output.data(f"aeraki {_version('aeraki-core')}\n")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


@define("version")
@click.option("--short", is_flag=True, help="The number alone.")
@form_option("text", "json", "yaml", text="The form.")
def command(settings: Settings, *, short: bool, form: str) -> int:
    """Print the version of Aeraki, of what it rests on, and of every plugin's distribution."""
    from aeraki_core.plugins.hookspec import ENTRY_POINT_GROUP

    if short:
        output.data(_version("aeraki-core") + "\n")
        return 0
    points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    plugins = sorted({point.dist.name for point in points if point.dist})
    names = [*plugins, "xds-protos", "protobuf", "pydantic", "pluggy"]
    versions = {"Python": platform.python_version(), **{name: _version(name) for name in names}}
    if form == "text":
        print_version()
        width = max(len(name) for name in versions)
        output.data("".join(f"{name:<{width}}  {number}\n" for name, number in versions.items()))
    else:
        output.structured({"aeraki": _version("aeraki-core"), **versions}, form)
    return 0
