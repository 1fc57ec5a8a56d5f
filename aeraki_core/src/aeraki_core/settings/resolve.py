"""Which value of a setting counts: that of a flag, else the environment's, else the file's, else the default.

In: flags as texts, the environment, the settings file's path. Out: :class:`Settings`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aeraki_core.errors import SettingsError
from aeraki_core.model.mesh import Mesh, ProxyFamily
from aeraki_core.settings.file import FileEntry, read_file
from aeraki_core.settings.table import SETTINGS, Setting
from aeraki_core.settings.types import Form, parse_text, show

__all__ = ["CONFIG_ENV", "Origin", "Settings", "Value", "resolve"]

CONFIG_ENV = "AERAKI_CONFIG"
_ELECTION = "aeraki-controller"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: ``flag``, ``environment``, ``file`` or ``default``, and the flag's, variable's or place's name."""

    kind: str
    name: str = ""

    @property
    def rank(self) -> int:
        """0 for what goes before all others."""
        return ("flag", "environment", "file", "default").index(self.kind)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class Value:
    """A setting, its value and where that came from."""

    setting: Setting
    value: Any
    origin: Origin

    @property
    def text(self) -> str:
        """The value as its flag would take it, or in brackets what its absence means."""
        if self.value == self.setting.default and self.setting.default_text:
            return f"({self.setting.default_text})"
        return show(self.value)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its value. ``settings["rootNamespace"]`` is the value alone.

    ``file`` is the settings file, if there is one; ``reread`` resolves all anew, with what the file says then.
    """

    values: Mapping[str, Value]
    file: Path | None = None
    reread: Callable[[], Settings] | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, key: str) -> Any:
        return self.values[key].value

    def is_default(self, key: str) -> bool:
        """Whether nobody set it."""
        return self.values[key].origin.kind == "default"

    def mesh(self) -> Mesh:
        """What they say of the mesh."""
        return Mesh(
            root_namespace=self["rootNamespace"],
            domain=self["domain"],
            namespaces=self["filterNamespaces"],
            proxy_rules=self["proxyExtensions"],
            registry_only=self["registryOnly"],
            proxy_families=tuple(ProxyFamily(name) for name in self["proxyFamilies"]),
        )

    def election_id(self) -> str:
        """The name of the Lease: the one given, else one of its own for each instance, or each choice of namespaces.

        Controllers that do not do the same thing must not stand by for each other.
        """
        given: str = self["electionId"]
        if given or self["instance"]:
            return given or f"{_ELECTION}-{self['instance']}"
        scope = (
            *sorted(self["watchNamespaces"]),
            *sorted(str(item) for item in self["watchNamespaceSelector"]),
        )
        return (
            f"{_ELECTION}-{hashlib.sha256(';'.join(scope).encode()).hexdigest()[:8]}"
            if scope
            else _ELECTION
        )

    def plugins(self) -> tuple[str, ...] | None:
        """The plugins to use, by name; None for all that are installed. Where both settings are given, the nearer one counts."""
        none, named = self.values["noPlugins"], self.values["plugins"]
        wanted: tuple[str, ...] | None = named.value
        return () if none.value and none.origin.rank <= named.origin.rank else wanted


def resolve(
    flags: Mapping[str, tuple[str, ...]] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """The settings. ``flags`` are the texts that were given, by key; ``file`` goes before the one that ``AERAKI_CONFIG`` names.

    Raises:
        SettingsError: a value does not fit, a key is unknown, or two settings exclude each other.
    """
    flags, environment = flags or {}, environment or {}
    if file is None and environment.get(CONFIG_ENV):
        file = Path(environment[CONFIG_ENV])
    entries = read_file(file) if file is not None else {}
    values = {item.key: _value(item, flags, environment, entries, file) for item in SETTINGS}
    settings = Settings(values, file, lambda: resolve(flags, environment, file))
    _check(settings)
    return settings


def _value(
    item: Setting,
    flags: Mapping[str, tuple[str, ...]],
    environment: Mapping[str, str],
    entries: Mapping[str, FileEntry],
    file: Path | None,
) -> Value:
    if flags.get(item.key):
        return Value(item, _parsed(item, flags[item.key], item.long), Origin("flag", item.long))
    for name in (item.env, *item.old_env):
        if environment.get(
            name
        ):  # an empty variable counts as none: a manifest can hardly unset one
            texts = (
                tuple(environment[name].split(os.pathsep))
                if item.form is Form.PATHS
                else (environment[name],)
            )
            return Value(item, _parsed(item, texts, name), Origin("environment", name))
    if item.key in entries:
        return Value(
            item, entries[item.key].value, Origin("file", f"{file}:{entries[item.key].line}")
        )
    return Value(item, item.default, Origin("default"))


def _parsed(item: Setting, texts: tuple[str, ...], name: str) -> Any:
    try:
        return parse_text(item.form, texts, item.choices)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _check(settings: Settings) -> None:
    one, other = settings.values["noPlugins"].origin, settings.values["plugins"].origin
    if settings["noPlugins"] and settings["plugins"] and one.rank == other.rank:
        raise SettingsError(
            f"no plugin at all ({one}) and plugins by name ({other}) exclude each other; give one"
        )
    if settings["watchNamespaces"] and settings["watchNamespaceSelector"]:
        named, selected = (
            settings.values["watchNamespaces"].origin,
            settings.values["watchNamespaceSelector"].origin,
        )
        raise SettingsError(
            f"namespaces by name ({named}) and by label ({selected}) exclude each other; give one"
        )
    if settings["debounceQuiet"] > settings["debounceMax"]:
        origin = settings.values["debounceQuiet"].origin
        raise SettingsError(
            f"debounceQuiet ({origin}) is longer than debounceMax, {show(settings['debounceMax'])}; "
            f"make it shorter, or debounceMax longer"
        )
