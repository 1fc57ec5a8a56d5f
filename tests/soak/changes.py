"""Random changes of services, routes, rules, Redis objects and hostile objects.

Between two counts each host changes at most once, and no name comes back. So a filter that both
counts want must be there all the time between them, whatever else changes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from urllib3.exceptions import HTTPError

from tests.rig.api import Api, Object
from tests.rig.errors import ApiError
from tests.rig.workloads import Port, Workloads

ISTIO = "networking.istio.io/v1"
REDIS = "redis.aeraki.io/v1alpha1"
FILTER = ("networking.istio.io/v1alpha3", "EnvoyFilter")
OURS = "app.kubernetes.io/managed-by"
STEADY, VICTIM, EVIL, CLIENT = "steady", "shop", "evil", "client"
"""Namespaces: what never changes, what hostile objects aim at, where those are, and a client's."""

BUSY = ("busy-one", "busy-two", "busy-three")
NAMESPACES = (STEADY, VICTIM, EVIL, CLIENT, *BUSY)
_TENANTS = Path(__file__).parents[1] / "tenants"
_MOST = 30  # hosts at once
_CANARY = f"canary.{STEADY}.svc.cluster.local"
_PORTS = ("tcp-redis", "tcp-thrift", "tcp-other")


def read(path: Path) -> list[Object]:
    """The objects of a file, without what only the API server and kubelets may say."""
    objects = [each for each in yaml.safe_load_all(path.read_text()) if each]
    objects = [each for each in objects if each["kind"] not in ("Namespace", "Pod")]
    for each in objects:
        each["metadata"].pop("creationTimestamp", None)
        if each["kind"] == "Service":
            each["spec"].pop("clusterIP", None)
    return objects


def steady() -> list[Object]:
    """What exists all the time: services of both protocols, a route, a Redis object, the victim."""
    redis = [_service(f"redis-{number}", STEADY, "tcp-redis") for number in range(6)]
    thrift = [_service(f"thrift-{number}", STEADY, "tcp-thrift") for number in range(4)]
    host = f"thrift-0.{STEADY}.svc.cluster.local"
    return [
        *redis,
        *thrift,
        _destination("cluster", STEADY, f"redis-0.{STEADY}.svc.cluster.local"),
        _rule("subsets", STEADY, host),
        _route("weights", STEADY, host, 30),
        *read(_TENANTS / "base.yaml"),
    ]


def steady_canary(api: Api) -> None:
    """A canary with live weights, whose weights change and whose filters never do.

    Raises:
        ApiError: the API server refuses an object.
    """
    workloads = Workloads(api, STEADY)
    ports = [Port("tcp-thrift", 6379)]
    workloads.service("canary", ports)
    pods = [
        workloads.pod(f"canary-{version}", labels={"app": "canary", "version": version})
        for version in ("v1", "v1b", "v2")
    ]
    workloads.endpoints("canary", ports, pods)
    apply(api, [_rule("canary", STEADY, _CANARY), _canary_route(90)])


def apply(api: Api, objects: list[Object]) -> None:
    """Write the objects.

    Raises:
        ApiError: the API server refuses one.
    """
    for each in objects:
        api.apply(each, manager="soak")


@dataclass
class _Host:
    """A service that changes, and the objects that are about it."""

    name: str
    main: Object
    more: list[Object] = field(default_factory=list)


