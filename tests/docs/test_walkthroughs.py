"""Pages to follow step by step: their files are written, and their commands print what they show.

A line of three dots stands for any lines. Blocks marked ``sh`` install or need a cluster; they only
have to name commands that exist. With ``--regenerate`` output without dots is written into the
page.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from aeraki_core.cli.group import COMMANDS

from tests.docs.page import RunCommand, WriteFile, steps

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": {"", "sh"},
    "docs/tutorial.md": {"sh", "diff"},
}
DOTS = re.compile(r"^\.\.\.\n", re.MULTILINE)


def run(command: str, folder: Path) -> str:
    """Return the output of the line in that folder, where `aeraki` is the command line.

    Both streams are one.
    """
    aeraki = f'aeraki() {{ {shlex.quote(sys.executable)} -m aeraki_core "$@"; }}\n'
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("AERAKI")
    }
    done = subprocess.run(
        ["sh", "-c", aeraki + command],
        cwd=folder,
        env={**environment, "NO_COLOR": "1", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode < 2, done.stdout
    return done.stdout


def fits(shown: str, printed: str) -> bool:
    """Whether the output is what the page shows, where dots stand for any lines."""
    pattern = "".join(
        re.escape(part) if index % 2 == 0 else "(?s:.*)" for index, part in enumerate(_parts(shown))
    )
    return re.fullmatch(pattern, printed) is not None


def _parts(shown: str) -> list[str]:
    """The text between dots, with an entry for the dots in between."""
    found: list[str] = []
    for index, part in enumerate(DOTS.split(shown)):
        found += [part] if index == 0 else ["...", part]
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_step_does_what_the_page_says(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page = ROOT / name
    text = original = page.read_text(encoding="utf-8")
    ran = moved = 0
    for step in steps(original):
        if isinstance(step, WriteFile):
            (tmp_path / step.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / step.path).write_text(step.text, encoding="utf-8")
        elif isinstance(step, RunCommand):
            ran += 1
            printed = run(step.command, tmp_path)
            if fits(step.output, printed):
                continue
            regenerate = request.config.getoption("--regenerate") and not DOTS.search(step.output)
            assert regenerate, f"{name}:{step.line}: $ {step.command}\n{printed}"
            start, end = (offset + moved for offset in step.span)
            text = text[:start] + printed + text[end:]
            moved += len(printed) - len(step.output)
        else:
            assert step.language in PAGES[name], f"{name}:{step.line}: nothing runs it"
    assert ran
    if text != original:
        page.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    blocks = re.findall(
        r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    shown = {
        found
        for block in blocks
        for found in re.findall(r"^(?:\$ )?aeraki ([a-z][a-z-]*)", block, re.MULTILINE)
    }
    assert shown <= {*COMMANDS}


def test_dots_stand_for_any_lines_and_nothing_else_does() -> None:
    assert fits("...\nb\n...\n", "a\nb\nc\nd\n")
    assert fits("a.c\n", "a.c\n")
    assert not fits("a.c\n", "abc\n")
    assert not fits("...\nb\n", "b\na\n")
