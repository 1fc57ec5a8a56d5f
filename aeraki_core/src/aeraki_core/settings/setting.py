"""What a setting is: its form, default, flags, variable, key in a file, and help.

:func:`setting` declares one as a field of the table (settings/table.py). :class:`Origin` tells
where a value comes from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from aeraki_core.settings import forms
from aeraki_core.settings.forms import Form

__all__ = ["Origin", "OriginKind", "Setting", "SettingGroup", "setting"]

T = TypeVar("T")


class SettingGroup(StrEnum):
    """The commands that have the flag."""

    ALL = "all"
    """Every command."""
    PLUGINS = "plugins"
    """Those that load plugins."""
    MESH = "mesh"
    """Those that make filters."""
    CLUSTER = "cluster"
    """Those that use a cluster."""
    RUN = "run"
    """``run``."""


class OriginKind(StrEnum):
    """Where a value comes from, the strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from. ``name`` is the flag, the variable, or the place in a file."""

    kind: OriginKind
    name: str = ""

    @property
    def rank(self) -> int:
        """0 for the kind that goes before all others."""
        return list(OriginKind).index(self.kind)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of one field of the table."""

    name: str
    """The field's name."""
    group: SettingGroup
    form: Form[Any]
    default: Any
    help: str
    metavar: str
    short: str
    """Its one-letter flag, or empty."""
    flag: str
    """Its long flag where that is not made from the name."""
    old_env: tuple[str, ...]
    """Upstream's variables for it."""
    default_text: str
    """What the default means, where its value does not say so."""

    @property
    def key(self) -> str:
        """Its key in a settings file, such as ``rootNamespace``."""
        first, *others = self.name.split("_")
        return first + "".join(word.capitalize() for word in others)

    @property
    def long(self) -> str:
        """Its flag, such as ``--root-namespace``."""
        return self.flag or f"--{self.name.replace('_', '-')}"

    @property
    def flags(self) -> tuple[str, ...]:
        """All its flags."""
        return (self.short, self.long) if self.short else (self.long,)

    @property
    def env(self) -> str:
        """Its environment variable, such as ``AERAKI_ROOT_NAMESPACE``."""
        return f"AERAKI_{self.name.upper()}"

    @property
    def is_switch(self) -> bool:
        """Whether its flag takes no value."""
        return self.form is forms.SWITCH

    def text(self, value: Any) -> str:
        """The value as its flag takes it, or in brackets what the default means."""
        if value == self.default and self.default_text:
            return f"({self.default_text})"
        return self.form.show(value)


def setting(
    group: SettingGroup,
    form: Form[Any],
    default: T,
    help: str,
    *,
    metavar: str = "",
    short: str = "",
    flag: str = "",
    old_env: tuple[str, ...] = (),
    default_text: str = "",
) -> T:
    """Declare a field of the table; the keywords are those of :class:`Setting`."""
    about = {
        "group": group,
        "form": form,
        "default": default,
        "help": help,
        "metavar": metavar,
        "short": short,
        "flag": flag,
        "old_env": old_env,
        "default_text": default_text,
    }
    return dataclasses.field(default=default, metadata=about)
