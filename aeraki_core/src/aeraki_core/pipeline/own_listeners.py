"""The listeners of a service port that are its own, for one client namespace.

istiod makes one listener for each address and port. Who has it differs between namespaces: a
private entry counts only where it is seen. Two filters on one listener would be an outage, so each
listener has one owner in each view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aeraki_core.findings.codes import (
    HEADLESS_WITHOUT_ENDPOINTS,
    LISTENER_TAKEN,
    NO_ADDRESS,
    NO_LISTENER,
    SHARED_CIDR,
    SIDECAR_LISTENER,
)
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.mesh.claims import Claim
from aeraki_core.mesh.mesh_client import EVERYBODY_ELSE
from aeraki_core.mesh.reads import Reads
from aeraki_core.mesh.route_scope import RouteScope
from aeraki_core.mesh.route_table import tcp_route
from aeraki_core.mesh.routes import WeightedCluster, cluster_name
from aeraki_core.model.listeners import Listener, needs_endpoints, outbound_listeners
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Port, Resolution, Service
from aeraki_core.model.sidecar import PASSTHROUGH, SidecarScope

__all__ = ["PASSTHROUGH_CHAIN", "Restore", "own_listeners", "restores"]

_NAMED = 3  # of the services that share a listener, in one finding


PASSTHROUGH_CHAIN = "PassthroughFilterChain"
_PASSTHROUGH = WeightedCluster(cluster=PASSTHROUGH, weight=1, host="", port=0)


class Restore(NamedTuple):
    """A listener that the mesh-wide filter changes and must not change for some clients.

    A tcp_proxy to ``clusters`` takes the place of our filter there. No patch tells chains of
    address ranges apart, so theirs leads to the address that was called.
    """

    listener: str
    clusters: tuple[WeightedCluster, ...]
    chain: str = ""
    """Only this chain, where the mesh-wide filter has put a tcp_proxy back already."""


def own_listeners(
    service: Service, port: Port, reads: Reads
) -> tuple[tuple[Listener, ...], tuple[Finding, ...]]:
    """Return the port's own listeners for these clients, and findings about the others."""
    endpoints = reads.port_endpoints(service, port) if needs_endpoints(service) else None
    wanted = outbound_listeners(
        service, port, endpoints, headless_filter_chains=reads.mesh.headless_filter_chains
    )
    if len({listener.families for listener in wanted}) > 1:
        # istiod looks at each patch for every proxy: none for a listener that no proxy has
        # (docs/internals/istio.md).
        families = reads.proxy_families(service)
        wanted = tuple(listener for listener in wanted if listener.families & families)
    findings: list[Finding] = []
    if service.resolution is Resolution.DYNAMIC_DNS:
        wanted = ()  # istiod has no cluster that its listener could send calls to
    if not wanted:
        findings.append(_no_listener(service, port, is_shared=any(endpoints or ())))
    own: list[Listener] = []
    for listener in wanted:
        claims = reads.claims(listener.name)
        others = [claim for claim in claims if claim.service != service.id]
        if others and any(claim.ranges for claim in claims):
            names = ", ".join(str(claim.service.ref) for claim in others[:_NAMED])
            names += " and others" if len(others) > _NAMED else ""
            message = (
                f"listener {listener.name} is shared with {names}; "
                "its chains cannot be told apart, none is patched"
            )
            findings.append(Finding(SHARED_CIDR, message, service.ref, "spec.addresses"))
        elif claims and claims[0].service != service.id:
            owner = claims[0].service
            message = (
                f"listener {listener.name} of {service.host} belongs to {owner.ref} "
                f"({owner.host}), which comes first; no filter for it here"
            )
            findings.append(Finding(LISTENER_TAKEN, message, service.ref, "spec.ports"))
        elif claims or reads.namespace is None:
            # A filter for a listener that its clients lack could reach others that have it.
            own.append(listener)
    if any(listener.has_passthrough for listener in own):
        reads.catch_all()  # asked here, so that clients with another answer get a view of their own
    findings += _sidecar_listeners(service, port, own, reads)
    return tuple(own), tuple(findings)


def _sidecar_listeners(
    service: Service, port: Port, listeners: Iterable[Listener], reads: Reads
) -> Iterator[Finding]:
    """Namespaces whose Sidecar has a listener of its own for the port.

    It serves several services, so none is patched, unless a filter matches its name: it is one of
    the port's own ``listeners`` where the Sidecar binds to the address of a service.
    """
    names = {listener.name for listener in listeners}
    for sidecar in reads.sidecar_listeners(port.number):
        client = sidecar.ref.namespace
        if client == reads.mesh.root_namespace:
            client = service.namespace  # of all clients, these import the most
        for egress in sidecar.egress:
            if not egress.has_own_listeners or egress.port not in (0, port.number):
                continue
            listener = egress.listener(port.number)
            if listener in names:
                message = (
                    f"port {port.number}: {sidecar.ref} gives {_clients(sidecar, reads)} the "
                    f"listener {listener} for its own services; the filter changes it, and their "
                    f"calls go to {service.host}"
                )
                yield Finding(SIDECAR_LISTENER, message, service.ref, "spec.ports")
            elif egress.imports(service.namespace, service.host, client):
                effect = (
                    "their calls pass as plain TCP"
                    if egress.reads_as is None
                    else f"it takes calls for {egress.reads_as.upper()}"
                )
                message = (
                    f"port {port.number}: {sidecar.ref} gives {_clients(sidecar, reads)} the "
                    f"listener {listener}, which is not patched; {effect}"
                )
                yield Finding(SIDECAR_LISTENER, message, service.ref, "spec.ports")


