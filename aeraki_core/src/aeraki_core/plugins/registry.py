"""Which plugins are active, what they bring, and why the others are not.

A :class:`Registry` holds a :class:`PluginInfo` for each candidate. A protocol, token or kind that
two plugins claim makes both conflicting; the message names both distributions. One bad plugin never
stops the others.
"""

from __future__ import annotations

import difflib
import inspect
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from typing import Any

import pluggy

from aeraki_core.deprecations import (
    Use,
    collected,
    deprecation,
    parameters_of,
    warn_function,
)
from aeraki_core.errors import PluginError, ends_the_program, text_of
from aeraki_core.findings.finding import Code
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.plugin_calls import PLUGIN_CALLS
from aeraki_core.model.resource import Kind, LoadedKind
from aeraki_core.plugins.declarations import (
    check_addons,
    check_codes,
    check_hooks,
    check_kinds,
    check_protocols,
)
from aeraki_core.plugins.discovery import Candidate, PluginState, discover
from aeraki_core.plugins.hookspec import PROJECT, HookSpec
from aeraki_core.plugins.trace import Tracer, answer_texts
from aeraki_core.plugins.types import AddOn, Option, Protocol

__all__ = ["PluginInfo", "Registry", "build_registry"]

_HOOKS = [name for name in dir(HookSpec) if name.startswith("aeraki_")]


@dataclass(frozen=True)
class PluginInfo:
    """One plugin.

    ``detail`` is a traceback, if there is one, for ``--debug`` and ``aeraki plugins NAME``.
    """

    name: str
    distribution: str
    version: str
    state: PluginState
    reason: str = ""
    detail: str = ""
    protocols: tuple[Protocol, ...] = ()
    kinds: tuple[Kind[Any], ...] = ()
    addons: tuple[AddOn, ...] = ()
    hooks: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()
    """What it uses that a later version of the core does not have, each with its line."""

    @property
    def active(self) -> bool:
        """Whether it is used."""
        return self.state == PluginState.ACTIVE

    @cached_property
    def codes(self) -> tuple[Code, ...]:
        """The findings that it may report."""
        declared: tuple[Protocol | AddOn, ...] = (*self.protocols, *self.addons)
        return tuple(dict.fromkeys(code for owner in declared for code in owner.codes))

    @property
    def title(self) -> str:
        """Distribution and version, as messages name it."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True)
class Registry:
    """All plugins, sorted by name, and the implementations of the active ones."""

    plugins: tuple[PluginInfo, ...]
    implementations: Mapping[str, Mapping[str, pluggy.HookImpl]] = field(repr=False)

    @cached_property
    def active(self) -> tuple[PluginInfo, ...]:
        """The plugins that are used."""
        return tuple(plugin for plugin in self.plugins if plugin.active)

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols of the active plugins."""
        return tuple(protocol for plugin in self.active for protocol in plugin.protocols)

    @property
    def kinds(self) -> tuple[LoadedKind[Any], ...]:
        """The kinds of the active plugins."""
        return tuple(
            LoadedKind.of(kind, plugin.name) for plugin in self.active for kind in plugin.kinds
        )

    def plugin(self, name: str) -> PluginInfo | None:
        """The plugin of that name; None when there is none."""
        return next((plugin for plugin in self.plugins if plugin.name == name), None)

    def reloaded(self, candidate: Candidate, tracer: Tracer | None = None) -> Registry:
        """The same plugins with a new version of one of them.

        Raises:
            PluginError: the new version cannot be used, or only after a restart.
        """
        info, hooks = _judge(candidate, tracer)
        same = (candidate.name, candidate.distribution)
        others = [each for each in self.plugins if (each.name, each.distribution) != same]
        plugins = _settle_conflicts(sorted([*others, info], key=_order))
        info = next(each for each in plugins if (each.name, each.distribution) == same)
        if not info.active:
            raise PluginError(f"it is {info.state}: {info.reason}")
        before = self.plugin(info.name)
        if _names_of_kinds(info) != _names_of_kinds(before):
            raise PluginError("it declares other kinds, which are read only after a restart")
        return Registry(plugins, {**self.implementations, info.name: hooks})

    def takes(self, hook: str, parameter: str) -> bool:
        """Whether an active plugin's implementation of the hook takes the parameter."""
        implementations = (hooks.get(hook) for hooks in self.implementations.values())
        names = {parameter, *(old for old, new in parameters_of(hook).items() if new == parameter)}
        return any(each is not None and names & {*each.argnames} for each in implementations)

    @cached_property
    def _owners(self) -> dict[str, PluginInfo]:
        return {protocol.name: plugin for plugin in self.active for protocol in plugin.protocols}

    def owner(self, protocol: Protocol) -> PluginInfo:
        """The plugin that brings the protocol.

        Raises:
            KeyError: no active plugin does.
        """
        return self._owners[protocol.name]

    @cached_property
    def options(self) -> dict[str, dict[str, Option[Any]]]:
        """The options that each active protocol and add-on declares, by their names."""
        owners: list[Protocol | AddOn] = [*self.protocols]
        owners += (addon for plugin in self.active for addon in plugin.addons)
        return {owner.name: {option.name: option for option in owner.options} for owner in owners}

    @cached_property
    def _kind_owners(self) -> dict[tuple[str, str], PluginInfo]:
        return {(kind.group, kind.kind): plugin for plugin in self.active for kind in plugin.kinds}

    def owner_of_kind(self, ref: ObjectRef) -> PluginInfo | None:
        """The active plugin that brings the object's kind, or None."""
        return self._kind_owners.get((ref.group, ref.kind))


