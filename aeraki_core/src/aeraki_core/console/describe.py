"""Service ports as plain JSON, for `aeraki status`, `aeraki explain` and a running controller.

No value of a patch is among them, because that may hold a password.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aeraki_core.console.finding_forms import as_dict
from aeraki_core.console.near import near_misses
from aeraki_core.console.targets import ports_meant
from aeraki_core.findings.text import count

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import ConfigPatch, EnvoyFilter
    from aeraki_core.findings.finding import Finding
    from aeraki_core.mesh.weight_sets import WeightSet
    from aeraki_core.model.meta import ObjectRef
    from aeraki_core.pipeline.pipeline import Pipeline, PortReport

__all__ = ["arranged", "explanation", "overview", "port_row", "weights_text"]


def overview(pipeline: Pipeline, findings: Iterable[Finding]) -> dict[str, Any]:
    """All ports in short, the arrangement of their filters, and all findings."""
    return {
        "ports": [port_row(report) for report in pipeline.reports()],
        "arrangement": arranged(pipeline),
        "findings": [as_dict(item) for item in findings],
    }


def arranged(pipeline: Pipeline) -> dict[str, Any]:
    """How filters are spread, and how many patches each kind of sidecar gets."""
    from aeraki_core.pipeline.patch_counts import patch_counts

    counts = patch_counts(pipeline.filters.values(), pipeline.mesh.root_namespace)
    return {
        "choice": str(pipeline.arrangement),
        "patchesOfEverySidecar": counts.mesh_wide,
        "morePatchesIn": dict(counts.namespaces),
    }


def port_row(report: PortReport) -> dict[str, Any]:
    """One port in short."""
    protocol = report.detection.protocol
    return {
        "host": report.service.host,
        "port": report.port.number,
        "service": str(report.service.ref),
        "protocol": protocol.name if protocol else None,
        "why": report.detection.reason,
        "remedy": report.detection.problem.remedy if report.detection.problem else None,
        "state": report.state,
        "plugin": report.run.plugin if report.run else None,
        "filters": [str(key) for key in report.filters],
        "byImport": bool(report.run and report.run.by_import),
        "findings": [finding.code.id for finding in report.findings],
    }


def weights_text(weight_sets: Mapping[str, Any]) -> str:
    """How a controller's weight sets stand, in words; empty if it has none."""
    if not weight_sets.get("count"):
        return ""
    routes = count(weight_sets["count"], "route")
    if not weight_sets["age"]:
        return f"{routes}, endpoints follow"
    return f"{routes}, endpoints {weight_sets['age']:.0f} s old ({weight_sets['reason']})"


def explanation(pipeline: Pipeline, target: str) -> dict[str, Any]:
    """All that is known of the service ports that a text means.

    Raises:
        NotThereError: it means none, or the host is not unique; the message says which.
        SettingsError: the text names no host, address, listener, cluster or filter.
    """
    reports = (pipeline.report(service, port) for service, port in ports_meant(pipeline, target))
    return {"ports": [_long(pipeline, report) for report in reports]}


def _long(pipeline: Pipeline, report: PortReport) -> dict[str, Any]:
    from aeraki_core.console.route_tables import route_tables

    registry, protocol = pipeline.registry, report.detection.protocol
    owner = registry.owner(protocol) if protocol else None
    objects = report.run.objects if report.run else ()
    return {
        "host": report.service.host,
        "port": report.port.number,
        "service": str(report.service.ref),
        "place": _place(pipeline, report.service.ref),
        "protocol": protocol.name if protocol else None,
        "why": report.detection.reason,
        "tokens": [token for item in registry.protocols for token in item.tokens]
        if protocol is None
        else None,
        "plugin": owner.name if owner else None,
        "distribution": owner.title if owner else None,
        "state": report.state,
        "read": [{"object": str(ref), "place": _place(pipeline, ref)} for ref in objects],
        "remedy": report.detection.problem.remedy if report.detection.problem else None,
        "filters": _filters(pipeline, report),
        "routes": route_tables(pipeline, report),
        "weights": [_weights(weight_set) for weight_set in report.weight_sets],
        "near": [
            {"object": str(miss.ref), "place": _place(pipeline, miss.ref), "reason": miss.reason}
            for miss in near_misses(pipeline.store, report.service)
        ],
        "findings": [as_dict(finding) for finding in report.findings],
    }


def _weights(weight_set: WeightSet) -> dict[str, Any]:
    """What each destination of a route with live weights gets."""
    return {
        "object": str(weight_set.ref),
        "field": weight_set.field,
        "cluster": weight_set.cluster,
        "destinations": [share._asdict() for share in weight_set.shares],
    }


def _place(pipeline: Pipeline, ref: ObjectRef) -> str | None:
    origin = pipeline.store.origin(ref)
    if origin is None:
        return None
    source, line = origin.locate(None)
    return f"{source}:{line}"


def _filters(pipeline: Pipeline, report: PortReport) -> list[dict[str, Any]]:
    """The filters of a port and who gets each."""
    from aeraki_core.filters.envoyfilter import EnvoyFilter

    outputs = [pipeline.filters[key] for key in report.filters]
    filters = [each for each in outputs if isinstance(each, EnvoyFilter)]
    outbound = [each for each in filters if each.is_outbound]
    return [
        {
            "filter": str(each.key),
            "workloads": dict(each.selector) or None,
            "audience": _audience(each, pipeline.mesh.root_namespace, alone=len(outbound) == 1),
            "patches": [_patch_text(patch) for patch in each.patches],
        }
        for each in filters
    ]


def _audience(envoy_filter: EnvoyFilter, root_namespace: str, *, alone: bool) -> str:
    """Who gets the filter. ``alone``: no other filter for clients belongs to the port."""
    namespace = envoy_filter.key.namespace
    selector = ", ".join(f"{key}={value}" for key, value in envoy_filter.selector)
    if not envoy_filter.is_outbound:
        if selector:
            return f"workloads {selector} of namespace {namespace}"
        return f"all workloads of namespace {namespace}"
    if selector:
        return f"clients {selector} of namespace {namespace}"
    if namespace != root_namespace:
        return f"clients in namespace {namespace}"
    # A filter of the clients' own namespace is applied instead of this one.
    return "all clients" if alone else "all other clients"


def _patch_text(patch: ConfigPatch) -> str:
    """What a patch does and where, without its value."""
    match = patch.match
    where = [
        text
        for text in (
            f"listener {match.listener}" if match.listener else "",
            f"chain {match.chain}" if match.chain else "",
            f"port {match.destination_port}" if match.destination_port else "",
            f"filter {match.filter}" if match.filter else "",
            f"cluster {match.cluster}" if match.cluster else "",
            f"clusters of {match.service}:{match.port}" if match.service else "",
            f"subset {match.subset}" if match.subset else "",
        )
        if text
    ]
    side = "inbound" if patch.context == "SIDECAR_INBOUND" else "outbound"
    at = f" at {', '.join(where)}" if where else ""
    by = f", by the add-on of {patch.plugin}" if patch.plugin else ""
    return f"{side} {patch.apply_to} {patch.operation}{at}{by}"
