"""The only caller of hooks: guards, times and attributes every call.

In: a registry. Out: answers, or what went wrong and whose fault it was. pluggy's own broadcast is not used: one implementation that
raises would abort the call for all (design.md, "Hooks").
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aeraki_core.context import GenerateContext, KeepLastGood
from aeraki_core.diagnostics import GENERATOR_GARBAGE, GENERATOR_RAISED, HOOK_RAISED, Code, Finding
from aeraki_core.model.service import Port, Service
from aeraki_core.plugins.registry import Registry
from aeraki_core.types import Patch, Protocol, Resource
from aeraki_core.validate import ValidateContext

__all__ = ["CallStats", "Dispatcher", "Generated"]

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class CallStats:
    """What a plugin's hook was called for so far; ``seconds`` is wall time."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Generated:
    """What a generator gave. ``patches`` None: it could not, and what it gave before stays; ``findings`` says why."""

    patches: tuple[Patch, ...] | None
    findings: tuple[Finding, ...]
    seconds: float


@dataclass(slots=True)
class Dispatcher:
    """Calls the hooks of the active plugins. ``stats`` is by plugin and hook."""

    registry: Registry
    stats: dict[tuple[str, str], CallStats] = field(default_factory=dict)

    def detect(self, port: Port, service: Service) -> Protocol | None:
        """The first answer to ``aeraki_detect_protocol``, in the order of the plugins' names."""
        for plugin in self.registry.active:
            if "aeraki_detect_protocol" not in plugin.hooks:
                continue
            try:
                name = self._call(
                    plugin.name, "aeraki_detect_protocol", {"port": port, "service": service}, lambda value: value
                )
            except (Exception, SystemExit):
                log.warning("plugin %s: aeraki_detect_protocol raised for %s", plugin.name, service.ref, exc_info=True)
                continue
            if name is None:
                continue
            found = next((protocol for protocol in plugin.protocols if protocol.name == name), None)
            if found is not None:
                return found
            log.warning("plugin %s: aeraki_detect_protocol named %r, which it does not bring", plugin.name, name)
        return None

    def generate(self, protocol: Protocol, context: GenerateContext) -> Generated:
        """The patches of the protocol's owner for one service port."""
        plugin = self.registry.owner(protocol)
        before = self._stats(plugin.name, "aeraki_generate").seconds
        patches: tuple[Patch, ...] | None = None
        problem: tuple[Code, str] | None = None
        try:
            context.check_options()
            arguments = {"protocol": protocol, "context": context}
            values = self._call(plugin.name, "aeraki_generate", arguments, lambda given: tuple(given or ()))
            wrong = next((value for value in values if not isinstance(value, Patch)), None)
            if wrong is None:
                patches = values
            else:
                problem = (GENERATOR_GARBAGE, f"aeraki_generate gave a {type(wrong).__name__} where a Patch belongs")
        except KeepLastGood as reason:
            log.info("plugin %s keeps what it made for %s: %s", plugin.name, context.service.host, reason)
        except (Exception, SystemExit) as error:
            log.warning("plugin %s: aeraki_generate raised for %s", plugin.name, context.service.host, exc_info=True)
            problem = (GENERATOR_RAISED, f"{plugin.title} raised {type(error).__name__}: {_first_line(error)}")
        findings = [item if item.plugin else _by(item, plugin.name) for item in context.findings]
        if problem is not None:
            code, message = problem
            message = f"port {context.port.number}: {message}; what was written before stays"
            findings.append(Finding(code, message, context.service.ref, plugin=plugin.name))
        return Generated(patches, tuple(findings), self._stats(plugin.name, "aeraki_generate").seconds - before)

    def validate(self, resource: Resource[Any], context: ValidateContext) -> tuple[Finding, ...]:
        """What the kind's own plugin finds wrong with a resource."""
        plugin = self.registry.owner_of_kind(resource.ref.kind)
        if plugin is None or "aeraki_validate" not in plugin.hooks:
            return ()
        arguments = {"resource": resource, "context": context}
        try:
            values = self._call(plugin.name, "aeraki_validate", arguments, lambda given: tuple(given or ()))
        except (Exception, SystemExit) as error:
            log.warning("plugin %s: aeraki_validate raised for %s", plugin.name, resource.ref, exc_info=True)
            message = f"{plugin.title}: aeraki_validate raised {type(error).__name__}: {_first_line(error)}"
            return (Finding(HOOK_RAISED, message, resource.ref, plugin=plugin.name),)
        return tuple(_by(item, plugin.name) for item in values if isinstance(item, Finding))

    def _call(self, plugin: str, hook: str, arguments: dict[str, Any], consume: Callable[[Any], T]) -> T:
        """Call one implementation with the parameters that it asks for; a generator is consumed inside the guard."""
        implementation = self.registry.implementations[plugin][hook]
        stats = self._stats(plugin, hook)
        stats.calls += 1
        start = time.perf_counter()
        try:
            return consume(implementation.function(*(arguments[name] for name in implementation.argnames)))
        except KeepLastGood:
            raise
        except (Exception, SystemExit):
            stats.errors += 1
            raise
        finally:
            stats.seconds += time.perf_counter() - start

    def _stats(self, plugin: str, hook: str) -> CallStats:
        return self.stats.setdefault((plugin, hook), CallStats())


def _by(finding: Finding, plugin: str) -> Finding:
    return Finding(
        finding.code,
        finding.message,
        finding.ref,
        finding.field,
        finding.source,
        finding.line,
        finding.plugin or plugin,
    )


def _first_line(error: BaseException) -> str:
    """The error's first line, shortened: a message must not carry a whole dump, nor values from deep inside."""
    return next(iter(str(error).splitlines()), "")[:200]
