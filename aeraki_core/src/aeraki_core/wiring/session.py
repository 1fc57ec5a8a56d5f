"""One look at PATHs through the whole pipeline: what generate, diff, validate, explain and status have in common.

In: settings. Out: a :class:`Session`: the pipeline after its pass, and every finding of source, pipeline and plugins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aeraki_core.console.progress import progress
from aeraki_core.wiring.plugins import inactive_findings, open_registry

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding
    from aeraki_core.mesh.store import SourceObject
    from aeraki_core.model.scope import Scope
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.plugins.registry import Registry
    from aeraki_core.settings import Settings
    from aeraki_core.sources.events import Incomplete
    from aeraki_core.sources.gaps import Gaps

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

    @property
    def gaps(self) -> Gaps:
        """What could not be read, so that nothing it may be about is judged."""
        from aeraki_core.sources.gaps import Gaps

        return Gaps(self.incomplete, () if self.unread is None else (self.unread,))


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
    from aeraki_core.sources.files.snapshot import read

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
    incomplete = None if snapshot.incomplete is None else snapshot.incomplete.reason
    return Session(
        settings, registry, pipeline, findings, incomplete, tuple(objects), snapshot.incomplete
    )


def has_errors(findings: tuple[Finding, ...], *, strict: bool = False) -> bool:
    """Whether one of them is an error; ``strict``: or a warning."""
    from aeraki_core.findings.finding import Severity

    return any(
        item.severity >= (Severity.WARNING if strict else Severity.ERROR) for item in findings
    )
