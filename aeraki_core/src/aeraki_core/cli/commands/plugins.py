"""``aeraki plugins``: every plugin that was found, what it brings, and why it is not active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aeraki_core.cli.command import define, form_option
from aeraki_core.cli.completing import plugin_names, words
from aeraki_core.console import output
from aeraki_core.settings import SettingGroup, Settings
from aeraki_core.wiring.plugins import open_registry

if TYPE_CHECKING:
    from aeraki_core.plugins.registry import PluginInfo
    from aeraki_core.plugins.types import AddOn, Extension, Option, Protocol

__all__ = ["command"]

_COLORS = {
    "active": "green",
    "disabled": "yellow",
    "incompatible": "red",
    "failed": "red",
    "conflicting": "red",
}


@define(
    "plugins",
    SettingGroup.PLUGINS,
    epilog="Example: aeraki plugins NAME shows its options and findings.",
)
@click.argument("name", required=False, shell_complete=words(plugin_names))
@form_option("text", "json", "yaml", text="The form.")
def command(settings: Settings, *, name: str | None, form: str) -> int:
    """Show every plugin: state, version, protocols, kinds; with NAME all of one.

    Exits with 1 if a plugin is neither active nor disabled.
    """
    from aeraki_core.plugins.discovery import PluginState

    registry = open_registry(settings)
    chosen = [plugin for plugin in registry.plugins if name in (None, plugin.name)]
    if name is not None and not chosen:
        installed = ", ".join(plugin.name for plugin in registry.plugins) or "none"
        output.error(f"no plugin {name!r} is installed; installed: {installed}")
        return 1
    if form != "text":
        content = {"plugins": [describe(plugin) for plugin in chosen]}
        output.structured(content, form)
    elif name is not None:
        output.data("\n".join(_page(plugin) for plugin in chosen))
    elif chosen:
        output.data(output.table(_HEADINGS, [_row(plugin) for plugin in chosen], colors=_COLORS))
    else:
        output.note(
            "No plugin is installed. "
            "Each protocol is a distribution of its own, such as aeraki-plugins-NAME."
        )
    for plugin in chosen:
        if plugin.reason and form == "text" and name is None:
            output.note(f"{plugin.name}: {plugin.state}: {plugin.reason}")
    return int(
        any(plugin.state not in (PluginState.ACTIVE, PluginState.DISABLED) for plugin in chosen)
    )


_HEADINGS = ("NAME", "STATE", "DISTRIBUTION", "VERSION", "PROTOCOLS", "KINDS")


def _row(plugin: PluginInfo) -> tuple[str, ...]:
    protocols = ",".join(protocol.name for protocol in plugin.protocols)
    kinds = ",".join(kind.kind for kind in plugin.kinds)
    return (
        plugin.name,
        plugin.state,
        plugin.distribution,
        plugin.version,
        protocols or "-",
        kinds or "-",
    )


def describe(plugin: PluginInfo) -> dict[str, Any]:
    """All that is known of a plugin, as JSON has it."""
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": str(plugin.state),
        "reason": plugin.reason,
        "hooks": list(plugin.hooks),
        "deprecated": list(plugin.deprecated),
        "protocols": [
            {
                "name": protocol.name,
                "summary": protocol.summary,
                "tokens": list(protocol.tokens),
                "extension": {"name": protocol.extension.name, "stock": protocol.extension.stock},
                "options": [_option(protocol, option) for option in protocol.options],
                "codes": [
                    {
                        "id": code.id,
                        "severity": code.severity.label,
                        "title": code.title,
                        "action": code.action,
                    }
                    for code in protocol.codes
                ],
            }
            for protocol in plugin.protocols
        ],
        "addons": [
            {
                "name": addon.name,
                "summary": addon.summary,
                "protocols": list(addon.protocols),
                "extensions": [
                    {"name": each.name, "stock": each.stock} for each in addon.extensions
                ],
                "options": [_option(addon, option) for option in addon.options],
                "codes": [code.id for code in addon.codes],
            }
            for addon in plugin.addons
        ],
        "kinds": [
            {
                "apiVersion": kind.api_version,
                "kind": kind.kind,
                "plural": kind.plural,
                "shortNames": list(kind.short_names),
                "summary": kind.summary,
            }
            for kind in plugin.kinds
        ],
    }


def _option(protocol: Protocol | AddOn, option: Option[Any]) -> dict[str, Any]:
    limits = {"choices": list(option.choices), "minimum": option.minimum, "maximum": option.maximum}
    return {
        "annotation": protocol.annotation(option),
        "type": str(option.type),
        "default": list(option.default) if isinstance(option.default, tuple) else option.default,
        "help": option.help,
        "aliases": list(option.aliases),
        **{name: value for name, value in limits.items() if value not in (None, [])},
    }


def _page(plugin: PluginInfo) -> str:
    """All of one plugin, to be read."""
    state = output.style(plugin.state, _COLORS[plugin.state])
    lines = [f"{output.style(plugin.name, bold=True)}  {plugin.title}  {state}"]
    if plugin.reason:
        lines.append(f"  reason     {plugin.reason}")
    if plugin.hooks:
        lines.append(f"  hooks      {', '.join(plugin.hooks)}")
    lines += [f"  deprecated {use}" for use in plugin.deprecated]
    for kind in plugin.kinds:
        short = f" ({', '.join(kind.short_names)})" if kind.short_names else ""
        lines.append(f"  kind       {kind.kind}{short}, {kind.api_version}: {kind.summary}")
    for protocol in plugin.protocols:
        lines += _protocol_lines(protocol)
    for addon in plugin.addons:
        lines += _addon_lines(addon)
    if plugin.detail:
        lines += ["", *(f"  {line}" for line in plugin.detail.rstrip().splitlines())]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """All digits of it, and no point where there is nothing behind it."""
    return str(int(value)) if value == int(value) else str(value)


def _addon_lines(addon: AddOn) -> list[str]:
    protocols = ", ".join(addon.protocols) or "every protocol"
    lines = [f"  add-on     {addon.name}: {addon.summary}", f"  ports      of {protocols}"]
    lines += [f"  extension  {each.name} ({_stock(each)})" for each in addon.extensions]
    return [*lines, *_option_lines(addon), *_code_lines(addon)]


def _stock(extension: Extension) -> str:
    if extension.stock:
        return "in the stock proxy"
    return "not in the stock proxy: see --proxy-extensions"


def _protocol_lines(protocol: Protocol) -> list[str]:
    lines = [
        f"  protocol   {protocol.name}: {protocol.summary}",
        f"  ports      {', '.join(f'tcp-{token}' for token in protocol.tokens)}, or appProtocol",
        f"  extension  {protocol.extension.name} ({_stock(protocol.extension)})",
    ]
    return [*lines, *_option_lines(protocol), *_code_lines(protocol)]


def _option_lines(owner: Protocol | AddOn) -> list[str]:
    lines: list[str] = []
    if owner.options:
        lines += ["", "  Options, as annotations of the Service or ServiceEntry:"]
    for option in owner.options:
        facts = [str(option.type)]
        if option.default not in (None, (), ""):
            default = (
                str(option.default).lower()
                if isinstance(option.default, bool)
                else str(option.default)
            )
            facts.append(f"default {default}")
        if option.choices:
            facts.append(
                "one of " + ", ".join(option.choices)
                if len(option.choices) <= 8
                else "a set of names"
            )
        if option.minimum is not None:
            facts.append(f"at least {_number(option.minimum)}")
        if option.maximum is not None:
            facts.append(f"at most {_number(option.maximum)}")
        if option.aliases:
            facts.append(f"also written {', '.join(option.aliases)}")
        lines += [
            f"    {owner.annotation(option)}  ({'; '.join(facts)})",
            f"        {option.help}",
        ]
    return lines


def _code_lines(owner: Protocol | AddOn) -> list[str]:
    lines = ["", "  Findings of its own:"] if owner.codes else []
    lines += [f"    {code.id}  {code.severity.label:<7}  {code.title}" for code in owner.codes]
    return lines
