"""Sources and sinks by their word on the command line, imported when they are used.

In: settings. Out: sources, a sink, or what is live in a cluster. A new one is one more entry in a table below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aeraki_core.errors import SettingsError
from aeraki_core.wiring.cluster import istiod_source, kubernetes_sink, kubernetes_source

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import FilterKey
    from aeraki_core.filters.live import Live
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.settings import Settings
    from aeraki_core.sinks.base import Sink
    from aeraki_core.sources.events import Source

__all__ = [
    "SINKS",
    "SOURCES",
    "live_in_cluster",
    "open_sink",
    "open_sources",
    "sink_word",
    "source_words",
]


def _files_source(settings: Settings, pipeline: Pipeline, watch: bool) -> Source:
    from aeraki_core.model.scope import named
    from aeraki_core.sources.files.source import FilesSource

    if not settings["paths"]:
        raise SettingsError(
            "--source files: nothing to read; name files or directories with -f PATH"
        )
    if settings["watchNamespaceSelector"]:
        raise SettingsError(
            "--source files: files say nothing of namespaces' labels; name them with --watch-namespaces"
        )
    return FilesSource(
        settings["paths"],
        pipeline.store.reads,
        settings["maxFileSize"],
        default_namespace=settings["defaultNamespace"],
        ignore=[settings["to"]] if settings["to"] else (),
        plugin_groups={kind.group for kind in pipeline.registry.kinds},
        watch=watch,
        scope=named(settings["watchNamespaces"]),
    )


def _files_sink(
    settings: Settings, pipeline: Pipeline, watch: bool, may_write: Callable[[], bool] | None
) -> Sink:
    from aeraki_core.sinks.files import FilesSink

    if not settings["to"]:
        raise SettingsError("--sink files: name the directory to write to with --to DIR")
    return FilesSink(Path(settings["to"]), watch=watch, instance=settings["instance"])


SOURCES: dict[str, Callable[[Settings, Pipeline, bool], Source]] = {
    "files": _files_source,
    "istiod": istiod_source,
    "kubernetes": kubernetes_source,
}
_OpenSink = Callable[["Settings", "Pipeline", bool, Callable[[], bool] | None], "Sink"]
SINKS: dict[str, _OpenSink] = {"files": _files_sink, "kubernetes": kubernetes_sink}


def source_words(settings: Settings) -> tuple[str, ...]:
    """The sources to use: those named, else files where there are paths, else the cluster."""
    named: tuple[str, ...] = settings["source"]
    return named or (("files",) if settings["paths"] else ("kubernetes",))


def sink_word(settings: Settings) -> str:
    """The sink to use: the one named, else files where there is a directory, else the cluster."""
    return settings["sink"] or ("files" if settings["to"] else "kubernetes")


def open_sources(settings: Settings, pipeline: Pipeline, *, watch: bool) -> list[Source]:
    """The sources, not started. ``watch`` False: each gives once what it has.

    Raises:
        SettingsError: a setting that one of them needs is missing.
    """
    # The first knows best where two know one object: the cluster has what istiod leaves out.
    words = sorted(
        dict.fromkeys(source_words(settings)), key=["files", "kubernetes", "istiod"].index
    )
    return [SOURCES[word](settings, pipeline, watch) for word in words]


def open_sink(
    settings: Settings,
    pipeline: Pipeline,
    *,
    watch: bool,
    may_write: Callable[[], bool] | None = None,
) -> Sink:
    """The sink, not started. ``watch`` False: it need not notice what somebody else changes.

    ``may_write`` is asked before each single write to a cluster; None: it always may.

    Raises:
        SettingsError: a setting that it needs is missing.
    """
    return SINKS[sink_word(settings)](settings, pipeline, watch, may_write)


def live_in_cluster(settings: Settings) -> Mapping[FilterKey, Live]:
    """Our filters in the cluster, as they are now; not those of other instances.

    Raises:
        AerakiError: it cannot be told: there is no usable configuration, the server does not answer, or refuses.
    """
    from aeraki_core.wiring.cluster import connector, filter_namespaces
    from aeraki_core.wiring.live_filters import from_cluster

    return from_cluster(connector(settings)(), filter_namespaces(settings), settings["instance"])