def _clients(sidecar: SidecarScope, reads: Reads) -> str:
    """Return in words whose proxies follow a Sidecar."""
    if sidecar.labels:
        labels = ", ".join(f"{name}={value}" for name, value in sidecar.labels)
        return f"clients with {labels} in {sidecar.ref.namespace}"
    if sidecar.ref.namespace == reads.mesh.root_namespace:
        return "clients in namespaces without a default Sidecar"
    return f"clients in {sidecar.ref.namespace}"


def restores(mesh_wide: Iterable[Listener], service: Service, reads: Reads) -> tuple[Restore, ...]:
    """Return the listeners of the mesh-wide filter to restore for these clients."""
    found: list[Restore] = []
    is_hidden = _is_beside_another(service, reads)
    for listener in mesh_wide:
        everybody = reads.for_client(EVERYBODY_ELSE)
        if listener.has_passthrough and reads.catch_all() != everybody.catch_all():
            cluster = WeightedCluster(cluster=reads.catch_all(), weight=1, host="", port=0)
            found.append(Restore(listener.name, (cluster,), PASSTHROUGH_CHAIN))
        claims = reads.claims(listener.name)
        if len(claims) > 1 and any(claim.ranges for claim in claims):
            found.append(Restore(listener.name, (_PASSTHROUGH,)))
        elif claims and (claims[0].service != service.id or is_hidden):
            found.append(Restore(listener.name, _destinations(claims[0], reads)))
    return tuple(found)


def _is_beside_another(service: Service, reads: Reads) -> bool:
    """Whether the host is another service of the same namespace for these clients.

    A ServiceEntry beside a Kubernetes Service has listeners there, and nothing of its own behind
    them: their connections go where those of the Service do.
    """
    if reads.is_its_host(service.id, service.export_to):
        return False
    return any(each.namespace == service.namespace for each in reads.services_of_host(service.host))


def _destinations(owner: Claim, reads: Reads) -> tuple[WeightedCluster, ...]:
    """Return where Istio sends the connections of the listener's owner, for these clients."""
    host = owner.service.host
    service = reads.service(owner.service)
    port = service.port(owner.port) if service is not None else None
    if service is None or port is None:
        cluster = cluster_name(owner.port, host)
        return (WeightedCluster(cluster=cluster, weight=1, host=host, port=owner.port),)
    scopes = tuple(
        RouteScope(
            virtual_service=virtual_service,
            service=service,
            port=port,
            namespace=reads.namespace,
            reads=reads,
            matches=frozenset(),
            actions=frozenset(),
            # What is wrong with them is reported at the owner's own port, if it speaks a protocol.
            report_at=_ignore,
        )
        for virtual_service in reads.virtual_services(host, port.number)
    )
    return tcp_route(scopes, service, port).clusters


def _ignore(code: Code, message: str, ref: ObjectRef, field: str) -> None:
    """Take a finding and drop it."""


def _no_listener(service: Service, port: Port, *, is_shared: bool) -> Finding:
    """Return why the port has no listener of its own.

    ``is_shared``: there are listeners for endpoints that others of its host have.
    """
    if service.resolution is Resolution.CLUSTER_IP and not service.headless:
        message = (
            f"port {port.number}: no spec.clusterIP, "
            "so the name of the listener is not known; no outbound filter"
        )
        return Finding(NO_ADDRESS, message, service.ref, "spec.clusterIP")
    if service.resolution is Resolution.DYNAMIC_DNS:
        message = (
            f"port {port.number}: istiod refuses a ServiceEntry with resolution DYNAMIC_DNS and a "
            "port of TCP; no outbound filter"
        )
        return Finding(NO_LISTENER, message, service.ref, "spec.resolution")
    if is_shared and not service.headless:
        message = (
            f"port {port.number}: another service of {service.host} has endpoints on it, and "
            "sidecars have a listener for each of these; no outbound filter"
        )
        return Finding(NO_LISTENER, message, service.ref, "spec.resolution")
    message = (
        f"port {port.number}: no endpoint is known, "
        "and sidecars have a listener for each; no outbound filter"
    )
    code = HEADLESS_WITHOUT_ENDPOINTS if service.headless else NO_LISTENER
    return Finding(code, message, service.ref, "spec.ports")
