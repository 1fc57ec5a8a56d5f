"""Upstream Aeraki's MetaRouter as a VirtualService and, for new subsets, a DestinationRule.

A MetaRouter matches attributes that a codec of MetaProtocol reads from a call. Here the method is a
field of the match and everything else is a header; an attribute that is an option of a protocol
describes the service, not the call. A condition that cannot be expressed takes its route along:
without the condition the route would take calls that it never asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aeraki_core.model.istio import full_host
from aeraki_core.model.meta import ObjectRef

__all__ = ["META_PROTOCOL_GROUP", "Conversion", "Unconverted", "convert", "defined_subsets"]

META_PROTOCOL_GROUP = "metaprotocol.aeraki.io"
_API_VERSION = "networking.istio.io/v1"
_METHOD = "method"

_NO_COUNTERPART = {
    "localRateLimit": (
        "no counterpart; Envoy's local_ratelimit filter limits connections, not calls"
    ),
    "globalRateLimit": "no counterpart",
}
_NO_COUNTERPART_OF_ROUTE = {
    "requestMutation": "no counterpart; the calls are forwarded as they are",
    "responseMutation": "no counterpart; the answers are forwarded as they are",
}
_ROUTE_FIELDS = frozenset({"name", "match", "route", "mirror", "mirrorPercentage"})
_ROUTER_FIELDS = frozenset({"hosts", "gateways", "routes", "exportTo"})


class Unconverted(NamedTuple):
    """A field that has no counterpart, or only with the user's help, and what becomes of it."""

    ref: ObjectRef
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """The objects to apply, and what they do not express."""

    objects: tuple[dict[str, Any], ...]
    unconverted: tuple[Unconverted, ...]


@dataclass(slots=True)
class _Converting:
    """One MetaRouter, and what is reported about it."""

    ref: ObjectRef
    options: Mapping[str, Collection[str]]
    unconverted: list[Unconverted] = field(default_factory=list)

    def report(self, path: str, reason: str) -> None:
        self.unconverted.append(Unconverted(self.ref, path, reason))


def defined_subsets(
    rules: Iterable[tuple[ObjectRef, Mapping[str, Any]]], domain: str
) -> frozenset[tuple[str, str]]:
    """The full host and name of each subset of these DestinationRules."""
    return frozenset(
        (full_host(str(spec.get("host", "")), ref.namespace, domain), str(subset.get("name")))
        for ref, spec in rules
        for subset in _mappings(spec.get("subsets"))
    )


def convert(
    routers: Sequence[tuple[ObjectRef, Mapping[str, Any]]],
    *,
    subsets: Collection[tuple[str, str]],
    options: Mapping[str, Collection[str]],
    domain: str,
) -> Conversion:
    """Convert MetaRouters, given by reference and ``spec``.

    ``subsets``: those that exist already. ``options``: the names of the protocols that have an
    option of that name; ``domain``: the mesh's.
    """
    objects: list[dict[str, Any]] = []
    unconverted: list[Unconverted] = []
    wanted: dict[tuple[str, str], list[str]] = {}
    for ref, spec in routers:
        converting = _Converting(ref, options)
        virtual_service = _virtual_service(converting, spec)
        unconverted += converting.unconverted
        if virtual_service is None:
            continue
        objects.append(virtual_service)
        for host, subset in _used_subsets(virtual_service):
            if (full_host(host, ref.namespace, domain), subset) not in subsets:
                names = wanted.setdefault(
                    (ref.namespace, full_host(host, ref.namespace, domain)), []
                )
                if subset not in names:
                    names.append(subset)
    for (namespace, host), names in sorted(wanted.items()):
        rule = _destination_rule(namespace, host, sorted(names))
        objects.append(rule)
        ref = ObjectRef("DestinationRule", namespace, rule["metadata"]["name"])
        reason = (
            f"the labels of {', '.join(sorted(names))} are a guess: version=<subset>; check them"
        )
        unconverted.append(Unconverted(ref, "spec.subsets", reason))
    return Conversion(tuple(objects), tuple(unconverted))


