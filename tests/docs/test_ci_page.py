"""docs/ci.md does what it says: its commands print what it shows, and those of its jobs run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from aeraki_core.cli.group import COMMANDS

from tests.docs.page import RunCommand, Stray, WriteFile, steps

PAGE = Path(__file__).parents[2] / "docs" / "ci.md"
TEXT = PAGE.read_text(encoding="utf-8")


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in that folder, where `aeraki` is the command line.

    Both streams are one.
    """
    aeraki = f'aeraki() {{ {shlex.quote(sys.executable)} -m aeraki_core "$@"; }}\n'
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("AERAKI")
    }
    return subprocess.run(
        ["sh", "-c", aeraki + command],
        cwd=folder,
        env={**environment, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def write_files(folder: Path) -> None:
    """The files of the page."""
    for step in steps(TEXT):
        if isinstance(step, WriteFile):
            path = folder / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")


def mended(folder: Path) -> None:
    """As the page says that it would be right."""
    file = folder / "mesh" / "greeter.yaml"
    file.write_text(file.read_text().replace("subset: v2", "subset: v1"))


def commands_of_jobs(folder: Path) -> list[str]:
    """Every command line of the configuration files on the page that is one of ours."""
    found: list[str] = []

    def collect(value: object) -> None:
        if isinstance(value, str) and value.startswith("aeraki "):
            found.append(value)
        for item in (
            value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        ):
            collect(item)

    for name in (".pre-commit-config.yaml", ".github/workflows/mesh.yaml", ".gitlab-ci.yml"):
        collect(yaml.safe_load((folder / name).read_text()))
    return [command for command in found if command != "aeraki validate"]  # a hook's name


def test_the_commands_print_what_the_page_shows(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With ``--regenerate`` the page is given what they print."""
    write_files(tmp_path)
    text, moved = TEXT, 0
    for step in steps(TEXT):
        if not isinstance(step, RunCommand):
            continue
        done = run(step.command, tmp_path)
        assert done.returncode == (1 if "validate" in step.command else 0), done.stdout
        if "validate" in step.command:
            mended(tmp_path)
        if done.stdout != step.output and request.config.getoption("--regenerate"):
            start, end = (offset + moved for offset in step.span)
            text = text[:start] + done.stdout + text[end:]
            moved += len(done.stdout) - len(step.output)
        else:
            assert done.stdout == step.output, (
                f"{PAGE.name}:{step.line}: $ {step.command}\n{done.stdout}"
            )
    if text != TEXT:
        PAGE.write_text(text, encoding="utf-8")


@pytest.mark.envoy
def test_the_jobs_pass_only_when_nothing_is_wrong(tmp_path: Path) -> None:
    write_files(tmp_path)
    commands = commands_of_jobs(tmp_path)
    assert len(commands) == 3
    for command in commands:
        assert run(command, tmp_path).returncode == 1, command
    mended(tmp_path)
    for command in commands:
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}"


def test_the_hook_runs_for_the_files_that_it_reads() -> None:
    (pattern,) = re.findall(r"files: (\^\S+)", TEXT)
    for name, wanted in (
        ("mesh/a.yaml", True),
        ("mesh/b/a.yml", True),
        ("mesh/a.json", True),
        ("mesh/a.txt", False),
    ):
        assert bool(re.search(pattern, name)) is wanted


def test_what_is_not_run_names_commands_that_exist() -> None:
    shown = [step for step in steps(TEXT) if isinstance(step, Stray)]
    assert {step.language for step in shown} == {"sh", "yaml"}  # a step of a job, too
    for name in re.findall(r"\baeraki ([a-z-]+)", TEXT):
        assert name in COMMANDS
