"""VirtualService and DestinationRule: the parts that routes are made of.

The models read any served version, because the fields are the same. Fields that no protocol of ours
can use are kept by name only, for a finding that they have no effect. Source of the shapes: Istio's
VirtualService and DestinationRule reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from sys import intern
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from aeraki_core.model.memory import forget_unset_fields
from aeraki_core.model.meta import Age, Label, ObjectRef
from aeraki_core.model.service import PortNumber, resolve_export_to
from aeraki_core.model.wire import Spec, check, text_map

__all__ = [
    "LIVE_WEIGHTS_ANNOTATION",
    "Destination",
    "DestinationRule",
    "HTTPMatchRequest",
    "HTTPMirrorPolicy",
    "HTTPRetry",
    "HTTPRoute",
    "HTTPRouteDestination",
    "HashSetting",
    "StringMatch",
    "Subset",
    "TCPMatch",
    "TCPRoute",
    "VirtualService",
    "is_made_of_route",
    "parse_destination_rule",
    "parse_virtual_service",
]


LIVE_WEIGHTS_ANNOTATION = "aeraki.io/live-weights"


class _Open(Spec):
    """A part whose other fields are kept by name (``model_extra``)."""

    model_config = ConfigDict(extra="allow")

    def others(self) -> tuple[str, ...]:
        """The fields given that this model does not know, in order of the object."""
        others = self.model_extra
        if not others:
            return ()
        return tuple(key for key, value in others.items() if value not in (None, {}, [], ""))


class StringMatch(_Open):
    """Istio's StringMatch; ``{}`` (no field) means that the value is present, whatever it is."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> StringMatch:
        if sum(value is not None for value in (self.exact, self.prefix, self.regex)) > 1:
            raise ValueError("give one of exact, prefix and regex")
        return self

    @property
    def is_presence(self) -> bool:
        """Whether it only asks that there is a value."""
        return self.exact is None and self.prefix is None and self.regex is None


class _PortSelector(Spec):
    number: PortNumber


class Destination(_Open):
    """Where calls go: a host as written (short names not yet resolved), a subset, a port."""

    host: str = Field(min_length=1)
    subset: str | None = None
    port: _PortSelector | None = None


_Weight = Annotated[int, Field(ge=0, le=2**31 - 1)]


class HTTPRouteDestination(_Open):
    """A destination with its weight; ``weight`` None when not given."""

    destination: Destination
    weight: _Weight | None = None


class Percent(Spec):
    """A share in percent, 0 to 100."""

    value: Annotated[float, Field(ge=0, le=100)] = 0.0


class HTTPMirrorPolicy(Spec):
    """A mirror: where to, and for which share of the calls (None: all)."""

    destination: Destination
    percentage: Percent | None = None


class HTTPMatchRequest(_Open):
    """One match of a route. Fields of HTTP itself (``uri``, ...) are kept by name only."""

    name: str | None = None
    method: StringMatch | None = None
    headers: dict[str, StringMatch] = Field(default_factory=dict)
    without_headers: dict[str, StringMatch] = Field(default_factory=dict)
    query_params: dict[str, StringMatch] = Field(default_factory=dict)
    port: PortNumber | None = None
    source_labels: dict[str, str] = Field(default_factory=dict)
    source_namespace: str | None = None
    gateways: tuple[str, ...] = ()


class HTTPRetry(_Open):
    """How often a failed call is tried again; other fields by name."""

    attempts: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class HTTPRoute(_Open):
    """One entry of ``http``: matches, destinations, mirrors, timeout, retries.

    Other fields by name.
    """

    name: str | None = None
    match: tuple[HTTPMatchRequest, ...] | None = None
    route: tuple[HTTPRouteDestination, ...] | None = None
    mirror: Destination | None = None
    mirror_percentage: Percent | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    timeout: Annotated[str, Field(pattern=r"^(\d+(\.\d+)?(ms|us|s|m|h))+$")] | None = None
    retries: HTTPRetry | None = None


def _subnet(value: object) -> IPv4Network | IPv6Network:
    if not isinstance(value, str):
        raise ValueError("give an address or a range as text")
    return ip_network(value, strict=False)


class TCPMatch(_Open):
    """One match of a ``tcp`` route."""

    subnets: tuple[Annotated[IPv4Network | IPv6Network, PlainValidator(_subnet)], ...] = Field(
        default=(), alias="destinationSubnets"
    )
    port: PortNumber | None = None
    source_labels: dict[str, str] = Field(default_factory=dict)
    source_namespace: str | None = None
    gateways: tuple[str, ...] = ()


