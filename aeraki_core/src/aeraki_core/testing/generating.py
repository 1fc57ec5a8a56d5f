"""From objects to EnvoyFilters on the path that ``aeraki generate`` takes, without a command line.

made = generate(service("demo", {"tcp-echo": 7000}), plugins=[my_plugin])
made.filters, made.findings
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aeraki_core.filters.output import Output, in_order, to_dict
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.arrange import Arrangement, arrangement_of
from aeraki_core.pipeline.pipeline import Pipeline, PortReport
from aeraki_core.plugins.discovery import Candidate
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import Registry, build_registry
from aeraki_core.testing.builders import objects_in, to_yaml
from aeraki_core.testing.envoy.local import EnvoyConfig, to_envoy
from aeraki_core.testing.sidecar.objects import read_objects, source_object
from aeraki_core.testing.sidecar.patches import Patched, patched_sidecar
from aeraki_core.testing.sidecar.proxies import proxies_for
from aeraki_core.testing.sidecar.proxy import Proxy

__all__ = ["LivePipeline", "Made", "Nested", "flatten", "generate", "registry_of"]

Given = Mapping[str, Any] | str
Nested = Given | Iterable["Nested"]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came out.

    ``objects``, ``mesh``: what went in.
    ``filters``: EnvoyFilters as dictionaries.
    ``companions``: what these name: ServiceEntries and DestinationRules.
    ``reports``: for each service port why it is as it is.
    """

    objects: tuple[Mapping[str, Any], ...]
    mesh: Mesh
    filters: tuple[dict[str, Any], ...]
    findings: tuple[Finding, ...]
    reports: tuple[PortReport, ...] = field(repr=False)
    companions: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        outputs: Iterable[Output],
        *,
        objects: Iterable[Mapping[str, Any]],
        mesh: Mesh,
        findings: tuple[Finding, ...],
        reports: tuple[PortReport, ...],
    ) -> Made:
        """What came out of a pipeline, in the order in which to apply it."""
        ordered = in_order(outputs)
        return cls(
            objects=tuple(objects),
            mesh=mesh,
            filters=tuple(to_dict(each) for each in ordered if not each.key.kind.is_named),
            findings=findings,
            reports=reports,
            companions=tuple(to_dict(each) for each in ordered if each.key.kind.is_named),
        )

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the findings: by file and line, then object, field and code."""
        return tuple(item.code.id for item in self.findings)

    @property
    def yaml(self) -> str:
        """The filters as YAML documents, after what they name; empty for none."""
        return to_yaml((*self.companions, *self.filters))

    @property
    def findings_text(self) -> str:
        """One line for each finding: ``severity code object field: message``; empty for none."""
        return "".join(f"{_line(item)}\n" for item in self.findings)

    def filter(self, name: str) -> dict[str, Any]:
        """The one filter whose ``namespace/name`` contains ``name``.

        Raises:
            LookupError: there is none, or there are several; the message names all filters.
        """
        by_name = {
            f"{item['metadata']['namespace']}/{item['metadata']['name']}": item
            for item in self.filters
        }
        matching = [item for full, item in by_name.items() if name in full]
        if len(matching) != 1:
            raise LookupError(
                f"{len(matching)} filters contain {name!r}; there are {', '.join(by_name)}"
            )
        return matching[0]

    def patches(self, apply_to: str | None = None) -> list[dict[str, Any]]:
        """All ``configPatches`` of all filters, in order; with ``apply_to`` those of one kind."""
        return [
            patch
            for item in self.filters
            for patch in item["spec"]["configPatches"]
            if apply_to in (None, patch["applyTo"])
        ]

    @cached_property
    def sidecars(self) -> tuple[Patched, ...]:
        """The sidecars that together see every filter, with the filters applied.

        Raises:
            EnvoyFilterError: a filter is not of a form that istiod would apply.
        """
        objects = read_objects((*self.objects, *self.companions), self.mesh)
        return tuple(
            patched_sidecar(objects, self.filters, proxy)
            for proxy in proxies_for(objects, self.filters)
        )

    def sidecar(self, proxy: Proxy | None = None) -> Patched:
        """One proxy's configuration with the filters applied."""
        objects = (*self.objects, *self.companions)
        return patched_sidecar(objects, self.filters, proxy, mesh=self.mesh)

    def envoy_configs(self) -> dict[str, EnvoyConfig]:
        """The configurations of :attr:`sidecars` for a real Envoy, by what the proxy is."""
        return {str(item.config.proxy): to_envoy(item.config) for item in self.sidecars}


