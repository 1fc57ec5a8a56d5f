"""Which value of a setting counts: that of the flag, the environment, the file, or the default."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aeraki_core.errors import SettingsError
from aeraki_core.settings.file import FileEntry, find_project_file, read_file
from aeraki_core.settings.forms import DURATION
from aeraki_core.settings.setting import Origin, OriginKind, Setting
from aeraki_core.settings.table import SETTINGS, Settings

__all__ = ["CONFIG_ENV", "misspelt_variables", "resolve"]

CONFIG_ENV = "AERAKI_CONFIG"
_PREFIX = "AERAKI_"
_OTHER_VARIABLES = (CONFIG_ENV, "AERAKI_DEBUG", "AERAKI_ENVOY")
# Kubernetes gives every pod such variables for each Service of its namespace, and one of them may
# have the name aeraki.
_OF_A_SERVICE = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$"
)
_NEAR = 0.85  # of difflib: one or two letters; what is less alike may be somebody else's


def resolve(
    flags: Mapping[str, tuple[str, ...]] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
    directory: Path | None = None,
) -> Settings:
    """Resolve the settings.

    Args:
        flags: the texts of each flag that was given, by name of the setting.
        environment: the environment's variables.
        file: a settings file; it goes before the one that ``AERAKI_CONFIG`` names.
        directory: where to look for ``.aeraki.yaml`` when no file is named; None: nowhere.

    Raises:
        SettingsError: a value does not fit, a key is unknown, or two settings exclude each other.
    """
    flags, environment = flags or {}, environment or {}
    if file is None and environment.get(CONFIG_ENV):
        # A file that is named takes the place of the project's .aeraki.yaml.
        file = Path(environment[CONFIG_ENV])
    if file is None and directory is not None:
        file = find_project_file(directory)
    entries = read_file(file) if file is not None else {}
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for setting in SETTINGS:
        candidates = (
            _from_flag(setting, flags)
            or _from_environment(setting, environment)
            or _from_file(setting, entries, file)
        )
        if candidates is not None:
            values[setting.name], origins[setting.name] = candidates
    settings = Settings(
        **values,
        origins=origins,
        file=file,
        reread=lambda: resolve(flags, environment, file),
    )
    _refuse_contradictions(settings)
    return settings


def _from_flag(setting: Setting, flags: Mapping[str, tuple[str, ...]]) -> tuple[Any, Origin] | None:
    texts = flags.get(setting.name)
    if not texts:
        return None
    try:
        return setting.form.parse(texts), Origin(OriginKind.FLAG, setting.long)
    except ValueError as error:
        raise SettingsError(f"{setting.long}: {error}") from None


def _from_environment(
    setting: Setting, environment: Mapping[str, str]
) -> tuple[Any, Origin] | None:
    for name in (setting.env, *setting.old_env):
        # An empty variable counts as none: a manifest can hardly unset one.
        if environment.get(name):
            try:
                value = setting.form.variable(environment[name])
            except ValueError as error:
                raise SettingsError(f"{name}: {error}") from None
            return value, Origin(OriginKind.ENVIRONMENT, name)
    return None


def _from_file(
    setting: Setting, entries: Mapping[str, FileEntry], file: Path | None
) -> tuple[Any, Origin] | None:
    entry = entries.get(setting.name)
    if entry is None:
        return None
    return entry.value, Origin(OriginKind.FILE, f"{file}:{entry.line}")


def _refuse_contradictions(settings: Settings) -> None:
    none, named = settings.origin("no_plugins"), settings.origin("plugins")
    if settings.no_plugins and settings.plugins and none.rank == named.rank:
        raise SettingsError(
            f"no plugin at all ({none}) and plugins by name ({named}) exclude each other; give one"
        )
    if settings.watch_namespaces and settings.watch_namespace_selector:
        by_name = settings.origin("watch_namespaces")
        by_label = settings.origin("watch_namespace_selector")
        raise SettingsError(
            f"namespaces by name ({by_name}) and by label ({by_label}) exclude each other; give one"
        )
    if settings.debounce_quiet > settings.debounce_max:
        raise SettingsError(
            f"debounceQuiet ({settings.origin('debounce_quiet')}) is longer than debounceMax,"
            f" {DURATION.show(settings.debounce_max)}; make it shorter, or debounceMax longer"
        )


def misspelt_variables(environment: Iterable[str]) -> list[tuple[str, str]]:
    """Return variables whose names are close to a setting's, each with that name.

    Such a variable would silently have no effect.
    """
    import difflib

    known = {name for setting in SETTINGS for name in (setting.env, *setting.old_env)}
    known |= {*_OTHER_VARIABLES}
    return [
        (name, near)
        for name in sorted(environment)
        if name.startswith(_PREFIX) and name not in known and not _OF_A_SERVICE.search(name)
        for near in difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
    ]