def build_registry(
    candidates: Iterable[Candidate] | None = None,
    only: Iterable[str] | None = None,
    *,
    tracer: Tracer | None = None,
) -> Registry:
    """Judge the candidates (default: everything installed, limited to ``only``)."""
    implementations: dict[str, Mapping[str, pluggy.HookImpl]] = {}
    infos: list[PluginInfo] = []
    for candidate in discover(only) if candidates is None else candidates:
        info, hooks = _judge(candidate, tracer)
        infos.append(info)
        if info.active and info.name not in implementations:
            implementations[info.name] = hooks
    plugins = _settle_conflicts(sorted(infos, key=_order))
    active = {plugin.name for plugin in plugins if plugin.active}
    return Registry(
        plugins, {name: hooks for name, hooks in implementations.items() if name in active}
    )


def _order(info: PluginInfo) -> tuple[str, str]:
    return info.name, info.distribution


def _names_of_kinds(plugin: PluginInfo | None) -> set[tuple[str, str, str]]:
    kinds = plugin.kinds if plugin is not None else ()
    return {(kind.group, kind.version, kind.kind) for kind in kinds}


def _judge(
    candidate: Candidate, tracer: Tracer | None
) -> tuple[PluginInfo, Mapping[str, pluggy.HookImpl]]:
    base = PluginInfo(
        candidate.name,
        candidate.distribution,
        candidate.version,
        candidate.state,
        candidate.reason,
        candidate.detail,
    )
    if candidate.state != PluginState.ACTIVE:
        return base, {}
    try:
        with collected() as uses:
            hooks = _hooks_of(candidate)
        base = replace(base, deprecated=(*candidate.deprecated, *uses))
        collect = partial(_collect, candidate.name, hooks, tracer)
        protocols = collect("aeraki_protocols", Protocol)
        kinds = collect("aeraki_resources", Kind)
        functions = {name: hook.function for name, hook in hooks.items()}
        addons = collect("aeraki_addons", AddOn)
        check_protocols(protocols)
        check_addons(addons)
        check_codes(code for owner in (*protocols, *addons) for code in owner.codes)
        check_kinds(kinds)
        check_hooks(functions, protocols, kinds, addons)
    except BaseException as error:
        if ends_the_program(error):
            raise
        reason = (
            text_of(error)
            if isinstance(error, PluginError)
            else f"{type(error).__name__}: {text_of(error)}"
        )
        return replace(
            base, state=PluginState.FAILED, reason=reason, detail=traceback.format_exc()
        ), {}
    return replace(
        base, protocols=protocols, kinds=kinds, addons=addons, hooks=tuple(sorted(hooks))
    ), hooks


