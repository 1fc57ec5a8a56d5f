"""Random meshes of several namespaces: services of every kind, and objects that speak about them.

A mesh is drawn for slot 0. Many meshes live in one istiod at the same time, each in a slot of its
own: `placed` renames namespaces and hosts and moves ports and addresses, so that no mesh meets
another one's listeners.

Not everything drawn is legal: the API server refuses some of it, and then it is not in the mesh.
"""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

from aeraki_core.testing import (
    destination_rule,
    endpoint_slice,
    service,
    service_entry,
    virtual_service,
)

from tests.istio.judge.choices import (
    ADDRESSES,
    AGES,
    CART,
    ENTRY_HOSTS,
    HOSTS,
    NAMESPACES,
    NETWORK,
    PORTS,
    PROTOCOLS,
    SERVICES,
    SUBSETS,
    Choices,
    istio,
)
from tests.istio.judge.more import MoreKinds
from tests.rig.api import Object

__all__ = ["draw", "placed", "slot_of"]

_OLD, _YOUNG = AGES[:2]
_SLOT = re.compile(r"\bj0\b")
_PORT = re.compile(r"\b300(0\d)\b")


def draw(seed: int) -> list[Object]:
    """The mesh of a seed, in slot 0; objects that are older come first."""
    objects = _Draw(Random(seed)).objects() + MoreKinds(Random(f"{seed}/more")).objects()
    unique = {
        (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]): each
        for each in objects
    }
    _keep_apart(list(unique.values()))
    return sorted(unique.values(), key=lambda each: str(each["metadata"]["creationTimestamp"]))


def _keep_apart(objects: list[Object]) -> None:
    """Give ServiceEntries of one host and namespace different ages.

    istiod sorts services by age, host and namespace. It picks any order for equal ones, and another
    one with the next push, whether filters are there or not.
    """
    taken: set[tuple[str, str, str]] = set()
    for content in objects:
        if content["kind"] != "ServiceEntry":
            continue
        metadata = content["metadata"]
        drawn = AGES.index(metadata["creationTimestamp"])
        for age in (*AGES[drawn:], *AGES[:drawn]):
            keys = {(host, metadata["namespace"], age) for host in content["spec"]["hosts"]}
            if not keys & taken:
                taken |= keys
                metadata["creationTimestamp"] = age
                break


def placed(objects: list[Object], slot: int) -> list[Object]:
    """The same mesh in another slot."""
    text = json.dumps(objects)
    text = _SLOT.sub(f"j{slot}", text)
    text = _PORT.sub(lambda found: str(30000 + 100 * slot + int(found[1])), text)
    text = text.replace("10.96.200.", f"10.96.{200 + slot}.").replace("240.1.0.", f"240.1.{slot}.")
    text = text.replace("2001:db8:0:", f"2001:db8:{slot}:")
    moved: list[Object] = json.loads(text)
    return moved


def slot_of(name: str) -> int | None:
    """The slot of a listener or a cluster; None where it is of no mesh."""
    if found := re.search(r"\bj(\d+)[.-]", name):
        return int(found[1])
    if found := re.search(r"_3(\d\d)0\d$", name):
        return int(found[1])
    return None


