"""Patterns of .gitignore mean what they mean to git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from aeraki_core.sources.files.exclude import Excluded

PATHS = [
    "a.yaml",
    "b/a.yaml",
    "b/c/a.yaml",
    "b/c/d.yml",
    "out/x.yaml",
    "b/out/x.yaml",
    "doc/x.yaml",
    "x[1].yaml",
    "#a.yaml",
    "!a.yaml",
    "ab.yaml",
]


@pytest.mark.parametrize(
    "patterns",
    [
        "a.yaml",
        "/a.yaml",
        "b/a.yaml",
        "out/",
        "/out",
        "b/*.yaml",
        "b/**/a.yaml",
        "**/c/",
        "b/**",
        "*.yaml\n!a.yaml",
        "*.yaml\n!/b/\n",
        "?.yaml",
        "[a-c].yaml",
        "[!a].yaml",
        "[^a].yaml",
        "x\\[1\\].yaml",
        "\\#a.yaml",
        "\\!a.yaml",
        "# a.yaml",
        "a.yaml   ",
        "a*",
        "doc/x.yaml/",
        "*",
        "[",
        "",
    ],
)
def test_what_git_ignores_is_passed_over(tmp_path: Path, patterns: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(patterns)
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    asked = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "--no-index", "-z", "--stdin"],
        input="\0".join(PATHS),
        capture_output=True,
        text=True,
        check=False,
    )
    excluded = Excluded()

    def is_excluded(path: str) -> bool:
        """Whether the file or a folder above it is passed over, as a walk from the top finds it."""
        parents = [*reversed(Path(path).parents)][1:]
        above = any(excluded(str(tmp_path / parent), True) for parent in parents)
        return above or excluded(str(tmp_path / path), False)

    wanted = sorted(filter(None, asked.stdout.split("\0")))
    assert sorted(path for path in PATHS if is_excluded(path)) == wanted


def test_a_deeper_file_has_the_last_word(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / ".gitignore").write_text("*.yaml\n")
    (tmp_path / "b" / ".gitignore").write_text("!a.yaml\n")
    excluded = Excluded()
    assert excluded(str(tmp_path / "a.yaml"), False)
    assert not excluded(str(tmp_path / "b" / "a.yaml"), False)


def test_outside_of_a_repository_gitignore_does_not_count(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    assert not Excluded()(str(tmp_path / "a.yaml"), False)
