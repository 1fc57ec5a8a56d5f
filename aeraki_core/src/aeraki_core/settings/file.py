"""A settings file: YAML with camelCase keys. Every complaint names file and line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeraki_core.errors import SettingsError
from aeraki_core.settings.table import SETTINGS

__all__ = ["FileEntry", "read_file"]

_BY_KEY = {setting.key: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class FileEntry:
    """The value of one key; ``line`` counts from 1."""

    value: Any
    line: int


def read_file(path: Path) -> dict[str, FileEntry]:
    """The settings of a file, by name.

    Raises:
        SettingsError: it cannot be read, is not YAML, or holds an unknown key or a value that does not fit.
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
            line = root.start_mark.line + 1
            raise SettingsError(f"{path}:{line}: write settings as `key: value`")
        entries: dict[str, FileEntry] = {}
        for key_node, value_node in root.value:
            line = key_node.start_mark.line + 1
            key = str(loader.construct_object(key_node, deep=True))
            name, value = _read_entry(
                f"{path}:{line}", key, loader.construct_object(value_node, deep=True)
            )
            if name in entries:
                raise SettingsError(
                    f"{path}:{line}: {key} is given twice (first in line {entries[name].line})"
                )
            entries[name] = FileEntry(value, line)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or error
        raise SettingsError(f"{where}: not valid YAML: {problem}") from None
    finally:
        loader.dispose()
    return entries


def _read_entry(where: str, key: str, value: Any) -> tuple[str, Any]:
    """The name of the setting, and its value."""
    setting = _BY_KEY.get(key)
    if setting is None:
        near = difflib.get_close_matches(key, _BY_KEY, n=1)
        hint = f"did you mean {near[0]}?" if near else "`aeraki config` lists all"
        raise SettingsError(f"{where}: there is no setting {key!r}; {hint}")
    try:
        return setting.name, setting.form.load(value)
    except ValueError as error:
        raise SettingsError(f"{where}: {key}: {error}") from None