class TCPRoute(_Open):
    """One entry of ``tcp``."""

    match: tuple[TCPMatch, ...] | None = None
    route: tuple[HTTPRouteDestination, ...] | None = None


class _TLSMatch(_Open):
    port: PortNumber | None = None


class _TLSRoute(_Open):
    match: tuple[_TLSMatch, ...] | None = None


def _listed(value: Any) -> Any:
    return () if value is None else value


class _VirtualServiceSpec(_Open):
    hosts: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    gateways: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    http: Annotated[tuple[HTTPRoute, ...], BeforeValidator(_listed)] = ()
    tcp: Annotated[tuple[TCPRoute, ...], BeforeValidator(_listed)] = ()
    tls: Annotated[tuple[_TLSRoute, ...], BeforeValidator(_listed)] = ()
    export_to: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualService:
    """A VirtualService.

    ``hosts`` are full and lower case; ``for_mesh``: sidecars obey it, not only gateways;
    ``for_gateways``: some gateway does.

    ``others``: fields of its ``spec`` that Istio does not know. ``tls_ports``: the ports that its
    ``tls`` routes match, with None for a route that names none.
    """

    ref: ObjectRef
    hosts: tuple[str, ...]
    for_mesh: bool
    http: tuple[HTTPRoute, ...]
    tcp: tuple[TCPRoute, ...]
    tls_ports: frozenset[int | None]
    export_to: frozenset[str]
    age: Age
    others: tuple[str, ...] = ()
    for_gateways: bool = False
    live_weights: bool = False
    """Whether its annotation ``aeraki.io/live-weights`` asks for live weights."""

    @property
    def namespace(self) -> str:
        """The namespace of its object; short names of destinations resolve in it."""
        return self.ref.namespace

    @property
    def has_tls(self) -> bool:
        """Whether it has ``tls`` routes."""
        return bool(self.tls_ports)

    @property
    def source_namespaces(self) -> frozenset[str]:
        """The namespaces that a match's sourceNamespace names."""
        entries: tuple[HTTPRoute | TCPRoute, ...] = (*self.http, *self.tcp)
        return frozenset(
            match.source_namespace
            for entry in entries
            for match in entry.match or ()
            if match.source_namespace
        )

    @property
    def client_namespaces(self) -> frozenset[str]:
        """Namespaces whose clients have routes of their own.

        By exportTo and sourceNamespace; a TCPRoute comes first for clients of its own namespace.
        """
        own = {self.namespace} if self.is_attached else set()
        return (self.export_to - {"*"}) | self.source_namespaces | own

    @property
    def is_attached(self) -> bool:
        """Whether istiod makes it of a route of the Gateway API (model/gateway_api.py)."""
        return is_made_of_route(self.ref)


class HashSetting(NamedTuple):
    """A ``consistentHash`` of a DestinationRule: its field, and the ports that it is for."""

    path: str
    port: int
    """The only port; 0: every port but ``other_ports``, which have settings of their own."""
    other_ports: tuple[int, ...] = ()

    def is_for(self, port: int) -> bool:
        """Whether calls to that port obey it."""
        return self.port == port if self.port else port not in self.other_ports


class _Subset(Spec):
    name: str
    labels: dict[str, Any] = Field(default_factory=dict)
    traffic_policy: dict[str, Any] | None = None


class _RuleSelector(Spec):
    match_labels: dict[str, str] = Field(default_factory=dict)


class _DestinationRuleSpec(_Open):
    host: str = Field(min_length=1)
    subsets: Annotated[tuple[_Subset, ...], BeforeValidator(_listed)] = ()
    traffic_policy: dict[str, Any] | None = None
    export_to: tuple[str, ...] | None = None
    workload_selector: _RuleSelector | None = None


@dataclass(frozen=True, slots=True)
class Subset:
    """A subset of a DestinationRule: its labels, and its trafficPolicy as written."""

    name: str
    labels: tuple[Label, ...]
    traffic_policy: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRule:
    """A DestinationRule.

    Its host (full, lower case), its subsets' names, and its trafficPolicy as written.
    ``subset_rules`` has the rest of each subset.

    ``selector``: the labels of its workloadSelector; with one it counts for those workloads of its
    own namespace only. ``export_to_as_written``: decides which rules istiod merges; ``.`` for one
    with a selector. ``hash_settings``: where it asks for load balancing by hash.
    """

    ref: ObjectRef
    host: str
    subsets: tuple[str, ...]
    traffic_policy: Mapping[str, Any] | None
    export_to: frozenset[str]
    age: Age
    selector: tuple[Label, ...] | None = None
    export_to_as_written: frozenset[str] = frozenset()
    hash_settings: tuple[HashSetting, ...] = ()
    subset_rules: tuple[Subset, ...] = ()
    others: tuple[str, ...] = ()
    """Fields of its ``spec`` that Istio does not know."""

    @property
    def namespace(self) -> str:
        """The namespace of its object."""
        return self.ref.namespace


