"""One look at PATHs through the whole pipeline.

generate, diff, validate, explain and status share it. A :class:`Session` is the pipeline after its
pass, and the findings of source, pipeline and plugins, without those that the user ignores.
Services without a cluster IP get one here, see :mod:`aeraki_core.wiring.addresses`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from aeraki_core.console.progress import progress
from aeraki_core.errors import SettingsError
from aeraki_core.findings.ignored import ignored_codes
from aeraki_core.wiring.plugins import inactive_findings, open_registry, tracer_for

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding
    from aeraki_core.mesh.store import SourceObject
    from aeraki_core.model.meta import ObjectRef
    from aeraki_core.model.scope import Scope
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.plugins.registry import Registry
    from aeraki_core.settings import Settings
    from aeraki_core.sources.events import Incomplete
    from aeraki_core.sources.gaps import Gaps

__all__ = [
    "AddressMode",
    "Ignored",
    "Session",
    "address_mode",
    "has_errors",
    "make_pipeline",
    "open_session",
]

_MANIFEST = re.compile(r"\b(apiVersion|kind)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The pipeline over all objects of the paths."""

    settings: Settings
    registry: Registry
    pipeline: Pipeline
    findings: tuple[Finding, ...]
    """Those that the user does not ignore."""
    ignored: int
    """How many are ignored."""
    incomplete: str | None
    """Why objects may be missing; None when all were read."""
    objects: tuple[SourceObject, ...] = field(repr=False)
    """With their content; none if nobody asked for them."""
    unread: Incomplete | None
    """Which hosts the missing objects may be about."""
    stand_ins: frozenset[ObjectRef]
    """Services that have filters with a stand-in address."""

    @property
    def gaps(self) -> Gaps:
        """What could not be read, so that nothing it may be about is judged."""
        from aeraki_core.sources.gaps import Gaps

        return Gaps(self.incomplete, () if self.unread is None else (self.unread,))


def make_pipeline(settings: Settings, registry: Registry, *, sees_all: bool = False) -> Pipeline:
    """Create an empty pipeline of the mesh that the settings describe.

    ``sees_all``: the sources read the objects of the whole mesh.

    Raises:
        SettingsError: the arrangement needs that, and only some namespaces are watched.
    """
    from aeraki_core.pipeline.arrange import Arrangement, arrangement_of
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.plugins.dispatch import Dispatcher

    watches_all = not settings.watch_namespaces and not settings.watch_namespace_selector
    arrangement = arrangement_of(settings.arrangement, sees_all=sees_all and watches_all)
    if arrangement is Arrangement.IMPORTS and not watches_all:
        raise SettingsError(
            "--arrangement: 'imports' needs the Sidecars of all namespaces, and only some are "
            "watched; use auto, service or namespace"
        )
    dispatcher = Dispatcher(registry, tracer=tracer_for(settings))
    return Pipeline(
        settings.mesh(),
        dispatcher,
        arrangement,
        instance=settings.instance,
        reloads=bool(settings.plugin_files),
    )


class AddressMode(StrEnum):
    """What becomes of a Service whose manifest has no cluster IP."""

    AS_WRITTEN = "as written"
    """It gets no outbound filter, and a finding."""
    STAND_IN = "stand-in"
    """A placeholder address: the configuration can be checked, its filters cannot be used."""
    CLUSTER = "cluster"
    """The cluster's address; as written where the cluster does not have the Service."""
    CLUSTER_OR_STAND_IN = "cluster or stand-in"
    """The cluster's address, else a stand-in."""

    @property
    def asks_cluster(self) -> bool:
        """Whether addresses come from the cluster."""
        return self in (AddressMode.CLUSTER, AddressMode.CLUSTER_OR_STAND_IN)

    @property
    def stands_in(self) -> bool:
        """Whether an address may be made up."""
        return self in (AddressMode.STAND_IN, AddressMode.CLUSTER_OR_STAND_IN)


