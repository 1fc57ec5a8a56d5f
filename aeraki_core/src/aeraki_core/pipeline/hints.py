"""Probable mistakes that no generator sees: findings at objects without effect.

A generator reports what it reads. No generator reads a port with a misspelt name, an option of a
protocol that no port of the service speaks, or a route by method for a host whose ports are plain
TCP. Istio accepts each of these mistakes in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from aeraki_core.filters.envoyfilter import NAMESPACES_ANNOTATION, SERVICES_ANNOTATION
from aeraki_core.findings.codes import (
    ATTACHED_ROUTE_UNUSED,
    BAD_OPTION,
    EXTERNAL_NAME,
    GATEWAY_ROUTES,
    HASH_UNUSED,
    MATCH_PORT_UNKNOWN,
    METHOD_ROUTES_UNUSED,
    OPTION_WITHOUT_PORT,
    PLUGIN_NOT_ACTIVE,
    PORT_MISNAMED,
    PORT_SAYS_TLS,
    PORT_WITHOUT_PREFIX,
    PROTOCOL_REFUSED,
    UNKNOWN_OPTION,
    UNSUPPORTED_FIELD,
)
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.findings.text import did_you_mean
from aeraki_core.model.gateway_api import TCP_ROUTE, AttachedRoute, RouteParent
from aeraki_core.model.istio import (
    LIVE_WEIGHTS_ANNOTATION,
    DestinationRule,
    HTTPMatchRequest,
    HTTPRoute,
    StringMatch,
    TCPMatch,
    TCPRoute,
    VirtualService,
    full_host,
)
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.namespace import ANNOTATION_PREFIX
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.service import ExternalName, Port, Service
from aeraki_core.pipeline.detect import Detection, Detector, ProblemKind
from aeraki_core.pipeline.port_choice import PortChoice
from aeraki_core.plugins.istio_proxy import ISTIO_PROTOCOLS

__all__ = [
    "Detections",
    "annotation_hints",
    "attached_route_hints",
    "external_name_hints",
    "rule_hints",
    "service_hints",
    "virtual_service_hints",
]

Detections = Mapping[int, Detection]
"""The detection of each port of a service, by its number."""

ServicesOf = Callable[[str], Iterable[tuple[Service, Detections]]]
"""Returns the services of a full host, with the detections of their ports."""

_CODES: dict[ProblemKind, Code] = {
    ProblemKind.MISSPELT: PORT_MISNAMED,
    ProblemKind.NO_PREFIX: PORT_WITHOUT_PREFIX,
    ProblemKind.INACTIVE: PLUGIN_NOT_ACTIVE,
    ProblemKind.ENCRYPTED: PORT_SAYS_TLS,
}
_HTTP_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)


_LEFT_ALONE = (ProblemKind.EXCLUDED, ProblemKind.PLAIN, ProblemKind.NOT_INCLUDED)

_RULE_FIELDS = ("host", "subsets", "trafficPolicy", "exportTo", "workloadSelector")

_OWN = (SERVICES_ANNOTATION, NAMESPACES_ANNOTATION)
"""What ServiceEntries of ours say, which come back from the source."""


def service_hints(
    service: Service, detections: Detections, options: Mapping[str, Sequence[str]]
) -> tuple[Finding, ...]:
    """Ports that look like one of ours and are not, and options of protocols that no port speaks.

    ``options``: the option annotations of the service, by protocol.
    """
    findings: list[Finding] = []
    for port in service.ports:
        detection = detections.get(port.number)
        problem = detection.problem if detection is not None else None
        code = _CODES.get(problem.kind) if problem is not None else None
        if problem is not None and code is not None:
            message = f"port {port.number}: {problem.remedy}"
            findings.append(Finding(code, message, service.ref, _port_field(service, port)))
        if service.ref.kind == "ServiceEntry" and port.protocol.lower() not in ISTIO_PROTOCOLS:
            message = (
                f"port {port.number}: istiod refuses a ServiceEntry with protocol {port.protocol}"
            )
            field = f"spec.ports[{service.ports.index(port)}].protocol"
            findings.append(Finding(PROTOCOL_REFUSED, message, service.ref, field))
    spoken = {
        detection.protocol.name
        for detection in detections.values()
        if detection.protocol is not None
    }
    for protocol in sorted(options.keys() - spoken):
        annotation = min(options[protocol], default="")
        if any(_is_left_alone(detection) for detection in detections.values()):
            continue  # excluded or opt-in: the options wait for the port
        message = (
            f"no port of the service speaks {protocol}; {_advice(service, detections, protocol)}"
        )
        field = f"metadata.annotations.{annotation}"
        findings.append(Finding(OPTION_WITHOUT_PORT, message, service.ref, field))
    return tuple(findings)


def annotation_hints(
    ref: ObjectRef,
    annotations: Mapping[str, str],
    owners: Collection[str],
    service: Service | None = None,
) -> tuple[Finding, ...]:
    """Annotations for Aeraki at a Service, ServiceEntry or Namespace that mean nothing there.

    ``owners``: the protocols and add-ons, by name. ``service`` None: of a Namespace, which has no
    options, and whose words may name ports of any service.
    """
    findings: list[Finding] = []
    for name in sorted(annotations):
        message = _annotation_problem(name, owners, in_namespace=service is None)
        if message is not None:
            findings.append(Finding(UNKNOWN_OPTION, message, ref, f"metadata.annotations.{name}"))
    ports = None
    if service is not None:
        ports = [word for port in service.ports for word in (port.name.lower(), str(port.number))]
    for name, message in PortChoice.mistakes(annotations, ports):
        findings.append(Finding(BAD_OPTION, message, ref, f"metadata.annotations.{name}"))
    return tuple(findings)


def _annotation_problem(name: str, owners: Collection[str], *, in_namespace: bool) -> str | None:
    """Why nothing reads an annotation; None when something may, or it is not for Aeraki."""
    prefix, _, option = name.partition("/")
    if name in _OWN:
        return None
    choices: tuple[str, ...] = (PortChoice.EXCLUDE, PortChoice.INCLUDE)
    if not in_namespace:
        choices = (*choices, LIVE_WEIGHTS_ANNOTATION)
    if prefix == ANNOTATION_PREFIX and name not in choices:
        near = get_close_matches(name, choices, 1, 0.85)
        advice = f"did you mean {near[0]}?" if near else f"there are {' and '.join(choices)}"
        return f"nothing reads {name}; {advice}"
    owner = prefix.removesuffix(f".{ANNOTATION_PREFIX}")
    if owner == prefix:
        return None
    near = get_close_matches(owner, owners, 1, 0.75)
    if in_namespace and near:
        return f"nothing reads {name} here: an option is set at each Service or ServiceEntry"
    if near and owner not in owners:
        return f"nothing reads {name}; did you mean {near[0]}.{ANNOTATION_PREFIX}/{option}?"
    return None


def external_name_hints(external: ExternalName, detector: Detector) -> tuple[Finding, ...]:
    """Ports of ours at a Service that is only another name: nothing listens for it."""
    service = external.service
    findings: list[Finding] = []
    for port in service.ports:
        protocol = detector.detect(service, port).protocol
        if protocol is not None:
            message = (
                f"port {port.number}: calls go to {external.target or 'another host'} by DNS, so "
                f"{protocol.name} counts only at a Service or ServiceEntry of that host"
            )
            findings.append(
                Finding(EXTERNAL_NAME, message, service.ref, _port_field(service, port))
            )
    return tuple(findings)


def rule_hints(
    service: Service, detections: Detections, rules: Sequence[DestinationRule]
) -> tuple[Finding, ...]:
    """DestinationRules of a service that do not do what they seem to.

    ``rules``: all that some client may obey for it. Nothing for a service without a protocol.
    """
    spoken = {
        number: detection.protocol
        for number, detection in detections.items()
        if detection.protocol is not None
    }
    findings: list[Finding] = []
    for rule in rules if spoken else ():
        for name in rule.others:
            message = f"{name} is no field of a DestinationRule and has no effect"
            message += did_you_mean(name, _RULE_FIELDS)
            findings.append(Finding(UNSUPPORTED_FIELD, message, rule.ref, f"spec.{name}"))
        for setting in rule.hash_settings:
            unhashed = [
                f"{number} ({protocol.name})"
                for number, protocol in sorted(spoken.items())
                if not protocol.load_balancing_hash and setting.is_for(number)
            ]
            if unhashed:
                message = (
                    f"{service.host}: the proxy computes no hash for port "
                    f"{', '.join(unhashed)}, so calls are spread without one"
                )
                findings.append(Finding(HASH_UNUSED, message, rule.ref, setting.path))
    return tuple(findings)


def virtual_service_hints(
    virtual_service: VirtualService,
    services_of: ServicesOf,
    domain: str,
) -> tuple[Finding, ...]:
    """Return findings for routes without effect.

    These are routes for ports that do not exist, by method for ports without a protocol, and at
    gateways for a protocol of ours.
    """
    if not virtual_service.for_mesh:
        return tuple(_gateway_hints(virtual_service, services_of, domain))
    return (
        *_unknown_ports(virtual_service, services_of),
        *_unused_methods(virtual_service, services_of),
    )


def _unknown_ports(virtual_service: VirtualService, services_of: ServicesOf) -> Iterator[Finding]:
    """Yield matches on a port that no host of the VirtualService has, nor a gateway."""
    services = [list(services_of(host)) for host in virtual_service.hosts]
    if virtual_service.for_gateways or not all(services):
        return
    ports = {port.number for each in services for service, _ in each for port in service.ports}
    if not any(_speaks(detections) for each in services for _, detections in each):
        return  # no protocol of ours
    numbers = ", ".join(str(number) for number in sorted(ports))
    sections: tuple[tuple[str, tuple[HTTPRoute | TCPRoute, ...]], ...] = (
        ("http", virtual_service.http),
        ("tcp", virtual_service.tcp),
    )
    for section, entries in sections:
        for index, entry in enumerate(entries):
            matches: tuple[HTTPMatchRequest | TCPMatch, ...] = entry.match or ()
            for place, match in enumerate(matches):
                if match.port is not None and match.port not in ports:
                    message = (
                        f"no port {match.port} at {', '.join(virtual_service.hosts)}, "
                        f"which has {numbers}; the route takes no calls"
                    )
                    field = f"spec.{section}[{index}].match[{place}].port"
                    yield Finding(MATCH_PORT_UNKNOWN, message, virtual_service.ref, field)


def _unused_methods(virtual_service: VirtualService, services_of: ServicesOf) -> list[Finding]:
    """Return a finding for each host whose ports do not have the methods that are matched."""
    fields = [
        (index, match.method)
        for index, entry in enumerate(virtual_service.http)
        for match in entry.match or ()
        if match.method is not None
    ]
    findings: list[Finding] = []
    for host in virtual_service.hosts if fields else ():
        services = list(services_of(host))
        ports = [port for service, _ in services for port in service.ports]
        if not ports or any(_speaks(detections) for _, detections in services):
            continue
        index = next((index for index, method in fields if _is_unread(method, ports)), None)
        if index is not None:
            names = ", ".join(f"{port.name or port.number}" for port in ports)
            reasons = [
                f": {detection.reason}"
                for _, detections in services
                for detection in detections.values()
                if _is_left_alone(detection)
            ]
            message = (
                f"no port of {host} ({names}) speaks a protocol with methods"
                f"{next(iter(reasons), '')}; Istio ignores the route"
            )
            findings.append(
                Finding(
                    METHOD_ROUTES_UNUSED,
                    message,
                    virtual_service.ref,
                    f"spec.http[{index}].match",
                )
            )
    return findings


def _gateway_hints(
    virtual_service: VirtualService,
    services_of: ServicesOf,
    domain: str,
) -> Iterable[Finding]:
    sections: tuple[tuple[str, tuple[HTTPRoute | TCPRoute, ...]], ...] = (
        ("http", virtual_service.http),
        ("tcp", virtual_service.tcp),
    )
    for section, entries in sections:
        for index, entry in enumerate(entries):
            for destination in (route.destination for route in entry.route or ()):
                host = full_host(destination.host, virtual_service.namespace, domain)
                number = destination.port.number if destination.port is not None else None
                for service, detections in services_of(host):
                    if number is None and _speaks_http(service):
                        continue  # more likely meant for that port
                    protocols = sorted(
                        detection.protocol.name
                        for port, detection in detections.items()
                        if detection.protocol is not None and number in (None, port)
                    )
                    if protocols and (section == "http" or number is not None):
                        message = (
                            f"{host} speaks {protocols[0]}, and gateways get no filter for it: "
                            "its tcp routes apply there, by connection"
                        )
                        yield Finding(
                            GATEWAY_ROUTES, message, virtual_service.ref, f"spec.{section}[{index}]"
                        )


def attached_route_hints(
    route: AttachedRoute, parent: RouteParent, service: Service, detections: Detections
) -> Iterator[Finding]:
    """A route of the Gateway API that does nothing for a port of ours, which it may be meant for.

    A TCPRoute of a Service counts as the ``tcp`` section of a VirtualService.
    """
    if route.ref.kind == TCP_ROUTE and parent.ref.kind == "Service":
        return
    spoken = {
        number: detection.protocol.name
        for number, detection in sorted(detections.items())
        if detection.protocol is not None and parent.port in (None, number)
    }
    if not spoken or (
        parent.port is None and _speaks_http(service) and route.ref.kind != TCP_ROUTE
    ):
        return
    number, protocol = next(iter(spoken.items()))
    if route.ref.kind == TCP_ROUTE:
        effect = "the filter does not follow a TCPRoute of a ServiceEntry"
    else:
        effect = f"Istio applies a {route.ref.kind} to HTTP alone"
    message = f"port {number} of {service.host} speaks {protocol}, and {effect}"
    yield Finding(ATTACHED_ROUTE_UNUSED, message, route.ref, parent.field)


def _is_unread(method: StringMatch, ports: Sequence[Port]) -> bool:
    """Report whether no HTTP port can have a call of that method.

    This holds if no port speaks HTTP, or if a port may and HTTP has no such method.
    """
    protocols = {port_protocol(port) for port in ports}
    if PortProtocol.HTTP in protocols:
        return False
    return PortProtocol.SNIFFED not in protocols or not _fits_http(method)


def _fits_http(method: StringMatch) -> bool:
    """Report whether a match may be for a method of HTTP; a regular expression may be."""
    if method.exact is not None:
        return method.exact.upper() in _HTTP_METHODS
    prefix = (method.prefix or "").upper()
    return any(each.startswith(prefix) for each in _HTTP_METHODS)


def _speaks_http(service: Service) -> bool:
    return any(port_protocol(port) is PortProtocol.HTTP for port in service.ports)


def _speaks(detections: Detections) -> bool:
    return any(detection.protocol is not None for detection in detections.values())


def _is_left_alone(detection: Detection) -> bool:
    """Report whether an annotation, or its absence, keeps a port that may speak the protocol."""
    problem = detection.problem
    return problem is not None and problem.kind in _LEFT_ALONE


def _advice(service: Service, detections: Detections, protocol: str) -> str:
    for port in service.ports:
        detection = detections.get(port.number)
        problem = detection.problem if detection is not None else None
        if problem is not None and problem.kind is not ProblemKind.NOBODY:
            return f"{problem.remedy[0].lower()}{problem.remedy[1:].rstrip('.')}"
    return f"name the port tcp-{protocol} or set its appProtocol"


def _port_field(service: Service, port: Port) -> str:
    return f"spec.ports[{service.ports.index(port)}].name"