def is_made_of_route(ref: ObjectRef) -> bool:
    """Report whether it is what istiod makes of a route of the Gateway API (gateway_api.py)."""
    return ref.kind == "TCPRoute" or ref.name.endswith(".istio-autogenerated-k8s-gateway")


def full_host(host: str, namespace: str, domain: str) -> str:
    """A host as the mesh knows it.

    A name without a dot is a Service of that namespace (docs/internals/istio.md).
    """
    return host if "." in host or host == "*" else f"{host}.{namespace}.svc.{domain}"


def parse_virtual_service(
    ref: ObjectRef, content: Mapping[str, Any], domain: str
) -> VirtualService:
    """A VirtualService.

    Raises:
        RejectedError: a field does not fit.
    """
    spec = check(_VirtualServiceSpec, content.get("spec"))
    forget_unset_fields(spec)
    metadata = content.get("metadata") or {}
    created = intern(str(metadata.get("creationTimestamp") or ""))
    annotations = text_map(metadata.get("annotations"))
    return VirtualService(
        ref=ref,
        hosts=tuple(dict.fromkeys(full_host(host, ref.namespace, domain) for host in spec.hosts)),
        for_mesh=not spec.gateways or "mesh" in spec.gateways,
        for_gateways=any(gateway != "mesh" for gateway in spec.gateways),
        http=spec.http,
        tcp=spec.tcp,
        tls_ports=frozenset(match.port for entry in spec.tls for match in entry.match or ()),
        export_to=resolve_export_to(spec.export_to, ref.namespace),
        age=Age(created, ref.name, ref.namespace),
        others=spec.others(),
        live_weights=annotations.get(LIVE_WEIGHTS_ANNOTATION) == "true",
    )


def _sorted_labels(labels: Mapping[str, Any]) -> tuple[Label, ...]:
    return tuple(sorted((intern(key), intern(str(value))) for key, value in labels.items()))


def parse_destination_rule(
    ref: ObjectRef, content: Mapping[str, Any], domain: str
) -> DestinationRule:
    """A DestinationRule.

    Raises:
        RejectedError: a field does not fit.
    """
    spec = check(_DestinationRuleSpec, content.get("spec"))
    created = intern(str((content.get("metadata") or {}).get("creationTimestamp") or ""))
    export_to = resolve_export_to(spec.export_to, ref.namespace)
    if spec.workload_selector is not None:
        export_to = frozenset({ref.namespace})  # whatever is written
    return DestinationRule(
        ref=ref,
        host=full_host(spec.host, ref.namespace, domain),
        subsets=tuple(subset.name for subset in spec.subsets),
        traffic_policy=spec.traffic_policy,
        export_to=export_to,
        age=Age(created, ref.name, ref.namespace),
        selector=None
        if spec.workload_selector is None
        else tuple(sorted(spec.workload_selector.match_labels.items())),
        export_to_as_written=frozenset(
            (spec.export_to or ()) if spec.workload_selector is None else (".",)
        ),
        hash_settings=(
            *_hash_settings(spec.traffic_policy, "spec.trafficPolicy"),
            *(
                setting
                for index, subset in enumerate(spec.subsets)
                for setting in _hash_settings(
                    subset.traffic_policy, f"spec.subsets[{index}].trafficPolicy"
                )
            ),
        ),
        subset_rules=tuple(
            Subset(subset.name, _sorted_labels(subset.labels), subset.traffic_policy)
            for subset in spec.subsets
        ),
        others=spec.others(),
    )


def _hash_settings(policy: Mapping[str, Any] | None, path: str) -> Iterator[HashSetting]:
    """Where a trafficPolicy asks for a hash. Settings of a port take the place of all others."""
    numbers: list[int] = []
    levels = (policy or {}).get("portLevelSettings")
    for index, level in enumerate(levels if isinstance(levels, list | tuple) else ()):
        number = _part(_part(level, "port"), "number")
        if isinstance(number, int):
            numbers.append(number)
            if _part(_part(level, "loadBalancer"), "consistentHash"):
                field = f"{path}.portLevelSettings[{index}].loadBalancer.consistentHash"
                yield HashSetting(field, number)
    if _part(_part(policy, "loadBalancer"), "consistentHash"):
        yield HashSetting(f"{path}.loadBalancer.consistentHash", 0, tuple(numbers))


def _part(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
