"""The pages about the command line say what it does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from aeraki_core.cli.group import COMMANDS, cli
from aeraki_core.settings import SETTINGS

from tests.cli.running import Run

from .conftest import ROOT

CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "command"),
    [("findings", "findings -o markdown"), ("settings", "config -o markdown")],
)
def test_a_page_that_is_made_is_up_to_date(aeraki: Run, page: str, command: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert text == aeraki(*command.split()).out, f"run: aeraki {command} > docs/{page}.md"


def test_every_command_has_its_chapter() -> None:
    assert re.findall(r"^## `aeraki ([a-z-]+)", CLI, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_a_command_that_is_no_setting_is_in_its_chapter(name: str) -> None:
    command = cli.get_command(cli.make_context("aeraki", [], resilient_parsing=True), name)
    assert command is not None
    chapter = CLI.partition(f"## `aeraki {name}")[2].partition("\n## ")[0]
    general = CLI.partition("\n## `aeraki ")[0]
    for parameter in command.params:
        if getattr(parameter, "setting", None) is None:
            for flag in parameter.opts:
                if flag.startswith("--"):
                    assert f"`{flag}" in chapter or f"`{flag}" in general, f"{flag} of {name}"


def test_every_flag_that_the_page_names_exists() -> None:
    known = {flag for item in SETTINGS for flag in (*item.flags, f"--no-{item.long[2:]}")}
    for name in COMMANDS:
        command = cli.get_command(cli.make_context("aeraki", [], resilient_parsing=True), name)
        assert command is not None
        known |= {flag for parameter in command.params for flag in parameter.opts}
    known |= {"--help", "--version"}
    assert set(re.findall(r"`(--[a-z-]+)", CLI)) <= known


def _examples() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", CLI, re.MULTILINE | re.DOTALL)
    return [
        line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ aeraki ")
    ]


@pytest.mark.parametrize("line", _examples())
def test_the_examples_run(
    aeraki: Run, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What they write must not come to lie in the checkout.
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    monkeypatch.chdir(tmp_path)
    result = aeraki(*shlex.split(line, comments=True)[1:])
    assert result.code == 0, result.err
