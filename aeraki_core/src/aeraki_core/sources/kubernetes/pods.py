"""Which Pods are read: those of the services whose weights are live, and no others.

A weight set needs the labels and the ServiceAccount of its pods, which no EndpointSlice holds. Pods
are many, so only those are asked for that a Service of such a route selects, and of each only what
a weight set needs is kept. Without live weights no Pod is read, and no right to read one is needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from aeraki_core.errors import InputError
from aeraki_core.kube.resources import GroupKind
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.istio import (
    LIVE_WEIGHTS_ANNOTATION,
    HTTPRoute,
    TCPRoute,
    VirtualService,
    full_host,
    parse_virtual_service,
)
from aeraki_core.model.mesh import LiveWeights, Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.wire import text_map
from aeraki_core.sources.events import Event, Removed, Upserted
from aeraki_core.sources.kubernetes import needed
from aeraki_core.sources.kubernetes.feed import Feed

__all__ = ["POD", "PodFeed", "PodReferences", "PodSelection"]

POD: GroupKind = ("", "Pod")

_MAX_SELECTORS = 8
"""Of one namespace. With more, all its Pods are read: each selector is a watch of its own."""


class PodSelection(NamedTuple):
    """The Pods of a namespace that a Service's selector selects; empty: all of them."""

    namespace: str
    selector: str


class PodFeed(Feed):
    """The list of the Pods of one selector."""

    def __init__(self, selection: PodSelection) -> None:
        super().__init__(POD, selection.namespace, needed=needed.POD)
        self._selector = selection.selector
        if selection.selector:
            self.place = f"{self.place} with {selection.selector}"

    @property
    def params(self) -> Mapping[str, str]:
        """Only Pods with these labels."""
        return {"labelSelector": self._selector} if self._selector else {}


class _ServiceFacts(NamedTuple):
    """The selector of a Service as a list takes it, and whether it asks for live weights."""

    selector: str
    is_live: bool


class _RouteFacts(NamedTuple):
    """The services that weights of a VirtualService name, and whether it asks for live weights."""

    services: frozenset[tuple[str, str]]
    is_live: bool


class PodReferences:
    """The Pods that the objects handed on so far need.

    A VirtualService needs those of its own namespace, one of the root namespace those of all: only
    they make weight sets (mesh/weight_sets.py).
    """

    def __init__(self, mesh: Mesh) -> None:
        self._live_weights = mesh.live_weights
        self._domain = mesh.domain
        self._root_namespace = mesh.root_namespace
        self._services: dict[tuple[str, str], _ServiceFacts] = {}
        self._routes: dict[ObjectRef, _RouteFacts] = {}
        self.wanted: frozenset[PodSelection] = frozenset()
        """All that is to be read."""

    def follow(self, events: Iterable[Event]) -> bool:
        """Take changes in; whether other Pods are wanted than before."""
        if self._live_weights is LiveWeights.OFF:
            return False
        differs = [self._handle(event) for event in events]  # each is taken, so no lazy any()
        if not any(differs):
            return False
        before, self.wanted = self.wanted, frozenset(_merged(self._selections()))
        return self.wanted != before

    def _handle(self, event: Event) -> bool:
        """Whether an event says something else about a Service or a VirtualService than before."""
        match event:
            case Upserted(_, item) if item.ref.kind == "Service" and item.problem is None:
                key = (item.ref.namespace, item.ref.name)
                facts = _service_facts(item)
                changed = self._services.get(key) != facts
                self._services[key] = facts
                return changed
            case Upserted(_, item) if item.ref.kind == "VirtualService" and item.problem is None:
                try:
                    route = self._route_facts(
                        parse_virtual_service(item.ref, item.content, self._domain)
                    )
                except InputError:  # the store reports it, and its last form counts
                    return False
                before = self._routes.pop(item.ref, None)
                if route.services:
                    self._routes[item.ref] = route
                return self._routes.get(item.ref) != before
            case Removed(_, ref) if ref.kind == "Service":
                return self._services.pop((ref.namespace, ref.name), None) is not None
            case Removed(_, ref) if ref.kind == "VirtualService":
                return self._routes.pop(ref, None) is not None
        return False

    def _selections(self) -> Iterable[PodSelection]:
        for route in self._routes.values():
            # Only Pods behind a live-weight route are read: rights and memory follow the use.
            facts = {name: self._services.get(name) for name in route.services}
            if (
                self._live_weights is LiveWeights.ALL
                or route.is_live
                or any(service is not None and service.is_live for service in facts.values())
            ):
                for (namespace, _), service in facts.items():
                    if service is not None and service.selector:
                        yield PodSelection(namespace, service.selector)

    def _route_facts(self, virtual_service: VirtualService) -> _RouteFacts:
        entries: tuple[HTTPRoute | TCPRoute, ...] = (*virtual_service.http, *virtual_service.tcp)
        weighted = [entry.route or () for entry in entries if len(entry.route or ()) > 1]
        hosts = {
            full_host(each.destination.host, virtual_service.namespace, self._domain)
            for route in weighted
            for each in route
        }
        # A Service may ask for live weights of its routes to others.
        hosts.update(virtual_service.hosts if hosts else ())
        tail = f".svc.{self._domain}"
        names = (host.removesuffix(tail).split(".") for host in hosts if host.endswith(tail))
        own = virtual_service.namespace
        services = frozenset(
            (name[1], name[0])
            for name in names
            if len(name) == 2 and (name[1] == own or own == self._root_namespace)
        )
        return _RouteFacts(services, virtual_service.live_weights)


def _merged(selections: Iterable[PodSelection]) -> Iterator[PodSelection]:
    by_namespace: dict[str, set[PodSelection]] = defaultdict(set)
    for selection in selections:
        by_namespace[selection.namespace].add(selection)
    for namespace, of_namespace in by_namespace.items():
        if len(of_namespace) > _MAX_SELECTORS:
            yield PodSelection(namespace, "")
        else:
            yield from of_namespace


def _service_facts(item: SourceObject) -> _ServiceFacts:
    spec = item.content.get("spec")
    labels = text_map(spec.get("selector")) if isinstance(spec, dict) else {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    annotations = text_map(item.metadata.get("annotations"))
    return _ServiceFacts(selector, annotations.get(LIVE_WEIGHTS_ANNOTATION) == "true")