def address_mode(*, use_cluster: bool) -> AddressMode:
    """Return the mode of a command that judges a configuration."""
    return AddressMode.CLUSTER_OR_STAND_IN if use_cluster else AddressMode.STAND_IN


def open_session(
    settings: Settings,
    paths: tuple[str, ...],
    scope: Scope | None = None,
    *,
    addresses: AddressMode = AddressMode.AS_WRITTEN,
    keeps_objects: bool = False,
) -> Session:
    """Read the paths and run the pipeline once.

    ``scope``: only these namespaces; None: those that the settings name. ``keeps_objects``: whether
    the session has the objects as well.

    Raises:
        AerakiError: a path does not exist, or the cluster is needed and does not answer.
    """
    from aeraki_core.console import output
    from aeraki_core.console.logs import configure_logging
    from aeraki_core.findings.finding import in_order
    from aeraki_core.findings.ignored import unknown_codes
    from aeraki_core.manifests.locate import STDIN
    from aeraki_core.model.memory import collector_paused
    from aeraki_core.model.scope import named
    from aeraki_core.sources.files.exclude import Excluded
    from aeraki_core.sources.files.snapshot import read
    from aeraki_core.wiring.addresses import cluster_addresses, lacks_address, with_addresses
    from aeraki_core.wiring.cluster import connector

    configure_logging(settings, default="warning")
    for code in unknown_codes(settings.ignore):
        output.warning(f"--ignore: no finding has the code {code}; `aeraki findings` lists them")
    registry = open_registry(settings)
    pipeline = make_pipeline(settings, registry)
    with progress("reading", typed=STDIN in paths) as reading, collector_paused():
        snapshot = read(
            paths,
            pipeline.store.reads,
            settings.max_file_size,
            default_namespace=settings.default_namespace,
            plugin_groups={kind.group for kind in registry.kinds},
            exclude=Excluded(settings.exclude),
            advance=reading.advance,
        )
    pipeline.rescope(named(settings.watch_namespaces) if scope is None else scope)
    objects = [item for item in snapshot.objects if pipeline.scope.watches(item.ref.namespace)]
    # Ask the cluster only if it can help: most uses have no cluster at hand.
    asks = addresses.asks_cluster and any(lacks_address(item) for item in objects)
    live = cluster_addresses(connector(settings)()) if asks else {}
    addressed = with_addresses(objects, live, stand_in=addresses.stands_in)
    unwanted = Ignored(settings.ignore, addressed.objects)
    with progress("generating"), collector_paused():
        for source_object in addressed.objects:
            pipeline.upsert(source_object)
        # The pipeline has what it needs; the content of the files takes as much space again.
        objects = list(addressed.objects) if keeps_objects else []
        addressed, snapshot = replace(addressed, objects=()), replace(snapshot, objects=())
        pipeline.run()
    stand_ins = tuple(_stand_in_findings(pipeline, addressed.stand_ins))
    findings = in_order(
        (
            *map(_of_no_manifest, snapshot.findings),
            *pipeline.findings(),
            *stand_ins,
            *_arrangement_findings(settings, pipeline),
            *map(pipeline.locate, unwanted.unknown()),
            *inactive_findings(registry),
        )
    )
    return Session(
        settings=settings,
        registry=registry,
        pipeline=pipeline,
        findings=tuple(finding for finding in findings if not unwanted(finding)),
        ignored=sum(unwanted(finding) for finding in findings),
        incomplete=None if snapshot.incomplete is None else snapshot.incomplete.reason,
        objects=tuple(objects),
        unread=snapshot.incomplete,
        stand_ins=frozenset(finding.ref for finding in stand_ins if finding.ref),
    )


def _of_no_manifest(finding: Finding) -> Finding:
    """Return the finding; a softer one for broken YAML without apiVersion and kind.

    Tags of other tools are no syntax of a manifest. A controller does not make this difference: it
    must not take what a damaged file held for gone.
    """
    from aeraki_core.findings.codes import NOT_KUBERNETES, NOT_YAML

    if finding.code is not NOT_YAML or finding.source is None:
        return finding
    try:
        text = Path(finding.source).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return finding
    if _MANIFEST.search(text) or "\0" in text:
        return finding
    return replace(finding, code=NOT_KUBERNETES)


