"""Service ports as plain JSON: what `aeraki status` and `aeraki explain` print, and what a running controller answers.

In: a pipeline after a pass. Out: dictionaries. No value of a patch is among them: that may hold a password.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aeraki_core.console.finding_forms import as_dict
from aeraki_core.console.near import near_misses
from aeraki_core.errors import AerakiError, SettingsError

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import ConfigPatch, EnvoyFilter
    from aeraki_core.findings.finding import Finding
    from aeraki_core.model.meta import ObjectRef
    from aeraki_core.pipeline.pipeline import Pipeline, PortReport

__all__ = ["NotThereError", "explanation", "hosts_meant", "overview", "port_row"]


class NotThereError(AerakiError):
    """There is no such service or port, or the name can mean several."""


def overview(reports: Iterable[PortReport], findings: Iterable[Finding]) -> dict[str, Any]:
    """All ports in short, and all findings."""
    return {
        "ports": [port_row(report) for report in reports],
        "findings": [as_dict(item) for item in findings],
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
        "findings": [finding.code.id for finding in report.findings],
    }


def explanation(pipeline: Pipeline, target: str) -> dict[str, Any]:
    """All that is known of a service's ports. ``target`` is HOST or HOST:PORT; of the host its unique beginning is enough.

    Raises:
        NotThereError: there is no such service or port, or there are several; the message says which.
        SettingsError: the target is not of that form.
    """
    host, port = _split(target)
    # Only that service is looked at: a mesh may have ten thousand.
    services = sorted(pipeline.store.services(), key=lambda item: (item.host, item.ref))
    known = sorted({service.host for service in services})
    meant = hosts_meant(host, known)
    if len(meant) != 1:
        raise NotThereError(_not_found(host, meant, known))
    every = [
        (service, item)
        for service in services
        if service.host == meant[0]
        for item in service.ports
    ]
    found = [
        pipeline.report(service, item) for service, item in every if port in (None, item.number)
    ]
    if not found:
        raise NotThereError(
            f"{meant[0]} has no port {port}; it has {', '.join(str(item.number) for _, item in every)}"
        )
    return {"ports": [_long(pipeline, report) for report in found]}


def _split(target: str) -> tuple[str, int | None]:
    host, colon, port = target.rpartition(":")
    if not colon:
        return target.lower(), None
    if not port.isdecimal():
        raise SettingsError(f"{port!r} is not a port number; write HOST or HOST:PORT")
    return host.lower(), int(port)


def hosts_meant(text: str, known: Iterable[str]) -> list[str]:
    """The hosts that the text can mean: the host itself, or all that begin with its labels."""
    known = list(known)
    return [text] if text in known else [host for host in known if host.startswith(f"{text}.")]


def _not_found(host: str, meant: list[str], known: list[str]) -> str:
    if meant:
        return f"{host!r} can mean {', '.join(meant)}; write more of it"
    short = {name.partition(".")[0]: name for name in known}
    near = difflib.get_close_matches(host, known, n=3, cutoff=0.5) or [
        short[name] for name in difflib.get_close_matches(host.partition(".")[0], short, n=3)
    ]
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"there are {len(known)}; `aeraki status --all-ports` lists them"
    )
    return (
        f"no service {host!r}; {hint}"
        if known
        else f"no service {host!r}: there is no service at all"
    )


def _long(pipeline: Pipeline, report: PortReport) -> dict[str, Any]:
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
        "near": [
            {"object": str(miss.ref), "place": _place(pipeline, miss.ref), "reason": miss.reason}
            for miss in near_misses(pipeline.store, report.service)
        ],
        "findings": [as_dict(finding) for finding in report.findings],
    }


def _place(pipeline: Pipeline, ref: ObjectRef) -> str | None:
    origin = pipeline.store.origin(ref)
    if origin is None:
        return None
    source, line = origin.locate(None)
    return f"{source}:{line}"


def _filters(pipeline: Pipeline, report: PortReport) -> list[dict[str, Any]]:
    """The filters of a port and who gets each."""
    filters = [pipeline.filters[key] for key in report.filters]
    outbound = [each for each in filters if _is_outbound(each)]
    return [
        {
            "filter": str(each.key),
            "workloads": dict(each.selector) or None,
            "audience": _audience(each, pipeline.mesh.root_namespace, alone=len(outbound) == 1),
            "patches": [_patch_text(patch) for patch in each.patches],
        }
        for each in filters
    ]


def _is_outbound(envoy_filter: EnvoyFilter) -> bool:
    return any(patch.context == "SIDECAR_OUTBOUND" for patch in envoy_filter.patches)


def _audience(envoy_filter: EnvoyFilter, root_namespace: str, *, alone: bool) -> str:
    """Who gets the filter. ``alone``: no other filter for clients belongs to the port."""
    namespace = envoy_filter.key.namespace
    selector = ", ".join(f"{key}={value}" for key, value in envoy_filter.selector)
    if not _is_outbound(envoy_filter):
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
