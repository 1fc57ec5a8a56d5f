"""What a user can set, and where each value came from: flags > environment > file > default.

In: the flags given, the environment, a settings file. Out: :class:`Settings`, a value and an :class:`Origin` for each entry of
:data:`SETTINGS`. ``aeraki config`` shows them; docs/settings.md is made from the same table. Kept free of heavy imports: every
command loads this to print its help.
"""

from __future__ import annotations

from aeraki_core.settings.resolve import Origin, Settings, Value, resolve
from aeraki_core.settings.table import SETTINGS, Setting, SettingGroup, setting
from aeraki_core.settings.types import Form, LogLevels

__all__ = [
    "SETTINGS",
    "Form",
    "LogLevels",
    "Origin",
    "Setting",
    "SettingGroup",
    "Settings",
    "Value",
    "resolve",
    "setting",
]