def _line(finding: Finding) -> str:
    where = " ".join(part for part in (str(finding.ref or ""), finding.field or "") if part)
    return f"{finding.severity.label} {finding.code.id} {where}: {finding.message}"


def registry_of(plugins: Iterable[Any] | Registry | None = None) -> Registry:
    """The registry of those plugins: modules, objects with hooks, or names of installed ones.

    None: all that are installed.

    Raises:
        ValueError: one of them is not active; with the reason.
    """
    if isinstance(plugins, Registry):
        return plugins
    if plugins is None:
        return build_registry()
    wanted = list(plugins)
    names = [plugin for plugin in wanted if isinstance(plugin, str)]
    candidates = [_candidate(plugin) for plugin in wanted if not isinstance(plugin, str)]
    if names:
        from aeraki_core.plugins.discovery import PluginState, discover

        installed = [item for item in discover(names) if item.state != PluginState.DISABLED]
        missing = set(names) - {item.name for item in installed}
        if missing:
            raise ValueError(f"no plugin is installed as {', '.join(sorted(missing))}")
        candidates += installed
    registry = build_registry(candidates)
    for info in registry.plugins:
        if not info.active:
            raise ValueError(f"plugin {info.name} is {info.state}: {info.reason}\n{info.detail}")
    return registry


def _candidate(plugin: Any) -> Candidate:
    name = getattr(plugin, "__name__", type(plugin).__name__)
    name = str(name).rpartition(".")[2]
    return Candidate(name, name, "0", module=plugin)


class LivePipeline:
    """A pipeline that keeps running while its objects change, as in the controller."""

    def __init__(
        self,
        registry: Registry,
        mesh: Mesh,
        arrangement: Arrangement = Arrangement.SERVICE,
    ) -> None:
        self._pipeline = Pipeline(mesh, Dispatcher(registry), arrangement)
        self._mesh = mesh
        self._objects: tuple[Mapping[str, Any], ...] = ()

    def load(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Make these the objects: what differs is written or deleted."""
        before = {item.ref: item.content for item in self._read(self._objects)}
        self._objects = tuple(objects)
        after = {item.ref: item for item in self._read(self._objects)}
        for ref in before.keys() - after.keys():
            self._pipeline.remove(ref)
        for ref, item in after.items():
            if before.get(ref) is not item.content:
                self._pipeline.upsert(item)

    def _read(self, objects: Iterable[Mapping[str, Any]]) -> Iterator[SourceObject]:
        for item in filter(None, map(source_object, objects)):
            if self._pipeline.store.reads(item.api_version, item.ref.kind):
                yield item

    def run(self) -> Made:
        """Generate what the changes ask for; what is there now."""
        pipeline = self._pipeline
        pipeline.run()
        return Made.of(
            pipeline.filters.values(),
            objects=self._objects,
            mesh=self._mesh,
            findings=pipeline.findings(),
            reports=pipeline.reports(),
        )

    def become(self, objects: Iterable[Mapping[str, Any]]) -> Made:
        """Make these the objects and generate."""
        self.load(objects)
        return self.run()

    def specs(self) -> dict[ObjectRef, Any]:
        """The specs of the plugins' resources, as generators read them."""
        resources = (self._pipeline.store.resource(item.ref) for item in self._read(self._objects))
        return {item.ref: item.spec for item in resources if item is not None}


def generate(
    *objects: Nested,
    plugins: Iterable[Any] | Registry | None = None,
    mesh: Mesh | None = None,
    settings: Path | None = None,
    arrangement: Arrangement = Arrangement.SERVICE,
) -> Made:
    """What the plugins make of the objects.

    ``objects``: dictionaries, YAML texts, or iterables of them.
    ``plugins``: modules or objects with hooks, or names; None for all that are installed.
    ``mesh``: domain, root namespace, proxies' extensions.
    ``settings``: a settings file, instead of ``mesh`` and ``arrangement``.

    Raises:
        ValueError: a text is not YAML, or a plugin is not active.
        SettingsError: the settings file does not fit.
    """
    if settings is not None:
        from aeraki_core.settings import resolve

        resolved = resolve(file=settings)
        mesh = resolved.mesh()
        arrangement = arrangement_of(resolved.arrangement, sees_all=False)
    pipeline = LivePipeline(registry_of(plugins), mesh or Mesh(), arrangement)
    return pipeline.become(flatten(objects))


def flatten(objects: Iterable[Nested]) -> Iterator[Mapping[str, Any]]:
    """The objects of dictionaries, YAML texts, and iterables of them."""
    for item in objects:
        if isinstance(item, str):
            yield from objects_in(item)
        elif isinstance(item, Mapping):
            yield item
        else:
            yield from flatten(item)
