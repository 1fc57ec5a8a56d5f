"""One look at PATHs through the whole pipeline: what generate, diff, validate, explain and status have in common.

In: settings. Out: a :class:`Session`: the pipeline after its pass, and every finding of source, pipeline and plugins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aeraki_core.console.progress import progress
from aeraki_core.wiring.plugins import inactive_findings, open_registry

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import ServicePort
    from aeraki_core.findings.finding import Finding
    from aeraki_core.mesh.store import SourceObject
    from aeraki_core.model.scope import Scope
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.plugins.registry import Registry
    from aeraki_core.settings import Settings
    from aeraki_core.sources.events import Incomplete

__all__ = ["Session", "has_errors", "make_pipeline", "open_session"]


@dataclass(frozen=True, slots=True)
class Session:
    """The pipeline over all objects of the paths. ``incomplete``: why objects may be missing; None when all were read.

    ``unread`` tells which hosts what is missing may be about.
    """

    settings: Settings
    registry: Registry
    pipeline: Pipeline
    findings: tuple[Finding, ...]
    incomplete: str | None
    objects: tuple[SourceObject, ...] = field(repr=False)
    unread: Incomplete | None = None

    def why_held(self, service_port: ServicePort) -> str | None:
        """Why the live filters of a service port must stay as they are; None when they need not."""
        if self.unread is not None and self.unread.concerns(service_port.host):
            return f"not everything about it could be read: {self.unread.reason}"
        return self.pipeline.why_held(service_port)


def make_pipeline(settings: Settings, registry: Registry) -> Pipeline:
    """An empty pipeline of the mesh that the settings describe."""
    from aeraki_core.pipeline.arrange import Arrangement
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.plugins.dispatch import Dispatcher

    arrangement = Arrangement(settings.arrangement)
    return Pipeline(settings.mesh(), Dispatcher(registry), arrangement, instance=settings.instance)


def open_session(settings: Settings, paths: tuple[str, ...], scope: Scope | None = None) -> Session:
    """Read the paths and run the pipeline once. ``scope``: only these namespaces; None: those that the settings name.

    Raises:
        AerakiError: a path does not exist.
    """
    from aeraki_core.console.logs import configure_logging
    from aeraki_core.findings.finding import in_order
    from aeraki_core.manifests.locate import STDIN
    from aeraki_core.model.scope import named
    from aeraki_core.sources.files.source import read

    configure_logging(settings, default="warning")
    registry = open_registry(settings)
    pipeline = make_pipeline(settings, registry)
    with progress("reading", typed=STDIN in paths):
        snapshot = read(
            paths,
            pipeline.store.reads,
            settings.max_file_size,
            default_namespace=settings.default_namespace,
            plugin_groups={kind.group for kind in registry.kinds},
        )
    pipeline.rescope(named(settings.watch_namespaces) if scope is None else scope)
    objects = [item for item in snapshot.objects if pipeline.scope.watches(item.ref.namespace)]
    with progress("generating"):
        for item in objects:
            pipeline.upsert(item)
        pipeline.run()
    findings = in_order((*snapshot.findings, *pipeline.findings(), *inactive_findings(registry)))
    incomplete = None if snapshot.complete else snapshot.reason
    return Session(
        settings, registry, pipeline, findings, incomplete, tuple(objects), snapshot.incomplete
    )


def has_errors(findings: tuple[Finding, ...], *, strict: bool = False) -> bool:
    """Whether one of them is an error; ``strict``: or a warning."""
    from aeraki_core.findings.finding import Severity

    return any(
        item.severity >= (Severity.WARNING if strict else Severity.ERROR) for item in findings
    )
