"""The only caller of hooks: guards, times and attributes every call.

In: a registry. Out: answers, or what went wrong and whose fault it was. pluggy's own broadcast is not used: one implementation that
raises would abort the call for all (design.md, "Hooks").
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from aeraki_core.errors import ends_the_program, line_of_plugin
from aeraki_core.filters.patch import Patch
from aeraki_core.findings.codes import GENERATOR_GARBAGE, GENERATOR_RAISED, HOOK_RAISED
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.model.resource import Resource
from aeraki_core.model.secret import Secret
from aeraki_core.model.service import Port, Service
from aeraki_core.plugins.context import GenerateContext, KeepLastGood
from aeraki_core.plugins.redact import redact, redact_error
from aeraki_core.plugins.registry import Registry
from aeraki_core.plugins.types import Protocol
from aeraki_core.plugins.validate import ValidateContext

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
                    plugin.name,
                    "aeraki_detect_protocol",
                    {"port": port, "service": service},
                    lambda value: value,
                )
            except BaseException as error:
                if ends_the_program(error):
                    raise
                log.warning(
                    "plugin %s: aeraki_detect_protocol raised for %s",
                    plugin.name,
                    service.ref,
                    exc_info=True,
                )
                continue
            if name is None:
                continue
            found = next((protocol for protocol in plugin.protocols if protocol.name == name), None)
            if found is not None:
                return found
            log.warning(
                "plugin %s: aeraki_detect_protocol named %r, which it does not bring",
                plugin.name,
                name,
            )
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
            values = self._call(plugin.name, "aeraki_generate", arguments, _all)
            wrong = next((value for value in values or () if not isinstance(value, Patch)), None)
            if values is None:
                # Not the same as no patch, which takes the filters away: perhaps a yield was forgotten.
                problem = (
                    GENERATOR_GARBAGE,
                    "aeraki_generate gave no Patch values: yield them, or return a list of them",
                )
            elif wrong is None:
                patches = values
            else:
                problem = (
                    GENERATOR_GARBAGE,
                    f"aeraki_generate gave a {type(wrong).__name__} where a Patch belongs",
                )
        except KeepLastGood as reason:
            said = redact(str(reason), context.secrets_read)
            log.info(
                "plugin %s keeps what it made for %s: %s", plugin.name, context.service.host, said
            )
        except BaseException as error:
            if ends_the_program(error):
                raise
            secrets = context.secrets_read
            shown = redact_error(error, secrets)
            log.warning(
                "plugin %s: aeraki_generate raised for %s",
                plugin.name,
                context.service.host,
                exc_info=shown,
            )
            raised = f"{plugin.title} raised {type(error).__name__}: {_first_line(error, secrets)}{_at(error)}"
            problem = (GENERATOR_RAISED, raised)
        findings = [
            _by(item, item.plugin or plugin.name, context.secrets_read) for item in context.findings
        ]
        if problem is not None:
            code, message = problem
            message = f"port {context.port.number}: {message}; what was written before stays"
            findings.append(Finding(code, message, context.service.ref, plugin=plugin.name))
        return Generated(
            patches, tuple(findings), self._stats(plugin.name, "aeraki_generate").seconds - before
        )

    def validate(self, resource: Resource[Any], context: ValidateContext) -> tuple[Finding, ...]:
        """What the kind's own plugin finds wrong with a resource."""
        plugin = self.registry.owner_of_kind(resource.ref.kind)
        if plugin is None or "aeraki_validate" not in plugin.hooks:
            return ()
        arguments = {"resource": resource, "context": context}
        try:
            values = self._call(
                plugin.name, "aeraki_validate", arguments, lambda given: tuple(given or ())
            )
        except BaseException as error:
            if ends_the_program(error):
                raise
            secrets = context.secrets_read
            shown = redact_error(error, secrets)
            log.warning(
                "plugin %s: aeraki_validate raised for %s",
                plugin.name,
                resource.ref,
                exc_info=shown,
            )
            message = f"{plugin.title}: aeraki_validate raised {type(error).__name__}: {_first_line(error, secrets)}"
            return (Finding(HOOK_RAISED, message, resource.ref, plugin=plugin.name),)
        said = [item for item in values if isinstance(item, Finding)]
        return tuple(_by(item, item.plugin or plugin.name, context.secrets_read) for item in said)

    def _call(
        self, plugin: str, hook: str, arguments: dict[str, Any], consume: Callable[[Any], T]
    ) -> T:
        """Call one implementation with the parameters that it asks for; a generator is consumed inside the guard."""
        implementation = self.registry.implementations[plugin][hook]
        stats = self._stats(plugin, hook)
        stats.calls += 1
        start = time.perf_counter()
        try:
            return consume(
                implementation.function(*(arguments[name] for name in implementation.argnames))
            )
        except KeepLastGood:
            raise
        except BaseException:
            stats.errors += 1
            raise
        finally:
            stats.seconds += time.perf_counter() - start

    def _stats(self, plugin: str, hook: str) -> CallStats:
        return self.stats.setdefault((plugin, hook), CallStats())


def _all(given: Any) -> tuple[Any, ...] | None:
    """What a generator yields, or the list that it returns; None where it is neither."""
    return tuple(given) if isinstance(given, Iterable) else None


def _at(error: BaseException) -> str:
    place = line_of_plugin(error)
    return f" ({place})" if place else ""


def _by(finding: Finding, plugin: str, secrets: tuple[Secret, ...]) -> Finding:
    """A finding that says whose it is, and no secret."""
    return replace(finding, plugin=plugin, message=redact(finding.message, secrets))


def _first_line(error: BaseException, secrets: tuple[Secret, ...]) -> str:
    """The error's first line, shortened: a message must not carry a whole dump, nor values from deep inside."""
    text = str(
        traceback.TracebackException.from_exception(error)
    )  # also of an error that cannot say what it is
    return next(iter(redact(text, secrets).splitlines()), "")[:200]
