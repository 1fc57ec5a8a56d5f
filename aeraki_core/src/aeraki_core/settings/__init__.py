"""The settings of a user, and where each value comes from: flag, environment, file, default.

``aeraki config`` and docs/settings.md show the same table. Light, because every command loads it
for its help.
"""

from __future__ import annotations

from aeraki_core.settings.forms import LogLevels
from aeraki_core.settings.resolve import misspelt_variables, resolve
from aeraki_core.settings.setting import Origin, OriginKind, Setting, SettingGroup
from aeraki_core.settings.table import SETTINGS, Settings, SinkKind, SourceKind, setting_of

__all__ = [
    "SETTINGS",
    "LogLevels",
    "Origin",
    "OriginKind",
    "Setting",
    "SettingGroup",
    "Settings",
    "SinkKind",
    "SourceKind",
    "misspelt_variables",
    "resolve",
    "setting_of",
]
