"""Ignored paths in folders: .gitignore, the templates of Helm charts, and globs of the user.

Only for commands that read once. A running controller reads everything, so that an edit of
.gitignore deletes no filter. A path that is named outright is always read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Excluded", "Pattern", "parse_patterns"]

_CHART = "Chart.yaml"
_TEMPLATES = "templates"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of a .gitignore file. ``expression`` matches a path relative to ``base``."""

    base: Path
    expression: re.Pattern[str]
    folders_only: bool
    negated: bool

    def matches(self, path: Path, *, is_folder: bool) -> bool:
        """Report whether the pattern matches the path."""
        if self.folders_only and not is_folder:
            return False
        if not path.is_relative_to(self.base):
            return False
        return bool(self.expression.fullmatch(path.relative_to(self.base).as_posix()))


def parse_patterns(lines: Sequence[str], base: Path) -> tuple[Pattern, ...]:
    """Return the patterns of a .gitignore file in the folder ``base``.

    Comments, blank lines and lines that git cannot read are left out.
    """
    patterns = (_parse(line, base) for line in lines)
    return tuple(pattern for pattern in patterns if pattern is not None)


def _parse(line: str, base: Path) -> Pattern | None:
    text = re.sub(r"(?<!\\) +$", "", line.rstrip("\r\n"))
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text[1:] if negated else text
    folders_only, text = text.endswith("/"), text.rstrip("/")
    # A slash before the end ties the pattern to the folder of the file. Without one it matches at
    # any depth.
    anchored = "/" in text
    expression = _translate(text.removeprefix("/"))
    try:
        compiled = re.compile(expression if anchored else f"(?:.*/)?{expression}", re.DOTALL)
    except re.error:
        return None
    return Pattern(base, compiled, folders_only, negated)


def _translate(glob: str) -> str:
    """Return a glob of git as a regular expression.

    ``*`` and ``?`` stay within a name, ``**`` does not.
    """
    parts: list[str] = []
    index = 0
    while index < len(glob):
        char = glob[index]
        if glob.startswith("**/", index):
            parts.append("(?:.*/)?")
            index += 3
            continue
        if glob.startswith("**", index):
            parts.append(".*")
            index += 2
            continue
        if char == "[" and (end := glob.find("]", index + 2)) > 0:
            body = glob[index + 1 : end].replace("\\", "\\\\")
            parts.append(f"[{'^' + body[1:] if body[0] in '!^' else body}]")
            index = end
        elif char == "\\" and index + 1 < len(glob):
            index += 1
            parts.append(re.escape(glob[index]))
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)))
        index += 1
    return "".join(parts)


class Excluded:
    """Answers for each entry of a folder whether to pass it over; reads each .gitignore once."""

    def __init__(self, globs: Sequence[str] = ()) -> None:
        """``globs`` are the user's, as in .gitignore, relative to the working directory."""
        self._globs = parse_patterns(globs, Path.cwd())
        self._by_folder: dict[Path, tuple[Pattern, ...]] = {}

    def __call__(self, path: str, is_folder: bool) -> bool:
        """Report whether an entry of a folder is ignored."""
        entry = Path(path).absolute()
        folder = entry.parent
        if is_folder and entry.name == _TEMPLATES and (folder / _CHART).is_file():
            return True
        excluded = False
        # The last pattern that matches decides; those of deeper folders come later.
        for pattern in (*self._patterns(folder), *self._globs):
            if pattern.matches(entry, is_folder=is_folder):
                excluded = not pattern.negated
        return excluded

    def _patterns(self, folder: Path) -> tuple[Pattern, ...]:
        """Return the patterns of all .gitignore files from the repository's root to the folder.

        Outside of a repository there are none.
        """
        if folder not in self._by_folder:
            chain = [folder, *folder.parents]
            root = next((place for place in chain if (place / ".git").exists()), None)
            if root is None:
                self._by_folder[folder] = ()
            else:
                above = () if folder == root else self._patterns(folder.parent)
                self._by_folder[folder] = (*above, *_read_patterns(folder))
        return self._by_folder[folder]


def _read_patterns(folder: Path) -> tuple[Pattern, ...]:
    try:
        text = (folder / ".gitignore").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return parse_patterns(text.splitlines(), folder)