class Changes:
    """Makes one change after another. What the API server refuses, or cannot answer, is left."""

    def __init__(self, api: Api, chance: random.Random) -> None:
        self._api = api
        self._chance = chance
        self._numbers = itertools.count(1)
        self._hosts: dict[str, _Host] = {}
        self._touched: set[str] = set()
        victims = ("base", "canary")
        self._attacks = [
            each for each in sorted(_TENANTS.glob("*.yaml")) if each.stem not in victims
        ]
        self._active: set[Path] = set()
        self.done = 0
        """Changes that the API server took."""
        self.refused = 0
        """Changes that it refused or did not answer."""
        self.tampered: set[tuple[str, str]] = set()
        """Filters that somebody else changed since the last count, by namespace and name."""

    def next_round(self) -> None:
        """A count was made: every host may change again."""
        self._touched.clear()
        self.tampered.clear()

    def make(self) -> None:
        """One random change."""
        ways: list[tuple[Callable[[], None], int]] = [
            (self._create, 6 if len(self._hosts) < _MOST else 0),
            (self._change, 5),
            (self._attach, 5),
            (self._delete, 3),
            (self._attack, 3),
            (self._tamper, 1),
            (self._shift, 3),
        ]
        [way] = self._chance.choices([way for way, _ in ways], [weight for _, weight in ways])
        try:
            way()
        except (ApiError, HTTPError, OSError):
            self.refused += 1
        else:
            self.done += 1

    def _create(self) -> None:
        number = next(self._numbers)
        name, namespace = f"host-{number}", self._chance.choice(BUSY)
        port = self._chance.choice(_PORTS)
        if self._chance.random() < 0.5:
            main = _service(name, namespace, port)
            host = f"{name}.{namespace}.svc.cluster.local"
        else:
            host = f"{name}.example.org"
            main = _entry(name, namespace, host, number, port)
        # Remembered first: when no answer comes, nobody knows whether it exists.
        self._hosts[host] = _Host(host, main)
        self._touched.add(host)
        apply(self._api, [main])

    def _change(self) -> None:
        host = self._pick()
        if host is None:
            return
        port = host.main["spec"]["ports"][0]
        port["name"] = self._chance.choice([name for name in _PORTS if name != port["name"]])
        apply(self._api, [host.main])

    def _attach(self) -> None:
        host = self._pick()
        if host is None:
            return
        name, namespace = f"about-{next(self._numbers)}", host.main["metadata"]["namespace"]
        made = self._chance.choice(
            (
                [_destination(name, namespace, host.name)],
                [_redis_service(name, namespace, host.name)],
                [
                    _rule(name, namespace, host.name),
                    _route(name, namespace, host.name, self._chance.randrange(1, 100)),
                ],
            )
        )
        host.more += made
        apply(self._api, made)

    def _delete(self) -> None:
        host = self._pick()
        if host is None:
            return
        if host.more and self._chance.random() < 0.5:
            gone = [host.more.pop()]
        else:
            gone = [host.main, *host.more]
            del self._hosts[host.name]
        for each in gone:
            self._remove(each)

    def _attack(self) -> None:
        attack = self._chance.choice(self._attacks)
        if attack.stem in self._touched:
            return
        self._touched.add(attack.stem)
        if attack in self._active:
            self._active.discard(attack)
            for each in read(attack):
                self._remove(each)
            return
        self._active.add(attack)
        apply(self._api, read(attack))

    def _shift(self) -> None:
        apply(self._api, [_canary_route(self._chance.choice((0, 1, 25, 50, 99, 100)))])

    def _tamper(self) -> None:
        live = self._api.objects(*FILTER, labels=f"{OURS}=aeraki")
        if not live:
            return
        metadata = self._chance.choice(live)["metadata"]
        self.tampered.add((metadata["namespace"], metadata["name"]))
        patch = {"spec": {"priority": 77}}
        self._api.merge(*FILTER, metadata["name"], patch, namespace=metadata["namespace"])

    def _pick(self) -> _Host | None:
        """A host that did not change since the last count; it counts as changed from now on."""
        free = [host for name, host in self._hosts.items() if name not in self._touched]
        if not free:
            return None
        host = self._chance.choice(free)
        self._touched.add(host.name)
        return host

    def _remove(self, each: Object) -> None:
        metadata = each["metadata"]
        self._api.delete(
            each["apiVersion"], each["kind"], metadata["name"], namespace=metadata["namespace"]
        )


def _object(api_version: str, kind: str, name: str, namespace: str, spec: Object) -> Object:
    metadata: Object = {"name": name, "namespace": namespace}
    # A port of Redis gets a filter without further objects, too.
    metadata["annotations"] = {"redis.aeraki.io/proxy": "always"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _service(name: str, namespace: str, port: str) -> Object:
    ports = [{"name": port, "port": 6379, "protocol": "TCP"}]
    return _object("v1", "Service", name, namespace, {"selector": {"app": name}, "ports": ports})


def _entry(name: str, namespace: str, host: str, number: int, port: str) -> Object:
    spec = {
        "hosts": [host],
        "addresses": [f"240.1.{number // 250}.{number % 250 + 1}"],
        "ports": [{"number": 6379, "name": port, "protocol": "TCP"}],
        "resolution": "DNS",
    }
    return _object(ISTIO, "ServiceEntry", name, namespace, spec)


def _rule(name: str, namespace: str, host: str) -> Object:
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
    return _object(ISTIO, "DestinationRule", name, namespace, {"host": host, "subsets": subsets})


def _route(name: str, namespace: str, host: str, weight: int) -> Object:
    routes = [
        {"destination": {"host": host, "subset": "v1"}, "weight": weight},
        {"destination": {"host": host, "subset": "v2"}, "weight": 100 - weight},
    ]
    return _object(
        ISTIO, "VirtualService", name, namespace, {"hosts": [host], "tcp": [{"route": routes}]}
    )


def _canary_route(weight: int) -> Object:
    route = _route("canary", STEADY, _CANARY, weight)
    route["metadata"]["annotations"]["aeraki.io/live-weights"] = "true"
    route["spec"]["http"] = route["spec"].pop("tcp")
    return route


def _destination(name: str, namespace: str, host: str) -> Object:
    policy = {"connectionPool": {"redis": {"mode": "CLUSTER"}}}
    return _object(
        REDIS, "RedisDestination", name, namespace, {"host": host, "trafficPolicy": policy}
    )


def _redis_service(name: str, namespace: str, host: str) -> Object:
    return _object(
        REDIS, "RedisService", name, namespace, {"host": [host], "settings": {"opTimeout": "7s"}}
    )
