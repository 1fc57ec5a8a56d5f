"""Find plugins: every entry point of the group ``aeraki.plugins``, with its metadata.

Each installed one becomes a :class:`Candidate`, imported if possible. The requirement of its
distribution on the core is read from the metadata before the import, so that an outdated plugin is
rejected with a clear message.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import metadata
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from aeraki_core.deprecations import collected
from aeraki_core.errors import ends_the_program, text_of
from aeraki_core.model.plugin_calls import PLUGIN_CALLS
from aeraki_core.plugins.hookspec import ENTRY_POINT_GROUP

__all__ = ["Candidate", "PluginState", "core_version", "discover", "load", "load_file"]

_CORE = "aeraki-core"


class PluginState(StrEnum):
    """What became of a plugin."""

    ACTIVE = "active"
    DISABLED = "disabled"
    INCOMPATIBLE = "incompatible"
    FAILED = "failed"
    CONFLICTING = "conflicting"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A discovered plugin.

    ``module`` is the object that its entry point names; None unless ``state`` is still active.
    """

    name: str
    distribution: str
    version: str
    state: PluginState = PluginState.ACTIVE
    reason: str = ""
    module: Any = field(default=None, compare=False, repr=False)
    detail: str = field(default="", compare=False, repr=False)
    deprecated: tuple[str, ...] = ()
    """What its import used that a later version does not have, each with its line."""

    @property
    def title(self) -> str:
        """Distribution and version, as messages name it."""
        return f"{self.distribution} {self.version}".strip()


def core_version() -> str:
    """The version of aeraki-core that runs."""
    try:
        return metadata.version(_CORE)
    except metadata.PackageNotFoundError:
        return "0"


def discover(only: Iterable[str] | None = None) -> tuple[Candidate, ...]:
    """Return every installed plugin, sorted by name.

    ``only``: names to use; the others are disabled; None uses all.
    """
    wanted = None if only is None else frozenset(only)
    points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    plugins = {
        (point.name, point.value): point for point in points
    }  # an editable install can list one twice
    return tuple(load(point, wanted) for _, point in sorted(plugins.items()))


def load(point: metadata.EntryPoint, wanted: frozenset[str] | None) -> Candidate:
    """One plugin: judged by its metadata, then imported."""
    distribution = point.dist.name if point.dist else point.module
    version = point.dist.version if point.dist else ""
    candidate = Candidate(point.name, distribution, version)
    if wanted is not None and point.name not in wanted:
        return _with(candidate, PluginState.DISABLED, "not named by --plugins")
    refused = _requirement_problem(point.dist)
    if refused:
        return _with(candidate, PluginState.INCOMPATIBLE, refused)
    try:
        with PLUGIN_CALLS.entered(point.name, "import", distribution), collected() as uses:
            module = point.load()
    except BaseException as error:
        if ends_the_program(error):
            raise
        reason = f"import failed: {type(error).__name__}: {text_of(error)}"
        return _with(candidate, PluginState.FAILED, reason, detail=traceback.format_exc())
    return Candidate(point.name, distribution, version, module=module, deprecated=tuple(uses))


def load_file(path: Path) -> Candidate:
    """A plugin that is one Python file: ``mongo.py`` is the plugin ``mongo``.

    It may be loaded again after a change; a version that fails leaves the one before in its place.
    """
    name = path.stem.replace("_", "-")
    candidate = Candidate(name, str(path), "")
    loader = SourceFileLoader(f"aeraki_plugin_file_{path.stem}", str(path))
    spec = spec_from_loader(loader.name, loader)
    if not path.is_file() or spec is None:
        return _with(candidate, PluginState.FAILED, "there is no such Python file")
    module = module_from_spec(spec)
    before = sys.modules.get(spec.name)
    sys.modules[spec.name] = module
    try:
        with PLUGIN_CALLS.entered(name, "import", path), collected() as uses:
            # Not through the cache of compiled files, which takes a version of the same second and
            # size for the one before.
            exec(loader.source_to_code(path.read_bytes(), path), vars(module))  # noqa: S102
    except BaseException as error:
        if before is None:
            del sys.modules[spec.name]
        else:
            sys.modules[spec.name] = before
        if ends_the_program(error):
            raise
        reason = f"import failed: {type(error).__name__}: {text_of(error)}"
        return _with(candidate, PluginState.FAILED, reason, detail=traceback.format_exc())
    return Candidate(name, str(path), "", module=module, deprecated=tuple(uses))


def _with(candidate: Candidate, state: PluginState, reason: str, detail: str = "") -> Candidate:
    return Candidate(
        candidate.name, candidate.distribution, candidate.version, state, reason, None, detail
    )


def _requirement_problem(distribution: metadata.Distribution | None) -> str:
    """Return why this core does not meet the distribution's requirement on it.

    Empty if it does, or if the distribution has none.
    """
    running = core_version()
    for text in (distribution.requires or ()) if distribution else ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != _CORE or (
            requirement.marker and not requirement.marker.evaluate()
        ):
            continue
        if not requirement.specifier.contains(running, prereleases=True):
            return f"it needs {_CORE}{requirement.specifier}, this is {running}"
    return ""
