"""``aeraki new-plugin NAME``: a distribution that builds, tests and loads at once."""

from __future__ import annotations

import re
from pathlib import Path

import click

from aeraki_core.cli.command import define
from aeraki_core.console import output
from aeraki_core.settings import Settings

__all__ = ["command"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@define(
    "new-plugin",
    epilog="Example: aeraki new-plugin echo && cd "
    "aeraki-plugins-echo && pip install -e '.[test]' && pytest",
)
@click.argument("name")
@click.option(
    "--to",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where; default: ./aeraki-plugins-NAME.",
)
@click.option(
    "--one-file", is_flag=True, help="Write one Python file, for `--plugin`, and no more."
)
@click.option(
    "--with",
    "wanted",
    metavar="PART,...",
    default="",
    help="What more: resource (a custom resource, its model, validation and finding), secret (one"
    " that the resource names), traffic (a test through a real Envoy), ci (a workflow of GitHub).",
)
def command(
    settings: Settings, *, name: str, directory: Path | None, one_file: bool, wanted: str
) -> int:
    """Write a plugin for the protocol NAME to start from: package, tests, README.

    It is a whole distribution: `pip install -e .` makes `aeraki plugins` list it, `pytest` loads
    its filters in a real Envoy. Its filter is Envoy's direct_response; replace it by your
    protocol's.
    """
    from aeraki_core.cli.plugin_template import Part, files, one_file_plugin

    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r} is no protocol's name: lower-case letters, "
            "digits and single dashes, such as my-proto"
        )
    words = [word.strip() for word in wanted.split(",") if word.strip()]
    unknown = next((word for word in words if word not in [*Part]), None)
    if unknown is not None:
        raise click.UsageError(f"--with: there is no {unknown!r}; there are {', '.join(Part)}")
    if one_file and words:
        raise click.UsageError("--one-file writes one module; leave out --with")
    if one_file:
        file = (directory or Path()) / f"{name.replace('-', '_')}.py"
        if file.exists():
            output.error(f"{file} exists; name another directory with --to")
            return 1
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(one_file_plugin(name), encoding="utf-8")
        output.data(f"{file}\n")
        output.note(f"Next:\n  aeraki generate --plugin {file} -f MANIFESTS")
        return 0
    target = directory or Path(f"aeraki-plugins-{name}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        output.error(f"{target} exists and is not an empty directory; name another with --to")
        return 1
    for path, text in files(name, [Part(word) for word in words]).items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        output.data(f"{file}\n")
    steps = (
        f"cd {target}",
        "pip install -e '.[test]'",
        f"aeraki plugins {name}",
        "aeraki generate -f sample.yaml",
        "pytest",
        "mypy && ruff check",
    )
    output.note("Next:", *(f"  {step}" for step in steps))
    return 0
