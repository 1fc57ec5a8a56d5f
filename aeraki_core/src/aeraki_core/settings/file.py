"""A settings file: YAML with camelCase keys. Every complaint names file and line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeraki_core.errors import SettingsError, UnreadableError
from aeraki_core.manifests.plain_file import TooLargeError, read_file_or_pipe
from aeraki_core.settings.setting import SettingGroup
from aeraki_core.settings.table import SETTINGS

__all__ = ["PROJECT_FILE", "FileEntry", "find_project_file", "read_file"]

PROJECT_FILE = ".aeraki.yaml"
"""Read if no other file is named.

It may come with a change under review, so it cannot choose a cluster.
"""

_PROJECT_GROUPS = (SettingGroup.ALL, SettingGroup.PLUGINS, SettingGroup.MESH)

_LARGEST = 1 << 20  # bytes
_BY_KEY = {setting.key: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class FileEntry:
    """The value of one key; ``line`` counts from 1."""

    value: Any
    line: int


def find_project_file(directory: Path) -> Path | None:
    """Return the project's settings file, or None.

    It is in the directory, or above it up to the root of the git repository.
    """
    folders = [directory, *directory.parents]
    root = next((folder for folder in folders if (folder / ".git").exists()), directory)
    for folder in folders[: folders.index(root) + 1]:
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
    return None


def read_file(path: Path) -> dict[str, FileEntry]:
    """Read the settings of a file, by name.

    Raises:
        SettingsError: the file cannot be read, is not YAML, or holds an unknown key or a value that
            does not fit.
    """
    from aeraki_core.manifests.locate import line_of
    from aeraki_core.manifests.read import decode, load_all, split

    try:
        documents = list(split(decode(_read_bytes(path))))
        if not documents:
            return {}
        if len(documents) > 1:
            raise SettingsError(f"{path}:{documents[1].line}: a settings file is one document")
        [(document, values)] = load_all(documents[0])
    except UnreadableError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise SettingsError(f"{where}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        line = document.line + line_of(document.text, "")
        raise SettingsError(f"{path}:{line}: write settings as `key: value`")
    entries: dict[str, FileEntry] = {}
    for key, content in values.items():
        line = document.line + line_of(document.text, key)
        name, value = _read_entry(
            f"{path}:{line}", key, content, is_project=path.name == PROJECT_FILE
        )
        entries[name] = FileEntry(value, line)
    return entries


def _read_bytes(path: Path) -> bytes:
    try:
        return read_file_or_pipe(str(path), _LARGEST)
    except TooLargeError:
        reason = f"it holds more than {_LARGEST >> 20} MiB"
    except OSError as error:
        reason = error.strerror or str(error)
    raise SettingsError(f"{path}: the settings file cannot be read: {reason}")


def _read_entry(where: str, key: str, value: Any, *, is_project: bool) -> tuple[str, Any]:
    """Return the name of the setting, and its value."""
    setting = _BY_KEY.get(key)
    if setting is None:
        near = difflib.get_close_matches(key, _BY_KEY, n=1)
        hint = f"did you mean {near[0]}?" if near else "`aeraki config` lists all"
        raise SettingsError(f"{where}: there is no setting {key!r}; {hint}")
    if is_project and setting.group not in _PROJECT_GROUPS:
        raise SettingsError(
            f"{where}: {key} cannot be set in {PROJECT_FILE}, which may come with a change under"
            " review; use its flag, its variable, or a file named with --config"
        )
    try:
        return setting.name, setting.form.load(value)
    except ValueError as error:
        raise SettingsError(f"{where}: {key}: {error}") from None
