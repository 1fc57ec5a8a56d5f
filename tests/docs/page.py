"""A documentation page as steps to follow.

The page is Markdown, and its :class:`Step` values are in its order. A fenced block after a line
with nothing but a bold file name (``**`pyproject.toml`**``) is that file. A ``console`` block holds
commands (``$ ...``) with their output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"\*\*`(?P<path>[^`]+)`\*\*\s*\Z")
_COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A file to write, its path relative to the folder in which the reader works."""

    path: Path
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class RunCommand:
    """A command to run, and its output with standard error.

    ``span`` is the place of the output in the page.
    """

    command: str
    output: str
    line: int
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stray:
    """A block that is neither: a mistake in it would stay unnoticed."""

    language: str
    line: int


Step = WriteFile | RunCommand | Stray


def steps(text: str) -> Iterator[Step]:
    """The page's blocks in order. ``line`` counts from 1."""
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        named = _FILE.search(text, 0, block.start())
        if named:
            yield WriteFile(Path(named["path"]), block["text"], line)
        elif block["language"] == "console":
            for found in _COMMAND.finditer(block["text"]):
                offset = block["text"].count("\n", 0, found.start()) + 1
                start = block.start("text")
                span = start + found.start("output"), start + found.end("output")
                yield RunCommand(found["command"], found["output"], line + offset, span)
        else:
            yield Stray(block["language"], line)
