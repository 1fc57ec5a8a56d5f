"""A settings file: YAML, camelCase keys, every complaint with file and line.

In: a path. Out: the value of each key and its line, or :class:`~aeraki_core.errors.SettingsError`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeraki_core.errors import SettingsError
from aeraki_core.settings.table import SETTINGS, setting
from aeraki_core.settings.types import parse_yaml

__all__ = ["FileEntry", "read_file"]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One key of a settings file; ``line`` counts from 1."""

    value: Any
    line: int


def read_file(path: Path) -> dict[str, FileEntry]:
    """Every setting that the file gives.

    Raises:
        SettingsError: it cannot be read, is not YAML, holds an unknown key or a value that does not fit.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{path}: the settings file cannot be read: {reason}") from None
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode):
            raise SettingsError(
                f"{path}:{root.start_mark.line + 1}: write settings as `key: value`"
            )
        found: dict[str, FileEntry] = {}
        for key_node, value_node in root.value:
            line = key_node.start_mark.line + 1
            key = str(loader.construct_object(key_node, deep=True))
            if key in found:
                raise SettingsError(
                    f"{path}:{line}: {key} is given twice (first in line {found[key].line})"
                )
            found[key] = _entry(path, line, key, loader.construct_object(value_node, deep=True))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SettingsError(
            f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}"
        ) from None
    finally:
        loader.dispose()
    return found


def _entry(path: Path, line: int, key: str, value: Any) -> FileEntry:
    try:
        known = setting(key)
    except KeyError:
        keys = [item.key for item in SETTINGS]
        near = difflib.get_close_matches(key, keys, n=1)
        hint = f"did you mean {near[0]}?" if near else "`aeraki config` lists all"
        raise SettingsError(f"{path}:{line}: there is no setting {key!r}; {hint}") from None
    try:
        return FileEntry(parse_yaml(known.form, value, known.choices), line)
    except ValueError as error:
        raise SettingsError(f"{path}:{line}: {key}: {error}") from None