def _hooks_of(candidate: Candidate) -> Mapping[str, pluggy.HookImpl]:
    """The plugin's implementations by hook name, held to the specification by pluggy."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpec)
    for name in _HOOKS:
        specification = getattr(manager.hook, name).spec
        specification.argnames = (*specification.argnames, *parameters_of(name))
    for name in dir(candidate.module):
        marked = manager.parse_hookimpl_opts(candidate.module, name)
        if marked is not None:
            hook = marked.get("specname") or name
            if hook not in _HOOKS and marked["optionalhook"]:
                continue  # of a later version of the core
            _check_hook(hook, getattr(candidate.module, name))
    manager.register(candidate.module, candidate.name)
    manager.check_pending()
    hooks: dict[str, pluggy.HookImpl] = {}
    for caller in (
        caller for caller in manager.get_hookcallers(candidate.module) or () if caller.has_spec()
    ):
        for implementation in caller.get_hookimpls():
            if implementation.hookwrapper or implementation.wrapper:
                raise PluginError(
                    f"{caller.name} is a wrapper; "
                    "hooks of Aeraki are called one by one and not wrapped"
                )
            hooks[caller.name] = implementation
    if not hooks:
        raise PluginError("it implements no hook: decorate its functions with aeraki_core.hookimpl")
    return hooks


def _check_hook(name: str, function: Callable[..., object]) -> None:
    """Check that the hook exists and has these parameters; pluggy's message is unclear."""
    if name not in _HOOKS:
        near = difflib.get_close_matches(name, _HOOKS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_HOOKS)}"
        raise PluginError(f"there is no hook {name}; {hint}")
    allowed = _parameters(getattr(HookSpec, name))[1:]
    deprecated = parameters_of(name)
    for parameter in _parameters(function):
        old = deprecation(Use.PARAMETER, f"{name}.{parameter}")
        if old is not None:
            warn_function(old, function)
    known = {*allowed, *deprecated}
    strange = [parameter for parameter in _parameters(function) if parameter not in known]
    if strange:
        has = f"it has {', '.join(allowed)}" if allowed else "it has none"
        raise PluginError(f"{name} is given no {' and no '.join(strange)}; {has}")


def _parameters(function: Callable[..., object]) -> list[str]:
    """The parameters that a caller must give."""
    parameters = inspect.signature(function).parameters.values()
    return [
        item.name
        for item in parameters
        if item.default is item.empty and item.kind is item.POSITIONAL_OR_KEYWORD
    ]


MAX_DECLARED = 1_000
"""Protocols, or kinds, of one plugin; an iterator without an end stops here."""


def _collect(
    plugin: str,
    hooks: Mapping[str, pluggy.HookImpl],
    tracer: Tracer | None,
    name: str,
    of: type[Any],
) -> tuple[Any, ...]:
    if name not in hooks:
        return ()
    following = tracer.following(plugin, name) if tracer is not None else nullcontext()
    with PLUGIN_CALLS.entered(plugin, name, "its declarations"), following as answers:
        declared = hooks[name].function()
        if not isinstance(declared, Iterable) or isinstance(declared, str):
            raise PluginError(
                f"{name} gave a {type(declared).__name__} "
                f"where a list of {of.__name__} values belongs"
            )
        values = tuple(islice(declared, MAX_DECLARED + 1))
        if answers is not None:
            answers += answer_texts(values)
    if len(values) > MAX_DECLARED:
        raise PluginError(f"{name} gave more than {MAX_DECLARED} values")
    for value in values:
        # A class derived from it could raise wherever the core reads it.
        if type(value) is not of:
            raise PluginError(f"{name} gave {_shown(value)}, which is no {of.__name__}")
    return values


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"a {type(value).__name__}"


def _settle_conflicts(plugins: list[PluginInfo]) -> tuple[PluginInfo, ...]:
    """Mark every active plugin whose claim another active plugin makes too."""
    claims: dict[str, set[int]] = defaultdict(set)
    for index, plugin in enumerate(plugins):
        if not plugin.active:
            continue
        claims[f"plugin {plugin.name}"].add(index)
        for protocol in plugin.protocols:
            claims[f"protocol {protocol.name}"].add(index)
            for token in protocol.tokens:
                claims[f"token {token}"].add(index)
        for addon in plugin.addons:
            claims[f"protocol {addon.name}"].add(index)  # both are prefixes of annotations
        for kind in plugin.kinds:
            claims[f"kind {kind.kind}.{kind.group}"].add(index)
        for code in plugin.codes:
            claims[f"finding {code.id}"].add(index)
    reasons: dict[int, list[str]] = defaultdict(list)
    for claim, owners in claims.items():
        if len(owners) > 1:
            titles = " and ".join(plugins[index].title for index in sorted(owners))
            for index in owners:
                reasons[index].append(f"{claim} is claimed by {titles}")
    return tuple(
        replace(plugin, state=PluginState.CONFLICTING, reason="; ".join(reasons[index]))
        if index in reasons
        else plugin
        for index, plugin in enumerate(plugins)
    )
