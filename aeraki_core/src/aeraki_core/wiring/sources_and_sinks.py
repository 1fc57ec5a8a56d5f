"""Sources and sinks that the settings name. Each is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aeraki_core.errors import SettingsError
from aeraki_core.settings import Settings, SinkKind, SourceKind
from aeraki_core.wiring.cluster import connector, filter_namespaces, istiod_of, output_kinds

if TYPE_CHECKING:
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.sinks.base import Sink
    from aeraki_core.sources.events import Source

__all__ = ["open_sink", "open_sources"]

# Where two sources know one object, the first of these wins: the cluster has fields that istiod
# leaves out.
_PRECEDENCE = (SourceKind.FILES, SourceKind.KUBERNETES, SourceKind.ISTIOD)


def open_sources(settings: Settings, pipeline: Pipeline, *, watch: bool) -> list[Source]:
    """Create the sources, not started.

    ``watch`` False: files are read once; a cluster is watched all the same.

    Raises:
        SettingsError: a setting that one of them needs is missing.
    """
    return [
        _open_source(kind, settings, pipeline, watch=watch)
        for kind in sorted(set(settings.sources()), key=_PRECEDENCE.index)
    ]


def _open_source(
    kind: SourceKind, settings: Settings, pipeline: Pipeline, *, watch: bool
) -> Source:
    match kind:
        case SourceKind.FILES:
            return _files_source(settings, pipeline, watch=watch)
        case SourceKind.ISTIOD:
            return _istiod_source(settings)
        case SourceKind.KUBERNETES:
            return _kubernetes_source(settings, pipeline)


def open_sink(
    settings: Settings, *, watch: bool, may_write: Callable[[], bool] | None = None
) -> Sink:
    """Create the sink, not started.

    ``watch`` False: it need not notice foreign changes in a directory. ``may_write`` is called
    before each single write to a cluster; None: it always may.

    Raises:
        SettingsError: a setting that it needs is missing.
    """
    match settings.sink_kind():
        case SinkKind.FILES:
            return _files_sink(settings, watch=watch)
        case SinkKind.KUBERNETES:
            return _kubernetes_sink(settings, may_write)


def _files_source(settings: Settings, pipeline: Pipeline, *, watch: bool) -> Source:
    from aeraki_core.model.scope import named
    from aeraki_core.sources.files.source import FilesSource

    if not settings.paths:
        raise SettingsError(
            "--source files: nothing to read; name files or directories with -f PATH"
        )
    if settings.watch_namespace_selector:
        raise SettingsError(
            "--source files: files do not hold the labels of namespaces; name the namespaces with"
            " --watch-namespaces"
        )
    return FilesSource(
        settings.paths,
        pipeline.store.reads,
        settings.max_file_size,
        default_namespace=settings.default_namespace,
        ignore=[settings.to] if settings.to else (),
        plugin_groups={kind.group for kind in pipeline.registry.kinds},
        watch=watch,
        scope=named(settings.watch_namespaces),
    )


def _istiod_source(settings: Settings) -> Source:
    from aeraki_core.model.scope import named
    from aeraki_core.sources.istiod.source import IstiodSource

    if settings.watch_namespace_selector:
        raise SettingsError(
            "--source istiod: istiod does not send the labels of namespaces; name the namespaces"
            " with --watch-namespaces, or set discoverySelectors in the mesh config"
        )
    return IstiodSource(
        partial(istiod_of, settings),
        root_namespace=settings.root_namespace,
        domain=settings.domain,
        scope=named(settings.watch_namespaces),
        is_alone=len(settings.sources()) == 1,
    )


def _kubernetes_source(settings: Settings, pipeline: Pipeline) -> Source:
    from aeraki_core.sources.kubernetes.source import KubernetesSource

    return KubernetesSource(
        connector(settings),
        pipeline.registry.kinds,
        namespaces=settings.watch_namespaces,
        selectors=settings.watch_namespace_selector,
        mesh=pipeline.mesh,
    )


def _files_sink(settings: Settings, *, watch: bool) -> Sink:
    from aeraki_core.sinks.files import FilesSink

    if not settings.to:
        raise SettingsError("--sink files: name the directory to write to with --to DIR")
    return FilesSink(Path(settings.to), watch=watch, instance=settings.instance)


def _kubernetes_sink(settings: Settings, may_write: Callable[[], bool] | None) -> Sink:
    from aeraki_core.sinks.kubernetes.sink import KubernetesSink

    return KubernetesSink(
        connector(settings),
        namespaces=filter_namespaces(settings),
        adopt_upstream=settings.adopt_upstream,
        may_write=may_write,
        instance=settings.instance,
        kinds=output_kinds(settings),
    )
