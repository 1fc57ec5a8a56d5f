"""For which clients the generator of a service port runs first.

By exportTo, by the Sidecars that import the service, and by who has the Envoy extension.

Further client namespaces follow from what the generator asks (views.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aeraki_core.findings.codes import HOST_TAKEN, ROOT_EXPORT
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.mesh_client import MeshClient
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.service import Service
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.port_call import PortCall
from aeraki_core.plugins.types import Protocol

__all__ = [
    "EVERYBODY",
    "MAX_IMPORTERS",
    "BaseAudiences",
    "base_audiences",
    "is_everybodys",
    "is_theirs",
    "namespaces_with_extensions",
]

EVERYBODY = Audience(None)

MAX_IMPORTERS = 10
"""Of the namespaces that import a service, for it to have a filter in each of them.

With more, one filter for the whole mesh costs less: istiod compares a patch with the listeners of
every proxy, but each filter more is an object to write, to store and to watch. It also bounds what
the Sidecars of one tenant can make us write.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseAudiences:
    """The clients of a service port.

    ``by_import``: they are the namespaces that import the service, instead of the whole mesh.
    ``is_everybodys``: the host is this service for everybody else, or for nobody.
    """

    audiences: tuple[Audience, ...]
    findings: tuple[Finding, ...]
    by_import: bool
    is_everybodys: bool


def base_audiences(
    service: Service, protocol: Protocol, reads: Reads, *, by_import: bool
) -> BaseAudiences:
    """Return the clients that see the service and whose proxies have the extension, and findings.

    A filter in the root namespace reaches the whole mesh. So none is written there for the proxies
    of that namespace alone, unless the service belongs to it.

    ``by_import``: where few namespaces import the service, it is for these alone.
    """
    mesh = reads.mesh
    root = mesh.root_namespace
    findings: list[Finding] = []
    namespaces = _filter_namespaces(service, mesh)
    if root in service.export_to and "*" not in service.export_to and service.namespace != root:
        message = (
            f"exported to {root}, whose filters reach the whole mesh; no filter is written there"
        )
        findings.append(Finding(ROOT_EXPORT, message, service.ref, "spec.exportTo"))
        namespaces -= {root}
    is_for_all = is_everybodys(service, reads)
    if not is_for_all:
        owner = reads.services_of_host(service.host)[0]
        message = (
            f"{service.host} belongs to {owner.ref}; this object takes effect for clients in "
            f"namespace {service.namespace} only"
        )
        findings.append(Finding(HOST_TAKEN, message, service.ref, "spec.hosts"))
        namespaces = frozenset(
            service.namespace if namespace is None else namespace for namespace in namespaces
        )
    importers = _few_importers(service, reads) if by_import and None in namespaces else None
    if importers is not None:
        namespaces = importers
    namespaces = frozenset(
        namespace
        for namespace in namespaces
        if namespace is None or is_theirs(service, reads.for_client(MeshClient(namespace)))
    )
    audiences = set(_with_extension(service, protocol, mesh, namespaces))
    return BaseAudiences(
        audiences=tuple(
            sorted(audiences, key=lambda each: (each.overrides, each.namespace or "", each.labels))
        ),
        findings=tuple(findings),
        by_import=importers is not None,
        is_everybodys=is_for_all,
    )


def _few_importers(service: Service, reads: Reads) -> frozenset[str | None] | None:
    """The namespaces that import the service; None where one filter for all is right."""
    importers = reads.importers(service)
    if importers is None or len(importers) > MAX_IMPORTERS:
        return None
    return frozenset(importers)


def is_everybodys(service: Service, reads: Reads) -> bool:
    """Report whether no other service owns the host, as seen by everybody else."""
    owners = reads.services_of_host(service.host)
    return not owners or is_theirs(service, reads)


def is_theirs(service: Service, reads: Reads) -> bool:
    """Report whether the service's host is that service for these clients."""
    return reads.is_its_host(service.id, service.export_to)


def _with_extension(
    service: Service, protocol: Protocol, mesh: Mesh, namespaces: frozenset[str | None]
) -> Iterator[Audience]:
    root = mesh.root_namespace
    rules = mesh.rules_for(protocol.extension.name)
    if protocol.extension.stock or any(rule.namespace is None for rule in rules):
        for namespace in namespaces:
            yield Audience(namespace, overrides=root in namespaces - {namespace})
        return
    reached = [
        rule
        for rule in rules
        if (None in namespaces or rule.namespace in namespaces)
        and (rule.namespace != root or service.export_to == {root})
    ]
    # Where a whole namespace has the extension, its workloads need no filter of their own.
    whole = {rule.namespace for rule in reached if not rule.labels}
    for rule in reached:
        if not rule.labels or rule.namespace not in whole:
            yield Audience(rule.namespace, rule.labels)


def _filter_namespaces(service: Service, mesh: Mesh) -> frozenset[str | None]:
    """Return the namespaces of the outbound filters; None is the root namespace (whole mesh)."""
    wanted = {service.namespace if name == "." else name for name in mesh.namespaces}
    if "*" in service.export_to:
        return frozenset(wanted) if wanted else frozenset({None})
    return frozenset(service.export_to & wanted if wanted else service.export_to)


def namespaces_with_extensions(call: PortCall, mesh: Mesh) -> set[str]:
    """Namespaces whose proxies have an extension that the generator asked for in vain.

    They may get another filter.
    """
    return {
        rule.namespace
        for extension in tuple(call.recorder.extensions)
        for rule in mesh.rules_for(extension)
        if rule.namespace is not None
        and rule.namespace != mesh.root_namespace
        and not rule.labels
        and not call.has_extension(extension)
    }