def _virtual_service(converting: _Converting, spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """The VirtualService; None where no route is left."""
    for name in spec:
        if name not in _ROUTER_FIELDS:
            converting.report(f"spec.{name}", _NO_COUNTERPART.get(name, "unknown field; left out"))
    hosts = [host for host in _list(spec.get("hosts")) if isinstance(host, str)]
    if not hosts:
        converting.report("spec.hosts", "no host; nothing is written")
        return None
    for index, host in enumerate(hosts[1:], start=1):
        converting.report(
            f"spec.hosts[{index}]", f"upstream reads the first host alone, not {host}"
        )
    gateways = _list(spec.get("gateways"))
    if gateways:
        what = "only sidecars are served" if "mesh" in gateways else "nothing is written"
        converting.report("spec.gateways", f"no counterpart; {what}")
        if "mesh" not in gateways:
            return None
    written = [
        (route, f"spec.routes[{index}]")
        for index, route in enumerate(_mappings(spec.get("routes")))
    ]
    # An attribute that every route asks for alike describes the service: it becomes an option.
    general = _general_attributes(converting, [route for route, _ in written])
    routes = [
        converted
        for route, path in written
        if (converted := _route(converting, route, path, general)) is not None
    ]
    if not routes:
        if "routes" in spec:
            converting.report("spec.routes", "no route is left; nothing is written")
        return None
    content: dict[str, Any] = {"hosts": [hosts[0]], "http": routes}
    if spec.get("exportTo"):
        content["exportTo"] = spec["exportTo"]
    return _object("VirtualService", converting.ref.namespace, converting.ref.name, content)


def _general_attributes(
    converting: _Converting, routes: Sequence[Mapping[str, Any]]
) -> frozenset[str]:
    """Return the attributes that describe the service: options, equal in all routes."""
    general = set()
    for name in converting.options:
        values = [_attributes(route).get(name) for route in routes]
        exact = {value.get("exact") for value in values if isinstance(value, Mapping)}
        if len(exact) == 1 and None not in exact and None not in values:
            general.add(name)
            protocols = sorted(converting.options[name])
            annotations = " or ".join(f"{protocol}.aeraki.io/{name}" for protocol in protocols)
            reason = f"annotate the service instead: {annotations}: {exact.pop()}"
            converting.report(f"spec.routes[*].match.attributes.{name}", reason)
    return frozenset(general)


def _route(
    converting: _Converting,
    route: Mapping[str, Any],
    path: str,
    general: Collection[str],
) -> dict[str, Any] | None:
    """One entry of ``http``; None for a route with a condition that cannot be expressed."""
    for name in route:
        if name not in _ROUTE_FIELDS:
            reason = _NO_COUNTERPART_OF_ROUTE.get(name, "unknown field; left out")
            converting.report(f"{path}.{name}", reason)
    match = {}
    headers = {}
    for name, value in _attributes(route).items():
        where = f"{path}.match.attributes.{name}"
        if name in general:
            continue
        # Without the condition the route would take more calls than it did.
        if name in converting.options:
            reason = (
                "describes the service, not the call, and differs between routes; "
                "the route is left out"
            )
            converting.report(where, reason)
            return None
        condition = dict(value) if isinstance(value, Mapping) else {}
        if name == _METHOD:
            match["method"] = condition
        else:
            headers[name] = condition
    if headers:
        match["headers"] = headers
    converted: dict[str, Any] = {}
    if route.get("name"):
        converted["name"] = route["name"]
    if match:
        converted["match"] = [match]
    converted["route"] = list(_mappings(route.get("route")))
    if not converted["route"]:
        converting.report(f"{path}.route", "no destination; the route is left out")
        return None
    for name in ("mirror", "mirrorPercentage"):
        if route.get(name) is not None:
            converted[name] = route[name]
    return converted


def _attributes(route: Mapping[str, Any]) -> Mapping[str, Any]:
    match = route.get("match")
    attributes = match.get("attributes") if isinstance(match, Mapping) else None
    return attributes if isinstance(attributes, Mapping) else {}


def _used_subsets(virtual_service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Host and name of each subset that the routes send calls or copies to."""
    for route in virtual_service["spec"]["http"]:
        destinations = [each.get("destination") for each in route["route"]]
        for destination in (*destinations, route.get("mirror")):
            if isinstance(destination, Mapping) and destination.get("subset"):
                yield str(destination.get("host", "")), str(destination["subset"])


def _destination_rule(namespace: str, host: str, names: Sequence[str]) -> dict[str, Any]:
    subsets = [{"name": name, "labels": {"version": name}} for name in names]
    spec = {"host": host, "subsets": subsets}
    return _object("DestinationRule", namespace, host.partition(".")[0], spec)


def _object(kind: str, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": _API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    return (each for each in _list(value) if isinstance(each, Mapping))
