"""The plugins that the settings ask for, and a word on standard error about those that are broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aeraki_core.errors import SettingsError

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding
    from aeraki_core.plugins.registry import Registry
    from aeraki_core.settings import Settings

__all__ = ["inactive_findings", "open_registry"]


def open_registry(settings: Settings) -> Registry:
    """The registry of the plugins to use.

    Raises:
        SettingsError: a plugin asked for by name is not installed.
    """
    from aeraki_core.plugins.discovery import discover, load_file
    from aeraki_core.plugins.registry import build_registry

    wanted = settings.wanted_plugins()
    registry = build_registry((*discover(wanted), *map(load_file, settings.plugin_files)))
    installed = [plugin.name for plugin in registry.plugins]
    missing = sorted(set(wanted or ()) - set(installed))
    if missing:
        origin = settings.origin("plugins")
        raise SettingsError(
            f"no plugin {missing[0]!r} is installed (asked for by {origin}); installed: {', '.join(installed) or 'none'}"
        )
    return registry


def inactive_findings(registry: Registry) -> tuple[Finding, ...]:
    """A finding for each plugin that should work and does not; one that was disabled on purpose is none."""
    from aeraki_core.findings.codes import PLUGIN_INACTIVE
    from aeraki_core.findings.finding import Finding
    from aeraki_core.plugins.discovery import PluginState

    return tuple(
        Finding(
            PLUGIN_INACTIVE,
            f"plugin {plugin.name} ({plugin.title}) is {plugin.state}: {plugin.reason}",
            plugin=plugin.name,
        )
        for plugin in registry.plugins
        if plugin.state not in (PluginState.ACTIVE, PluginState.DISABLED)
    )