class _Draw(Choices):
    def objects(self) -> list[Object]:
        drawn: list[Object] = []
        for name, space in self._some(SERVICES, 1, 3):
            drawn += self._service(name, space)
        drawn += [self._entry(number) for number in range(self._number(0, 0, 1, 2, 3))]
        drawn += [self._routes(number) for number in range(self._number(0, 1, 1, 2))]
        drawn += [self._rule(number) for number in range(self._number(0, 1, 2, 3))]
        drawn += [self._sidecar() for _ in range(self._number(0, 0, 1))]
        drawn += [self._redis_service() for _ in range(self._number(0, 0, 1))]
        drawn += [self._redis_destination() for _ in range(self._number(0, 0, 1))]
        drawn += [self._filter() for _ in range(self._number(0, 0, 0, 1))]
        for content in drawn:
            content["metadata"]["creationTimestamp"] = self._pick(_OLD, _YOUNG)
        return drawn

    # Services

    def _service(self, name: str, space: str) -> list[Object]:
        ports = self._ports()
        exported = self._pick(None, None, None, ".", "j0-crm,.", "j0-crm")
        headless = self._chance(0.2)
        content = service(
            name,
            {port: (number, number + 50) for port, number in ports.items()},
            namespace=space,
            cluster_ip="None" if headless else ADDRESSES[name, space],
            selector={"app": name},
            annotations=self._annotations(exported),
        )
        addresses = self._some(
            (f"240.1.0.{100 + SERVICES.index((name, space))}", "240.1.0.110"), 0, 2
        )
        targets = {port: number + 50 for port, number in ports.items()}
        return [content, endpoint_slice(name, addresses, targets, namespace=space)]

    def _annotations(self, exported: str | None) -> dict[str, str]:
        annotations = {"dubbo.aeraki.io/engine": "dubbo_proxy"}
        if exported:
            annotations["networking.istio.io/exportTo"] = exported
        return annotations

    def _entry(self, number: int) -> Object:
        host = self._pick(*ENTRY_HOSTS, *ENTRY_HOSTS, "*.j0.example.com", CART)
        addresses = self._pick(
            [],
            [],
            ["240.1.0.1"],
            ["240.1.0.2"],
            ["240.1.0.0/24"],
            ["240.1.0.3", "240.1.0.0/25"],
            [ADDRESSES["cart", "j0-shop"]],
        )
        spec: dict[str, Any] = {"location": self._pick("MESH_INTERNAL", "MESH_EXTERNAL")}
        resolution = "NONE" if host.startswith("*") else self._pick("NONE", "STATIC", "DNS")
        if resolution == "STATIC":
            spec["endpoints"] = [{"address": "240.1.0.120"}]
        if addresses:
            spec["addresses"] = addresses
        if exported := self._exported():
            spec["exportTo"] = exported
        return service_entry(
            f"j0-entry-{number}",
            [host],
            self._ports(),
            namespace=self._namespace(),
            resolution=resolution,
            annotations=self._annotations(None),
            **spec,
        )

    def _ports(self) -> dict[str, int]:
        numbers = self._some(PORTS, 1, 2)
        names = (*PROTOCOLS, *PROTOCOLS, "plain", "http")
        drawn = {}
        for number in numbers:
            name = self._pick(*names)
            drawn[f"http-{number % 100}" if name == "http" else f"tcp-{name}-{number % 100}"] = (
                number
            )
        return drawn

    # What speaks about them

    def _routes(self, number: int) -> Object:
        spec: dict[str, Any] = {}
        if self._chance(0.7):
            spec["http"] = [self._http() for _ in range(self._number(1, 1, 2))]
        if self._chance(0.4) or not spec:
            spec["tcp"] = [self._tcp() for _ in range(self._number(1, 1, 2))]
        if exported := self._exported():
            spec["exportTo"] = exported
        if self._chance(0.1):
            spec["gateways"] = self._pick(["mesh"], ["j0-shop/door"], ["mesh", "j0-shop/door"])
        return virtual_service(
            f"j0-routes-{number}",
            [self._host()],
            namespace=self._namespace(root=True),
            **spec,
        )

    def _http(self) -> Object:
        route: Object = {}
        if self._chance(0.1):
            return {
                "match": [{"uri": {"prefix": "/"}}],
                "delegate": {"name": "other", "namespace": "j0-shop"},
            }
        if self._chance(0.6):
            route["match"] = [
                self._pick(
                    {"port": self._pick(*PORTS)},
                    {"uri": {"prefix": "/api"}},
                    {"method": {"exact": "sayHello"}},
                    {"headers": {"group": {"exact": "a"}}},
                    {"sourceNamespace": self._pick(*NAMESPACES)},
                    {"method": {"exact": "sayHello"}, "port": self._pick(*PORTS)},
                )
            ]
        route["route"] = self._destinations(http=True)
        return route

    def _tcp(self) -> Object:
        route: Object = {"route": self._destinations(http=False)}
        if self._chance(0.5):
            route["match"] = [
                self._pick(
                    {"port": self._pick(*PORTS)}, {"sourceNamespace": self._pick(*NAMESPACES)}
                )
            ]
        return route

    def _destinations(self, *, http: bool) -> list[Object]:
        count = self._number(1, 1, 2)
        destinations: list[Object] = []
        for number in range(count):
            destination: Object = {"host": self._host()}
            if self._chance(0.5):
                destination["subset"] = self._pick(*SUBSETS)
            if self._chance(0.3):
                destination["port"] = {"number": self._pick(*PORTS)}
            content: Object = {"destination": destination}
            if count > 1:
                content["weight"] = (70, 30)[number]
            destinations.append(content)
        return destinations

    def _rule(self, number: int) -> Object:
        policy: Object = self._pick(
            {},
            {"connectionPool": {"tcp": {"maxConnections": 7}}},
            {"outlierDetection": {"consecutive5xxErrors": 3}},
            {"loadBalancer": {"consistentHash": {"useSourceIp": True}}},
            {"loadBalancer": {"simple": "PASSTHROUGH"}},
            {"tls": {"mode": "SIMPLE"}},
            {"tls": {"mode": "DISABLE"}},
        )
        spec: dict[str, Any] = {"trafficPolicy": policy} if policy else {}
        if exported := self._exported():
            spec["exportTo"] = exported
        host = self._pick(*HOSTS, "*.j0-shop.svc.cluster.local", "*.j0.example.com")
        return destination_rule(
            f"j0-rule-{number}",
            host,
            {name: {"version": name} for name in self._some(SUBSETS, 0, 2)},
            namespace=self._namespace(root=True),
            **spec,
        )

    def _sidecar(self) -> Object:
        hosts = self._pick(
            ["*/*"],
            ["./*"],
            ["j0-shop/*"],
            ["*/db.j0.example.com", "j0-shop/cart.j0-shop.svc.cluster.local"],
            ["~/*"],
        )
        egress: list[Object] = [{"hosts": hosts}]
        if self._chance(0.4):
            port = {
                "number": self._pick(*PORTS),
                "protocol": self._pick("TCP", "HTTP"),
                "name": "own",
            }
            own: Object = {"port": port, "hosts": ["*/*"]}
            if self._chance(0.5):
                own |= {"bind": "127.0.0.1", "captureMode": "NONE"}
            egress.insert(0, own)
        return istio("Sidecar", "default", {"egress": egress}, namespace=self._namespace())

    def _filter(self) -> Object:
        """A user's EnvoyFilter that inserts a filter before tcp_proxy."""
        limit = {
            "name": "envoy.filters.network.local_ratelimit",
            "typed_config": {
                "@type": f"{NETWORK}.local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "limit",
                "token_bucket": {"max_tokens": 10, "fill_interval": "1s"},
            },
        }
        listener = {
            "portNumber": self._pick(*PORTS),
            "filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}},
        }
        patch = {
            "applyTo": "NETWORK_FILTER",
            "match": {"context": "SIDECAR_OUTBOUND", "listener": listener},
            "patch": {"operation": "INSERT_BEFORE", "value": limit},
        }
        content = istio(
            "EnvoyFilter",
            "j0-limit",
            {"configPatches": [patch]},
            namespace=self._namespace(root=True),
        )
        return {**content, "apiVersion": "networking.istio.io/v1alpha3"}

    # Redis

    def _redis_service(self) -> Object:
        routes: list[Object] = [{"route": {"host": self._host()}}] if self._chance(0.7) else []
        if self._chance(0.5):
            routes.insert(0, {"match": {"key": {"prefix": "x"}}, "route": {"host": self._host()}})
        spec = {"host": [self._host()], "settings": {"opTimeout": "1s"}, "redis": routes}
        return self._redis("RedisService", spec)

    def _redis_destination(self) -> Object:
        redis: Object = {"mode": self._pick("PROXY", "CLUSTER")}
        if self._chance(0.5):
            redis["auth"] = {"plain": {"password": "secret"}}
        policy = {"connectionPool": {"redis": redis}}
        return self._redis("RedisDestination", {"host": self._host(), "trafficPolicy": policy})

    def _redis(self, kind: str, spec: Object) -> Object:
        return {
            "apiVersion": "redis.aeraki.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": "j0-redis", "namespace": self._namespace()},
            "spec": spec,
        }
