"""The plugins that the settings ask for, and a message on stderr about broken ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aeraki_core.errors import SettingsError

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding
    from aeraki_core.plugins.registry import Registry
    from aeraki_core.plugins.trace import Tracer
    from aeraki_core.settings import Settings

__all__ = ["inactive_findings", "open_registry", "tracer_for"]


def open_registry(settings: Settings) -> Registry:
    """Open the registry of the plugins to use.

    Raises:
        SettingsError: a plugin asked for by name, or to be traced, is not installed, or no plugin
            speaks a protocol that is opt-in.
    """
    from aeraki_core.plugins.discovery import discover, load_file
    from aeraki_core.plugins.registry import build_registry

    wanted = settings.wanted_plugins()
    candidates = (*discover(wanted), *map(load_file, settings.plugin_files))
    registry = build_registry(candidates, tracer=tracer_for(settings))
    installed = [plugin.name for plugin in registry.plugins]
    missing = sorted(set(wanted or ()) - set(installed))
    if missing:
        origin = settings.origin("plugins")
        raise SettingsError(
            f"no plugin {missing[0]!r} is installed (asked for by {origin}); "
            f"installed: {', '.join(installed) or 'none'}"
        )
    _require_protocols(settings, registry)
    strange = sorted(set(settings.trace) - {plugin.name for plugin in registry.active})
    if strange:
        active = ", ".join(plugin.name for plugin in registry.active)
        raise SettingsError(
            f"--trace: no plugin {strange[0]!r} is active; active: {active or 'none'}"
        )
    return registry


def _require_protocols(settings: Settings, registry: Registry) -> None:
    """Raise where a protocol is opt-in that no plugin speaks: a typo would let its ports in.

    The protocols of a plugin that failed are not known. One that is disabled is not read, and
    mostly has the name of its protocol.

    Raises:
        SettingsError: there is no such protocol.
    """
    disabled = {plugin.name for plugin in registry.plugins if plugin.state == "disabled"}
    known = sorted({protocol.name for protocol in registry.protocols} | disabled)
    unknown = sorted(set(settings.opt_in) - set(known))
    if unknown and all(plugin.active or plugin.name in disabled for plugin in registry.plugins):
        raise SettingsError(
            f"{settings.origin('opt_in')}: no plugin speaks {unknown[0]!r}; "
            f"protocols: {', '.join(known) or 'none'}"
        )


def tracer_for(settings: Settings) -> Tracer | None:
    """Return a printer of the calls of ``--trace``'s plugins, on stderr; None without any."""
    if not settings.trace:
        return None
    import json
    from dataclasses import asdict

    from aeraki_core.console import output
    from aeraki_core.plugins.trace import HookTrace, Tracer

    def write(trace: HookTrace) -> None:
        if settings.trace_as_json:
            content = asdict(trace)
            for name in ("given", "questions"):
                content[name] = [each._asdict() for each in getattr(trace, name)]
            output.note(json.dumps(content))
        else:
            output.note(*trace.lines())

    return Tracer(settings.trace, write)


def inactive_findings(registry: Registry) -> tuple[Finding, ...]:
    """Return a finding for each broken plugin; one that was disabled on purpose has none."""
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
