"""The only caller of hooks: guards, times and attributes every call.

pluggy's own broadcast is not used: one implementation that raises would end the call for all
(docs/internals/decisions/0004-dispatch-without-broadcast.md). A plugin may raise anything, give
anything, give it without an end, or not return at all; here it becomes a finding that names the
plugin, and the others go on.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from aeraki_core.deprecations import parameters_of
from aeraki_core.errors import ends_the_program, line_of_plugin, text_of
from aeraki_core.filters.envoyfilter import ServicePort
from aeraki_core.filters.patch import Patch, Side
from aeraki_core.findings.codes import (
    ADD_ON_CONFLICT,
    ADD_ON_WITHOUT_EXTENSION,
    GENERATOR_RAISED,
    HOOK_RAISED,
    HOOK_SLOW,
    KEPT_BY_PLUGIN,
)
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.plugin_calls import PLUGIN_CALLS, STUCK_AFTER
from aeraki_core.model.resource import Resource
from aeraki_core.model.secret import Secret
from aeraki_core.model.service import Port, Service, ServiceId
from aeraki_core.plugins.adding import why_not_added, without_conflicts
from aeraki_core.plugins.answers import MAX_PATCHES, judge_patches, named_protocol, values_of
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.context import Detect, GenerateContext, KeepLastGood
from aeraki_core.plugins.extend_context import ExtendContext
from aeraki_core.plugins.options import OptionReader
from aeraki_core.plugins.port_call import PortCall
from aeraki_core.plugins.recorder import Recorder
from aeraki_core.plugins.redact import redact, redact_error
from aeraki_core.plugins.registry import PluginInfo, Registry
from aeraki_core.plugins.trace import Tracer, answer_texts
from aeraki_core.plugins.types import AddOn, Extension, Protocol
from aeraki_core.plugins.validate import ValidateContext

__all__ = ["CallStats", "Dispatcher", "Generated", "HookDetection"]

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class CallStats:
    """What a plugin's hook was called for so far; ``seconds`` is wall time."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class HookDetection:
    """The result of the plugins' detection for one port.

    ``findings``: one for each plugin whose hook failed. ``unsure``: the protocols of those plugins,
    any of which the port may speak.
    """

    protocol: Protocol | None = None
    findings: tuple[Finding, ...] = ()
    unsure: tuple[Protocol, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """The result of a generator.

    ``patches`` is None if it failed, and its earlier patches stay; ``findings`` says why.
    """

    patches: tuple[Patch, ...] | None
    findings: tuple[Finding, ...]
    seconds: float


@dataclass(slots=True)
class Dispatcher:
    """Calls the hooks of the active plugins.

    ``stats`` is by plugin and hook. ``tracer`` follows the calls of some plugins.
    """

    registry: Registry
    stats: defaultdict[tuple[str, str], CallStats] = field(
        default_factory=partial(defaultdict, CallStats)
    )
    tracer: Tracer | None = None
    _last_good: dict[tuple[ServiceId, int], dict[tuple[Audience, str], tuple[Patch, ...]]] = field(
        default_factory=dict
    )

    def detect(
        self,
        port: Port,
        service: Service,
        *,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> HookDetection:
        """The first answer to ``aeraki_detect_protocol``, in the order of the plugins' names."""
        arguments = {
            "port": port,
            "service": service,
            "labels": MappingProxyType(labels),
            "annotations": MappingProxyType(annotations),
        }
        findings: list[Finding] = []
        unsure: list[Protocol] = []
        for plugin in self.registry.active:
            if "aeraki_detect_protocol" not in plugin.hooks:
                continue
            try:
                protocol, problem = self._call(
                    plugin.name,
                    "aeraki_detect_protocol",
                    arguments,
                    partial(named_protocol, plugin),
                    subject=ServicePort(service.host, port.number),
                )
            except BaseException as error:
                if ends_the_program(error):
                    raise
                log.warning(
                    "plugin %s: aeraki_detect_protocol raised for %s",
                    plugin.name,
                    service.ref,
                    exc_info=redact_error(error, ()),
                )
                protocol, problem = None, f"raised {_shown(error, ())}{_at(error)}"
            if problem:
                text = f"port {port.number}: {plugin.title}: aeraki_detect_protocol {problem}"
                finding = Finding(HOOK_RAISED, text, service.ref, "spec.ports", plugin=plugin.name)
                findings.append(finding)
                unsure += plugin.protocols
            if protocol is not None:
                return HookDetection(protocol, tuple(findings), tuple(unsure))
        return HookDetection(None, tuple(findings), tuple(unsure))

    def prepare(
        self,
        protocol: Protocol,
        service: Service,
        port: Port,
        *,
        audience: Audience,
        reads: Reads,
        detect: Detect,
    ) -> PortCall:
        """The call of the protocol's owner for one service port and one audience of clients."""
        declared = (protocol.extension, *protocol.more_extensions)
        recorder = self._recorder(self.registry.owner(protocol), reads, declared)
        options = OptionReader(
            protocol,
            service,
            declared=self.registry.options[protocol.name],
            reads=reads,
            recorder=recorder,
        )
        context = GenerateContext(
            protocol,
            service,
            port,
            audience=audience,
            options=options,
            recorder=recorder,
            detect=detect,
        )
        return PortCall(context, options, recorder, detect, audience)

    def generate(self, call: PortCall) -> Generated:
        """The patches of the protocol's owner for one service port."""
        context, recorder = call.context, call.recorder
        plugin = self.registry.owner(context.protocol)
        before = self._stats(plugin.name, "aeraki_generate").seconds
        patches: tuple[Patch, ...] | None = None
        problem: tuple[Code, str] | None = None
        try:
            call.options.report_unknown()
            arguments = {"protocol": context.protocol, "context": context}
            subject = ServicePort(context.service.host, context.port.number)
            values = self._call(
                plugin.name,
                "aeraki_generate",
                arguments,
                values_of,
                subject=subject,
                recorder=recorder,
            )
            patches, problem = judge_patches(values, context.protocol)
        except KeepLastGood as reason:
            text = redact(text_of(reason), recorder.secrets)
            log.info(
                "plugin %s keeps what it made for %s: %s", plugin.name, context.service.host, text
            )
            if not recorder.findings:
                problem = (KEPT_BY_PLUGIN, text or "the plugin gives no reason")
        except BaseException as error:
            if ends_the_program(error):
                raise
            secrets = recorder.secrets
            log.warning(
                "plugin %s: aeraki_generate raised for %s",
                plugin.name,
                context.service.host,
                exc_info=redact_error(error, secrets),
            )
            raised = f"{plugin.title} raised {_shown(error, secrets)}{_at(error)}"
            problem = (GENERATOR_RAISED, raised)
        seconds = self._stats(plugin.name, "aeraki_generate").seconds - before
        findings = [_of_plugin(item, plugin.name, recorder.secrets) for item in recorder.findings]
        where = f"port {context.port.number}"
        if problem is not None:
            code, text = problem
            text = f"{where}: {text}; what was written before stays"
            findings.append(Finding(code, text, context.service.ref, plugin=plugin.name))
        if seconds >= STUCK_AFTER:
            text = f"{where}: {plugin.title}: aeraki_generate took {seconds:.0f} s"
            findings.append(Finding(HOOK_SLOW, text, context.service.ref, plugin=plugin.name))
        return Generated(patches, tuple(findings), seconds)

    def extend(self, call: PortCall, generated: Generated) -> Generated:
        """Put the patches of all plugins' add-ons before those of the protocol's owner.

        The order is that of the plugins' names. An add-on that fails keeps its last good patches.
        If this process has none, the whole port keeps its filters, so that nothing is lost.
        """
        patches = generated.patches
        if patches is None:
            return generated
        port = (call.context.service.id, call.context.port.number)
        added: list[Patch] = []
        findings = list(generated.findings)
        for plugin in self.registry.active:
            for addon in plugin.addons:
                if not addon.extends(call.context.protocol):
                    continue
                findings += _nowhere(plugin, addon, call.context.mesh)
                sides = call.covered_sides(addon)
                if not sides:
                    continue
                key = (call.audience, addon.name)
                own, reported = self._extended(plugin, addon, call, sides, (*added, *patches))
                findings += reported
                if own is None:
                    own = self._last_good.get(port, {}).get(key)
                if own is None:
                    return Generated(None, tuple(findings), generated.seconds)
                self._last_good.setdefault(port, {})[key] = own
                added += own
        if not added and len(findings) == len(generated.findings):
            return generated
        return Generated((*added, *patches), tuple(findings), generated.seconds)

    def forget(self, service: ServiceId, port: int) -> None:
        """Forget what add-ons gave for a service port that speaks no protocol now."""
        self._last_good.pop((service, port), None)

    def _extended(
        self,
        plugin: PluginInfo,
        addon: AddOn,
        call: PortCall,
        covered: tuple[Side, ...],
        others: tuple[Patch, ...],
    ) -> tuple[tuple[Patch, ...] | None, list[Finding]]:
        """The patches of one add-on for these sides, None if it failed; and its findings."""
        generating = call.context
        recorder = self._recorder(plugin, call.recorder.reads, addon.extensions)
        options = OptionReader(
            addon,
            generating.service,
            declared=self.registry.options[addon.name],
            reads=recorder.reads,
            recorder=recorder,
        )
        context = ExtendContext(
            addon,
            generating,
            inbound=(side for side in generating.inbound if side in covered),
            options=options,
            recorder=recorder,
            detect=call.detect,
        )
        where = f"port {generating.port.number}: add-on {addon.name}"
        problem = ""
        own: tuple[Patch, ...] | None = None
        try:
            options.report_unknown()
            values = self._call(
                plugin.name,
                "aeraki_extend",
                {"addon": addon, "context": context},
                values_of,
                subject=ServicePort(generating.service.host, generating.port.number),
                recorder=recorder,
            )
            sides = {generating.outbound, *generating.inbound}
            problem = why_not_added(values, addon, sides, MAX_PATCHES)
            if not problem:
                own = tuple(
                    replace(patch, plugin=plugin.name)
                    for patch in values or ()
                    if patch.side in covered
                )
        except KeepLastGood as reason:
            problem = f"keeps its last patches: {redact(text_of(reason), recorder.secrets)}"
        except BaseException as error:
            if ends_the_program(error):
                raise
            log.warning(
                "plugin %s: aeraki_extend raised for %s",
                plugin.name,
                generating.service.host,
                exc_info=redact_error(error, recorder.secrets),
            )
            problem = f"raised {_shown(error, recorder.secrets)}{_at(error)}"
        if own is not None:
            own, conflicts = without_conflicts(own, others)
            for text in conflicts:
                recorder.add(ADD_ON_CONFLICT, f"{where}: {text}", generating.service.ref)
        findings = [_of_plugin(item, plugin.name, recorder.secrets) for item in recorder.findings]
        if problem:
            text = f"{where} of {plugin.title} {problem}; its last good patches stay"
            finding = Finding(HOOK_RAISED, text, generating.service.ref, plugin=plugin.name)
            findings.append(finding)
        return own, findings

    def validate(
        self, resource: Resource[Any], reads: Reads, detect: Detect
    ) -> tuple[Finding, ...]:
        """What the kind's own plugin finds wrong with a resource."""
        plugin = self.registry.owner_of_kind(resource.ref)
        if plugin is None or "aeraki_validate" not in plugin.hooks:
            return ()
        recorder = self._recorder(plugin, reads)
        context = ValidateContext(resource, recorder=recorder, detect=detect)
        arguments = {"resource": resource, "context": context}
        problem = ""
        try:
            values = self._call(
                plugin.name,
                "aeraki_validate",
                arguments,
                values_of,
                subject=resource.ref,
                recorder=recorder,
            )
            if values:
                problem = (
                    f"gave a {type(values[0]).__name__}: it reports findings with context.report"
                )
        except BaseException as error:
            if ends_the_program(error):
                raise
            log.warning(
                "plugin %s: aeraki_validate raised for %s",
                plugin.name,
                resource.ref,
                exc_info=redact_error(error, recorder.secrets),
            )
            problem = f"raised {_shown(error, recorder.secrets)}{_at(error)}"
        findings = [_of_plugin(item, plugin.name, recorder.secrets) for item in recorder.findings]
        if problem:
            text = f"{plugin.title}: aeraki_validate {problem}"
            findings.append(Finding(HOOK_RAISED, text, resource.ref, plugin=plugin.name))
        return tuple(findings)

    def _recorder(
        self, plugin: PluginInfo, reads: Reads, declared: tuple[Extension, ...] = ()
    ) -> Recorder:
        return Recorder(
            reads=reads,
            plugin=plugin.name,
            codes=plugin.codes,
            kinds=plugin.kinds,
            declared=declared,
        )

    def _call(
        self,
        plugin: str,
        hook: str,
        arguments: dict[str, Any],
        consume: Callable[[Any], T],
        *,
        subject: object,
        recorder: Recorder | None = None,
    ) -> T:
        """Call one implementation with the parameters that it asks for.

        A generator is consumed inside the guard.
        """
        implementation = self.registry.implementations[plugin][hook]
        taken = {
            name: arguments[name if name in arguments else parameters_of(hook)[name]]
            for name in implementation.argnames
        }
        stats = self._stats(plugin, hook)
        stats.calls += 1
        start = time.perf_counter()
        try:
            with PLUGIN_CALLS.entered(plugin, hook, subject):
                if self.tracer is None:
                    return consume(implementation.function(*taken.values()))
                with self.tracer.following(
                    plugin, hook, subject=subject, arguments=taken, recorder=recorder
                ) as answers:
                    answer = consume(implementation.function(*taken.values()))
                    if answers is not None:
                        answers += answer_texts(answer)
                    return answer
        except KeepLastGood:
            raise
        except BaseException:
            stats.errors += 1
            raise
        finally:
            stats.seconds += time.perf_counter() - start

    def _stats(self, plugin: str, hook: str) -> CallStats:
        return self.stats[plugin, hook]


def _nowhere(plugin: PluginInfo, addon: AddOn, mesh: Mesh) -> Iterator[Finding]:
    """Yield a finding for each extension of an add-on that no proxy has; one for all ports."""
    for extension in addon.extensions:
        if not extension.stock and not any(mesh.rules_for(extension.name)):
            message = (
                f"add-on {addon.name} of {plugin.title} needs {extension.name}, "
                "which no proxy is known to have; it is left out everywhere"
            )
            yield Finding(ADD_ON_WITHOUT_EXTENSION, message, plugin=plugin.name)


def _at(error: BaseException) -> str:
    place = line_of_plugin(error)
    return f" ({place})" if place else ""


def _of_plugin(finding: Finding, plugin: str, secrets: tuple[Secret, ...]) -> Finding:
    """A finding that names its plugin, and holds no secret."""
    return replace(
        finding,
        plugin=finding.plugin or plugin,
        message=redact(finding.message, secrets),
        field=finding.field and redact(finding.field, secrets),
    )


def _shown(error: BaseException, secrets: tuple[Secret, ...]) -> str:
    """Return the error's type and first line, shortened and without secrets."""
    text = redact(text_of(error), secrets)
    return f"{type(error).__name__}: {next(iter(text.splitlines()), '')[:200]}"