def _stand_in_findings(pipeline: Pipeline, stand_ins: Mapping[ObjectRef, str]) -> Iterator[Finding]:
    """Yield a finding for each stand-in address that is in a filter."""
    from aeraki_core.findings.codes import STAND_IN_ADDRESS
    from aeraki_core.findings.finding import Finding

    if not stand_ins:
        return
    used = {each.ref for each in pipeline.store.services() if pipeline.has_filter(each)}
    for ref in sorted(used & stand_ins.keys()):
        message = f"no spec.clusterIP; {stand_ins[ref]} stands in for it"
        yield pipeline.locate(Finding(STAND_IN_ADDRESS, message, ref, "spec.clusterIP"))


def _arrangement_findings(settings: Settings, pipeline: Pipeline) -> Iterator[Finding]:
    """Yield a finding where a controller of the mesh arranges the filters in another way."""
    from aeraki_core.findings.codes import ARRANGED_OTHERWISE
    from aeraki_core.findings.finding import Finding
    from aeraki_core.findings.text import count
    from aeraki_core.mesh.mesh_client import EVERYBODY_ELSE
    from aeraki_core.pipeline.arrange import AUTO
    from aeraki_core.pipeline.audiences import MAX_IMPORTERS

    sidecars = pipeline.store.sidecars
    sidecar = sidecars.of_client(EVERYBODY_ELSE)
    if settings.arrangement != AUTO or sidecar is None or pipeline.mesh.namespaces:
        return
    left_out = [
        service.host
        for service in pipeline.store.services()
        if "*" in service.export_to
        and (importers := sidecars.importers(service)) is not None
        and len(importers) <= MAX_IMPORTERS
        and pipeline.has_filter(service)
    ]
    if left_out:
        message = (
            f"leaves out {count(left_out, 'service')} with filters, such as {min(left_out)}: "
            "`aeraki run` writes their filters to the namespaces that import them; "
            "PATHs may lack Sidecars, so here they are in the root namespace"
        )
        finding = Finding(ARRANGED_OTHERWISE, message, sidecar.ref, "spec.egress")
        yield pipeline.locate(finding)


class Ignored:
    """Decides whether the user ignores a finding, by code or by an annotation of its object."""

    def __init__(self, codes: Iterable[str], objects: Iterable[SourceObject]) -> None:
        self._codes = frozenset(codes)
        self._by_object = {
            source_object.ref: codes
            for source_object in objects
            if (codes := ignored_codes(source_object.content))
        }

    def unknown(self) -> Iterator[Finding]:
        """Yield a finding for each object whose annotation names a code that no finding has."""
        from aeraki_core.findings.codes import BAD_OPTION
        from aeraki_core.findings.finding import Finding
        from aeraki_core.findings.ignored import IGNORE_ANNOTATION, unknown_codes

        for ref, codes in self._by_object.items():
            if unknown := unknown_codes(codes):
                yield Finding(
                    BAD_OPTION,
                    f"{IGNORE_ANNOTATION}: no finding has the code {', '.join(unknown)}; "
                    "`aeraki findings` lists them",
                    ref,
                    "metadata.annotations",
                )

    def __call__(self, finding: Finding) -> bool:
        """Report whether it is ignored."""
        code = finding.code.id
        if code in self._codes:
            return True
        return finding.ref is not None and code in self._by_object.get(finding.ref, ())


def has_errors(findings: tuple[Finding, ...], *, strict: bool = False) -> bool:
    """Report whether one of them is an error; ``strict``: or a warning."""
    from aeraki_core.findings.finding import Severity

    return any(
        item.severity >= (Severity.WARNING if strict else Severity.ERROR) for item in findings
    )
