"""The questions and reports of one call of a hook: the core's side of a context.

A context shows only what a plugin's author uses. The rest is here: the core keeps the recorder of
each call. It shows which changes require a new run, the findings of the call, and the Secrets that
it saw.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from aeraki_core.errors import PluginError
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.routes import PlannedRoute
from aeraki_core.mesh.weight_sets import WeightSet
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import Kind
from aeraki_core.model.secret import Secret
from aeraki_core.plugins.types import Extension

__all__ = ["Recorder"]

MAX_TEXT = 4_000
"""Characters of one finding: it goes into logs, Events and statuses."""

MAX_FINDINGS = 1_000
"""That one call may report; a plugin that reports without an end must not fill the memory."""


@dataclass(slots=True, kw_only=True)
class Recorder:
    """The record of one call of a plugin's hook."""

    reads: Reads
    """What it asked of the mesh."""
    plugin: str
    """The plugin's name."""
    codes: Collection[Code] = ()
    """The codes that the plugin declares."""
    kinds: Collection[Kind[Any]] = ()
    """The kinds that the plugin declares."""
    declared: Collection[Extension] = ()
    """The Envoy extensions that the protocol or the add-on declares."""
    findings: list[Finding] = field(default_factory=list)
    """What was reported, by the plugin or for it."""
    extensions: set[str] = field(default_factory=set)
    """The Envoy extensions that it asked for."""
    routes: tuple[PlannedRoute, ...] | None = None
    """The routes that it asked for last; None when it asked for none."""
    weight_sets: tuple[WeightSet, ...] = ()
    """What carries the weights of the routes that it was given."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The Secrets that the plugin received: no text may hold one of their values."""
        return tuple(self.reads.secrets.values())

    def add(
        self, code: Code, message: str, ref: ObjectRef | None = None, field: str | None = None
    ) -> None:
        """A finding of the core about this call."""
        self.findings.append(Finding(code, message, ref, field))

    def report(self, code: Code, message: str, *, ref: ObjectRef | None, field: str | None) -> None:
        """A finding of the plugin.

        Raises:
            PluginError: an argument is of the wrong kind, or the plugin does not declare the code.
        """
        arguments: tuple[tuple[str, object, Any], ...] = (
            ("code", code, Code),
            ("message", message, str),
            ("ref", ref, ObjectRef | None),
            ("field", field, str | None),
        )
        for name, value, kind in arguments:
            if not isinstance(value, kind):
                expected = getattr(kind, "__name__", str(kind))
                raise PluginError(
                    f"report: {name} is a {type(value).__name__}, "
                    f"where a value of {expected} belongs"
                )
        if code not in self.codes:
            raise PluginError(f"report: the plugin declares no code {code.id}: list it in codes")
        if len(self.findings) >= MAX_FINDINGS:
            raise PluginError(f"report: more than {MAX_FINDINGS} findings in one call")
        if len(message) > MAX_TEXT:
            message = f"{message[:MAX_TEXT]}..."
        self.findings.append(Finding(code, message, ref, field and field[:MAX_TEXT]))

    def require_extension(self, name: str) -> Extension:
        """An extension that may be asked for.

        Raises:
            PluginError: it is not declared.
        """
        extension = next((each for each in self.declared if each.name == name), None)
        if extension is None:
            raise PluginError(
                f"has_extension: {name!r} is not declared: list it in more_extensions"
            )
        return extension

    def require_kind(self, kind: Kind[Any]) -> None:
        """Reject a kind that is not the plugin's own: no source watches it.

        Raises:
            PluginError: the plugin does not declare it.
        """
        value: object = kind
        if not isinstance(value, Kind) or value not in self.kinds:
            name = value.kind if isinstance(value, Kind) else repr(value)
            raise PluginError(
                f"resources: the plugin does not declare {name}: return it from aeraki_resources"
            )
